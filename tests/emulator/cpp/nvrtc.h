// The parts of the stand-in NVRTC: reading a kernel's source, and compiling it.
#pragma once
#include <string>
#include <vector>

#include "interface.h"

enum nvrtcResult : int {
  NVRTC_SUCCESS = 0,
  NVRTC_ERROR_OUT_OF_MEMORY = 1,
  NVRTC_ERROR_INVALID_INPUT = 3,
  NVRTC_ERROR_INVALID_PROGRAM = 4,
  NVRTC_ERROR_INVALID_OPTION = 5,
  NVRTC_ERROR_COMPILATION = 6,
  NVRTC_ERROR_INTERNAL_ERROR = 11,
};

struct Program {
  std::string source, name, log;
  bool compiled = false;
  std::vector<char> cubin, ptx;  // `ptx` ends with a zero byte, as text does
};

// What the host told once: where to keep objects, which compiler, where the shim stands.
struct Workshop {
  std::string folder, compiler, shim;
  int version = 0;                // 0: one of its own
  std::string find, replace;      // what is replaced in every source; nothing while `find` is empty
  unsigned patched = 0;           // sources that were changed so
};
Workshop &workshop();

// --- nvrtc_source.cpp ---
// The compile unit for the host's compiler: the source with `extern __shared__` rewritten, in a
// namespace of its own, and an entry for each kernel after it. Lines keep their numbers. Macros
// are defined after the shim, so that one called `N` does no harm there.
std::string host_source(const std::string &source, const std::string &name,
                        const std::vector<std::string> &defines);

// --- nvrtc_compile.cpp ---
struct Options {
  std::vector<std::string> defines;
  unsigned architecture = 75;
  bool virtual_architecture = true;  // compute_XX: the text form alone
};
nvrtcResult read_options(int count, const char *const *texts, Options &options, std::string &log);
nvrtcResult compile(Program &program, const Options &options);
