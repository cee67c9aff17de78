// What a compiled kernel object and the stand-in driver know of each other. Included by both sides,
// so it uses no standard header.
#pragma once

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

struct uint3 {
  unsigned x, y, z;
};

// What the running thread can see. The driver points `emulator_thread` at it before it resumes one.
struct EmulatorThread {
  uint3 thread_index, block_index, block_size, grid_size;
  char *dynamic_shared;
};

EMULATOR_EXPORT EmulatorThread *emulator_thread;

// Collective operations of a warp; the driver works out what each lane gets.
enum EmulatorWarpOperation {
  EMULATOR_SYNC,
  EMULATOR_SHUFFLE,  // argument: the lane to read
  EMULATOR_BALLOT,
  EMULATOR_MATCH,    // lanes with an equal value
  EMULATOR_ADD,
  EMULATOR_MIN,
  EMULATOR_MAX,
};

// A barrier of the block; `line` tells barriers apart that stand at different places.
EMULATOR_EXPORT void emulator_barrier(int line);
// A collective of the lanes in `mask`; gives what this lane gets.
EMULATOR_EXPORT unsigned long long emulator_warp(EmulatorWarpOperation operation, unsigned mask,
                                                 unsigned long long value, int argument, int line);
// Lanes of the running thread's warp that have not ended.
EMULATOR_EXPORT unsigned emulator_active();
// Ends the launch with an error, as `assert` and `__trap` do on a card.
EMULATOR_EXPORT void emulator_trap(const char *what, int line);

// One entry of a kernel object, found by name.
struct EmulatorKernel {
  const char *name;
  void (*call)(void **arguments);
  int arguments;
  const int *sizes;           // bytes of each argument
  const bool *pointers;       // whether an argument is a pointer to device memory
  int bound;                  // threads per block by __launch_bounds__, 0 when there is none
};

// What the driver looks up in a kernel object, under the name `emulator_module`.
struct EmulatorModule {
  int version;                // EMULATOR_VERSION of the header it was compiled with
  const EmulatorKernel *kernels;
  int count;
  char *shared_begin, *shared_end;  // static shared memory of all its kernels
};

enum { EMULATOR_VERSION = 1 };

// Before the shared object in a "cubin": tells real images, damaged ones and wrong ones apart. After
// the object stands the compile unit that it was made of, for those who compile it otherwise.
struct EmulatorImage {
  char magic[8];
  unsigned architecture;      // 90 for sm_90
  unsigned ptx;               // 1: compiled for a virtual architecture, runs on that or newer cards
  unsigned long long bytes;   // of the shared object that follows
  unsigned long long source;  // bytes of the compile unit after it
  unsigned long long hash;    // FNV-1a of both
};

#define EMULATOR_MAGIC "IWEMULAT"
#define EMULATOR_PTX_HEAD "//ironwarp emulated ptx\n"

inline unsigned long long emulator_hash(const char *bytes, unsigned long long count,
                                        unsigned long long hash = 14695981039346656037ull) {
  for (unsigned long long i = 0; i < count; i++)
    hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 1099511628211ull;
  return hash;
}
