// Device math on the compiler's builtins: the host's libm stands behind what is no instruction.
// Like the device's own functions, results may differ from correctly rounded ones by a few units.
#pragma once

#define EMULATOR_MATH1(name)                                                                  \
  inline float name##f(float x) { return __builtin_##name##f(x); }                            \
  inline double name(double x) { return __builtin_##name(x); }                                \
  inline float name(float x) { return __builtin_##name##f(x); }
#define EMULATOR_MATH2(name)                                                                  \
  inline float name##f(float x, float y) { return __builtin_##name##f(x, y); }                \
  inline double name(double x, double y) { return __builtin_##name(x, y); }                   \
  inline float name(float x, float y) { return __builtin_##name##f(x, y); }
EMULATOR_MATH1(exp) EMULATOR_MATH1(exp2) EMULATOR_MATH1(expm1) EMULATOR_MATH1(log)
EMULATOR_MATH1(log2) EMULATOR_MATH1(log10) EMULATOR_MATH1(log1p) EMULATOR_MATH1(sqrt)
EMULATOR_MATH1(cbrt) EMULATOR_MATH1(sin) EMULATOR_MATH1(cos) EMULATOR_MATH1(tan)
EMULATOR_MATH1(asin) EMULATOR_MATH1(acos) EMULATOR_MATH1(atan) EMULATOR_MATH1(sinh)
EMULATOR_MATH1(cosh) EMULATOR_MATH1(tanh) EMULATOR_MATH1(erf) EMULATOR_MATH1(erfc)
EMULATOR_MATH1(floor) EMULATOR_MATH1(ceil) EMULATOR_MATH1(trunc) EMULATOR_MATH1(round)
EMULATOR_MATH1(rint) EMULATOR_MATH1(fabs)
EMULATOR_MATH2(pow) EMULATOR_MATH2(fmin) EMULATOR_MATH2(fmax) EMULATOR_MATH2(fmod)
EMULATOR_MATH2(copysign) EMULATOR_MATH2(atan2) EMULATOR_MATH2(hypot)

inline float fmaf(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline float rsqrtf(float x) { return static_cast<float>(1.0 / __builtin_sqrt(x)); }
inline float ldexpf(float x, int e) { return __builtin_ldexpf(x, e); }
inline float scalbnf(float x, int e) { return __builtin_scalbnf(x, e); }
inline float __saturatef(float x) { return x > 1.0f ? 1.0f : x > 0.0f ? x : 0.0f; }
inline void sincosf(float x, float *s, float *c) { *s = sinf(x); *c = cosf(x); }
inline bool isnan(float x) { return __builtin_isnan(x); }
inline bool isinf(float x) { return __builtin_isinf(x); }
inline bool isfinite(float x) { return __builtin_isfinite(x); }
inline bool signbit(float x) { return __builtin_signbit(x); }
inline int abs(int x) { return x < 0 ? -x : x; }

#define EMULATOR_ORDER(T)                                                                     \
  inline T min(T a, T b) { return b < a ? b : a; }                                            \
  inline T max(T a, T b) { return a < b ? b : a; }
EMULATOR_ORDER(int) EMULATOR_ORDER(unsigned) EMULATOR_ORDER(long long)
EMULATOR_ORDER(unsigned long long) EMULATOR_ORDER(long) EMULATOR_ORDER(unsigned long)
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }

// Rounded operations that a compiler may not contract.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
// The fast forms are no less exact here than the plain ones.
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }

inline float __int_as_float(int x) { float y; __builtin_memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned x) { float y; __builtin_memcpy(&y, &x, 4); return y; }
inline int __float_as_int(float x) { int y; __builtin_memcpy(&y, &x, 4); return y; }
inline unsigned __float_as_uint(float x) { unsigned y; __builtin_memcpy(&y, &x, 4); return y; }
inline double __longlong_as_double(long long x) { double y; __builtin_memcpy(&y, &x, 8); return y; }
inline long long __double_as_longlong(double x) { long long y; __builtin_memcpy(&y, &x, 8); return y; }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(__builtin_rintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __float2int_rd(float x) { return static_cast<int>(__builtin_floorf(x)); }

inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<long long>(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; i++) y |= ((x >> i) & 1u) << (31 - i);
  return y;
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  unsigned long long bytes = (static_cast<unsigned long long>(high) << 32) | low;
  unsigned result = 0;
  for (int i = 0; i < 4; i++)
    result |= static_cast<unsigned>((bytes >> (8 * ((selector >> (4 * i)) & 7))) & 0xff) << (8 * i);
  return result;
}
