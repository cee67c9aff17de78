// Runs a recorded launch again, in a process of its own, for a sanitizer to watch. The kernel's
// object is compiled with the sanitizer; this program is only linked with it, so that its own
// bookkeeping stays out of the findings.
//
//     replay OBJECT LAUNCH EXTENTS
//
// EXTENTS are the bytes that each pointer argument may use, separated by commas; where nothing stands
// between them it is all to the end of the allocation. Each pointer gets memory of its own, exactly so
// long, except that equal pointers share it.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "block.cpp"

State &state() {
  static State *state = new State;
  return *state;
}

bool out_of_time() { return false; }  // an alarm ends the process

void fail(CUresult, const std::string &text) {
  fprintf(stderr, "the kernel is refused: %s\n", text.c_str());
  _Exit(3);
}

namespace {

struct Reader {
  std::string all;
  size_t at = 0;

  std::string bytes(size_t count) {
    if (count > all.size() - at) fail(CUDA_ERROR_INVALID_VALUE, "the recorded launch is cut short");
    at += count;
    return all.substr(at - count, count);
  }
  template <class T> T number() {
    T value;
    memcpy(&value, bytes(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() { return bytes(number<unsigned long long>()); }
};

// Not by `memset`, which sanitizers watch.
void poison(char *at, size_t bytes) {
  for (volatile char *p = at; bytes > 0; bytes--) *p++ = static_cast<char>(0xff);
}

const EmulatorKernel *find(const EmulatorModule &module, const std::string &name) {
  for (int i = 0; i < module.count; i++)
    if (module.kernels[i].call != nullptr && name == module.kernels[i].name) return &module.kernels[i];
  fail(CUDA_ERROR_NOT_FOUND, "no kernel " + name);
}

struct Argument {
  std::string value;
  bool pointer;
  std::string content;  // what a pointer leads to, cut to its extent
};

// Reads the arguments; pointers lead to fresh memory, where several are equal to the longest's.
void read_arguments(Reader &reader, Launch &launch, const char *extents) {
  std::vector<Argument> arguments;
  std::map<std::string, std::string> contents;
  std::stringstream list(extents);
  for (int left = reader.number<int>(); left > 0; left--) {
    Argument argument = {reader.text(), reader.number<bool>(), ""};
    std::string extent;
    std::getline(list, extent, ',');
    if (argument.pointer) {
      argument.content = reader.text();
      if (!extent.empty() && std::stoull(extent) < argument.content.size()) argument.content.resize(std::stoull(extent));
      std::string &longest = contents[argument.value];
      if (argument.content.size() > longest.size()) longest = argument.content;
    }
    arguments.push_back(argument);
  }
  std::map<std::string, char *> memory;
  for (const auto &[address, content] : contents) {
    char *at = static_cast<char *>(malloc(content.size()));
    memcpy(at, content.data(), content.size());
    memory[address] = at;
  }
  for (const Argument &argument : arguments) {
    void *to = malloc(std::max<size_t>(argument.value.size(), sizeof(char *)));
    memcpy(to, argument.value.data(), argument.value.size());
    if (argument.pointer && !contents[argument.value].empty()) memcpy(to, &memory[argument.value], sizeof(char *));
    launch.arguments.push_back(to);
  }
}

}  // namespace

int main(int count, char **words) {
  if (count != 4) return 2;
  alarm(60);
  void *library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail(CUDA_ERROR_INVALID_IMAGE, dlerror());
  const EmulatorModule &module = *static_cast<const EmulatorModule *>(dlsym(library, "emulator_module"));
  std::ifstream file(words[2], std::ios::binary);
  Reader reader{std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>())};
  reader.bytes(8);
  reader.text();  // the source
  Function function = {nullptr, find(module, reader.text()), 0};
  Launch launch = {nullptr, &function, {}, {}, 0, {}, {}};
  for (unsigned &size : launch.grid) size = reader.number<unsigned>();
  for (unsigned &size : launch.block) size = reader.number<unsigned>();
  launch.shared = reader.number<unsigned>();
  read_arguments(reader, launch, words[3]);
  char *dynamic = static_cast<char *>(malloc(launch.shared));
  unsigned x = launch.grid[0], y = launch.grid[1], z = launch.grid[2];
  for (unsigned n = 0; n < x * y * z; n++) {
    poison(module.shared_begin, static_cast<size_t>(module.shared_end - module.shared_begin));
    poison(dynamic, launch.shared);
    run_block({&launch, n, {n % x, n / x % y, n / x / y}, dynamic});
  }
  _Exit(0);  // destructors would be looked at too
}
