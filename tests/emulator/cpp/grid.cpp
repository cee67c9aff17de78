// Runs a launch: blocks one after another in the chosen order, shared memory poisoned before each,
// faults of the kernel's own code turned into the errors that a card would give.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <cstring>

#include "block.h"

namespace {

sigjmp_buf leave;
thread_local bool guarded = false;
const BlockRun *current_block = nullptr;
volatile sig_atomic_t expired = 0;
struct sigaction before[4];
constexpr int SIGNALS[4] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t GUARD = 256;
std::vector<char> dynamic_shared;
std::vector<unsigned> block_order;

void on_signal(int signal, siginfo_t *info, void *) {
  if (!guarded) {  // not of a kernel: hand it back, it comes again
    for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &before[i], nullptr);
    return;
  }
  char text[96];
  snprintf(text, sizeof text, "a kernel's access to %p, outside all device memory", info->si_addr);
  if (signal == SIGSEGV || signal == SIGBUS) fail(CUDA_ERROR_ILLEGAL_ADDRESS, text);
  fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, signal == SIGFPE ? "integer division by zero" : "illegal instruction");
}

// The launch has used up its time. Only a kernel's own code is left at once: whatever else runs then
// may hold a lock, and asks `out_of_time` soon.
void on_timer(int) {
  expired = 1;
  if (guarded && in_kernel) fail(CUDA_ERROR_LAUNCH_TIMEOUT, "the kernel does not end");
}

// A timer of this thread's own processor time, so that a busy machine fails no launch.
struct Watchdog {
  timer_t timer;
  bool made;
  Watchdog() {
    struct sigaction action = {};
    action.sa_handler = on_timer;
    action.sa_flags = SA_ONSTACK | SA_NODEFER | SA_RESTART;
    sigaction(SIGVTALRM, &action, nullptr);  // left so: a late signal does no harm
    expired = 0;
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    made = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0;
    int limit = state().settings.limit;
    itimerspec time = {{0, 0}, {limit / 1000, limit % 1000 * 1000000l}};
    if (made) timer_settime(timer, 0, &time, nullptr);
  }
  ~Watchdog() {
    if (made) timer_delete(timer);
  }
};

// Catches the signals of wrong kernels while it lives.
struct SignalGuard {
  stack_t old_stack;
  SignalGuard() {
    static char stack[64 * 1024];
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof stack;
    sigaltstack(&alternative, &old_stack);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &action, &before[i]);
    guarded = true;
  }
  ~SignalGuard() {
    guarded = false;
    for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &before[i], nullptr);
    sigaltstack(&old_stack, nullptr);
  }
};

void prepare_shared(const Launch &launch) {
  int poison = state().settings.poison;
  const EmulatorModule *module = launch.function->module->table;
  if (module->shared_begin != module->shared_end)
    memset(module->shared_begin, poison, static_cast<size_t>(module->shared_end - module->shared_begin));
  memset(dynamic_shared.data() + GUARD, poison, launch.shared);
}

void check_shared(const Launch &launch) {
  for (size_t i = 0; i < GUARD; i++) {
    bool below = static_cast<unsigned char>(dynamic_shared[GUARD - 1 - i]) != CANARY;
    bool above = static_cast<unsigned char>(dynamic_shared[GUARD + launch.shared + i]) != CANARY;
    if (below || above)
      fail(CUDA_ERROR_ILLEGAL_ADDRESS, "out-of-bounds store " + std::to_string(i) + " bytes " +
                                           (above ? "after" : "before") + " the dynamic shared memory");
  }
}

void run_blocks(const Launch &launch) {
  static BlockRun run;  // outlives the jump out of a failing launch
  unsigned long long total = 1ull * launch.grid[0] * launch.grid[1] * launch.grid[2];
  int kind = state().settings.block_order;
  if (kind >= 2) permute(block_order, static_cast<unsigned>(total), kind, 1);
  for (unsigned long long i = 0; i < total; i++) {
    unsigned long long n = kind == 0 ? i : kind == 1 ? total - 1 - i : block_order[i];
    run.launch = &launch;
    run.number = n;
    run.index = {static_cast<unsigned>(n % launch.grid[0]), static_cast<unsigned>(n / launch.grid[0] % launch.grid[1]),
                 static_cast<unsigned>(n / launch.grid[0] / launch.grid[1])};
    run.dynamic_shared = dynamic_shared.data() + GUARD;
    current_block = &run;
    prepare_shared(launch);
    run_block(run);
    check_shared(launch);
  }
}

}  // namespace

bool out_of_time() { return expired != 0; }

void fail(CUresult code, const std::string &text) {
  in_kernel = false;
  std::string where;
  if (current_block != nullptr) {
    const uint3 &b = current_block->index;
    where = "kernel " + state().last_kernel + ", block (" + std::to_string(b.x) + "," + std::to_string(b.y) +
            "," + std::to_string(b.z) + "): ";
  }
  problem(where + text);
  siglongjmp(leave, code);
}

CUresult run_grid(const Launch &launch) {
  State &s = state();
  if (s.modules.count(launch.module) == 0) {
    problem("a launch of a kernel whose module was unloaded");
    return CUDA_ERROR_LAUNCH_FAILED;
  }
  s.last_kernel = launch.function->kernel->name;
  s.launched[s.last_kernel]++;
  // 16 bytes of alignment, as the start of a card's shared memory has.
  dynamic_shared.assign(2 * GUARD + launch.shared, static_cast<char>(CANARY));
  if (!s.record.empty()) record(launch);
  SignalGuard signals;
  Watchdog watchdog;
  int code = sigsetjmp(leave, 1);
  if (code == 0) run_blocks(launch);
  current_block = nullptr;
  if (s.device.size() <= 64) check_guards();
  return static_cast<CUresult>(code);
}
