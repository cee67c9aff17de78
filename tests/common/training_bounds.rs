//! Bounds of what training may differ by, derived from the operation; the ops have theirs in
//! `bounds.rs`.

/// Unit roundoff of `f32`.
pub(crate) const U: f64 = 5.960_464_477_539_063e-8;

/// So many roundings of numbers as large as `magnitude`.
pub(crate) fn roundings(count: usize, magnitude: f64) -> f64 {
    count as f64 * U * magnitude
}

/// One update of a parameter `p` by `rate` times a gradient that is a sum over `rows` rows, in two
/// orders of summation: each order is off by `rows u Σ|share|`, the shares themselves by less than
/// 16 roundings, and the update rounds `p` once in both.
pub(crate) fn reordered(rows: usize, shares: f64, rate: f64, p: f64) -> f64 {
    2.0 * rate * roundings(rows + 16, shares) + roundings(2, p.abs())
}

/// Where gradient descent on least squares stands still: the computed gradient, a sum of `rows`
/// shares, is off by `rows u Σ|share|`, and an update below half a unit of `p` is lost. The distance
/// to the solution is at most that over the smallest eigenvalue of the Hessian.
pub(crate) fn least_squares(rows: usize, shares: f64, rate: f64, p: f64, eigenvalue: f64) -> f64 {
    (roundings(rows + 16, shares) + roundings(1, p.abs()) / rate) / eigenvalue
}

/// A whole run in single precision, whose roundings the steps after them amplify: `once` is how far
/// the reference strays that rounds every result once, where it is stored. Inside a step, sums of
/// up to `terms` products and elementary functions round `terms + 8` times at most.
pub(crate) fn whole_run(once: f64, terms: usize) -> f64 {
    once * (terms + 8) as f64
}
