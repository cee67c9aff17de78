//! The fast CPU forms: a task takes whole rows.

use std::array::from_fn;

use super::narrow::{CLASSES, Lanes, Narrow, ROWS};
use super::row_shape;
use crate::cpu::{math, simd};
use crate::op::kernel::Shared;
use crate::op::rows::{largest, map, total, total_of_pairs};
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};
use crate::tensor::Shape;

/// What is computed. All forms share the rows of a task and the reading of the target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Loss,
    Gradient,
    /// The sum of the losses times upstream, and the gradient: a task leaves the sum over its rows
    /// in the scratch buffer, and a second phase adds those.
    Both,
}

pub(super) struct Kernel {
    rows: Shape,
    classes: usize,
    smoothing: f32,
    form: Form,
    /// Whether each row has an upstream gradient of its own.
    by_row: bool,
}

/// Logits per task.
const ELEMENTS: usize = 1 << 13;
/// Losses that are summed before they are added to a task's sum: keeps the error small.
const BLOCK: usize = 64;

impl Kernel {
    pub(super) fn new(smoothing: f64, types: &CallTypes, form: Form) -> Self {
        let logits = &types.inputs[0];
        let classes = logits.shape.last().expect("invariant: the number of classes is known");
        let by_row = types.inputs.last().is_some_and(|upstream| upstream.shape.has_rows());
        Kernel { rows: row_shape(logits), classes, smoothing: smoothing as f32, form, by_row }
    }

    fn rows_per_task(&self) -> usize {
        (ELEMENTS / self.classes).max(1)
    }

    /// Tasks of the first phase.
    fn row_tasks(&self, rows: usize) -> usize {
        self.rows.elements(rows).div_ceil(self.rows_per_task())
    }
}

impl CpuKernel for Kernel {
    fn phases(&self, _live: &Live) -> usize {
        if self.form == Form::Both { 2 } else { 1 }
    }

    fn tasks(&self, phase: usize, live: &Live) -> usize {
        if phase == 0 { self.row_tasks(live.rows) } else { 1 }
    }

    fn scratch(&self, rows: usize) -> usize {
        if self.form == Form::Both { self.row_tasks(rows) } else { 0 }
    }

    fn split(&self, phase: usize, operand: Operand, _live: &Live) -> Split {
        let rows = self.rows_per_task();
        match (self.form, phase, operand) {
            (Form::Loss, _, Operand::Output(_)) => Split::Chunks(rows),
            (Form::Gradient, _, Operand::Output(_)) | (Form::Both, 0, Operand::Output(1)) => {
                Split::Chunks(rows * self.classes)
            }
            (Form::Both, 0, Operand::Scratch) | (Form::Both, 1, Operand::Output(0)) => {
                Split::Chunks(1)
            }
            _ => Split::Read,
        }
    }

    fn run(&self, phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let first = task * self.rows_per_task();
        match (self.form, phase) {
            (Form::Loss, _) => simd::dispatch(Losses { kernel: self, first, io }),
            (Form::Gradient, _) => simd::dispatch(Gradients { kernel: self, first, io }),
            (Form::Both, 0) => simd::dispatch(Both { kernel: self, first, io }),
            (Form::Both, _) => {
                let parts = &io.written_scratch()[..self.row_tasks(live.rows)];
                io.output(0)[0] = total(parts, |x| x);
            }
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

impl Target<'_> {
    /// The loss of a row of logits.
    #[inline(always)]
    fn loss(&self, x: &[f32], lse: f32) -> f32 {
        let chosen = match self.row {
            Shared::U32(label) => x.get(label[0] as usize).map_or(f32::NAN, |x| lse - x),
            Shared::F32(t) => total_of_pairs(t, x, |t, x| t * (lse - x)),
        };
        let loss = self.keep * chosen;
        if self.rest > 0.0 { loss + self.rest * total(x, |x| lse - x) } else { loss }
    }

    /// What the chosen class has less of in the gradient.
    #[inline(always)]
    fn subtract(&self, label: u32, upstream: f32, out: &mut [f32]) {
        match out.get_mut(label as usize) {
            Some(o) => *o -= upstream * self.keep,
            None => out.fill(f32::NAN),
        }
    }

    /// The gradient of a row of logits.
    #[inline(always)]
    fn gradient(&self, x: &[f32], lse: f32, upstream: f32, out: &mut [f32]) {
        let Target { keep, rest, .. } = *self;
        match self.row {
            Shared::U32(label) => {
                map(x, out, |x| upstream * (math::exp(x - lse) - rest));
                self.subtract(label[0], upstream, out);
            }
            Shared::F32(t) => {
                let mass = keep * total(t, |t| t) + rest * x.len() as f32;
                for ((o, &x), &t) in out.iter_mut().zip(x).zip(t) {
                    *o = upstream * (math::exp(x - lse) * mass - (keep * t + rest));
                }
            }
        }
    }
}

struct Losses<'a, 'b> {
    kernel: &'a Kernel,
    first: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for Losses<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Losses { kernel, first, io } = self;
        let (logits, targets) = (io.input(0), io.input_any(1));
        let (losses, sums) = (io.output(0), io.output(1));
        for (i, (loss, sum)) in losses.iter_mut().zip(sums).enumerate() {
            let x = &logits[(first + i) * kernel.classes..][..kernel.classes];
            *sum = row_log_sum_exp(x);
            *loss = Target::new(kernel, targets, first + i).loss(x, *sum);
        }
    }
}

struct Gradients<'a, 'b> {
    kernel: &'a Kernel,
    first: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for Gradients<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Gradients { kernel, first, io } = self;
        let classes = kernel.classes;
        let (logits, targets, sums, upstream) =
            (io.input(0), io.input_any(1), io.input(2), io.input(3));
        for (i, out) in io.output(0).chunks_mut(classes).enumerate() {
            let row = first + i;
            let x = &logits[row * classes..][..classes];
            Target::new(kernel, targets, row).gradient(x, sums[row], upstream[row], out);
        }
    }
}

struct Both<'a, 'b> {
    kernel: &'a Kernel,
    first: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for Both<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Both { kernel, first, io } = self;
        let classes = kernel.classes;
        let (logits, targets, upstream) = (io.input(0), io.input_any(1), io.input(2));
        let labels = match targets {
            Shared::U32(labels) if classes <= CLASSES => Some(labels),
            _ => None,
        };
        let (mut sum, mut part) = (0.0, 0.0);
        for (block, out) in io.output(1).chunks_mut(ROWS * classes).enumerate() {
            let first = first + block * ROWS;
            let (x, rows) = (&logits[first * classes..][..out.len()], out.len() / classes);
            let last = first + rows - 1;
            let upstream: Lanes =
                from_fn(|i| upstream[if kernel.by_row { last.min(first + i) } else { 0 }]);
            let narrow = labels.map(|labels| (Narrow::new(x, classes), labels));
            let lse = match &narrow {
                Some((narrow, _)) => narrow.log_sum_exps(),
                None => from_fn(|i| x.chunks(classes).nth(i).map_or(0.0, row_log_sum_exp)),
            };
            let target = |i| Target::new(kernel, targets, first + i);
            for (i, x) in x.chunks(classes).enumerate() {
                part += upstream[i] * target(i).loss(x, lse[i]);
            }
            if block % (BLOCK / ROWS) == BLOCK / ROWS - 1 {
                sum += std::mem::take(&mut part);
            }
            if let Some((narrow, _)) = &narrow {
                narrow.gradients(&lse, &upstream, target(0).rest, out);
            }
            for (i, (x, out)) in x.chunks(classes).zip(out.chunks_mut(classes)).enumerate() {
                match narrow {
                    Some((_, labels)) => target(i).subtract(labels[first + i], upstream[i], out),
                    None => target(i).gradient(x, lse[i], upstream[i], out),
                }
            }
        }
        io.scratch()[0] = sum + part;
    }
}

#[inline(always)]
fn row_log_sum_exp(x: &[f32]) -> f32 {
    let largest = largest(x);
    largest + math::log(total(x, |x| math::exp(x - largest)))
}
