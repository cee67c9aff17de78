// Launches: the arguments are copied and looked at, the sizes are held against the device and the
// kernel, and the grid is handed to its stream.
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

#include "state.h"

namespace {

// Reads the caller's memory without trusting it.
bool read_safely(void *to, const void *from, size_t bytes) {
  iovec local = {to, bytes}, remote = {const_cast<void *>(from), bytes};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

CUresult check_sizes(const Launch &launch) {
  const Function &function = *launch.function;
  const unsigned *g = launch.grid, *b = launch.block;
  if (g[0] == 0 || g[1] == 0 || g[2] == 0 || b[0] == 0 || b[1] == 0 || b[2] == 0) return CUDA_ERROR_INVALID_VALUE;
  if (g[0] > 2147483647u || g[1] > 65535 || g[2] > 65535) return CUDA_ERROR_INVALID_VALUE;
  if (b[0] > 1024 || b[1] > 1024 || b[2] > 64) return CUDA_ERROR_INVALID_VALUE;
  unsigned threads = b[0] * b[1] * b[2];
  if (threads > 1024) return CUDA_ERROR_INVALID_VALUE;
  if (function.kernel->bound > 0 && threads > static_cast<unsigned>(function.kernel->bound))
    return CUDA_ERROR_INVALID_VALUE;
  long long fixed = static_shared(function), all = fixed + launch.shared;
  if (fixed > UNASKED_SHARED || launch.shared > static_cast<unsigned>(function.dynamic_limit)) return CUDA_ERROR_INVALID_VALUE;
  return all > state().settings.shared_opt_in ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

// Copies the arguments by the kernel's own sizes. A pointer that points nowhere is most likely an
// argument too few, too many or of another type.
CUresult copy_arguments(Launch &launch, void **from) {
  const EmulatorKernel &kernel = *launch.function->kernel;
  size_t total = 0;
  for (int i = 0; i < kernel.arguments; i++) total += static_cast<size_t>(kernel.sizes[i] + 15) / 16 * 16;
  launch.storage.resize(total + 1);
  size_t at = 0;
  for (int i = 0; i < kernel.arguments; i++) {
    void *source = nullptr, *to = launch.storage.data() + at;
    std::string which = std::string("argument ") + std::to_string(i) + " of kernel " + kernel.name;
    if (from == nullptr || !read_safely(&source, from + i, sizeof source) ||
        !read_safely(to, source, static_cast<size_t>(kernel.sizes[i]))) {
      problem(which + " was not given");
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (kernel.pointers[i]) {
      CUdeviceptr value;
      memcpy(&value, to, sizeof value);
      if (value != 0 && holding(value, 0) == nullptr) {
        problem(which + " points to no device memory");
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    launch.arguments.push_back(to);
    at += static_cast<size_t>(kernel.sizes[i] + 15) / 16 * 16;
  }
  return CUDA_SUCCESS;
}

CUresult launch_grid(CUfunction function, const unsigned *grid, const unsigned *block, unsigned shared,
                     CUstream stream, void **arguments, void **extra) {
  if (function == nullptr || state().modules.count(function->module) == 0) return CUDA_ERROR_INVALID_HANDLE;
  if (extra != nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  auto launch = std::make_shared<Launch>();
  launch->module = function->module;
  launch->function = function;
  for (int i = 0; i < 3; i++) {
    launch->grid[i] = grid[i];
    launch->block[i] = block[i];
  }
  launch->shared = shared;
  if (CUresult wrong = check_sizes(*launch)) return wrong;
  if (CUresult wrong = copy_arguments(*launch, arguments)) return wrong;
  Work work{Kind::Kernel, [launch] { return run_grid(*launch); }};
  work.function = function;
  return submit(stream, work);
}

}  // namespace

EMULATOR_EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                        unsigned by, unsigned bz, unsigned shared, CUstream stream,
                                        void **arguments, void **extra) {
  ENTER("cuLaunchKernel");
  unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
  return launch_grid(function, grid, block, shared, stream, arguments, extra);
}

EMULATOR_EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **arguments,
                                          void **extra) {
  ENTER("cuLaunchKernelEx");
  for (unsigned i = 0; i < config->count; i++) {
    const CUlaunchAttribute &attribute = config->attributes[i];
    const auto &size = attribute.value.dimension;
    bool cluster = attribute.id == ATTRIBUTE_CLUSTER && size.x * size.y * size.z > 1;
    if (cluster || (attribute.id == ATTRIBUTE_COOPERATIVE && attribute.value.number != 0)) return CUDA_ERROR_NOT_SUPPORTED;
  }
  return launch_grid(function, config->grid, config->block, config->shared, config->stream, arguments, extra);
}
