// The scheduler of a block: barriers, warp collectives, and what is said when nothing can go on.
#include "block.h"

#include <sys/mman.h>

#include "fiber.h"
#include "watch.h"

namespace {

enum class Where { Fresh, Ready, Barrier, Warp, Ended };

struct Fiber {
  EmulatorThread view;
  void *stack_pointer;
  char *stack;
  Where where;
  int line;
  EmulatorWarpOperation operation;
  unsigned mask;
  unsigned long long value, result;
  int argument;
  void *watched;      // the thread sanitizer's name of it
  unsigned barriers;  // that it has come to
};

constexpr unsigned MOST_THREADS = 1024;
constexpr size_t STACK = 64 * 1024;

// Launches run one at a time, under the state's lock, so one set of fibers serves all. It stays
// outside the stack frames that a failing launch jumps over.
Fiber fibers[MOST_THREADS];
std::vector<unsigned> order;
std::vector<char *> free_stacks;
unsigned count, at_barrier, alive;
unsigned at_collective[MOST_THREADS / 32];  // lanes of each warp that wait at one
unsigned collectives[MOST_THREADS / 32];    // of each warp that are complete
void *scheduler, *watched_scheduler;
Fiber *running;
const BlockRun *block;

// Where threads meet, in turn: with one mark alone, who comes early to the next meeting would seem to
// have been at this one.
char barrier_marks[2], collective_marks[MOST_THREADS / 32][2], block_marks[2];
unsigned blocks;

char *take_stack() {
  if (free_stacks.empty()) {
    // All at once, and only addresses: a page is taken when it is first touched.
    void *all = mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) fail(CUDA_ERROR_OUT_OF_MEMORY, "no room for the threads' stacks");
    for (unsigned i = MOST_THREADS; i-- > 0;) {
      char *stack = static_cast<char *>(all) + i * STACK;
      mprotect(stack, PAGE, PROT_NONE);
      free_stacks.push_back(stack);
    }
  }
  char *stack = free_stacks.back();
  free_stacks.pop_back();
  return stack;
}

void fiber_main() {
  const Launch &launch = *block->launch;
  watch_leave(&block_marks[(blocks + 1) & 1]);
  launch.function->kernel->call(const_cast<void **>(launch.arguments.data()));
  running->where = Where::Ended;
  alive--;
  watch_arrive(&block_marks[blocks & 1]);
  watch_switch(watched_scheduler);
  emulator_switch(&running->stack_pointer, scheduler);
  __builtin_unreachable();
}

void resume(Fiber &fiber) {
  if (fiber.where == Where::Fresh) {
    fiber.stack = take_stack();
    fiber.stack_pointer = prepare_stack(fiber.stack, STACK, fiber_main);
    fiber.where = Where::Ready;
    if (fiber.watched == nullptr) fiber.watched = watch_new();
  }
  running = &fiber;
  emulator_thread = &fiber.view;
  watched_scheduler = watch_self();
  in_kernel = true;
  watch_switch(fiber.watched);
  emulator_switch(&scheduler, fiber.stack_pointer);
  in_kernel = false;
  if (fiber.where == Where::Ended && STACKS_ARE_SHARED) {
    free_stacks.push_back(fiber.stack);
    fiber.stack = nullptr;
  }
}

void wait() {
  watch_switch(watched_scheduler);
  emulator_switch(&running->stack_pointer, scheduler);
}

std::string name(const Fiber &fiber) {
  const uint3 &t = fiber.view.thread_index;
  return "thread (" + std::to_string(t.x) + "," + std::to_string(t.y) + "," + std::to_string(t.z) + ")";
}

std::string place(const Fiber &fiber) {
  switch (fiber.where) {
    case Where::Barrier: return "waits at the barrier of line " + std::to_string(fiber.line);
    case Where::Warp: return "waits at the warp collective of line " + std::to_string(fiber.line);
    case Where::Ended: return "has ended";
    default: return "runs";
  }
}

// Nothing can go on: says who waits for whom.
[[noreturn]] void stuck() {
  for (unsigned i = 0; i < count; i++) {
    const Fiber &fiber = fibers[i];
    if (fiber.where != Where::Warp) continue;
    unsigned first = i / 32 * 32;
    for (unsigned lane = 0; lane < 32; lane++) {
      if (!(fiber.mask >> lane & 1)) continue;
      std::string who = name(fiber) + " " + place(fiber) + ", whose mask names lane " + std::to_string(lane);
      if (first + lane >= count) fail(CUDA_ERROR_LAUNCH_FAILED, "absent lane: " + who + ", past the block's end");
      const Fiber &other = fibers[first + lane];
      if (other.where != Where::Warp || other.line != fiber.line || other.mask != fiber.mask ||
          other.operation != fiber.operation)
        fail(CUDA_ERROR_LAUNCH_FAILED, "divergent collective: " + who + ", which " + place(other));
    }
  }
  const Fiber *first = nullptr;
  for (unsigned i = 0; i < count && first == nullptr; i++)
    if (fibers[i].where == Where::Barrier) first = &fibers[i];
  for (unsigned i = 0; i < count; i++)
    if (fibers[i].where != Where::Barrier || fibers[i].line != first->line)
      fail(CUDA_ERROR_LAUNCH_FAILED, "divergent barrier: " + name(*first) + " " + place(*first) + ", " +
                                         name(fibers[i]) + " " + place(fibers[i]));
  fail(CUDA_ERROR_LAUNCH_FAILED, "the block is stuck");
}

void release_barrier() {
  for (unsigned i = 1; i < count; i++)
    if (fibers[i].line != fibers[0].line) stuck();
  for (unsigned i = 0; i < count; i++) fibers[i].where = Where::Ready;
  at_barrier = 0;
}

unsigned long long reduce(const Fiber *warp, unsigned mask, EmulatorWarpOperation operation) {
  unsigned long long all = operation == EMULATOR_MIN ? ~0ull : 0;
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(mask >> lane & 1)) continue;
    unsigned long long value = warp[lane].value;
    if (operation == EMULATOR_BALLOT) all |= value << lane;
    if (operation == EMULATOR_ADD) all += value;
    if (operation == EMULATOR_MIN) all = value < all ? value : all;
    if (operation == EMULATOR_MAX) all = value > all ? value : all;
  }
  return all;
}

// The last lane of a collective has come: what each one gets.
void complete(Fiber *warp, unsigned mask, EmulatorWarpOperation operation) {
  unsigned long long all = reduce(warp, mask, operation);
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(mask >> lane & 1)) continue;
    Fiber &fiber = warp[lane];
    fiber.result = all;
    if (operation == EMULATOR_SHUFFLE) {
      if (!(mask >> (fiber.argument & 31) & 1))
        fail(CUDA_ERROR_LAUNCH_FAILED,
             "lane outside the mask: " + name(fiber) + " reads lane " + std::to_string(fiber.argument & 31) +
                 " in the shuffle of line " + std::to_string(fiber.line));
      fiber.result = warp[fiber.argument & 31].value;
    }
    if (operation == EMULATOR_MATCH) {
      fiber.result = 0;
      for (unsigned other = 0; other < 32; other++)
        if ((mask >> other & 1) && warp[other].value == fiber.value) fiber.result |= 1u << other;
    }
  }
  for (unsigned lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) warp[lane].where = Where::Ready;
  at_collective[(warp - fibers) / 32] &= ~mask;
  collectives[(warp - fibers) / 32]++;
}

// Whether all lanes of the mask wait at the same collective as this one.
bool all_have_come(const Fiber &self, unsigned first) {
  if ((at_collective[first / 32] & self.mask) != self.mask) return false;
  for (unsigned lane = 0; lane < 32; lane++) {
    const Fiber &other = fibers[first + lane];
    if ((self.mask >> lane & 1) && (other.operation != self.operation || other.mask != self.mask ||
                                    other.line != self.line))
      return false;
  }
  return true;
}

unsigned index_of(const Fiber &fiber) { return static_cast<unsigned>(&fiber - fibers); }

}  // namespace

EmulatorThread *emulator_thread;
volatile bool in_kernel = false;

void emulator_barrier(int line) {
  running->line = line;
  running->where = Where::Barrier;
  at_barrier++;
  char *mark = &barrier_marks[running->barriers++ & 1];
  watch_arrive(mark);
  wait();
  watch_leave(mark);
}

unsigned long long emulator_warp(EmulatorWarpOperation operation, unsigned mask, unsigned long long value,
                                 int argument, int line) {
  Fiber &self = *running;
  unsigned first = index_of(self) / 32 * 32;
  self.line = line;
  if (!(mask >> (index_of(self) - first) & 1))
    fail(CUDA_ERROR_LAUNCH_FAILED, "lane outside the mask: " + name(self) + " calls the collective of line " +
                                       std::to_string(line) + " with a mask that leaves it out");
  self.where = Where::Warp;
  self.operation = operation;
  self.mask = mask;
  self.value = value;
  self.argument = argument;
  at_collective[first / 32] |= 1u << (index_of(self) - first);
  char *mark = &collective_marks[first / 32][collectives[first / 32] & 1];
  watch_arrive(mark);
  if (all_have_come(self, first)) complete(&fibers[first], mask, operation);
  else wait();
  watch_leave(mark);
  return self.result;
}

unsigned emulator_active() {
  unsigned first = index_of(*running) / 32 * 32, mask = 0;
  for (unsigned lane = 0; lane < 32 && first + lane < count; lane++)
    if (fibers[first + lane].where != Where::Ended) mask |= 1u << lane;
  return mask;
}

void emulator_trap(const char *what, int line) {
  fail(CUDA_ERROR_ASSERT, name(*running) + ": " + what + ", line " + std::to_string(line));
}

void permute(std::vector<unsigned> &order, unsigned count, int kind, unsigned long long salt) {
  order.resize(count);
  for (unsigned i = 0; i < count; i++) order[i] = kind == 1 ? count - 1 - i : i;
  if (kind < 2) return;
  unsigned long long x = static_cast<unsigned long long>(kind) * 0x9e3779b97f4a7c15ull + salt;
  for (unsigned i = count; i > 1; i--) {
    x += 0x9e3779b97f4a7c15ull;
    unsigned long long z = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    std::swap(order[i - 1], order[(z ^ (z >> 31)) % i]);
  }
}

void run_block(const BlockRun &run) {
  block = &run;
  const unsigned *size = run.launch->block, *grid = run.launch->grid;
  count = alive = size[0] * size[1] * size[2];
  at_barrier = 0;
  blocks++;
  for (unsigned &lanes : at_collective) lanes = 0;
  for (unsigned i = 0; i < count; i++) {
    Fiber &fiber = fibers[i];
    if (fiber.stack != nullptr) free_stacks.push_back(fiber.stack);  // of the block before
    fiber.stack = nullptr;
    fiber.where = Where::Fresh;
    fiber.barriers = 0;
    fiber.view = {{i % size[0], i / size[0] % size[1], i / size[0] / size[1]},
                  run.index, {size[0], size[1], size[2]}, {grid[0], grid[1], grid[2]}, run.dynamic_shared};
  }
  permute(order, count, state().settings.thread_order, run.number);
  while (alive > 0) {
    bool went_on = false;
    for (unsigned i : order) {
      if (fibers[i].where != Where::Fresh && fibers[i].where != Where::Ready) continue;
      resume(fibers[i]);
      went_on = true;
    }
    if (out_of_time()) fail(CUDA_ERROR_LAUNCH_TIMEOUT, "the kernel does not end");
    if (at_barrier == count) release_barrier();
    else if (!went_on) stuck();
  }
}
