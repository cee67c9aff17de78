// What every kernel begins with: types, the control block, sizes, vector loads, elementary functions,
// random numbers and reductions. The host puts this text before each kernel's; there are no includes.
//
// Names in capitals are left to the kernels' constants; template parameters here are Capitalised.
//
// The elementary functions are those of src/cpu/math.rs, operation for operation: with contraction
// off (--fmad=false) a pointwise result has the same bits on every device. Real inline PTX stands
// here alone, under __CUDACC_RTC__; the other branch is for a host compiler.

#define DEVICE __device__ __forceinline__

typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;

// Indices of elements: 64 bits wide where a buffer of the launch needs it.
#if WIDE
typedef u64 index_t;
#else
typedef u32 index_t;
#endif

// What changes from step to step while the plan stays; written by the host before a step.
struct Live {
    u64 seed;
    u64 step;
    u32 rows;
    // How batches are picked from data on the device, see burst.cu.
    u32 half;
    u64 first;
    u64 total;
    u32 keys[12];
};

// A size of the plan for the rows in use: NAME_PER_ROW times the rows, or NAME_FIXED.
#define SIZE(NAME) ((index_t)(NAME##_PER_ROW ? (index_t)live->rows * NAME##_PER_ROW : NAME##_FIXED))

#define INFINITE __uint_as_float(0x7f800000u)
#define NOT_A_NUMBER __uint_as_float(0x7fc00000u)

// ---------------------------------------------------------------------------- vectors

struct __align__(16) Vector4 {
    float x, y, z, w;
};

// Elements i .. i + Width of a buffer; four are loaded at once from a multiple of four.
template <int Width> DEVICE void load(float (&out)[Width], const float* buffer, index_t i) {
    if constexpr (Width == 4) {
        const Vector4 v = *reinterpret_cast<const Vector4*>(buffer + i);
        out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
    } else {
        for (int k = 0; k < Width; k++) out[k] = buffer[i + k];
    }
}

template <int Width> DEVICE void store(float* buffer, index_t i, const float (&in)[Width]) {
    if constexpr (Width == 4) {
        *reinterpret_cast<Vector4*>(buffer + i) = {in[0], in[1], in[2], in[3]};
    } else {
        for (int k = 0; k < Width; k++) buffer[i + k] = in[k];
    }
}

// ---------------------------------------------------------------------------- elementary functions

namespace math {

constexpr float LN_2 = 0.693147180559945309f;
constexpr float LN_2_LOW = -1.9046542e-9f;
constexpr float LOG2_E = 1.44269504088896341f;
constexpr float ROUND = 12582912.0f;

// c[0] + c[1] x + c[2] x^2 + ... by Horner's rule.
template <int Count> DEVICE float polynomial(float x, const float (&c)[Count]) {
    float sum = c[Count - 1];
#pragma unroll
    for (int i = Count - 2; i >= 0; i--) sum = fmaf(sum, x, c[i]);
    return sum;
}

// 2^n for n in -126 .. 127.
DEVICE float power_of_two(i32 n) { return __uint_as_float((u32)(n + 127) << 23); }

struct ExpParts {
    i32 n;
    float r, tail;
};

// n, r and e^r - 1 - r with x = n ln 2 + r and |r| <= ln 2 / 2.
DEVICE ExpParts exp_parts(float x) {
    const float shifted = fmaf(x, LOG2_E, ROUND);
    const float n = shifted - ROUND;
    const float r = fmaf(-n, LN_2_LOW, fmaf(-n, LN_2, x));
    const float c[] = {0.5f, 0.16666666f, 0.041666493f, 0.008333546f, 0.0013932321f, 0.00019761761f};
    const i32 integer = (i32)(__float_as_uint(shifted) - __float_as_uint(ROUND));
    return {integer, r, (r * r) * polynomial(r, c)};
}

DEVICE float exp(float x) {
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    const ExpParts p = exp_parts(x);
    const float sum = 1.0f + p.r;
    const float value = sum + ((p.r - (sum - 1.0f)) + p.tail);
    const i32 half = p.n >> 1;
    return value * power_of_two(half) * power_of_two(p.n - half);
}

DEVICE float expm1(float x) {
    float y = x < -20.0f ? -20.0f : x;
    y = y > 89.0f ? 89.0f : y;
    const ExpParts parts = exp_parts(y);
    const float p = parts.r + parts.tail;
    const bool top = parts.n > 127;
    const float scale = power_of_two(top ? 127 : parts.n);
    return copysignf(fmaf(p, scale, scale - 1.0f) * (top ? 2.0f : 1.0f), x);
}

struct LogParts {
    i32 e;
    float f;
};

// e and m - 1 with x = 2^e m and m in [sqrt 1/2, sqrt 2), for positive normal x.
DEVICE LogParts log_parts(float x) {
    const u32 bits = __float_as_uint(x);
    const i32 e = (i32)(bits - 0x3f3504f3u) >> 23;
    return {e, __uint_as_float(bits - ((u32)e << 23)) - 1.0f};
}

// e ln 2 + ln(1 + f).
DEVICE float log_sum(i32 exponent, float f) {
    const float c[] = {0.33333313f, -0.2500001f,  0.20002073f, -0.16667992f, 0.14220311f,
                       -0.124061145f, 0.118838735f, -0.11671176f, 0.06749857f};
    const float e = (float)exponent;
    const float square = f * f;
    const float tail = fmaf(-0.5f, square, (square * f) * polynomial(f, c));
    return fmaf(e, LN_2, f + fmaf(e, LN_2_LOW, tail));
}

DEVICE float log(float x) {
    const bool subnormal = x < 1.17549435e-38f;
    const LogParts parts = log_parts(subnormal ? x * 8388608.0f : x);
    float value = log_sum(subnormal ? parts.e - 23 : parts.e, parts.f);
    value = x < INFINITE ? value : x;
    value = x == 0.0f ? -INFINITE : value;
    return x < 0.0f ? NOT_A_NUMBER : value;
}

DEVICE float log1p(float x) {
    const LogParts parts = log_parts(1.0f + x);
    const float scale = power_of_two(-parts.e);
    const float f = x > 1e9f ? parts.f : fmaf(x, scale, scale - 1.0f);
    float value = log_sum(parts.e, f);
    value = x < INFINITE ? value : x;
    value = x == 0.0f ? x : value;
    value = x == -1.0f ? -INFINITE : value;
    return x < -1.0f ? NOT_A_NUMBER : value;
}

DEVICE float tanh(float x) {
    const float a = fabsf(x);
    const float square = a * a;
    const float c[] = {-0.3333328f, 0.13331406f, -0.053736515f, 0.020628167f, -0.005692296f};
    const float small = fmaf(a * square, polynomial(square, c), a);
    const float large = 1.0f - 2.0f / (exp(2.0f * a) + 1.0f);
    return copysignf(a < 0.625f ? small : large, x);
}

DEVICE float sigmoid(float x) {
    const float z = exp(-fabsf(x));
    return (x < 0.0f ? z : 1.0f) / (1.0f + z);
}

DEVICE float erf(float x) {
    const float a = fabsf(x);
    const float c[] = {0.12837917f, -0.3761263f,    0.11283626f,  -0.026855731f,
                       0.005192405f, -0.0008049769f, 7.996642e-5f};
    const float small = fmaf(a, polynomial(a * a, c), a);
    const float t = a > 4.0f ? 4.0f : a;
    const float d[] = {0.00016920386f, -1.1294883f,   -0.6334011f,    -0.108219944f,
                       0.025080204f,   -0.004156044f, 0.00043133824f, -2.0822801e-5f};
    const float large = 1.0f - exp(polynomial(t, d));
    return copysignf(a < 0.92f ? small : large, x);
}

// Words of 1 / (2 pi) behind 32 zero bits; an array would stand in local memory.
DEVICE u32 turn_word(u32 i) {
    const u32 low = i == 1 ? 0x28be60dbu : i == 2 ? 0x9391054au : i == 3 ? 0x7f09d5f4u : 0u;
    const u32 high = i == 4 ? 0x7d4d3770u : i == 5 ? 0x36d8a566u : i == 6 ? 0x4f10e410u : 0x7f9458eau;
    return i < 4 ? low : high;
}

struct Reduced {
    float r;
    u32 quarter;
};

// |x| = quarter pi / 2 + r modulo 2 pi with |r| <= pi / 4, by Payne and Hanek's way.
DEVICE Reduced reduce(float x) {
    const float a = fabsf(x);
    const u32 bits = __float_as_uint(a);
    const u64 significand = (bits & 0x007fffffu) | 0x00800000u;
    const u32 start = (bits >> 23) - 118u;
    const u32 window = start >> 5 < 4u ? start >> 5 : 4u;
    const u32 shift = start & 31u;
    u32 joined[3];
#pragma unroll
    for (u32 k = 0; k < 3; k++) {
        const u32 low = turn_word(window + k + 1);
        joined[k] = (turn_word(window + k) << shift) | ((low >> 1) >> (31u - shift));
    }
    const u64 t = significand * joined[1] + ((significand * joined[2]) >> 32);
    const u32 turns = (u32)significand * joined[0] + (u32)(t >> 32);
    const u32 quarter = (turns + (1u << 29)) >> 30;
    const i32 rest = (i32)(turns - (quarter << 30));
    const float first = (float)rest;
    const float second =
        (float)(i32)((u32)rest - (u32)(i32)first) + (float)((u32)t >> 8) * power_of_two(-24);
    const float two_pi = 6.28318530717958648f, two_pi_low = -1.7484555e-7f;
    const float r =
        fmaf(first, two_pi, fmaf(first, two_pi_low, second * two_pi)) * power_of_two(-32);
    const bool near = a < 0.785398163397448310f;
    return {a < INFINITE ? (near ? a : r) : NOT_A_NUMBER, near ? 0u : quarter};
}

DEVICE float sin_quarters(float r, u32 q) {
    const float square = r * r;
    const float c[] = {-0.16666655f, 0.008332189f, -0.00019518283f};
    const float sine = fmaf(r * square, polynomial(square, c), r);
    const float d[] = {-0.5f, 0.041666646f, -0.0013887301f, 2.4430661e-5f};
    const float cosine = fmaf(square, polynomial(square, d), 1.0f);
    return __uint_as_float(__float_as_uint((q & 1u) == 0u ? sine : cosine) ^ ((q & 2u) << 30));
}

DEVICE float sin(float x) {
    const Reduced p = reduce(x);
    const u32 sign = __float_as_uint(x) & 0x80000000u;
    return __uint_as_float(__float_as_uint(sin_quarters(p.r, p.quarter)) ^ sign);
}

DEVICE float cos(float x) {
    const Reduced p = reduce(x);
    return sin_quarters(p.r, p.quarter + 1u);
}

constexpr double ROUND_F64 = 4503599627370496.0;

// Base-2 logarithm to 2^-40, for x that are zero, infinite or normal.
DEVICE double log2_f64(double x) {
    const u64 bits = (u64)__double_as_longlong(x);
    const u64 biased = (bits - 0x3fe6a09e667f3bcdull + (2048ull << 52)) >> 52;
    const double m = __longlong_as_double((long long)(bits - ((biased - 2048ull) << 52)));
    const double e = (double)(long long)biased - 2048.0;
    const double s = (m - 1.0) / (m + 1.0);
    const double square = s * s;
    double sum = 1.0 / 15.0;
#pragma unroll
    for (int divisor = 13; divisor > 0; divisor -= 2) sum = fma(square, sum, 1.0 / divisor);
    double value = fma(2.0 * 1.44269504088896340736 * s, sum, e);
    value = x < (double)INFINITE ? value : x;
    return x == 0.0 ? -(double)INFINITE : value;
}

// 2^x to 2^-36, zero below -160, 2^130 above 130.
DEVICE double exp2_f64(double x) {
    x = x < -160.0 ? -160.0 : x;
    x = x > 130.0 ? 130.0 : x;
    const double shifted = x + 1.5 * ROUND_F64;
    const double r = (x - (shifted - 1.5 * ROUND_F64)) * 0.693147180559945309417;
    double sum = 1.0;
#pragma unroll
    for (int divisor = 9; divisor > 0; divisor--) sum = fma(r * (1.0 / divisor), sum, 1.0);
    const u64 bits = ((u64)__double_as_longlong(shifted) + 1023ull) << 52;
    return sum * __longlong_as_double((long long)bits);
}

// x^y with the special cases of IEEE 754 pow.
DEVICE float pow(float x, float y) {
    float size = (float)exp2_f64((double)y * log2_f64((double)fabsf(x)));
    size = fabsf(x) == 1.0f || y == 0.0f ? 1.0f : size;
    const bool large = fabsf(y) >= 16777216.0f;
    const i32 integer = large || y != y ? 0 : (i32)y;
    const bool whole = large || (float)integer == y;
    const bool odd = !large && whole && (integer & 1) == 1;
    const bool negative = (__float_as_uint(x) >> 31) != 0u;
    const float with_sign = negative && odd ? -size : size;
    const bool outside = x < 0.0f && x > -INFINITE && !whole;
    float value = outside ? NOT_A_NUMBER : with_sign;
    value = x != x || y != y ? NOT_A_NUMBER : value;
    return x == 1.0f || y == 0.0f ? 1.0f : value;
}

DEVICE float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }

// NaN if either is.
DEVICE float min(float x, float y) { return x < y || x != x ? x : y; }
DEVICE float max(float x, float y) { return x > y || x != x ? x : y; }

}  // namespace math

// ---------------------------------------------------------------------------- random numbers

struct Words4 {
    u32 w[4];
};

// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, 2011); the positions are those of src/random.rs.
DEVICE Words4 philox(Words4 c, u32 key0, u32 key1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const u64 even = (u64)c.w[0] * 0xd2511f53u, odd = (u64)c.w[2] * 0xcd9e8d57u;
        c = {(u32)(odd >> 32) ^ c.w[1] ^ key0, (u32)odd, (u32)(even >> 32) ^ c.w[3] ^ key1,
             (u32)even};
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    return c;
}

// The words of (seed, stream, step) in a block of four elements.
DEVICE Words4 random_words(u64 seed, u32 stream, u64 step, u64 block) {
    const u32 high = (u32)(step >> 32) << 16 | ((u32)(block >> 32) & 0xffffu);
    return philox({(u32)block, (u32)step, stream, high}, (u32)seed, (u32)(seed >> 32));
}

// The upper 24 bits of a word as a number in 0 .. 1, a multiple of 2^-24.
DEVICE float fraction(u32 word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

// The number in 0 .. 1 of (seed, stream, step, element).
DEVICE float uniform(const Live* live, u32 stream, u64 element) {
    const Words4 words = random_words(live->seed, stream, live->step, element >> 2);
    const u32 lane = (u32)element & 3u;
    return fraction(lane == 0 ? words.w[0] : lane == 1 ? words.w[1] : lane == 2 ? words.w[2] : words.w[3]);
}

// ---------------------------------------------------------------------------- reductions

#define FULL_WARP 0xffffffffu

// The sum of a warp's values, or of each run of Lanes of them; the same tree for every lane.
template <int Lanes = 32> DEVICE float warp_sum(float x) {
#pragma unroll
    for (int distance = Lanes / 2; distance > 0; distance >>= 1)
        x += __shfl_xor_sync(FULL_WARP, x, distance);
    return x;
}

template <int Lanes = 32> DEVICE float warp_max(float x) {
#pragma unroll
    for (int distance = Lanes / 2; distance > 0; distance >>= 1)
        x = math::max(x, __shfl_xor_sync(FULL_WARP, x, distance));
    return x;
}

// The sum over a block of Warps warps, in the order of warps; `shared` has Warps elements. All
// threads get it; the block may use `shared` again after the next barrier.
template <int Warps> DEVICE float block_sum(float x, float* shared) {
    x = warp_sum(x);
    if (Warps == 1) return x;
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = shared[0];
#pragma unroll
    for (int i = 1; i < Warps; i++) sum += shared[i];
    return sum;
}

template <int Warps> DEVICE float block_max(float x, float* shared) {
    x = warp_max(x);
    if (Warps == 1) return x;
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    float most = shared[0];
#pragma unroll
    for (int i = 1; i < Warps; i++) most = math::max(most, shared[i]);
    return most;
}

// Whether this block is the last of `count` to come here with this ticket, so that it sees what all
// others wrote before. The ticket is zero again afterwards.
DEVICE bool is_last(u32* ticket, u32 count) {
    __shared__ u32 arrived;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) arrived = atomicInc(ticket, count - 1);
    __syncthreads();
    __threadfence();
    return arrived == count - 1;
}
