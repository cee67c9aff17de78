// Modules: the stand-in compiler's images are checked, loaded as shared objects, and asked for
// their kernels; attributes of kernels and occupancy.
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "state.h"

namespace {


// Turns the text form of an image back into bytes; empty when it is not one.
std::vector<char> from_text(const char *text) {
  size_t head = strlen(EMULATOR_PTX_HEAD);
  std::vector<char> bytes;
  if (strncmp(text, EMULATOR_PTX_HEAD, head) != 0) return bytes;
  auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
  for (const char *at = text + head; at[0] != '\0' && at[1] != '\0'; at += 2)
    bytes.push_back(static_cast<char>(digit(at[0]) << 4 | digit(at[1])));
  return bytes;
}

CUresult check_image(const EmulatorImage &image, const char *object) {
  if (emulator_hash(object, image.bytes + image.source) != image.hash) return CUDA_ERROR_INVALID_IMAGE;
  unsigned card = static_cast<unsigned>(state().settings.capability), made = image.architecture;
  bool fits = image.ptx ? made <= card : made / 10 == card / 10 && made <= card;
  return fits ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

CUresult load(Module &module, const EmulatorImage &image, const char *object) {
  module.file = memfd_create("ironwarp-kernels", MFD_CLOEXEC);
  if (module.file < 0 || write(module.file, object, image.bytes) != static_cast<ssize_t>(image.bytes))
    return CUDA_ERROR_OUT_OF_MEMORY;
  // The descriptor stays open, so that no two loaded objects share a name.
  std::string path = "/proc/self/fd/" + std::to_string(module.file);
  module.library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module.library == nullptr) {
    problem(std::string("a kernel object does not load: ") + dlerror());
    return CUDA_ERROR_INVALID_IMAGE;
  }
  module.table = static_cast<const EmulatorModule *>(dlsym(module.library, "emulator_module"));
  if (module.table == nullptr || module.table->version != EMULATOR_VERSION) return CUDA_ERROR_INVALID_IMAGE;
  module.architecture = static_cast<int>(image.architecture);
  module.source.assign(object + image.bytes, image.source);
  for (int i = 0; i < module.table->count; i++) {
    const EmulatorKernel *kernel = &module.table->kernels[i];
    if (kernel->call != nullptr) module.functions[kernel->name] = {&module, kernel, UNASKED_SHARED};
  }
  return CUDA_SUCCESS;
}

CUresult load_data(CUmodule *handle, const void *data) {
  EmulatorImage image;
  std::vector<char> decoded;
  const char *bytes = static_cast<const char *>(data);
  if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (memcmp(bytes, EMULATOR_MAGIC, 8) != 0) {
    if (memcmp(bytes, EMULATOR_PTX_HEAD, 8) != 0) return CUDA_ERROR_INVALID_IMAGE;
    decoded = from_text(bytes);
    if (decoded.size() < sizeof image) return CUDA_ERROR_INVALID_PTX;
    bytes = decoded.data();
  }
  memcpy(&image, bytes, sizeof image);
  if (!decoded.empty() && decoded.size() != sizeof image + image.bytes + image.source) return CUDA_ERROR_INVALID_PTX;
  if (CUresult wrong = check_image(image, bytes + sizeof image)) return wrong;
  Module *module = new Module;
  state().modules.insert(module);
  if (CUresult wrong = load(*module, image, bytes + sizeof image)) {
    unload(module);
    return wrong;
  }
  *handle = module;
  return CUDA_SUCCESS;
}

bool known(CUfunction function) {
  for (Module *module : state().modules)
    for (auto &[name, candidate] : module->functions)
      if (&candidate == function) return true;
  return false;
}

int blocks_per_multiprocessor(const Function &function, int threads, size_t dynamic) {
  int most_threads = state().settings.capability == 75 ? 1024 : 2048;
  size_t shared = static_cast<size_t>(static_shared(function)) + dynamic + 1024;
  size_t by_shared = static_cast<size_t>(state().settings.shared_opt_in + 1024) / shared;
  return threads <= 0 ? 0 : std::min({16, most_threads / threads, static_cast<int>(by_shared)});
}

}  // namespace

int static_shared(const Function &function) {
  const EmulatorModule *table = function.module->table;
  return function.module->functions.size() > 1 ? 0 : static_cast<int>(table->shared_end - table->shared_begin);
}

void unload(Module *module) {
  if (module->library != nullptr) dlclose(module->library);
  if (module->file >= 0) close(module->file);
  state().modules.erase(module);
  delete module;
}

EMULATOR_EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  ENTER("cuModuleLoadData");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return load_data(module, image);
}

EMULATOR_EXPORT CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, void *, void *) {
  ENTER("cuModuleLoadDataEx");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return load_data(module, image);
}

EMULATOR_EXPORT CUresult cuModuleUnload(CUmodule module) {
  ENTER_RELEASE("cuModuleUnload");
  if (state().modules.count(module) == 0) return CUDA_ERROR_INVALID_HANDLE;
  drain_all();
  unload(module);
  return refused;
}

EMULATOR_EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  ENTER("cuModuleGetFunction");
  if (state().modules.count(module) == 0) return CUDA_ERROR_INVALID_HANDLE;
  auto found = module->functions.find(name);
  if (found == module->functions.end()) return CUDA_ERROR_NOT_FOUND;
  *function = &found->second;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuModuleGetGlobal_v2(CUdeviceptr *, size_t *, CUmodule, const char *) {
  ENTER("cuModuleGetGlobal_v2");
  return CUDA_ERROR_NOT_FOUND;  // the project's kernels have no global variables
}

EMULATOR_EXPORT CUresult cuModuleGetLoadingMode(int *mode) {
  ENTER_WITHOUT_CONTEXT("cuModuleGetLoadingMode");
  *mode = 1;  // eager
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuFuncGetAttribute(int *value, int which, CUfunction function) {
  ENTER("cuFuncGetAttribute");
  if (!known(function)) return CUDA_ERROR_INVALID_HANDLE;
  switch (which) {
    case 0: *value = function->kernel->bound > 0 ? function->kernel->bound : 1024; break;
    case 1: *value = static_shared(*function); break;
    case 4: *value = 32; break;  // registers: only the real compiler knows
    case 5: case 6: *value = function->module->architecture; break;
    case 8: *value = function->dynamic_limit; break;
    case 9: *value = function->carveout; break;
    default: *value = 0;
  }
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuFuncSetAttribute(CUfunction function, int which, int value) {
  ENTER("cuFuncSetAttribute");
  if (!known(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (which == 9) function->carveout = value;
  if (which == 8) {
    if (value < 0 || value + static_shared(*function) > state().settings.shared_opt_in) return CUDA_ERROR_INVALID_VALUE;
    function->dynamic_limit = value;
  }
  return which == 8 || which == 9 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

EMULATOR_EXPORT CUresult cuFuncSetCacheConfig(CUfunction function, int) {
  ENTER("cuFuncSetCacheConfig");
  return known(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

EMULATOR_EXPORT CUresult cuFuncGetName(const char **name, CUfunction function) {
  ENTER("cuFuncGetName");
  if (!known(function)) return CUDA_ERROR_INVALID_HANDLE;
  *name = function->kernel->name;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *bytes) {
  ENTER("cuFuncGetParamInfo");
  if (!known(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (index >= static_cast<size_t>(function->kernel->arguments)) return CUDA_ERROR_INVALID_VALUE;
  size_t at = 0;
  for (size_t i = 0; i <= index; i++) {
    size_t size = static_cast<size_t>(function->kernel->sizes[i]);
    at = (at + size - 1) / size * size;
    if (i == index) *offset = at;
    at += size;
  }
  if (bytes != nullptr) *bytes = static_cast<size_t>(function->kernel->sizes[index]);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuFuncLoad(CUfunction function) {
  ENTER("cuFuncLoad");
  return known(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

EMULATOR_EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads,
                                                                     size_t dynamic) {
  ENTER("cuOccupancyMaxActiveBlocksPerMultiprocessor");
  if (!known(function)) return CUDA_ERROR_INVALID_HANDLE;
  *blocks = blocks_per_multiprocessor(*function, threads, dynamic);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function,
                                                                              int threads, size_t dynamic, unsigned) {
  ENTER("cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags");
  if (!known(function)) return CUDA_ERROR_INVALID_HANDLE;
  *blocks = blocks_per_multiprocessor(*function, threads, dynamic);
  return CUDA_SUCCESS;
}
