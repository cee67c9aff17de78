// Everything the stand-in driver remembers, in one place, under one lock.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cuda.h"
#include "interface.h"

constexpr size_t PAGE = 4096;
// Shared memory that a block may have without asking.
constexpr int UNASKED_SHARED = 48 * 1024;
// What guards hold around memory until something is stored there by mistake.
constexpr unsigned char CANARY = 0xc5;

// Settings that tests choose; the layout is repeated in `src/settings.rs`.
struct Settings {
  int capability = 90;                  // 10 * major + minor
  int multiprocessors = 8;
  int shared_opt_in = 227 * 1024;       // most shared memory of a block, when asked for
  int devices = 1;
  int driver_version = 13000;
  int nvrtc_version = 0;                // 0: one of its own
  int thread_order = 0;                 // 0 forward, 1 reverse, else the seed of a random order
  int block_order = 0;
  int poison = 0xff;                    // the byte that fills fresh device and shared memory
  int pace = 0;                         // 0: work runs at once, 1: when a wait forces it, else a seed of chance
  int deaf = 0;                         // 1: streams do not wait for events
  long long memory = 1ll << 30;         // bytes of the card
  long long fail_at = 0;                // the call that fails, counted from 1; 0: none
  int fail_code = 0;
  int limit = 60000;                    // milliseconds of the processor that a launch may take
};

struct Allocation {
  size_t bytes;
  char *mapping;                        // of `mapped` bytes, a page without access at either end
  size_t mapped;
};

struct Function {
  Module *module;
  const EmulatorKernel *kernel;
  int dynamic_limit;                    // raised by cuFuncSetAttribute
  int carveout = -1;
};

struct Module {
  void *library = nullptr;
  int file = -1;
  const EmulatorModule *table = nullptr;
  int architecture = 0;
  std::string source;                   // the compile unit it was made of
  std::map<std::string, Function> functions;
};

struct Launch {
  Module *module;
  Function *function;
  unsigned grid[3], block[3], shared;
  std::vector<char> storage;            // the arguments' bytes, copied when launched
  std::vector<void *> arguments;
};

enum class Kind : int { Kernel = 0, Copy = 1, Set = 2, Host = 3, Wait = 6, Record = 7 };

// One piece of work of a stream, or one node of a graph.
struct Work {
  Kind kind;
  std::function<CUresult()> run;
  Function *function = nullptr;         // of a kernel
  std::shared_ptr<Event> event = nullptr;  // of a wait or a record
  unsigned long long ticket = 0;        // which record of the event
};

struct Graph {
  std::vector<Work> nodes;
};
struct GraphExec {
  std::vector<Work> nodes;
};

// A capture in progress, shared by the streams that joined it.
struct Capture {
  std::unique_ptr<Graph> graph{new Graph};
  Stream *origin;
  int mode;
  std::thread::id thread;
  bool invalid = false;
};

// How far along each stream of a capture some point is; tells forks that were not joined.
typedef std::map<Stream *, int> Clock;

struct Stream {
  unsigned flags = 0;
  unsigned long long number = 0;        // counts those that were made
  bool eager = false;                   // at a random pace: does not wait to be needed
  std::deque<Work> queue;
  std::shared_ptr<Capture> capture;
  Clock clock;
};

struct Event {
  unsigned flags = 0;
  bool recorded = false;
  unsigned long long asked = 0, done = 0;  // records asked for and carried out
  Stream *stream = nullptr;                // of the last record
  std::chrono::steady_clock::time_point time;
  std::weak_ptr<Capture> capture;
  Clock clock;
};

struct Context {};
struct Pool {
  unsigned long long threshold = 0;
};

struct State {
  std::recursive_mutex lock;
  Settings settings;
  bool initialised = false;
  int retained = 0;
  unsigned long long generation = 0;   // counts resets
  unsigned long long streams_made = 0;
  CUresult sticky = CUDA_SUCCESS;
  Context context;
  Pool pool;
  Stream null_stream;
  std::mt19937 chance;                  // of a random pace
  std::vector<const char *> calls;
  std::vector<std::string> problems;
  std::map<std::string, unsigned long long> launched;  // kernels run, by name
  std::string last_kernel;
  std::string record;                   // the folder that launches are recorded into, or none
  unsigned recorded = 0;
  long long live = 0, live_peak = 0;
  std::map<CUdeviceptr, Allocation> device;
  std::map<void *, size_t> host;
  std::set<Stream *> streams;
  std::map<Event *, std::shared_ptr<Event>> events;
  std::set<Module *> modules;
  std::set<Graph *> graphs;
  std::set<GraphExec *> execs;
};

State &state();
// The context that this thread has made current; a reset forgets it on every thread.
Context *current_context();
void set_current_context(Context *context);

// --- state.cpp ---
bool is_sticky(CUresult code);
void problem(const std::string &text);
// Counts a call and says whether it is to fail.
CUresult enter(const char *name, bool context = true);
// Destroys all that the context owns, streams' work included.
void destroy_context();
void reset();

// A call that does nothing when it fails.
#define ENTER(name)                                          \
  std::lock_guard<std::recursive_mutex> guard(state().lock); \
  if (CUresult refused = enter(name)) return refused
#define ENTER_WITHOUT_CONTEXT(name)                          \
  std::lock_guard<std::recursive_mutex> guard(state().lock); \
  if (CUresult refused = enter(name, false)) return refused
// A call that releases something: told to fail it still releases, as a card does whose earlier
// work is what failed, so that what a program cannot help does not count as a leak.
#define ENTER_RELEASE(name)                                  \
  std::lock_guard<std::recursive_mutex> guard(state().lock); \
  CUresult refused = enter(name);                            \
  if (state().sticky) return refused

// --- driver_memory.cpp ---
CUresult allocate(CUdeviceptr *at, size_t bytes);
CUresult release(CUdeviceptr at);
void check_guards();
// The allocation that holds all of the range, or null.
const Allocation *holding(CUdeviceptr at, size_t bytes);

// --- driver_stream.cpp ---
Stream *stream_of(CUstream handle);
CUresult submit(CUstream handle, Work work);
void drain(Stream *stream);
void drain_all();
// Refuses a call that is unsafe while a stream is captured, and spoils the capture.
CUresult refuse_in_capture();

// --- driver_module.cpp ---
void unload(Module *module);
// Bytes of static shared memory; 0 where a module has several kernels, since only the real compiler
// knows which of them uses what.
int static_shared(const Function &function);

// --- record.cpp ---
// Writes down a launch that is about to run: source, sizes, arguments, and the memory that they point to.
void record(const Launch &launch);

// --- grid.cpp ---
CUresult run_grid(const Launch &launch);
