// Integer atomics of CUDA. Threads of the emulator run one at a time; that they are atomic all the
// same tells the thread sanitizer what is meant. Float atomics are left out on purpose, since the
// order of their additions is not fixed.
#pragma once

// Replaces *at by next(*at) and gives what was there.
template <class T, class F> inline T emulator_atomic(T *at, F next) {
  T old = __atomic_load_n(at, __ATOMIC_ACQUIRE);
  while (!__atomic_compare_exchange_n(at, &old, next(old), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return old;
}

#define EMULATOR_ATOMIC(T, name, result)                                                      \
  inline T name(T *at, T value) {                                                             \
    return emulator_atomic(at, [value](T old) -> T { (void)old; return result; });            \
  }
#define EMULATOR_ATOMICS(T)                                                                   \
  EMULATOR_ATOMIC(T, atomicAdd, old + value)                                                  \
  EMULATOR_ATOMIC(T, atomicExch, value)                                                       \
  EMULATOR_ATOMIC(T, atomicMin, value < old ? value : old)                                    \
  EMULATOR_ATOMIC(T, atomicMax, value > old ? value : old)                                    \
  EMULATOR_ATOMIC(T, atomicAnd, old & value)                                                  \
  EMULATOR_ATOMIC(T, atomicOr, old | value)                                                   \
  EMULATOR_ATOMIC(T, atomicXor, old ^ value)                                                  \
  inline T atomicCAS(T *at, T expected, T value) {                                            \
    return emulator_atomic(at, [=](T old) -> T { return old == expected ? value : old; });    \
  }
EMULATOR_ATOMICS(int)
EMULATOR_ATOMICS(unsigned)
EMULATOR_ATOMICS(unsigned long long)

inline int atomicSub(int *at, int value) { return atomicAdd(at, -value); }
inline unsigned atomicSub(unsigned *at, unsigned value) { return atomicAdd(at, 0u - value); }
// Counts up to `limit` and then starts again at 0.
inline unsigned atomicInc(unsigned *at, unsigned limit) {
  return emulator_atomic(at, [limit](unsigned old) { return old >= limit ? 0 : old + 1; });
}
// Counts down to 0 and then starts again at `limit`.
inline unsigned atomicDec(unsigned *at, unsigned limit) {
  return emulator_atomic(at, [limit](unsigned old) { return old == 0 || old > limit ? limit : old - 1; });
}
