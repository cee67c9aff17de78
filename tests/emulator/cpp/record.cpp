// Recording: a launch as a file that `replay.cpp` runs again in a process of its own.
#include <fstream>

#include "state.h"

namespace {

template <class T> void put(std::ofstream &file, const T &value) {
  file.write(reinterpret_cast<const char *>(&value), sizeof value);
}

void put_text(std::ofstream &file, const std::string &text) {
  put(file, static_cast<unsigned long long>(text.size()));
  file << text;
}

}  // namespace

// All numbers in the host's order: magic; source; entry's name; grid, block, dynamic shared bytes;
// each argument as its bytes, whether it is a pointer, and for a pointer the bytes of memory from there
// to the end of its allocation.
void record(const Launch &launch) {
  State &s = state();
  char name[32];
  snprintf(name, sizeof name, "/%06u.launch", s.recorded++);
  std::ofstream file(s.record + name, std::ios::binary);
  const EmulatorKernel &kernel = *launch.function->kernel;
  file << "IWLAUNCH";
  put_text(file, launch.module->source);
  put_text(file, kernel.name);
  for (unsigned size : launch.grid) put(file, size);
  for (unsigned size : launch.block) put(file, size);
  put(file, launch.shared);
  put(file, kernel.arguments);
  for (int i = 0; i < kernel.arguments; i++) {
    put_text(file, std::string(static_cast<const char *>(launch.arguments[i]), static_cast<size_t>(kernel.sizes[i])));
    put(file, kernel.pointers[i]);
    if (!kernel.pointers[i]) continue;
    CUdeviceptr at = *static_cast<CUdeviceptr *>(launch.arguments[i]);
    auto after = s.device.upper_bound(at);
    const Allocation *found = holding(at, 0);
    size_t bytes = found == nullptr ? 0 : static_cast<size_t>((--after)->first + found->bytes - at);
    put_text(file, std::string(reinterpret_cast<const char *>(at), bytes));
  }
  if (!file.good()) problem("a launch could not be recorded in " + s.record);
}
