// The entries of the stand-in NVRTC.
#include "nvrtc.h"

#include <cstring>
#include <mutex>
#include <set>

namespace {

std::mutex lock;  // of what follows and of the workshop's patch
std::set<Program *> programs;

bool alive(Program *program) {
  std::lock_guard<std::mutex> guard(lock);
  return programs.count(program) != 0;
}

nvrtcResult size_of(Program *program, const std::vector<char> &bytes, size_t *size) {
  *size = bytes.size();
  return program->compiled ? NVRTC_SUCCESS : NVRTC_ERROR_INVALID_PROGRAM;
}

nvrtcResult copy(Program *program, const std::vector<char> &bytes, char *to) {
  if (!program->compiled) return NVRTC_ERROR_INVALID_PROGRAM;
  memcpy(to, bytes.data(), bytes.size());
  return NVRTC_SUCCESS;
}

}  // namespace

Workshop &workshop() {
  static Workshop *workshop = new Workshop;
  return *workshop;
}

// Told once by the host before anything is compiled.
EMULATOR_EXPORT void emulator_workshop(const char *folder, const char *compiler, const char *shim) {
  workshop().folder = folder;
  workshop().compiler = compiler;
  workshop().shim = shim;
}

EMULATOR_EXPORT void emulator_nvrtc_version(int version) { workshop().version = version; }

// Plants a mistake: replaces a piece of every source that is handed in from now on.
EMULATOR_EXPORT void emulator_patch(const char *find, const char *replace) {
  std::lock_guard<std::mutex> guard(lock);
  workshop().find = find;
  workshop().replace = replace;
  workshop().patched = 0;
}

EMULATOR_EXPORT unsigned emulator_patched() {
  std::lock_guard<std::mutex> guard(lock);
  return workshop().patched;
}

namespace {

std::string patched(std::string source) {
  std::lock_guard<std::mutex> guard(lock);
  const std::string &find = workshop().find;
  size_t at = find.empty() ? std::string::npos : source.find(find);
  if (at == std::string::npos) return source;
  workshop().patched++;
  return source.replace(at, find.size(), workshop().replace);
}

}  // namespace

EMULATOR_EXPORT nvrtcResult nvrtcVersion(int *major, int *minor) {
  // Of its own: one that no real NVRTC has and that changes with the sources of this one, so that
  // what a cache keeps for it reaches neither a card nor another version of the emulator.
  const std::string &shim = workshop().shim;
  bool own = workshop().version == 0;
  *major = own ? 13 : workshop().version / 1000;
  *minor = own ? static_cast<int>(1000 + emulator_hash(shim.data(), shim.size()) % 1000000)
               : workshop().version % 1000 / 10;
  return NVRTC_SUCCESS;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetNumSupportedArchs(int *count) {
  *count = static_cast<int>(sizeof ARCHITECTURES / sizeof *ARCHITECTURES);
  return NVRTC_SUCCESS;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetSupportedArchs(int *to) {
  for (unsigned architecture : ARCHITECTURES) *to++ = static_cast<int>(architecture);
  return NVRTC_SUCCESS;
}

EMULATOR_EXPORT nvrtcResult nvrtcCreateProgram(Program **program, const char *source, const char *name, int headers,
                                               const char *const *, const char *const *) {
  if (program == nullptr || source == nullptr || headers != 0) return NVRTC_ERROR_INVALID_INPUT;
  *program = new Program;
  (*program)->source = patched(source);
  (*program)->name = name == nullptr ? "default_program" : name;
  std::lock_guard<std::mutex> guard(lock);
  programs.insert(*program);
  return NVRTC_SUCCESS;
}

EMULATOR_EXPORT nvrtcResult nvrtcDestroyProgram(Program **program) {
  if (program == nullptr || !alive(*program)) return NVRTC_ERROR_INVALID_PROGRAM;
  std::lock_guard<std::mutex> guard(lock);
  programs.erase(*program);
  delete *program;
  return NVRTC_SUCCESS;
}

EMULATOR_EXPORT nvrtcResult nvrtcCompileProgram(Program *program, int count, const char *const *texts) {
  if (!alive(program)) return NVRTC_ERROR_INVALID_PROGRAM;
  Options options;
  program->log.clear();
  if (nvrtcResult wrong = read_options(count, texts, options, program->log)) return wrong;
  nvrtcResult result = compile(*program, options);
  program->compiled = result == NVRTC_SUCCESS;
  return result;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetCUBINSize(Program *program, size_t *size) {
  return alive(program) ? size_of(program, program->cubin, size) : NVRTC_ERROR_INVALID_PROGRAM;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetCUBIN(Program *program, char *to) {
  return alive(program) ? copy(program, program->cubin, to) : NVRTC_ERROR_INVALID_PROGRAM;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetPTXSize(Program *program, size_t *size) {
  return alive(program) ? size_of(program, program->ptx, size) : NVRTC_ERROR_INVALID_PROGRAM;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetPTX(Program *program, char *to) {
  return alive(program) ? copy(program, program->ptx, to) : NVRTC_ERROR_INVALID_PROGRAM;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetProgramLogSize(Program *program, size_t *size) {
  if (!alive(program)) return NVRTC_ERROR_INVALID_PROGRAM;
  *size = program->log.size() + 1;
  return NVRTC_SUCCESS;
}

EMULATOR_EXPORT nvrtcResult nvrtcGetProgramLog(Program *program, char *to) {
  if (!alive(program)) return NVRTC_ERROR_INVALID_PROGRAM;
  memcpy(to, program->log.c_str(), program->log.size() + 1);
  return NVRTC_SUCCESS;
}

EMULATOR_EXPORT const char *nvrtcGetErrorString(nvrtcResult result) {
  switch (result) {
    case NVRTC_SUCCESS: return "NVRTC_SUCCESS";
    case NVRTC_ERROR_OUT_OF_MEMORY: return "NVRTC_ERROR_OUT_OF_MEMORY";
    case NVRTC_ERROR_INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_ERROR_INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_ERROR_INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
    case NVRTC_ERROR_COMPILATION: return "NVRTC_ERROR_COMPILATION";
    case NVRTC_ERROR_INTERNAL_ERROR: return "NVRTC_ERROR_INTERNAL_ERROR";
  }
  return "NVRTC_ERROR unknown";
}
