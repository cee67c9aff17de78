// What tests ask of the stand-in driver and tell it; no part of NVIDIA's interface.
#include <algorithm>
#include <cstring>

#include "state.h"

// Numbers that say what is alive; the layout is repeated in `src/settings.rs`.
struct Counts {
  long long device_bytes, device_peak, host_blocks, streams, events, modules, graphs, contexts, calls, sticky;
};

EMULATOR_EXPORT void emulator_reset() {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  reset();
}

EMULATOR_EXPORT void emulator_configure(const Settings *settings) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  if (state().settings.pace != settings->pace) state().chance.seed(static_cast<unsigned>(settings->pace));
  state().settings = *settings;
}

// Records launches into a folder from now on, or no more where the name is empty.
EMULATOR_EXPORT void emulator_record(const char *folder) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  state().record = folder;
  state().recorded = 0;
}

EMULATOR_EXPORT void emulator_count(Counts *counts) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  State &s = state();
  auto size = [](const auto &all) { return static_cast<long long>(all.size()); };
  *counts = {s.live, s.live_peak, size(s.host), size(s.streams), size(s.events), size(s.modules),
             size(s.graphs) + size(s.execs), s.retained, size(s.calls), s.sticky};
}

// One text a line: 0 the problems, which are then forgotten; 1 the calls; 2 the kernels run, with
// how often. Returns the bytes of the whole text; a caller with too little room asks again.
EMULATOR_EXPORT size_t emulator_report(int what, char *to, size_t room) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  State &s = state();
  std::string text;
  if (what == 0) for (const std::string &line : s.problems) text += line + "\n";
  if (what == 1) for (const char *name : s.calls) text += std::string(name) + "\n";
  if (what == 2) for (auto &[name, times] : s.launched) text += name + " " + std::to_string(times) + "\n";
  if (text.size() > room) return text.size();
  memcpy(to, text.data(), text.size());
  if (what == 0) s.problems.clear();
  return text.size();
}
