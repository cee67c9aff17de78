//! One loop per node of a program, over one chunk: what the compiler vectorises.

use crate::cpu::math;
use crate::op::expression::{Binary, Unary};

/// A value of one chunk.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Slice(&'a [f32]),
    Scalar(f32),
}

#[inline(always)]
pub(super) fn copy(x: Value<'_>, out: &mut [f32]) {
    match x {
        Value::Slice(x) => out.copy_from_slice(x),
        Value::Scalar(x) => out.fill(x),
    }
}

#[inline(always)]
pub(super) fn unary(op: Unary, x: Value<'_>, out: &mut [f32]) {
    macro_rules! each {
        ($f:expr) => {
            match x {
                Value::Slice(x) => {
                    for (o, &x) in out.iter_mut().zip(x) {
                        *o = $f(x);
                    }
                }
                Value::Scalar(x) => out.fill($f(x)),
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
pub(super) fn binary(op: Binary, x: Value<'_>, y: Value<'_>, out: &mut [f32]) {
    macro_rules! each {
        ($f:expr) => {
            match (x, y) {
                (Value::Slice(x), Value::Slice(y)) => {
                    for ((o, &x), &y) in out.iter_mut().zip(x).zip(y) {
                        *o = $f(x, y);
                    }
                }
                (Value::Slice(x), Value::Scalar(y)) => {
                    for (o, &x) in out.iter_mut().zip(x) {
                        *o = $f(x, y);
                    }
                }
                (Value::Scalar(x), Value::Slice(y)) => {
                    for (o, &y) in out.iter_mut().zip(y) {
                        *o = $f(x, y);
                    }
                }
                (Value::Scalar(x), Value::Scalar(y)) => out.fill($f(x, y)),
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

#[inline(always)]
pub(super) fn add_to(x: Value<'_>, out: &mut [f32]) {
    match x {
        Value::Slice(x) => out.iter_mut().zip(x).for_each(|(o, x)| *o += x),
        Value::Scalar(x) => out.iter_mut().for_each(|o| *o += x),
    }
}

#[inline(always)]
pub(super) fn subtract_from(x: Value<'_>, out: &mut [f32]) {
    match x {
        Value::Slice(x) => out.iter_mut().zip(x).for_each(|(o, x)| *o -= x),
        Value::Scalar(x) => out.iter_mut().for_each(|o| *o -= x),
    }
}

#[inline(always)]
pub(super) fn select(condition: Value<'_>, yes: Value<'_>, no: Value<'_>, out: &mut [f32]) {
    let condition = match condition {
        Value::Slice(condition) => condition,
        Value::Scalar(condition) => return copy(if condition != 0.0 { yes } else { no }, out),
    };
    macro_rules! each {
        ($a:expr, $b:expr) => {
            for (i, (o, &c)) in out.iter_mut().zip(condition).enumerate() {
                *o = if c != 0.0 { $a(i) } else { $b(i) };
            }
        };
    }
    let n = out.len();
    match (yes, no) {
        (Value::Slice(a), Value::Slice(b)) => {
            let (a, b) = (&a[..n], &b[..n]);
            each!(|i: usize| a[i], |i: usize| b[i]);
        }
        (Value::Slice(a), Value::Scalar(b)) => {
            let a = &a[..n];
            each!(|i: usize| a[i], |_| b);
        }
        (Value::Scalar(a), Value::Slice(b)) => {
            let b = &b[..n];
            each!(|_| a, |i: usize| b[i]);
        }
        (Value::Scalar(a), Value::Scalar(b)) => each!(|_| a, |_| b),
    }
}
