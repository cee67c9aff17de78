//! Rows of few classes, sixteen at a time, a row a lane. One after the other they would leave most of
//! each vector empty. What is computed, and in what order, is the same as for a row alone.

use crate::cpu::math;

/// Rows at a time.
pub(super) const ROWS: usize = 16;
/// Most classes.
pub(super) const CLASSES: usize = 16;

pub(super) type Lanes = [f32; ROWS];

/// Logits of some rows, class by class.
pub(super) struct Narrow {
    classes: usize,
    logits: [Lanes; CLASSES],
}

impl Narrow {
    /// Up to sixteen rows; further lanes repeat the first.
    #[inline(always)]
    pub(super) fn new(rows: &[f32], classes: usize) -> Self {
        let (count, mut logits) = (rows.len() / classes, [[0.0; ROWS]; CLASSES]);
        for lane in 0..ROWS {
            let row = &rows[if lane < count { lane * classes } else { 0 }..][..classes];
            for (lanes, &x) in logits.iter_mut().zip(row) {
                lanes[lane] = x;
            }
        }
        Narrow { classes, logits }
    }

    fn classes(&self) -> &[Lanes] {
        &self.logits[..self.classes]
    }

    /// `log Σ exp(x)` of every row; the sum is a tree over the classes.
    #[inline(always)]
    pub(super) fn log_sum_exps(&self) -> Lanes {
        let mut largest = [f32::NEG_INFINITY; ROWS];
        for x in self.classes() {
            for (largest, &x) in largest.iter_mut().zip(x) {
                *largest = if x > *largest { x } else { *largest };
            }
        }
        let mut terms = [[0.0; ROWS]; CLASSES];
        for (terms, x) in terms.iter_mut().zip(self.classes()) {
            *terms = std::array::from_fn(|i| math::exp(x[i] - largest[i]));
        }
        let mut width = CLASSES;
        while width > 1 {
            width /= 2;
            let (low, high) = terms.split_at_mut(width);
            for (low, high) in low.iter_mut().zip(high) {
                for (low, high) in low.iter_mut().zip(high) {
                    *low += *high;
                }
            }
        }
        std::array::from_fn(|i| largest[i] + math::log(terms[0][i]))
    }

    /// `upstream (exp(x - lse) - rest)` of every row of `out`.
    #[inline(always)]
    pub(super) fn gradients(&self, lse: &Lanes, upstream: &Lanes, rest: f32, out: &mut [f32]) {
        let mut results = [[0.0; ROWS]; CLASSES];
        for (results, x) in results.iter_mut().zip(self.classes()) {
            *results = std::array::from_fn(|i| upstream[i] * (math::exp(x[i] - lse[i]) - rest));
        }
        for (lane, row) in out.chunks_exact_mut(self.classes).enumerate() {
            for (o, results) in row.iter_mut().zip(&results) {
                *o = results[lane];
            }
        }
    }
}
