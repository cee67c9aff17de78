//! One loop per node of a program, over one chunk: what the compiler vectorises.

use crate::cpu::math;
use crate::op::expression::{Binary, Unary};

const LANES: usize = 16;

#[inline(always)]
pub(super) fn unary(op: Unary, x: &[f32], out: &mut [f32]) {
    macro_rules! each {
        ($f:expr) => {
            for (o, &x) in out.iter_mut().zip(x) {
                *o = $f(x);
            }
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
        Unary::Exp => each!(math::exp),
        Unary::Expm1 => each!(math::expm1),
        Unary::Log => each!(math::log),
        Unary::Log1p => each!(math::log1p),
        Unary::Sqrt => each!(f32::sqrt),
        Unary::Sigmoid => each!(math::sigmoid),
        Unary::Tanh => each!(math::tanh),
        Unary::Erf => each!(math::erf),
        Unary::Sin => each!(math::sin),
        Unary::Cos => each!(math::cos),
    }
}

#[inline(always)]
pub(super) fn binary(op: Binary, x: &[f32], y: &[f32], out: &mut [f32]) {
    macro_rules! each {
        ($f:expr) => {
            for ((o, &x), &y) in out.iter_mut().zip(x).zip(y) {
                *o = $f(x, y);
            }
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

/// `second(first(x, y), z)`, each rounded for itself.
#[inline(always)]
pub(super) fn pair(first: Binary, second: Binary, [x, y, z]: [&[f32]; 3], out: &mut [f32]) {
    macro_rules! each {
        ($first:tt $second:tt) => {
            for (((o, &x), &y), &z) in out.iter_mut().zip(x).zip(y).zip(z) {
                *o = (x $first y) $second z;
            }
        };
    }
    use Binary::{Add, Div, Mul, Sub};
    match (first, second) {
        (Add, Add) => each!(+ +),
        (Add, Sub) => each!(+ -),
        (Add, Mul) => each!(+ *),
        (Add, Div) => each!(+ /),
        (Sub, Add) => each!(- +),
        (Sub, Sub) => each!(- -),
        (Sub, Mul) => each!(- *),
        (Sub, Div) => each!(- /),
        (Mul, Add) => each!(* +),
        (Mul, Sub) => each!(* -),
        (Mul, Mul) => each!(* *),
        (Mul, Div) => each!(* /),
        _ => unreachable!("invariant: no other pairs are made"),
    }
}

#[inline(always)]
pub(super) fn add_to(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o += x);
}

#[inline(always)]
pub(super) fn subtract_from(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o -= x);
}

/// From copies: left to itself the compiler chooses the place that it loads from, and gathers.
#[inline(always)]
pub(super) fn select(condition: &[f32], yes: &[f32], no: &[f32], out: &mut [f32]) {
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    let (condition, condition_rest) = condition.as_chunks::<LANES>();
    let ((yes, yes_rest), (no, no_rest)) = (yes.as_chunks(), no.as_chunks());
    for (((out, c), &a), &b) in out.iter_mut().zip(condition).zip(yes).zip(no) {
        *out = choose(c, a, b);
    }
    for (((o, &c), &a), &b) in out_rest.iter_mut().zip(condition_rest).zip(yes_rest).zip(no_rest) {
        [*o] = choose(&[c], [a], [b]);
    }
}

#[inline(always)]
fn choose<const N: usize>(condition: &[f32; N], yes: [f32; N], no: [f32; N]) -> [f32; N] {
    std::array::from_fn(|i| if condition[i] != 0.0 { yes[i] } else { no[i] })
}
