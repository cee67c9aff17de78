// Runs the host's C++ compiler, keeps what it makes by a hash of all that went in, and words its
// complaints as NVRTC does.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <iterator>

#include "nvrtc.h"

extern char **environ;

namespace {

constexpr unsigned ARCHITECTURES[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};

std::string read_file(const std::string &path, bool *found = nullptr) {
  std::ifstream file(path, std::ios::binary);
  if (found != nullptr) *found = file.good();
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::vector<std::string> command(const Options &options) {
  std::vector<std::string> words = {workshop().compiler, "-x", "c++", "-std=c++17", "-O1", "-w", "-fPIC", "-shared",
                                    "-ffp-contract=off", "-fno-strict-aliasing", "-fno-math-errno", "-fno-exceptions",
                                    "-fno-rtti", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
                                    "-fvisibility=hidden", "-s", "-Wl,--build-id=none", "-fno-diagnostics-show-caret", "-I" + workshop().shim};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    words.push_back("-mavx2");
    words.push_back("-mfma");
  }
  words.push_back("-D__CUDA_ARCH__=" + std::to_string(options.architecture * 10));
  return words;
}

// Runs a command, its complaints into a file; gives the exit status.
int run(const std::vector<std::string> &words, const std::string &complaints) {
  std::vector<char *> arguments;
  for (const std::string &word : words) arguments.push_back(const_cast<char *>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, complaints.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child;
  int error = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (error != 0 || waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// "name:3:7: error: text" becomes "name(3): error: text", as NVRTC words it.
std::string worded(const std::string &complaints) {
  std::string out;
  size_t at = 0;
  while (at < complaints.size()) {
    size_t end = complaints.find('\n', at);
    if (end == std::string::npos) end = complaints.size();
    std::string line = complaints.substr(at, end - at);
    at = end + 1;
    size_t error = line.find(": error: ");
    if (error == std::string::npos) error = line.find(": fatal error: ");
    size_t column = error == std::string::npos || error == 0 ? std::string::npos : line.rfind(':', error - 1);
    size_t number = column == std::string::npos || column == 0 ? std::string::npos : line.rfind(':', column - 1);
    if (number != std::string::npos)
      line = line.substr(0, number) + "(" + line.substr(number + 1, column - number - 1) + ")" + line.substr(error);
    out += line + "\n";
  }
  return out;
}

void fill(Program &program, const std::string &object, const std::string &source, const Options &options) {
  std::string body = object + source;
  EmulatorImage image = {{}, options.architecture, options.virtual_architecture, object.size(), source.size(),
                         emulator_hash(body.data(), body.size())};
  memcpy(image.magic, EMULATOR_MAGIC, 8);
  const char *head = reinterpret_cast<const char *>(&image);
  std::vector<char> cubin(head, head + sizeof image);
  cubin.insert(cubin.end(), body.begin(), body.end());
  // The text form always counts as made for a virtual architecture.
  EmulatorImage text = image;
  text.ptx = 1;
  std::string ptx = EMULATOR_PTX_HEAD;
  auto append = [&ptx](const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
      ptx += "0123456789abcdef"[static_cast<unsigned char>(bytes[i]) >> 4];
      ptx += "0123456789abcdef"[bytes[i] & 15];
    }
  };
  append(reinterpret_cast<const char *>(&text), sizeof text);
  append(body.data(), body.size());
  program.ptx.assign(ptx.c_str(), ptx.c_str() + ptx.size() + 1);
  if (!options.virtual_architecture) program.cubin = cubin;
}

bool known_architecture(unsigned architecture) {
  for (unsigned known : ARCHITECTURES)
    if (known == architecture) return true;
  return false;
}

bool starts(const std::string &text, const char *head) { return text.compare(0, strlen(head), head) == 0; }

}  // namespace

nvrtcResult read_options(int count, const char *const *texts, Options &options, std::string &log) {
  for (int i = 0; i < count; i++) {
    std::string text = texts[i];
    size_t equals = text.find('=');
    std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
    bool separate = text == "-D" || text == "--define-macro" || text == "-arch" || text == "--gpu-architecture";
    if (separate && i + 1 < count) value = texts[++i];
    bool good = true;
    if (text == "-D" || text == "--define-macro" || starts(text, "--define-macro=")) options.defines.push_back(value);
    else if (starts(text, "-D")) options.defines.push_back(text.substr(2));
    else if (starts(text, "--gpu-architecture") || starts(text, "-arch")) {
      options.virtual_architecture = starts(value, "compute_");
      std::string digits = value.substr(options.virtual_architecture ? 8 : starts(value, "sm_") ? 3 : value.size());
      options.architecture = static_cast<unsigned>(atoi(digits.c_str()));
      good = known_architecture(options.architecture);
    } else {
      static const char *const HARMLESS[] = {"--fmad=", "-fmad=", "--ftz=", "-ftz=", "--prec-div=", "--prec-sqrt=",
                                             "--std=c++", "-std=c++", "--ptxas-options", "-default-device",
                                             "--device-as-default", "--extra-device-vectorization", "--minimal",
                                             "-lineinfo", "--generate-line-info", "--restrict", "-w", "--maxrregcount",
                                             "--split-compile", "--no-cache", "--diag-", "-diag-", "--display-error-number",
                                             "--no-display-error-number", "--use_fast_math", "-use_fast_math"};
      good = false;
      for (const char *head : HARMLESS) good = good || starts(text, head);
    }
    if (!good) {
      log = "nvrtc: error: invalid value for --gpu-architecture (-arch), or unrecognized option " + text + "\n";
      return NVRTC_ERROR_INVALID_OPTION;
    }
  }
  return NVRTC_SUCCESS;
}

nvrtcResult compile(Program &program, const Options &options) {
  std::string source = host_source(program.source, program.name, options.defines);
  std::vector<std::string> words = command(options);
  unsigned long long hash = emulator_hash(source.data(), source.size());
  for (const std::string &word : words) hash = emulator_hash(word.c_str(), word.size() + 1, hash);
  char name[32];
  snprintf(name, sizeof name, "/%016llx", hash);
  std::string kept = workshop().folder + name + ".so";
  bool found = false;
  std::string object = read_file(kept, &found);
  if (!found) {
    static std::atomic<unsigned> number{0};
    std::string aside = workshop().folder + name + "." + std::to_string(getpid()) + "." + std::to_string(number++);
    std::ofstream(aside + ".cpp", std::ios::binary) << source;
    words.push_back(aside + ".cpp");
    words.push_back("-o");
    words.push_back(aside + ".so");
    int status = run(words, aside + ".log");
    program.log = worded(read_file(aside + ".log"));
    unlink((aside + ".cpp").c_str());
    unlink((aside + ".log").c_str());
    if (status != 0) {
      unlink((aside + ".so").c_str());
      return status == -1 ? NVRTC_ERROR_INTERNAL_ERROR : NVRTC_ERROR_COMPILATION;
    }
    object = read_file(aside + ".so");
    rename((aside + ".so").c_str(), kept.c_str());
  }
  fill(program, object, source, options);
  return NVRTC_SUCCESS;
}
