// Initialisation, the device and its properties, and contexts.
#include <cstring>

#include "state.h"

namespace {

int attribute(int which) {
  const Settings &s = state().settings;
  switch (which) {
    case 1: return 1024;                       // threads per block
    case 2: case 3: return 1024;               // block sizes
    case 4: return 64;
    case 5: return 2147483647;                 // grid sizes
    case 6: case 7: return 65535;
    case 8: return UNASKED_SHARED;             // shared memory per block without asking
    case 9: return 65536;                      // constant memory
    case 10: return 32;                        // warp
    case 11: return 2147483647;                // pitch
    case 12: return 65536;                     // registers per block
    case 13: return 1500000;                   // clock, kHz
    case 14: return 512;                       // texture alignment
    case 15: case 19: case 31: return 1;       // overlap, mapped host memory, concurrent kernels
    case 16: return s.multiprocessors;
    case 36: return 2000000;                   // memory clock, kHz
    case 37: return 256;                       // memory bus, bits
    case 38: return 4 << 20;                   // L2, bytes
    case 39: return s.capability == 75 ? 1024 : s.capability == 80 || s.capability == 90 ? 2048 : 1536;
    case 40: return 2;                         // copy engines
    case 41: return 1;                         // unified addressing
    case 75: return s.capability / 10;
    case 76: return s.capability % 10;
    case 78: case 79: case 80: return 1;       // stream priorities, caches
    case 81: return s.shared_opt_in + 1024;    // shared memory per multiprocessor
    case 82: return 65536;                     // registers per multiprocessor
    case 97: return s.shared_opt_in;
    case 106: return 16;                       // blocks per multiprocessor
    case 111: return 1024;                     // reserved shared memory per block
    case 115: return 1;                        // memory pools
    default: return 0;                         // what the stand-in does not have
  }
}

CUresult known(CUdevice device) {
  return device >= 0 && device < state().settings.devices ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace

EMULATOR_EXPORT CUresult cuInit(unsigned flags) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  CUresult code = enter("cuInit", false);
  if (code != CUDA_SUCCESS && code != CUDA_ERROR_NOT_INITIALIZED) return code;
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (state().settings.devices == 0) return CUDA_ERROR_NO_DEVICE;
  state().initialised = true;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuDriverGetVersion(int *version) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  CUresult code = enter("cuDriverGetVersion", false);
  if (code != CUDA_SUCCESS && code != CUDA_ERROR_NOT_INITIALIZED) return code;
  *version = state().settings.driver_version;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuDeviceGetCount(int *count) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetCount");
  *count = state().settings.devices;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGet");
  *device = ordinal;
  return known(ordinal);
}

EMULATOR_EXPORT CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetName");
  snprintf(name, static_cast<size_t>(bytes), "Emulated GPU (sm_%d)", state().settings.capability);
  return known(device);
}

EMULATOR_EXPORT CUresult cuDeviceGetAttribute(int *value, int which, CUdevice device) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetAttribute");
  *value = attribute(which);
  return known(device);
}

EMULATOR_EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  ENTER_WITHOUT_CONTEXT("cuDeviceTotalMem_v2");
  *bytes = static_cast<size_t>(state().settings.memory);
  return known(device);
}

static CUresult uuid(CUuuid *id, CUdevice device) {
  memcpy(id->bytes, "ironwarp-emulat\0", 16);
  id->bytes[15] = static_cast<char>(device);
  return known(device);
}

EMULATOR_EXPORT CUresult cuDeviceGetUuid(CUuuid *id, CUdevice device) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetUuid");
  return uuid(id, device);
}

EMULATOR_EXPORT CUresult cuDeviceGetUuid_v2(CUuuid *id, CUdevice device) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetUuid_v2");
  return uuid(id, device);
}

EMULATOR_EXPORT CUresult cuDeviceGetPCIBusId(char *text, int bytes, CUdevice device) {
  ENTER_WITHOUT_CONTEXT("cuDeviceGetPCIBusId");
  snprintf(text, static_cast<size_t>(bytes), "0000:%02x:00.0", device + 1);
  return known(device);
}

EMULATOR_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  ENTER_WITHOUT_CONTEXT("cuDevicePrimaryCtxRetain");
  if (CUresult wrong = known(device)) return wrong;
  state().retained++;
  *context = &state().context;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  State &s = state();
  CUresult refused = enter("cuDevicePrimaryCtxRelease_v2", false);
  if (CUresult wrong = known(device)) return wrong;
  if (s.retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (--s.retained == 0) {
    if (s.sticky == CUDA_SUCCESS) {
      drain_all();
      check_guards();
      if (s.live > 0) problem(std::to_string(s.live) + " bytes of device memory were not freed before the context's end");
    }
    destroy_context();
  }
  return refused;
}

EMULATOR_EXPORT CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
  ENTER_WITHOUT_CONTEXT("cuDevicePrimaryCtxGetState");
  *flags = 0;
  *active = state().retained > 0;
  return known(device);
}

EMULATOR_EXPORT CUresult cuCtxGetCurrent(CUcontext *context) {
  ENTER_WITHOUT_CONTEXT("cuCtxGetCurrent");
  *context = current_context();
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
  ENTER_WITHOUT_CONTEXT("cuCtxSetCurrent");
  if (context != nullptr && context != &state().context) return CUDA_ERROR_INVALID_CONTEXT;
  set_current_context(context);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context) {
  ENTER_WITHOUT_CONTEXT("cuCtxPushCurrent_v2");
  if (context != &state().context) return CUDA_ERROR_INVALID_CONTEXT;
  set_current_context(context);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxPopCurrent_v2(CUcontext *context) {
  ENTER("cuCtxPopCurrent_v2");
  if (context != nullptr) *context = current_context();
  set_current_context(nullptr);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxGetDevice(CUdevice *device) {
  ENTER("cuCtxGetDevice");
  *device = 0;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxGetApiVersion(CUcontext, unsigned *version) {
  ENTER("cuCtxGetApiVersion");
  *version = static_cast<unsigned>(state().settings.driver_version);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxSetFlags(unsigned) {
  ENTER("cuCtxSetFlags");
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxGetFlags(unsigned *flags) {
  ENTER("cuCtxGetFlags");
  *flags = 0;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  ENTER("cuCtxGetStreamPriorityRange");
  *least = 0;
  *greatest = -5;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuCtxSynchronize() {
  ENTER("cuCtxSynchronize");
  if (CUresult wrong = refuse_in_capture()) return wrong;
  drain_all();
  check_guards();
  return state().sticky;
}
