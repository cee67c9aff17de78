//! What the ops over the last dimensions share: how rows are cut into tasks, and sums over a row in
//! a fixed order.

use super::launch::{Argument, Kernel, Launch, Launches, Target, is_wide};
use super::{CallTypes, Live, Split};
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
        self.count(live.rows).div_ceil(self.per_task())
    }

    /// Rows in use.
    pub(super) fn count(&self, rows: usize) -> usize {
        self.rows.elements(rows)
    }

    /// The split of an output with `width` elements a row.
    pub(super) fn chunks(&self, width: usize) -> Split {
        Split::Chunks(self.per_task() * width)
    }
}

/// A CUDA form in which teams of threads take rows, on `kernels/rows.cuh`.
pub(super) struct RowLaunch {
    /// The kernel, with its own constants.
    pub(super) kernel: Kernel,
    /// Name of the entry in it.
    pub(super) entry: &'static str,
    /// Arrays whose rows a thread holds its part of.
    pub(super) arrays: usize,
    /// What it is given after the control block.
    pub(super) arguments: Vec<Argument>,
}

impl RowLaunch {
    /// Most elements, of all arrays together, that a thread of a block holds: each of 512 threads has
    /// 128 registers.
    const HELD: usize = 40;
    /// The same where a team lies in a warp: two arrays whole.
    const HELD_IN_WARP: usize = 64;
    /// Threads of a block of several teams.
    const THREADS: usize = 128;

    /// The launch over `rows`. Up to 1024 elements a team lies in a warp, with at least four elements
    /// a thread; a longer row has a block, with about 16 elements a thread.
    pub(super) fn over(
        self,
        rows: &Rows,
        types: &CallTypes,
        capacity: usize,
        target: &Target,
    ) -> Launches {
        let team = match rows.width {
            0..=1024 => rows.width.div_ceil(4).next_power_of_two().min(32),
            _ => (rows.width * self.arrays).div_ceil(16).next_power_of_two().min(512),
        };
        let keep = if team <= 32 { Self::HELD_IN_WARP } else { Self::HELD };
        let threads = team.max(Self::THREADS) as u32;
        let all = types.inputs.iter().chain(&types.outputs).map(|t| &t.shape);
        let kernel = self.kernel.constant("WIDE", u32::from(is_wide(all, capacity)));
        let kernel = kernel.size("ROWS", &rows.rows).constant("WIDTH", rows.width);
        Launches::one(Launch {
            kernel: kernel.constant("TEAM", team).constant("KEEP", keep),
            entry: self.entry,
            grid: [target.blocks(rows.count(capacity) * team, threads), 1, 1],
            threads,
            shared: 0,
            arguments: [vec![Argument::Live], self.arguments].concat(),
        })
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

/// What is left of a row, as a whole group: the other lanes repeat its first element. Loops over it
/// are those over any group.
#[inline(always)]
fn padded(tail: &[f32]) -> [f32; LANES] {
    let mut group = [tail.first().copied().unwrap_or(0.0); LANES];
    group[..tail.len()].copy_from_slice(tail);
    group
}

/// `y = f(x)` over a row.
#[inline(always)]
pub(super) fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    let ((xs, x_tail), (ys, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        *y = each(x, &f);
    }
    if !x_tail.is_empty() {
        let results = each(&padded(x_tail), f);
        y_tail.copy_from_slice(&results[..y_tail.len()]);
    }
}

#[inline(always)]
fn each(x: &[f32; LANES], f: impl Fn(f32) -> f32) -> [f32; LANES] {
    let mut y = [0.0; LANES];
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
    y
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
    if !tail.is_empty() {
        let last = each(&padded(tail), f);
        for (i, (lane, last)) in lanes.iter_mut().zip(last).enumerate() {
            *lane = if i < tail.len() { *lane + last } else { *lane };
        }
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
    if !x_tail.is_empty() {
        let (xs, ys) = (padded(x_tail), padded(y_tail));
        for (i, lane) in lanes.iter_mut().enumerate() {
            let last = f(xs[i], ys[i]);
            *lane = if i < x_tail.len() { *lane + last } else { *lane };
        }
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
    if !tail.is_empty() {
        for (lane, x) in lanes.iter_mut().zip(padded(tail)) {
            *lane = larger(*lane, x);
        }
    }
    tree(lanes, larger)
}
