//! What the integration tests share.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

pub mod bounds;
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
                    _ => f64::from(sample(stream, i, case.range) as f32),
                })
                .collect()
        })
        .collect()
}
