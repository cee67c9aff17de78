//! One loop per node of a program, over one chunk: what the compiler vectorises.
//!
//! A loop takes groups of 16 elements: it reads those of all operands, computes, and then writes. So
//! a target may be an operand too. Left to itself the compiler chooses the place that a select loads
//! from, and gathers; from groups it chooses values.

#![allow(unsafe_code)]

use super::formula::RESULTS;
use crate::cpu::{math, simd};
use crate::op::expression::{Binary, Unary};

/// Elements of a group.
pub(super) const LANES: usize = 16;

/// Where a loop finds the elements of an operand.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    /// The first group.
    pub(super) start: *const f32,
    /// From one group to the next: [`LANES`], or 0 where all elements are the same, and `start` is
    /// one whole group of them.
    pub(super) step: usize,
}

/// Computes `n` elements of as many targets as there are results, from those of the operands.
///
/// # Safety
/// The operands have `n` elements, or a group where they are all the same. The targets have `n` that
/// are nobody else's; where one is an operand too, it is so from the same element on.
pub(super) unsafe fn each<const N: usize, const M: usize>(
    n: usize,
    operands: [Operand; N],
    targets: &[*mut f32; RESULTS],
    f: impl Fn([f32; N]) -> [f32; M],
) {
    simd::dispatch(Each { n, operands, targets, f });
}

/// The same for a function that costs much: elements behind the last whole group are one too, the
/// others in it being like the first.
///
/// # Safety
/// As [`each`].
unsafe fn each_costly(n: usize, x: Operand, targets: &[*mut f32; RESULTS], f: impl Fn(f32) -> f32) {
    simd::dispatch(EachCostly { n, x, targets, f });
}

/// One loop, a function of its own in each instruction set: were there several in one function, the
/// compiler would prepare all of them for whichever one is run.
struct Each<'a, const N: usize, F> {
    n: usize,
    operands: [Operand; N],
    targets: &'a [*mut f32; RESULTS],
    f: F,
}

impl<const N: usize, const M: usize, F: Fn([f32; N]) -> [f32; M]> simd::Vectorised
    for Each<'_, N, F>
{
    #[inline(always)]
    fn run(self) {
        let Each { n, operands, targets, f } = self;
        // SAFETY: as the caller of `each` promised; elements behind whole groups lie within the `n`.
        unsafe {
            groups(n / LANES, operands, targets, &f);
            for i in n - n % LANES..n {
                let values = operands.map(|x| *x.start.add(if x.step == 0 { 0 } else { i }));
                for (target, result) in targets.iter().zip(f(values)) {
                    *target.add(i) = result;
                }
            }
        }
    }
}

struct EachCostly<'a, F> {
    n: usize,
    x: Operand,
    targets: &'a [*mut f32; RESULTS],
    f: F,
}

impl<F: Fn(f32) -> f32> simd::Vectorised for EachCostly<'_, F> {
    #[inline(always)]
    fn run(self) {
        let EachCostly { n, x, targets, f } = self;
        let (whole, rest) = (n / LANES, n % LANES);
        let f = |[x]: [f32; 1]| [f(x)];
        // SAFETY: as the caller of `each_costly` promised; so many elements are left.
        unsafe {
            groups(whole, [x], targets, &f);
            if rest > 0 {
                let start = x.start.add(whole * x.step);
                let mut group = [*start; LANES];
                start.copy_to_nonoverlapping(group.as_mut_ptr(), rest);
                let [result] = of_group(&[group], f);
                targets[0].add(whole * LANES).copy_from_nonoverlapping(result.as_ptr(), rest);
            }
        }
    }
}

/// # Safety
/// As [`each`], for so many whole groups.
#[inline(always)]
unsafe fn groups<const N: usize, const M: usize>(
    count: usize,
    operands: [Operand; N],
    targets: &[*mut f32; RESULTS],
    f: &impl Fn([f32; N]) -> [f32; M],
) {
    const { assert!(M <= RESULTS) };
    for group in 0..count {
        // SAFETY: the caller promises that the group is there; an array is aligned as its elements.
        unsafe {
            let values = operands.map(|x| *x.start.add(group * x.step).cast());
            for (target, result) in targets.iter().zip(of_group(&values, f)) {
                *target.add(group * LANES).cast() = result;
            }
        }
    }
}

#[inline(always)]
fn of_group<const N: usize, const M: usize>(
    values: &[[f32; LANES]; N],
    f: impl Fn([f32; N]) -> [f32; M],
) -> [[f32; LANES]; M] {
    let mut results = [[0.0; LANES]; M];
    for i in 0..LANES {
        let lane = f(std::array::from_fn(|k| values[k][i]));
        for (result, value) in results.iter_mut().zip(lane) {
            result[i] = value;
        }
    }
    results
}

/// # Safety
/// As [`each`].
pub(super) unsafe fn unary(op: Unary, x: Operand, targets: &[*mut f32; RESULTS], n: usize) {
    macro_rules! each {
        ($f:expr) => {
            // SAFETY: passed on from the caller.
            unsafe { each(n, [x], targets, |[x]: [f32; 1]| [$f(x)]) }
        };
    }
    macro_rules! each_costly {
        ($f:expr) => {
            // SAFETY: passed on from the caller.
            unsafe { each_costly(n, x, targets, $f) }
        };
    }
    match op {
        Unary::Neg => each!(|x: f32| -x),
        Unary::Abs => each!(f32::abs),
        Unary::Sign => each!(|x: f32| if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            x
        }),
        Unary::Floor => each!(f32::floor),
        Unary::Exp => each_costly!(math::exp),
        Unary::Expm1 => each_costly!(math::expm1),
        Unary::Log => each_costly!(math::log),
        Unary::Log1p => each_costly!(math::log1p),
        Unary::Sqrt => each!(f32::sqrt),
        Unary::Sigmoid => each_costly!(math::sigmoid),
        Unary::Tanh => each_costly!(math::tanh),
        Unary::Erf => each_costly!(math::erf),
        Unary::Sin => each_costly!(math::sin),
        Unary::Cos => each_costly!(math::cos),
    }
}

/// # Safety
/// As [`each`].
pub(super) unsafe fn binary(
    op: Binary,
    operands: [Operand; 2],
    targets: &[*mut f32; RESULTS],
    n: usize,
) {
    macro_rules! each {
        ($f:expr) => {
            // SAFETY: passed on from the caller.
            unsafe { each(n, operands, targets, |[x, y]: [f32; 2]| [$f(x, y)]) }
        };
    }
    match op {
        Binary::Add => each!(|x: f32, y: f32| x + y),
        Binary::Sub => each!(|x: f32, y: f32| x - y),
        Binary::Mul => each!(|x: f32, y: f32| x * y),
        Binary::Div => each!(|x: f32, y: f32| x / y),
        Binary::Min => each!(|x: f32, y: f32| if x < y || x.is_nan() { x } else { y }),
        Binary::Max => each!(|x: f32, y: f32| if x > y || x.is_nan() { x } else { y }),
        Binary::Pow => each!(math::pow),
        Binary::Less => each!(|x, y| f32::from(u8::from(x < y))),
        Binary::LessEqual => each!(|x, y| f32::from(u8::from(x <= y))),
        Binary::Equal => each!(|x, y| f32::from(u8::from(x == y))),
    }
}

/// `second(first(x, y), z)`, each rounded for itself; or `second(z, first(x, y))`, if `swapped`.
///
/// # Safety
/// As [`each`].
pub(super) unsafe fn pair(
    (first, second, swapped): (Binary, Binary, bool),
    operands: [Operand; 3],
    targets: &[*mut f32; RESULTS],
    n: usize,
) {
    macro_rules! each {
        (|$x:ident, $y:ident, $z:ident| $value:expr) => {
            // SAFETY: passed on from the caller.
            unsafe { each(n, operands, targets, |[$x, $y, $z]: [f32; 3]| [$value]) }
        };
    }
    use Binary::{Add, Div, Mul, Sub};
    match (first, second, swapped) {
        (Add, Add, _) => each!(|x, y, z| (x + y) + z),
        (Add, Mul, _) => each!(|x, y, z| (x + y) * z),
        (Add, Sub, false) => each!(|x, y, z| (x + y) - z),
        (Add, Sub, true) => each!(|x, y, z| z - (x + y)),
        (Add, Div, false) => each!(|x, y, z| (x + y) / z),
        (Add, Div, true) => each!(|x, y, z| z / (x + y)),
        (Sub, Add, _) => each!(|x, y, z| (x - y) + z),
        (Sub, Mul, _) => each!(|x, y, z| (x - y) * z),
        (Sub, Sub, false) => each!(|x, y, z| (x - y) - z),
        (Sub, Sub, true) => each!(|x, y, z| z - (x - y)),
        (Sub, Div, false) => each!(|x, y, z| (x - y) / z),
        (Sub, Div, true) => each!(|x, y, z| z / (x - y)),
        (Mul, Add, _) => each!(|x, y, z| (x * y) + z),
        (Mul, Mul, _) => each!(|x, y, z| (x * y) * z),
        (Mul, Sub, false) => each!(|x, y, z| (x * y) - z),
        (Mul, Sub, true) => each!(|x, y, z| z - (x * y)),
        (Mul, Div, false) => each!(|x, y, z| (x * y) / z),
        (Mul, Div, true) => each!(|x, y, z| z / (x * y)),
        _ => unreachable!("invariant: no other pairs are made"),
    }
}

/// # Safety
/// As [`each`].
pub(super) unsafe fn select(operands: [Operand; 3], targets: &[*mut f32; RESULTS], n: usize) {
    let choose = |[c, yes, no]: [f32; 3]| [if c != 0.0 { yes } else { no }];
    // SAFETY: passed on from the caller.
    unsafe { each(n, operands, targets, choose) }
}

/// # Safety
/// As [`each`].
pub(super) unsafe fn copy(x: Operand, targets: &[*mut f32; RESULTS], n: usize) {
    // SAFETY: passed on from the caller.
    unsafe { each(n, [x], targets, |x: [f32; 1]| x) }
}
