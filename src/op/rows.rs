//! What the ops over the last dimensions share: how rows are cut into tasks, and sums over a row in
//! a fixed order.

use super::{Live, Split};
use crate::tensor::{Shape, TensorType};

/// Elements per task, unless a row is longer.
const ELEMENTS: usize = 1 << 13;
const LANES: usize = 16;

/// A buffer as rows of `width` elements; a task takes whole rows.
pub(super) struct Rows {
    rows: Shape,
    /// Elements of a row.
    pub(super) width: usize,
}

impl Rows {
    /// Rows over the last `axes` dimensions, whose sizes are known.
    pub(super) fn new(ty: &TensorType, axes: usize) -> Self {
        let (rows, last) = ty.shape.dims().split_at(ty.shape.rank() - axes);
        let width = last.iter().map(|d| d.size(1)).product();
        Rows { rows: Shape(rows.to_vec()), width }
    }

    /// Rows of a task.
    pub(super) fn per_task(&self) -> usize {
        (ELEMENTS / self.width).max(1)
    }

    /// Number of tasks.
    pub(super) fn tasks(&self, live: &Live) -> usize {
        self.rows.elements(live.rows).div_ceil(self.per_task())
    }

    /// The split of an output with `width` elements a row.
    pub(super) fn chunks(&self, width: usize) -> Split {
        Split::Chunks(self.per_task() * width)
    }
}

/// Folds 16 lanes as a tree.
#[inline(always)]
fn tree(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
    }
    lanes[0]
}

/// `Σ f(x)` over a row: 16 lanes, then a tree.
#[inline(always)]
pub(super) fn total(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (groups, tail) = x.as_chunks::<LANES>();
    for group in groups {
        for (lane, &x) in lanes.iter_mut().zip(group) {
            *lane += f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane += f(x);
    }
    tree(lanes, |a, b| a + b)
}

/// `Σ f(x, y)` over two rows of one length, in the same order.
#[inline(always)]
pub(super) fn total_of_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((xs, x_tail), (ys, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (xs, ys) in xs.iter().zip(ys) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(xs).zip(ys) {
            *lane += f(x, y);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_tail).zip(y_tail) {
        *lane += f(x, y);
    }
    tree(lanes, |a, b| a + b)
}

/// The largest element that is a number; minus infinity if there is none.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (groups, tail) = x.as_chunks::<LANES>();
    for group in groups {
        for (lane, &x) in lanes.iter_mut().zip(group) {
            *lane = larger(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane = larger(*lane, x);
    }
    tree(lanes, larger)
}
