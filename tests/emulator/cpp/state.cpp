// The state itself: counting calls, failing one of them, the end of a context, and starting afresh.
#include "state.h"

#include <sys/mman.h>

State &state() {
  static State *state = new State;  // never destroyed: threads may outlive main
  return *state;
}

static thread_local Context *current = nullptr;
static thread_local unsigned long long current_generation = 0;

Context *current_context() { return current_generation == state().generation ? current : nullptr; }

void set_current_context(Context *context) {
  current = context;
  current_generation = state().generation;
}

bool is_sticky(CUresult code) {
  return code == CUDA_ERROR_ECC_UNCORRECTABLE || code == CUDA_ERROR_ILLEGAL_ADDRESS ||
         code == CUDA_ERROR_LAUNCH_TIMEOUT || code == CUDA_ERROR_ASSERT ||
         (code >= CUDA_ERROR_HARDWARE_STACK_ERROR && code <= CUDA_ERROR_LAUNCH_FAILED);
}

void problem(const std::string &text) {
  if (state().problems.size() < 100) state().problems.push_back(text);
}

CUresult enter(const char *name, bool context) {
  State &s = state();
  s.calls.push_back(name);
  if (s.sticky) return s.sticky;
  if (s.settings.fail_at == static_cast<long long>(s.calls.size())) {
    CUresult code = static_cast<CUresult>(s.settings.fail_code);
    if (is_sticky(code)) s.sticky = code;
    for (Stream *stream : s.streams)  // whatever fails inside of a capture spoils it
      if (stream->capture && stream->capture->thread == std::this_thread::get_id()) stream->capture->invalid = true;
    return code;
  }
  if (!s.initialised) return CUDA_ERROR_NOT_INITIALIZED;
  if (context && (current_context() == nullptr || s.retained == 0)) return CUDA_ERROR_INVALID_CONTEXT;
  return CUDA_SUCCESS;
}

void destroy_context() {
  State &s = state();
  for (Stream *stream : s.streams) {
    stream->capture.reset();
    delete stream;
  }
  s.streams.clear();
  s.null_stream.queue.clear();
  for (GraphExec *exec : s.execs) delete exec;
  s.execs.clear();
  for (Graph *graph : s.graphs) delete graph;
  s.graphs.clear();
  s.events.clear();
  while (!s.modules.empty()) unload(*s.modules.begin());
  while (!s.device.empty()) release(s.device.begin()->first);
  for (auto &[at, bytes] : s.host) munmap(at, bytes);
  s.host.clear();
}

void reset() {
  State &s = state();
  destroy_context();
  s.settings = Settings();
  s.initialised = false;
  s.retained = 0;
  s.generation++;
  s.sticky = CUDA_SUCCESS;
  s.calls.clear();
  s.problems.clear();
  s.launched.clear();
  s.last_kernel.clear();
  s.record.clear();
  s.recorded = 0;
  s.live_peak = 0;
  s.streams_made = 0;
  s.pool = Pool();
}
