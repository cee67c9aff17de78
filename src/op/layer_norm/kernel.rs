//! The fast CPU forms of layer norm and root mean square norm: a task takes whole rows.

use crate::cpu::simd;
use crate::op::rows::{Rows, total, total_of_pairs};
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};

/// The fast form of a norm; outputs: y, mean if centred, reciprocal deviation.
pub(in crate::op) struct Forward {
    rows: Rows,
    epsilon: f32,
    centred: bool,
    parameters: usize,
}

impl Forward {
    pub(in crate::op) fn new(types: &CallTypes, axes: usize, epsilon: f64, centred: bool) -> Self {
        let rows = Rows::new(&types.inputs[0], axes);
        Forward { rows, epsilon: epsilon as f32, centred, parameters: types.inputs.len() - 1 }
    }
}

impl CpuKernel for Forward {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.rows.tasks(live)
    }

    fn split(&self, _phase: usize, operand: Operand, _live: &Live) -> Split {
        self.rows.chunks(if operand == Operand::Output(0) { self.rows.width } else { 1 })
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        simd::dispatch(ForwardTask { kernel: self, task, io });
    }
}

struct ForwardTask<'a, 'b> {
    kernel: &'a Forward,
    task: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for ForwardTask<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let ForwardTask { kernel, task, io } = self;
        let width = kernel.rows.width;
        let weight = (kernel.parameters > 0).then(|| io.input(1));
        let bias = (kernel.parameters > 1).then(|| io.input(2));
        let target = io.output(0);
        let mut means = kernel.centred.then(|| io.output(1));
        let reciprocals = io.output(1 + usize::from(kernel.centred));
        let x = &io.input(0)[task * kernel.rows.per_task() * width..][..target.len()];
        for (row, (x, y)) in x.chunks(width).zip(target.chunks_mut(width)).enumerate() {
            let count = width as f32;
            let mean = match &mut means {
                Some(means) => {
                    means[row] = total(x, |x| x) / count;
                    means[row]
                }
                None => 0.0,
            };
            let variance = total(x, |x| (x - mean) * (x - mean)) / count;
            let reciprocal = 1.0 / (variance + kernel.epsilon).sqrt();
            reciprocals[row] = reciprocal;
            for (y, &x) in y.iter_mut().zip(x) {
                *y = (x - mean) * reciprocal;
            }
            if let Some(weight) = weight {
                for (y, &w) in y.iter_mut().zip(weight) {
                    *y *= w;
                }
            }
            if let Some(bias) = bias {
                for (y, &b) in y.iter_mut().zip(bias) {
                    *y += b;
                }
            }
        }
    }
}

/// The fast form of a norm's gradients. Each task leaves its sums of the parameters' gradients in
/// scratch, one after the other; a second phase adds them up.
pub(in crate::op) struct Backward {
    rows: Rows,
    centred: bool,
    weighted: bool,
    /// Parameters whose gradients are outputs.
    parameters: usize,
}

/// Most tasks where each has sums of its own: enough for eight threads.
const TASKS: usize = 16;
/// Columns of a task of the second phase.
const COLUMNS: usize = 256;

impl Backward {
    pub(in crate::op) fn new(types: &CallTypes, axes: usize, centred: bool) -> Self {
        let weighted = types.inputs.len() > 3 + usize::from(centred);
        let parameters = types.outputs.len() - 1;
        Backward { rows: Rows::new(&types.inputs[0], axes), centred, weighted, parameters }
    }

    /// Rows of a task of the first phase.
    fn per_task(&self, rows: usize) -> usize {
        match self.parameters {
            0 => self.rows.per_task(),
            _ => self.rows.per_task().max(self.rows.count(rows).div_ceil(TASKS)),
        }
    }

    fn row_tasks(&self, rows: usize) -> usize {
        self.rows.count(rows).div_ceil(self.per_task(rows))
    }

    /// Sums that a task leaves.
    fn sums(&self) -> usize {
        self.parameters * self.rows.width
    }
}

impl CpuKernel for Backward {
    fn phases(&self, _live: &Live) -> usize {
        1 + usize::from(self.parameters > 0)
    }

    fn tasks(&self, phase: usize, live: &Live) -> usize {
        match phase {
            0 => self.row_tasks(live.rows),
            _ => self.rows.width.div_ceil(COLUMNS),
        }
    }

    fn split(&self, phase: usize, operand: Operand, live: &Live) -> Split {
        match (phase, operand) {
            (0, Operand::Output(0)) => Split::Chunks(self.per_task(live.rows) * self.rows.width),
            (0, Operand::Scratch) => Split::Chunks(self.sums()),
            (1.., Operand::Output(1..)) => Split::Chunks(COLUMNS),
            _ => Split::Read,
        }
    }

    fn scratch(&self, rows: usize) -> usize {
        // As many as `row_tasks`, or more: of 121 rows there may be more tasks than of 129.
        self.sums() * self.rows.count(rows).div_ceil(self.rows.per_task()).min(TASKS)
    }

    fn run(&self, phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        if phase == 0 {
            let first = task * self.per_task(live.rows);
            return simd::dispatch(BackwardTask { kernel: self, first, io });
        }
        let parts = io.written_scratch();
        for parameter in 0..self.parameters {
            let target = io.output(1 + parameter);
            let first = parameter * self.rows.width + task * COLUMNS;
            target.fill(0.0);
            for part in parts.chunks(self.sums()).take(self.row_tasks(live.rows)) {
                for (total, sum) in target.iter_mut().zip(&part[first..]) {
                    *total += sum;
                }
            }
        }
    }
}

struct BackwardTask<'a, 'b> {
    kernel: &'a Backward,
    first: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for BackwardTask<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let BackwardTask { kernel, first, io } = self;
        let (width, at) = (kernel.rows.width, 1 + usize::from(kernel.centred));
        let (x, reciprocals, upstream) = (io.input(0), io.input(at), io.input(at + 1));
        let means = kernel.centred.then(|| io.input(1));
        let weight = kernel.weighted.then(|| io.input(at + 2));
        let sums = if kernel.parameters > 0 { io.scratch() } else { &mut [] };
        sums.fill(0.0);
        let (dweight, dbias) = sums.split_at_mut(width.min(sums.len()));
        for (i, h) in io.output(0).chunks_mut(width).enumerate() {
            let row = first + i;
            let (x, g) = (&x[row * width..][..width], &upstream[row * width..][..width]);
            let (mean, reciprocal) = (means.map_or(0.0, |m| m[row]), reciprocals[row]);
            for ((sum, &x), &g) in dweight.iter_mut().zip(x).zip(g) {
                *sum += g * ((x - mean) * reciprocal);
            }
            for (sum, &g) in dbias.iter_mut().zip(g) {
                *sum += g;
            }
            // The output holds g · weight until its means are known.
            h.copy_from_slice(g);
            if let Some(weight) = weight {
                for (h, &w) in h.iter_mut().zip(weight) {
                    *h *= w;
                }
            }
            let count = width as f32;
            let offset = if kernel.centred { total(h, |h| h) / count } else { 0.0 };
            let slope = total_of_pairs(h, x, |h, x| h * ((x - mean) * reciprocal)) / count;
            for (h, &x) in h.iter_mut().zip(x) {
                *h = reciprocal * (*h - offset - (x - mean) * reciprocal * slope);
            }
        }
    }
}
