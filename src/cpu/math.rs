//! Elementary functions of one `f32`, written so that a loop over a slice vectorises.
//!
//! Each function is free of branches, tables and calls: selects, integer and float arithmetic, and
//! fused multiply-adds. Inlined into a function that is compiled for AVX2 with FMA, or for AVX-512,
//! a loop becomes vector code; compiled for anything less, [`f32::mul_add`] is a slow library call.
//! The bits are the same everywhere, since a fused multiply-add is exact before its one rounding.
//!
//! Polynomials are minimax fits of the relative error, with coefficients rounded one after the
//! other. The error of each function, in units in the last place of the exact result, is at most
//! its `_ULP` constant; functions of one argument were measured on all 2^32 inputs, against `f64`.

use std::f32::consts::{FRAC_PI_4, LN_2, LOG2_E};

/// Bound on the error of [`exp`]; the largest found is 0.777.
pub const EXP_ULP: f64 = 0.8;
/// Bound on the error of [`expm1`]; the largest found is 1.443.
pub const EXPM1_ULP: f64 = 1.5;
/// Bound on the error of [`log`]; the largest found is 0.871.
pub const LOG_ULP: f64 = 0.9;
/// Bound on the error of [`log1p`]; the largest found is 1.404.
pub const LOG1P_ULP: f64 = 1.5;
/// Bound on the error of [`tanh`]; the largest found is 1.349.
pub const TANH_ULP: f64 = 1.4;
/// Bound on the error of [`sigmoid`]; the largest found is 2.402.
pub const SIGMOID_ULP: f64 = 2.5;
/// Bound on the error of [`softplus`]; the largest found is 1.735.
pub const SOFTPLUS_ULP: f64 = 1.8;
/// Bound on the error of [`erf`]; the largest found is 1.076.
pub const ERF_ULP: f64 = 1.1;
/// Bound on the error of [`sin`]; the largest found is 1.536.
pub const SIN_ULP: f64 = 1.6;
/// Bound on the error of [`cos`]; the largest found is 1.540.
pub const COS_ULP: f64 = 1.6;
/// Bound on the error of [`pow`]; the largest found, in 2.5 * 10^8 pairs, is 0.5002.
pub const POW_ULP: f64 = 0.501;

/// What the nearest `f32` to ln 2 lacks.
const LN_2_LOW: f32 = -1.904_654_2e-9;
/// 1.5 * 2^23: a number added to it is rounded to an integer, which stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum.mul_add(x, c[i]);
    }
    sum
}

/// 2^n for n in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `(n, r, e^r - 1 - r)` with x = n ln 2 + r and |r| <= ln 2 / 2, for |x| up to 2^21.
#[inline(always)]
fn exp_parts(x: f32) -> (i32, f32, f32) {
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = (-n).mul_add(LN_2_LOW, (-n).mul_add(LN_2, x));
    let c = [0.5, 0.166_666_66, 0.041_666_493, 0.008_333_546, 0.001_393_232_1, 0.000_197_617_61];
    let integer = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    (integer, r, (r * r) * polynomial(r, c))
}

/// e^x; zero below about -103.97, infinite above about 88.72.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (n, r, tail) = exp_parts(x);
    let sum = 1.0 + r;
    let value = sum + ((r - (sum - 1.0)) + tail);
    // In two halves, as 2^n may be out of range where e^x is not; only the second can round.
    let half = n >> 1;
    value * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// e^x - 1, exact to the last bits near zero too.
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let y = if x < -20.0 { -20.0 } else { x };
    let y = if y > 89.0 { 89.0 } else { y };
    let (n, r, tail) = exp_parts(y);
    let p = r + tail;
    let top = n > 127;
    let scale = power_of_two(if top { 127 } else { n });
    let value = p.mul_add(scale, scale - 1.0) * if top { 2.0 } else { 1.0 };
    value.copysign(x)
}

/// `(e, m - 1)` with x = 2^e m and m in [sqrt 1/2, sqrt 2), for positive normal x.
#[inline(always)]
fn log_parts(x: f32) -> (i32, f32) {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let bits = x.to_bits();
    let e = (bits.wrapping_sub(SQRT_HALF) as i32) >> 23;
    (e, f32::from_bits(bits.wrapping_sub((e as u32) << 23)) - 1.0)
}

/// e ln 2 + ln(1 + f) for f in [sqrt 1/2 - 1, sqrt 2 - 1).
#[inline(always)]
fn log_sum(e: i32, f: f32) -> f32 {
    let c = [
        0.333_333_13,
        -0.250_000_1,
        0.200_020_73,
        -0.166_679_92,
        0.142_203_11,
        -0.124_061_145,
        0.118_838_735,
        -0.116_711_76,
        0.067_498_57,
    ];
    let e = e as f32;
    let square = f * f;
    let tail = (-0.5f32).mul_add(square, (square * f) * polynomial(f, c));
    e.mul_add(LN_2, f + e.mul_add(LN_2_LOW, tail))
}

/// Natural logarithm; minus infinity at zero, NaN below.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let (e, f) = log_parts(if subnormal { x * 8_388_608.0 } else { x });
    let value = log_sum(if subnormal { e.wrapping_sub(23) } else { e }, f);
    let value = if x < f32::INFINITY { value } else { x };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x < 0.0 { f32::NAN } else { value }
}

/// ln(1 + x), exact to the last bits near zero too; minus infinity at -1, NaN below.
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let (e, rounded) = log_parts(1.0 + x);
    // 1 + x has lost the low bits of x: 2^-e (1 + x) - 1 is had from x itself in one rounding.
    let scale = power_of_two(e.wrapping_neg());
    let f = if x > 1e9 { rounded } else { x.mul_add(scale, scale - 1.0) };
    let value = log_sum(e, f);
    let value = if x < f32::INFINITY { value } else { x };
    let value = if x == 0.0 { x } else { value };
    let value = if x == -1.0 { f32::NEG_INFINITY } else { value };
    if x < -1.0 { f32::NAN } else { value }
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let square = a * a;
    let c = [-0.333_332_8, 0.133_314_06, -0.053_736_515, 0.020_628_167, -0.005_692_296];
    let small = (a * square).mul_add(polynomial(square, c), a);
    let large = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    (if a < 0.625 { small } else { large }).copysign(x)
}

/// Logistic function 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let z = exp(-x.abs());
    (if x < 0.0 { z } else { 1.0 }) / (1.0 + z)
}

/// ln(1 + e^x).
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    (if x > 0.0 { x } else { 0.0 }) + log1p(exp(-x.abs()))
}

/// Error function 2 / sqrt(pi) * integral of e^(-t^2) from 0 to x.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let c = [
        0.128_379_17,
        -0.376_126_3,
        0.112_836_26,
        -0.026_855_731,
        0.005_192_405,
        -0.000_804_976_9,
        7.996_642e-5,
    ];
    let small = a.mul_add(polynomial(a * a, c), a);
    // ln(1 - erf a); from 3.95 on the result rounds to one.
    let t = if a > 4.0 { 4.0 } else { a };
    let c = [
        0.000_169_203_86,
        -1.129_488_3,
        -0.633_401_1,
        -0.108_219_944,
        0.025_080_204,
        -0.004_156_044,
        0.000_431_338_24,
        -2.082_280_1e-5,
    ];
    let large = 1.0 - exp(polynomial(t, c));
    (if a < 0.92 { small } else { large }).copysign(x)
}

/// `(r, q)` with |x| = q pi / 2 + r modulo 2 pi and |r| <= pi / 4; r is NaN for infinities and NaN.
///
/// Payne and Hanek's way, for every size of x alike: the 24 bits of x's significand times the 96
/// bits of 1 / (2 pi) that are neither whole turns nor too small to matter.
#[inline(always)]
fn reduce(x: f32) -> (f32, u32) {
    let a = x.abs();
    let bits = a.to_bits();
    let significand = u64::from((bits & 0x007f_ffff) | 0x0080_0000);
    // Where the window starts in 32 zero bits followed by the fraction of 1 / (2 pi).
    let start = (bits >> 23).wrapping_sub(118);
    let [w0, w1, w2, w3] = window(start >> 5);
    let shift = start & 31;
    let joined = |high: u32, low: u32| (high << shift) | ((low >> 1) >> (31 - shift));
    let (high, middle, low) = (joined(w0, w1), joined(w1, w2), joined(w2, w3));
    // Turns as a fraction of 64 bits, modulo one.
    let t = significand * u64::from(middle) + ((significand * u64::from(low)) >> 32);
    let turns = (significand as u32).wrapping_mul(high).wrapping_add((t >> 32) as u32);
    let quarter = turns.wrapping_add(1 << 29) >> 30;
    let rest = turns.wrapping_sub(quarter << 30) as i32;
    // rest + t as the sum of two floats, the first one exact, times 2 pi.
    let first = rest as f32;
    let second =
        (rest.wrapping_sub(first as i32)) as f32 + (t as u32 >> 8) as f32 * power_of_two(-24);
    let (two_pi, two_pi_low) = (std::f32::consts::TAU, -1.748_455_5e-7);
    let r = first.mul_add(two_pi, first.mul_add(two_pi_low, second * two_pi)) * power_of_two(-32);
    let r = if a < FRAC_PI_4 { a } else { r };
    let quarter = if a < FRAC_PI_4 { 0 } else { quarter };
    (if a < f32::INFINITY { r } else { f32::NAN }, quarter)
}

/// Four words from the given one on (at most the fourth) of 1 / (2 pi) behind 32 zero bits.
#[inline(always)]
fn window(index: u32) -> [u32; 4] {
    const WORDS: [u32; 8] = [
        0,
        0x28be_60db,
        0x9391_054a,
        0x7f09_d5f4,
        0x7d4d_3770,
        0x36d8_a566,
        0x4f10_e410,
        0x7f94_58ea,
    ];
    // Compared by order: equalities would be made into a table look-up, which does not vectorise.
    let word = |i: usize| {
        let w = if index > 0 { WORDS[i + 1] } else { WORDS[i] };
        let w = if index > 1 { WORDS[i + 2] } else { w };
        let w = if index > 2 { WORDS[i + 3] } else { w };
        if index > 3 { WORDS[i + 4] } else { w }
    };
    [word(0), word(1), word(2), word(3)]
}

/// Sine of r + q pi / 2 for |r| <= pi / 4.
#[inline(always)]
fn sin_quarters(r: f32, q: u32) -> f32 {
    let square = r * r;
    let c = [-0.166_666_55, 0.008_332_189, -0.000_195_182_83];
    let sine = (r * square).mul_add(polynomial(square, c), r);
    let c = [-0.5, 0.041_666_646, -0.001_388_730_1, 2.443_066_1e-5];
    let cosine = square.mul_add(polynomial(square, c), 1.0);
    let value = if q & 1 == 0 { sine } else { cosine };
    f32::from_bits(value.to_bits() ^ ((q & 2) << 30))
}

/// Sine of x radians, for x of any size.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    let (r, q) = reduce(x);
    f32::from_bits(sin_quarters(r, q).to_bits() ^ (x.to_bits() & 0x8000_0000))
}

/// Cosine of x radians, for x of any size.
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    let (r, q) = reduce(x);
    sin_quarters(r, q.wrapping_add(1))
}

/// x^y with the special cases of IEEE 754 `pow`.
///
/// Through `f64`: the logarithm must be known to 2^-34 and the result is then rounded once.
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    let size = exp2_f64(f64::from(y) * log2_f64(f64::from(x.abs()))) as f32;
    let size = if x.abs() == 1.0 || y == 0.0 { 1.0 } else { size };
    // From 2^24 on every float is an even integer; the cast saturates.
    let large = y.abs() >= 16_777_216.0;
    let integer = y as i32;
    let whole = large || integer as f32 == y;
    let odd = !large && whole && integer & 1 == 1;
    let signed = if x.is_sign_negative() && odd { -size } else { size };
    let outside = x < 0.0 && x > f32::NEG_INFINITY && !whole;
    let value = if outside { f32::NAN } else { signed };
    let value = if x.is_nan() || y.is_nan() { f32::NAN } else { value };
    if x == 1.0 || y == 0.0 { 1.0 } else { value }
}

/// Base-2 logarithm to 2^-40, for x that are zero, infinite or normal.
#[inline(always)]
fn log2_f64(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits();
    // Biased by 2048 to stay positive, and read off the low bits of a float: a conversion of
    // 64-bit integers has no vector form before AVX-512.
    let e = (bits.wrapping_sub(SQRT_HALF).wrapping_add(2048 << 52)) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(e.wrapping_sub(2048) << 52));
    let e = f64::from_bits(e | ROUND_F64.to_bits()) - ROUND_F64 - 2048.0;
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    // artanh s = s + s^3 / 3 + s^5 / 5 + ..., |s| < 0.172.
    let mut sum = 1.0 / 15.0;
    for divisor in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = square.mul_add(sum, 1.0 / divisor);
    }
    let value = (2.0 * std::f64::consts::LOG2_E * s).mul_add(sum, e);
    let value = if x < f64::INFINITY { value } else { x };
    if x == 0.0 { f64::NEG_INFINITY } else { value }
}

/// 2^52: the low bits of a sum with it are the other number, rounded to an integer.
const ROUND_F64: f64 = 4_503_599_627_370_496.0;

/// 2^x to 2^-36, zero below -160, 2^130 above 130.
#[inline(always)]
fn exp2_f64(x: f64) -> f64 {
    let x = if x < -160.0 { -160.0 } else { x };
    let x = if x > 130.0 { 130.0 } else { x };
    let shifted = x + 1.5 * ROUND_F64;
    let r = (x - (shifted - 1.5 * ROUND_F64)) * std::f64::consts::LN_2;
    // e^r = 1 + r (1 + r / 2 (1 + r / 3 (...))), |r| < 0.347.
    let mut sum = 1.0;
    for divisor in [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0] {
        sum = (r * (1.0 / divisor)).mul_add(sum, 1.0);
    }
    sum * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests;
