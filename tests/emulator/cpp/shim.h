// What a kernel's source sees in place of the CUDA compiler: qualifiers, vector types, indices,
// barriers and warp collectives. Included before the source; uses no standard header, so that a
// kernel compiles in a few tens of milliseconds.
#pragma once
#include "interface.h"

#define IRONWARP_EMULATED 1

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __shared__ static __attribute__((section("emulator_shared")))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__
// `extern __shared__ T name[];` is rewritten to this by the stand-in NVRTC.
#define EMULATOR_DYNAMIC_SHARED(T, name) T *const name = (T *)emulator_thread->dynamic_shared

typedef decltype(sizeof(0)) size_t;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define EMULATOR_VECTOR(T, name, align2, align4)                                              \
  struct name##1 { T x; };                                                                    \
  struct __align__(align2) name##2 { T x, y; };                                               \
  struct __align__(align4) name##4 { T x, y, z, w; };                                         \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                  \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATOR_VECTOR(float, float, 8, 16)
EMULATOR_VECTOR(int, int, 8, 16)
EMULATOR_VECTOR(unsigned, uint, 8, 16)
EMULATOR_VECTOR(short, short, 4, 8)
EMULATOR_VECTOR(unsigned short, ushort, 4, 8)
EMULATOR_VECTOR(signed char, char, 2, 4)
EMULATOR_VECTOR(unsigned char, uchar, 2, 4)
EMULATOR_VECTOR(long long, longlong, 16, 16)
EMULATOR_VECTOR(unsigned long long, ulonglong, 16, 16)
EMULATOR_VECTOR(double, double, 16, 16)
struct float3 { float x, y, z; };
struct int3 { int x, y, z; };
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

#define threadIdx (static_cast<const uint3 &>(emulator_thread->thread_index))
#define blockIdx (static_cast<const uint3 &>(emulator_thread->block_index))
#define blockDim (static_cast<const uint3 &>(emulator_thread->block_size))
#define gridDim (static_cast<const uint3 &>(emulator_thread->grid_size))
#define warpSize 32

inline void __syncthreads(int line = __builtin_LINE()) { emulator_barrier(line); }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __threadfence(); }
inline void __threadfence_system() { __threadfence(); }
inline void __nanosleep(unsigned) {}
inline long long clock64() { return static_cast<long long>(__builtin_ia32_rdtsc()); }
inline void __trap(int line = __builtin_LINE()) { emulator_trap("trap", line); }
#undef assert
#define assert(condition) ((condition) ? void() : emulator_trap("assertion " #condition, __LINE__))

template <class T> inline T __ldg(const T *address) { return *address; }
template <class T> inline T __ldcg(const T *address) { return *address; }
template <class T> inline T __ldcs(const T *address) { return *address; }
template <class T> inline void __stcs(T *address, T value) { *address = value; }
template <class T> inline void __stcg(T *address, T value) { *address = value; }

// --- Collectives of a warp ---

template <class T> inline unsigned long long emulator_bits(T value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "collectives take 4 or 8 bytes");
  unsigned long long bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T> inline T emulator_value(unsigned long long bits) {
  T value;
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
inline int emulator_lane() {
  const EmulatorThread &t = *emulator_thread;
  const uint3 &i = t.thread_index, &n = t.block_size;
  return static_cast<int>((i.x + n.x * (i.y + n.y * i.z)) % 32);
}
template <class T> inline T emulator_shuffle(unsigned mask, T value, int lane, int line) {
  return emulator_value<T>(emulator_warp(EMULATOR_SHUFFLE, mask, emulator_bits(value), lane, line));
}

inline unsigned __activemask() { return emulator_active(); }
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
  emulator_warp(EMULATOR_SYNC, mask, 0, 0, line);
}
template <class T>
inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, int line = __builtin_LINE()) {
  int first = emulator_lane() & ~(width - 1);
  return emulator_shuffle(mask, value, first | (from & (width - 1)), line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32,
                        int line = __builtin_LINE()) {
  int lane = emulator_lane(), from = lane - static_cast<int>(by);
  return emulator_shuffle(mask, value, from < (lane & ~(width - 1)) ? lane : from, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                          int line = __builtin_LINE()) {
  int lane = emulator_lane(), from = lane + static_cast<int>(by);
  return emulator_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32,
                         int line = __builtin_LINE()) {
  int lane = emulator_lane(), from = lane ^ with;
  return emulator_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
  return static_cast<unsigned>(emulator_warp(EMULATOR_BALLOT, mask, predicate != 0, 0, line));
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, line) == mask;
}
template <class T>
inline unsigned __match_any_sync(unsigned mask, T value, int line = __builtin_LINE()) {
  return static_cast<unsigned>(emulator_warp(EMULATOR_MATCH, mask, emulator_bits(value), 0, line));
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, int line = __builtin_LINE()) {
  return static_cast<unsigned>(emulator_warp(EMULATOR_ADD, mask, value, 0, line));
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value, int line = __builtin_LINE()) {
  return static_cast<unsigned>(emulator_warp(EMULATOR_MIN, mask, value, 0, line));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, int line = __builtin_LINE()) {
  return static_cast<unsigned>(emulator_warp(EMULATOR_MAX, mask, value, 0, line));
}

inline int __syncthreads_or(int predicate, int line = __builtin_LINE()) {
  static int any;
  emulator_barrier(line);
  any = 0;
  emulator_barrier(line);
  any |= predicate != 0;
  emulator_barrier(line);
  return any;
}
inline int __syncthreads_and(int predicate, int line = __builtin_LINE()) {
  return !__syncthreads_or(!predicate, line);
}
inline int __syncthreads_count(int predicate, int line = __builtin_LINE()) {
  static int count;
  emulator_barrier(line);
  count = 0;
  emulator_barrier(line);
  count += predicate != 0;
  emulator_barrier(line);
  return count;
}

#include "shim_atomics.h"
#include "shim_math.h"
