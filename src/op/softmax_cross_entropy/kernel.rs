//! The fast CPU forms of both directions: a task takes whole rows.

use super::row_shape;
use crate::cpu::{math, simd};
use crate::op::kernel::Shared;
use crate::op::rows::{largest, total, total_of_pairs};
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};
use crate::tensor::Shape;

/// Both directions: they share the rows of a task and the reading of the target.
pub(super) struct Kernel {
    rows: Shape,
    classes: usize,
    smoothing: f32,
    gradient: bool,
}

/// Logits per task.
const ELEMENTS: usize = 1 << 13;

impl Kernel {
    pub(super) fn new(smoothing: f64, types: &CallTypes, gradient: bool) -> Self {
        let logits = &types.inputs[0];
        let classes = logits.shape.last().expect("invariant: the number of classes is known");
        Kernel { rows: row_shape(logits), classes, smoothing: smoothing as f32, gradient }
    }

    fn rows_per_task(&self) -> usize {
        (ELEMENTS / self.classes).max(1)
    }
}

impl CpuKernel for Kernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.rows.elements(live.rows).div_ceil(self.rows_per_task())
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(self.rows_per_task() * if self.gradient { self.classes } else { 1 })
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        let first = task * self.rows_per_task();
        match self.gradient {
            false => simd::dispatch(Forward { kernel: self, first, io }),
            true => simd::dispatch(Backward { kernel: self, first, io }),
        }
    }
}

/// `Σ t`, and the `t` of one class, of one row's smoothed target.
struct Target<'a> {
    row: Shared<'a>,
    keep: f32,
    rest: f32,
}

impl<'a> Target<'a> {
    #[inline(always)]
    fn new(kernel: &Kernel, all: Shared<'a>, row: usize) -> Self {
        let classes = kernel.classes;
        let row = match all {
            Shared::F32(t) => Shared::F32(&t[row * classes..][..classes]),
            Shared::U32(t) => Shared::U32(&t[row..row + 1]),
        };
        Target { row, keep: 1.0 - kernel.smoothing, rest: kernel.smoothing / classes as f32 }
    }
}

struct Forward<'a, 'b> {
    kernel: &'a Kernel,
    first: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for Forward<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Forward { kernel, first, io } = self;
        let (logits, targets) = (io.input(0), io.input_any(1));
        let (losses, sums) = (io.output(0), io.output(1));
        for (i, (loss, sum)) in losses.iter_mut().zip(sums).enumerate() {
            let x = &logits[(first + i) * kernel.classes..][..kernel.classes];
            let lse = row_log_sum_exp(x);
            let target = Target::new(kernel, targets, first + i);
            let chosen = match target.row {
                Shared::U32(label) => x.get(label[0] as usize).map_or(f32::NAN, |x| lse - x),
                Shared::F32(t) => total_of_pairs(t, x, |t, x| t * (lse - x)),
            };
            *loss = target.keep * chosen;
            if target.rest > 0.0 {
                *loss += target.rest * total(x, |x| lse - x);
            }
            *sum = lse;
        }
    }
}

struct Backward<'a, 'b> {
    kernel: &'a Kernel,
    first: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for Backward<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Backward { kernel, first, io } = self;
        let classes = kernel.classes;
        let (logits, targets, sums, upstream) =
            (io.input(0), io.input_any(1), io.input(2), io.input(3));
        for (i, out) in io.output(0).chunks_mut(classes).enumerate() {
            let row = first + i;
            let x = &logits[row * classes..][..classes];
            let (lse, scale) = (sums[row], upstream[row]);
            let target = Target::new(kernel, targets, row);
            let Target { keep, rest, .. } = target;
            match target.row {
                Shared::U32(label) => {
                    for (o, &x) in out.iter_mut().zip(x) {
                        *o = scale * (math::exp(x - lse) - rest);
                    }
                    match out.get_mut(label[0] as usize) {
                        Some(o) => *o -= scale * keep,
                        None => out.fill(f32::NAN),
                    }
                }
                Shared::F32(t) => {
                    let mass = keep * total(t, |t| t) + rest * classes as f32;
                    for ((o, &x), &t) in out.iter_mut().zip(x).zip(t) {
                        *o = scale * (math::exp(x - lse) * mass - (keep * t + rest));
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn row_log_sum_exp(x: &[f32]) -> f32 {
    let largest = largest(x);
    largest + math::log(total(x, |x| math::exp(x - largest)))
}
