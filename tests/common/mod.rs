//! What the integration tests share.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

pub mod bounds;
pub mod exact;
pub mod model;

use ironwarp::op::Case;
use ironwarp::random;

/// A reproducible number in `low..high` for element `i` of stream `stream`, at least 0.05 away from
/// integers, where floor, sign and comparisons have their jumps.
pub fn sample(stream: u32, i: usize, (low, high): (f32, f32)) -> f64 {
    let u = random::uniform(7, stream, 0, i as u64);
    let x = f64::from(low + u * (high - low));
    let nearest = x.round();
    let near = (x - nearest).abs() < 0.05;
    if near { nearest + if x < nearest { -0.06 } else { 0.06 } } else { x }
}

/// The inputs of a case, integers included, exact in `f32`.
pub fn inputs(case: &Case, seed: u32) -> Vec<Vec<f64>> {
    filled(case, seed, |stream, i| f64::from(sample(stream, i, case.range) as f32))
}

/// The same with whole numbers in place of floats.
pub fn whole_inputs(case: &Case, seed: u32) -> Vec<Vec<f64>> {
    filled(case, seed, whole)
}

/// A reproducible whole number, −3 to 3, for element `i` of stream `stream`.
pub fn whole(stream: u32, i: usize) -> f64 {
    f64::from(random::word(7, stream, 0, i as u64) % 7) - 3.0
}

fn filled(case: &Case, seed: u32, float: impl Fn(u32, usize) -> f64) -> Vec<Vec<f64>> {
    case.inputs
        .iter()
        .enumerate()
        .map(|(n, ty)| {
            let stream = seed * 100 + n as u32;
            (0..ty.shape.elements(case.rows))
                .map(|i| match case.integers.get(&n) {
                    Some(&end) if !ty.dtype.is_float() => {
                        let u = random::uniform(7, stream, 0, i as u64);
                        f64::from((u * end as f32) as u32)
                    }
                    _ => float(stream, i),
                })
                .collect()
        })
        .collect()
}
