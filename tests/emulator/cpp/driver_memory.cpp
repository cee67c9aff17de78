// Device memory: a range of addresses of its own, where each allocation stands far from the next
// between pages without access, with a known pattern in what is left of its own pages, and holds
// the poison until it is written. Addresses are not used again while anything is allocated. Pinned host memory.
#include <sys/mman.h>

#include <cstring>

#include "state.h"

namespace {

constexpr size_t ALIGNMENT = 256;

// Addresses cost nothing until a page of them is mapped.
constexpr size_t RANGE = size_t(8) << 40, GAP = size_t(64) << 20;
char *range = nullptr, *next_free = nullptr;

// Maps fresh pages of the range, or gives null.
char *take(size_t bytes) {
  if (range == nullptr) {
    void *all = mmap(nullptr, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) return nullptr;
    range = static_cast<char *>(all);
  }
  if (state().device.empty()) next_free = range + GAP;
  if (bytes > RANGE || next_free + bytes + GAP > range + RANGE) return nullptr;
  void *taken = mmap(next_free, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (taken == MAP_FAILED) return nullptr;
  next_free += bytes + GAP;
  return static_cast<char *>(taken);
}

void give(char *pages, size_t bytes) {
  mmap(pages, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// Offset of the first byte that lost the pattern, or `count`.
size_t first_changed(const char *at, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (static_cast<unsigned char>(at[i]) != CANARY) return i;
  return count;
}

void check(CUdeviceptr at, const Allocation &allocation) {
  char *base = reinterpret_cast<char *>(at), *data_end = allocation.mapping + allocation.mapped - PAGE;
  char *end = base + allocation.bytes, *front = base - ALIGNMENT;
  size_t tail = static_cast<size_t>(data_end - end);
  size_t after = first_changed(end, tail), before = first_changed(front, ALIGNMENT);
  std::string suffix = " an allocation of " + std::to_string(allocation.bytes) + " bytes; the last kernel was " +
                       (state().last_kernel.empty() ? "none" : state().last_kernel);
  if (after < tail) problem("out-of-bounds store " + std::to_string(after) + " bytes after the end of" + suffix);
  if (before < ALIGNMENT)
    problem("out-of-bounds store " + std::to_string(ALIGNMENT - before) + " bytes before" + suffix);
  if (after < tail) memset(end, CANARY, tail);  // said once
  if (before < ALIGNMENT) memset(front, CANARY, ALIGNMENT);
}

}  // namespace

CUresult allocate(CUdeviceptr *at, size_t bytes) {
  State &s = state();
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (static_cast<long long>(bytes) > s.settings.memory - s.live) return CUDA_ERROR_OUT_OF_MEMORY;
  size_t body = round_up(bytes, ALIGNMENT), data = round_up(body + ALIGNMENT, PAGE), mapped = data + 2 * PAGE;
  char *start = take(mapped);
  if (start == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  char *data_end = start + PAGE + data, *base = data_end - body;
  mprotect(start, PAGE, PROT_NONE);
  mprotect(data_end, PAGE, PROT_NONE);
  memset(base - ALIGNMENT, CANARY, ALIGNMENT);
  memset(base, s.settings.poison, bytes);
  memset(base + bytes, CANARY, body - bytes);
  *at = reinterpret_cast<CUdeviceptr>(base);
  s.device[*at] = {bytes, start, mapped};
  s.live += static_cast<long long>(bytes);
  s.live_peak = std::max(s.live_peak, s.live);
  return CUDA_SUCCESS;
}

CUresult release(CUdeviceptr at) {
  State &s = state();
  auto found = s.device.find(at);
  if (found == s.device.end()) return CUDA_ERROR_INVALID_VALUE;
  check(at, found->second);
  s.live -= static_cast<long long>(found->second.bytes);
  give(found->second.mapping, found->second.mapped);
  s.device.erase(found);
  return CUDA_SUCCESS;
}

void check_guards() {
  for (const auto &[at, allocation] : state().device) check(at, allocation);
}

const Allocation *holding(CUdeviceptr at, size_t bytes) {
  auto &device = state().device;
  auto after = device.upper_bound(at);
  if (after == device.begin()) return nullptr;
  auto &[base, allocation] = *--after;
  size_t offset = at - base;
  return offset <= allocation.bytes && bytes <= allocation.bytes - offset ? &allocation : nullptr;
}

EMULATOR_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes) {
  ENTER("cuMemAlloc_v2");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return allocate(at, bytes);
}

EMULATOR_EXPORT CUresult cuMemFree_v2(CUdeviceptr at) {
  ENTER_RELEASE("cuMemFree_v2");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  drain_all();
  CUresult code = at == 0 ? CUDA_SUCCESS : release(at);
  return refused ? refused : code;
}

static CUresult allocate_in_stream(CUdeviceptr *at, size_t bytes, CUstream handle) {
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;  // no memory nodes here
  return allocate(at, bytes);
}

EMULATOR_EXPORT CUresult cuMemAllocAsync(CUdeviceptr *at, size_t bytes, CUstream stream) {
  ENTER("cuMemAllocAsync");
  return allocate_in_stream(at, bytes, stream);
}

EMULATOR_EXPORT CUresult cuMemAllocFromPoolAsync(CUdeviceptr *at, size_t bytes, CUmemoryPool, CUstream stream) {
  ENTER("cuMemAllocFromPoolAsync");
  return allocate_in_stream(at, bytes, stream);
}

EMULATOR_EXPORT CUresult cuMemFreeAsync(CUdeviceptr at, CUstream handle) {
  ENTER_RELEASE("cuMemFreeAsync");
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (state().device.find(at) == state().device.end()) return CUDA_ERROR_INVALID_VALUE;
  CUresult code = submit(handle, {Kind::Host, [at] { return release(at); }});
  return refused ? refused : code;
}

EMULATOR_EXPORT CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  ENTER("cuMemGetInfo_v2");
  *total = static_cast<size_t>(state().settings.memory);
  *free = static_cast<size_t>(std::max(0ll, state().settings.memory - state().live));
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr at) {
  ENTER("cuMemGetAddressRange_v2");
  const Allocation *found = holding(at, 0);
  if (found == nullptr) return CUDA_ERROR_NOT_FOUND;
  auto after = state().device.upper_bound(at);
  if (base != nullptr) *base = (--after)->first;
  if (bytes != nullptr) *bytes = found->bytes;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetDefaultMemPool");
  *pool = &state().pool;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetMemPool");
  *pool = &state().pool;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool, int which, void *value) {
  ENTER_WITHOUT_CONTEXT("cuMemPoolSetAttribute");
  if (which == 4) memcpy(&state().pool.threshold, value, 8);  // the release threshold
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuMemPoolGetAttribute(CUmemoryPool, int which, void *value) {
  ENTER_WITHOUT_CONTEXT("cuMemPoolGetAttribute");
  unsigned long long number = which == 4 ? state().pool.threshold : static_cast<unsigned long long>(state().live);
  memcpy(value, &number, which >= 4 ? 8 : 4);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool, size_t) {
  ENTER_WITHOUT_CONTEXT("cuMemPoolTrimTo");
  return CUDA_SUCCESS;
}

static CUresult pin(void **at, size_t bytes) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  size_t mapped = round_up(bytes, PAGE);
  void *mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  memset(mapping, state().settings.poison, mapped);
  state().host[mapping] = mapped;
  *at = mapping;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned) {
  ENTER("cuMemHostAlloc");
  return pin(at, bytes);
}

EMULATOR_EXPORT CUresult cuMemAllocHost_v2(void **at, size_t bytes) {
  ENTER("cuMemAllocHost_v2");
  return pin(at, bytes);
}

EMULATOR_EXPORT CUresult cuMemFreeHost(void *at) {
  ENTER_RELEASE("cuMemFreeHost");
  auto found = state().host.find(at);
  if (found == state().host.end()) return CUDA_ERROR_INVALID_VALUE;
  drain_all();
  munmap(at, found->second);
  state().host.erase(found);
  return refused;
}
