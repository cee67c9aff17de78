// Integer atomics of CUDA. Threads of the emulator run one at a time, so plain reads and writes do;
// float atomics are left out on purpose, since the order of their additions is not fixed.
#pragma once

#define EMULATOR_ATOMICS(T)                                                                   \
  inline T atomicAdd(T *at, T value) { T old = *at; *at = old + value; return old; }          \
  inline T atomicExch(T *at, T value) { T old = *at; *at = value; return old; }               \
  inline T atomicMin(T *at, T value) { T old = *at; *at = value < old ? value : old; return old; } \
  inline T atomicMax(T *at, T value) { T old = *at; *at = value > old ? value : old; return old; } \
  inline T atomicAnd(T *at, T value) { T old = *at; *at = old & value; return old; }          \
  inline T atomicOr(T *at, T value) { T old = *at; *at = old | value; return old; }           \
  inline T atomicXor(T *at, T value) { T old = *at; *at = old ^ value; return old; }          \
  inline T atomicCAS(T *at, T expected, T value) {                                            \
    T old = *at;                                                                              \
    if (old == expected) *at = value;                                                         \
    return old;                                                                               \
  }
EMULATOR_ATOMICS(int)
EMULATOR_ATOMICS(unsigned)
EMULATOR_ATOMICS(unsigned long long)

inline int atomicSub(int *at, int value) { return atomicAdd(at, -value); }
inline unsigned atomicSub(unsigned *at, unsigned value) { return atomicAdd(at, 0u - value); }
// Counts up to `limit` and then starts again at 0.
inline unsigned atomicInc(unsigned *at, unsigned limit) {
  unsigned old = *at;
  *at = old >= limit ? 0 : old + 1;
  return old;
}
// Counts down to 0 and then starts again at `limit`.
inline unsigned atomicDec(unsigned *at, unsigned limit) {
  unsigned old = *at;
  *at = old == 0 || old > limit ? limit : old - 1;
  return old;
}
