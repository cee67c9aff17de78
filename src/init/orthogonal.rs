//! Random matrices with orthonormal rows or columns.

use super::standard_normal;
use crate::random::PhiloxRng;

/// Orthonormal rows, or columns if they are fewer: normal vectors, each made orthogonal to those
/// before it and scaled to length one.
pub(super) fn orthogonal(shape: &[usize], gain: f64, seed: u64, stream: u32) -> Vec<f32> {
    let rows = shape.first().copied().unwrap_or(1);
    let columns = shape.iter().skip(1).product::<usize>();
    let mut rng = PhiloxRng::new(seed, stream, 0);
    let vectors = orthonormal(rows.min(columns), rows.max(columns), &mut rng);
    let at = |row: usize, column: usize| {
        if rows <= columns { vectors[row][column] } else { vectors[column][row] }
    };
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    places.map(|(row, column)| (gain * at(row, column)) as f32).collect()
}

/// Gram and Schmidt, in blocks, so that all earlier vectors are read once for each block.
fn orthonormal(count: usize, length: usize, rng: &mut PhiloxRng) -> Vec<Vec<f64>> {
    const BLOCK: usize = 8;
    let mut done: Vec<Vec<f64>> = Vec::with_capacity(count);
    while done.len() < count {
        let first = done.len();
        let mut block = vec![vec![0.0; length]; BLOCK.min(count - first)];
        block.iter_mut().flatten().for_each(|x| *x = standard_normal(rng));
        let before: Vec<f64> = block.iter().map(|v| dot(v, v)).collect();
        for other in &done {
            block.iter_mut().for_each(|vector| take_out(vector, other));
        }
        for (mut vector, before) in block.into_iter().zip(before) {
            done[first..].iter().for_each(|other| take_out(&mut vector, other));
            // Rounding errors are large in what little is left; taking them out once is enough.
            if dot(&vector, &vector) < 0.01 * before {
                done.iter().for_each(|other| take_out(&mut vector, other));
            }
            let norm = dot(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|v| *v /= norm);
            done.push(vector);
        }
    }
    done
}

/// Makes a vector orthogonal to another of length one.
fn take_out(vector: &mut [f64], other: &[f64]) {
    let along = dot(other, vector);
    vector.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
}

/// Scalar product, in eight sums so that it vectorises.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}
