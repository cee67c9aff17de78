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
                y.iter_mut().zip(weight).for_each(|(y, w)| *y *= w);
            }
            if let Some(bias) = bias {
                y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
            }
        }
    }
}

/// The fast form of a norm's gradient.
pub(in crate::op) struct Backward {
    rows: Rows,
    centred: bool,
    weighted: bool,
}

impl Backward {
    pub(in crate::op) fn new(types: &CallTypes, axes: usize, centred: bool) -> Self {
        let weighted = types.inputs.len() > 3 + usize::from(centred);
        Backward { rows: Rows::new(&types.inputs[0], axes), centred, weighted }
    }
}

impl CpuKernel for Backward {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.rows.tasks(live)
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        self.rows.chunks(self.rows.width)
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        simd::dispatch(BackwardTask { kernel: self, task, io });
    }
}

struct BackwardTask<'a, 'b> {
    kernel: &'a Backward,
    task: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for BackwardTask<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let BackwardTask { kernel, task, io } = self;
        let (width, at) = (kernel.rows.width, 1 + usize::from(kernel.centred));
        let first = task * kernel.rows.per_task();
        let (x, reciprocals, upstream) = (io.input(0), io.input(at), io.input(at + 1));
        let means = kernel.centred.then(|| io.input(1));
        let weight = kernel.weighted.then(|| io.input(at + 2));
        for (i, h) in io.output(0).chunks_mut(width).enumerate() {
            let row = first + i;
            let (x, g) = (&x[row * width..][..width], &upstream[row * width..][..width]);
            let (mean, reciprocal) = (means.map_or(0.0, |m| m[row]), reciprocals[row]);
            // The output holds g · weight until its means are known.
            h.copy_from_slice(g);
            if let Some(weight) = weight {
                h.iter_mut().zip(weight).for_each(|(h, w)| *h *= w);
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
