// Copies and fills. Pageable host memory is read before the call returns and written before it
// returns, as on a card; pinned memory is touched when the work runs.
#include <cstring>

#include "state.h"

namespace {

bool is_pinned(const void *at, size_t bytes) {
  auto &host = state().host;
  auto after = host.upper_bound(const_cast<void *>(at));
  if (after == host.begin()) return false;
  auto &[base, size] = *--after;
  size_t offset = static_cast<size_t>(static_cast<const char *>(at) - static_cast<const char *>(base));
  return offset <= size && bytes <= size - offset;
}

// Memory may have been freed between the call and the work.
CUresult move(void *to, const void *from, size_t bytes, CUdeviceptr device1, CUdeviceptr device2) {
  for (CUdeviceptr device : {device1, device2})
    if (device != 0 && holding(device, bytes) == nullptr) {
      problem("a copy of " + std::to_string(bytes) + " bytes whose device memory is gone");
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
  memmove(to, from, bytes);
  return CUDA_SUCCESS;
}

CUresult to_device(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (holding(to, bytes) == nullptr || from == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (is_pinned(from, bytes) || (stream_of(stream) && stream_of(stream)->capture))
    return submit(stream, {Kind::Copy, [=] { return move(reinterpret_cast<void *>(to), from, bytes, to, 0); }});
  const char *text = static_cast<const char *>(from);
  auto staged = std::make_shared<std::vector<char>>(text, text + bytes);
  return submit(stream, {Kind::Copy, [=] { return move(reinterpret_cast<void *>(to), staged->data(), bytes, to, 0); }});
}

CUresult to_host(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (holding(from, bytes) == nullptr || to == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUresult code =
      submit(stream, {Kind::Copy, [=] { return move(to, reinterpret_cast<void *>(from), bytes, from, 0); }});
  Stream *found = stream_of(stream);
  if (code == CUDA_SUCCESS && !found->capture && !is_pinned(to, bytes)) {
    drain(found);
    return state().sticky;
  }
  return code;
}

CUresult in_device(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (holding(to, bytes) == nullptr || holding(from, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return submit(stream, {Kind::Copy, [=] {
                           return move(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes, to, from);
                         }});
}

CUresult fill(CUdeviceptr to, unsigned value, size_t width, size_t count, CUstream stream) {
  if (count == 0) return CUDA_SUCCESS;
  if (holding(to, count * width) == nullptr || to % width != 0) return CUDA_ERROR_INVALID_VALUE;
  return submit(stream, {Kind::Set, [=] {
                           if (holding(to, count * width) == nullptr) {
                             problem("a fill whose device memory is gone");
                             return CUDA_ERROR_ILLEGAL_ADDRESS;
                           }
                           char *at = reinterpret_cast<char *>(to);
                           for (size_t i = 0; i < count; i++) memcpy(at + i * width, &value, width);
                           return CUDA_SUCCESS;
                         }});
}

// What the forms without a stream add: they are refused in a capture and wait for their work.
CUresult wait_for(CUresult code) {
  if (code != CUDA_SUCCESS) return code;
  drain(&state().null_stream);
  return state().sticky;
}

}  // namespace

EMULATOR_EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  ENTER("cuMemcpyHtoD_v2");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return wait_for(to_device(to, from, bytes, nullptr));
}

EMULATOR_EXPORT CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  ENTER("cuMemcpyDtoH_v2");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return wait_for(to_host(to, from, bytes, nullptr));
}

EMULATOR_EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  ENTER("cuMemcpyDtoD_v2");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return wait_for(in_device(to, from, bytes, nullptr));
}

EMULATOR_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  ENTER("cuMemcpyHtoDAsync_v2");
  return to_device(to, from, bytes, stream);
}

EMULATOR_EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER("cuMemcpyDtoHAsync_v2");
  return to_host(to, from, bytes, stream);
}

EMULATOR_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER("cuMemcpyDtoDAsync_v2");
  return in_device(to, from, bytes, stream);
}

EMULATOR_EXPORT CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
  ENTER("cuMemsetD8_v2");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return wait_for(fill(to, value, 1, count, nullptr));
}

EMULATOR_EXPORT CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t count) {
  ENTER("cuMemsetD32_v2");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  return wait_for(fill(to, value, 4, count, nullptr));
}

EMULATOR_EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  ENTER("cuMemsetD8Async");
  return fill(to, value, 1, count, stream);
}

EMULATOR_EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
  ENTER("cuMemsetD32Async");
  return fill(to, value, 4, count, stream);
}
