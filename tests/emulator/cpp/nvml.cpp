// The stand-in management library: one card, which uses a joule between two questions and draws
// 100 W all the time.
#include <string.h>

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int started = 0, has_counter = 1;
static unsigned long long millijoules = 0;

EMULATOR_EXPORT void emulator_nvml_counter(int there) { has_counter = there; }
// How often it was started and not stopped.
EMULATOR_EXPORT int emulator_nvml_started() { return started; }

EMULATOR_EXPORT int nvmlInit_v2() {
  ++started;
  return SUCCESS;
}

EMULATOR_EXPORT int nvmlShutdown() {
  if (!started) return UNINITIALIZED;
  --started;
  return SUCCESS;
}

EMULATOR_EXPORT int nvmlSystemGetDriverVersion(char *text, unsigned bytes) {
  if (!started) return UNINITIALIZED;
  strncpy(text, "0.0-emulated", bytes);
  return SUCCESS;
}

EMULATOR_EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) {
  if (!started) return UNINITIALIZED;
  *device = &started;
  return strcmp(bus, "0000:01:00.0") ? NOT_FOUND : SUCCESS;
}

EMULATOR_EXPORT int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
  if (!started) return UNINITIALIZED;
  if (device != &started) return INVALID_ARGUMENT;
  if (!has_counter) return NOT_SUPPORTED;
  *energy = millijoules += 1000;
  return SUCCESS;
}

EMULATOR_EXPORT int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
  if (!started) return UNINITIALIZED;
  if (device != &started) return INVALID_ARGUMENT;
  *milliwatts = 100000;
  return SUCCESS;
}
