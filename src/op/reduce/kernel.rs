//! The fast CPU form: one loop per row, or per block of columns, vectorised.

use super::{Reduce, Reduction};
use crate::cpu::simd;
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};
use crate::tensor::{Dim, Shape};

/// The input as `[outer, reduced, inner]`.
///
/// Long rows (`inner` = 1) are cut into parts of `ELEMENTS`; their partial results stand in the
/// scratch buffer, and a second phase joins them.
pub(in crate::op) struct ReduceKernel {
    reduction: Reduction,
    reduced: Shape,
    inner: usize,
    outputs: Shape,
    /// Which output of the step it writes.
    output: usize,
}

/// Outputs per task when the last dimension is not reduced.
const COLUMNS: usize = 128;
/// Input elements per task when it is.
const ELEMENTS: usize = 1 << 15;
/// Elements that are summed before they are added to the total: keeps the error small.
const BLOCK: usize = 1024;
/// The same for whole rows.
const BLOCK_ROWS: usize = 64;
const LANES: usize = 16;

/// How elements are joined; known to the compiler, so that the loops have no choice to make.
trait Fold: Copy {
    const START: f32;
    /// What counts of an element.
    #[inline(always)]
    fn map(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn join(self, a: f32, b: f32) -> f32 {
        a + b
    }
}

#[derive(Clone, Copy)]
struct Sum;
impl Fold for Sum {
    const START: f32 = 0.0;
}

#[derive(Clone, Copy)]
struct SumSquares;
impl Fold for SumSquares {
    const START: f32 = 0.0;
    #[inline(always)]
    fn map(self, x: f32) -> f32 {
        x * x
    }
}

#[derive(Clone, Copy)]
struct Max;
impl Fold for Max {
    const START: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn join(self, a: f32, b: f32) -> f32 {
        if b.is_nan() || a < b { b } else { a }
    }
}

impl ReduceKernel {
    /// A reduction of a step's first input into its output of this index.
    pub(in crate::op) fn new(op: &Reduce, types: &CallTypes, output: usize) -> Self {
        let dims = types.inputs[0].shape.dims();
        let (first, last) = (op.axes[0], op.axes[op.axes.len() - 1]);
        let shape = |dims: &[Dim]| Shape(dims.to_vec());
        ReduceKernel {
            reduction: op.reduction,
            reduced: shape(&dims[first..=last]),
            inner: dims[last + 1..].iter().map(|d| d.size(1)).product(),
            outputs: types.outputs[output].shape.clone(),
            output,
        }
    }

    /// Parts of one row: more than one if a row is too long for a task.
    fn parts(&self, rows: usize) -> usize {
        match self.inner {
            1 => self.reduced.elements(rows).div_ceil(ELEMENTS).max(1),
            _ => 1,
        }
    }

    /// Results per task of a phase.
    fn chunk(&self, phase: usize, live: &Live) -> usize {
        match (self.inner, self.parts(live.rows)) {
            (1, 1) => (ELEMENTS / self.reduced.elements(live.rows).max(1)).max(1),
            (1, _) if phase == 0 => 1,
            (1, parts) => (ELEMENTS / parts).max(1),
            _ => COLUMNS,
        }
    }

    /// Results `at..` of a phase that reads the input.
    #[inline(always)]
    fn fill<F: Fold>(
        &self,
        fold: F,
        x: &[f32],
        mut at: usize,
        live: &Live,
        mut target: &mut [f32],
    ) {
        let reduced = self.reduced.elements(live.rows);
        while !target.is_empty() {
            let (outer, first) = (at / self.inner, at % self.inner);
            let n = target.len().min(self.inner - first);
            let (piece, tail) = target.split_at_mut(n);
            let matrix = &x[outer * reduced * self.inner..][..reduced * self.inner];
            match self.inner {
                1 => piece[0] = row(fold, matrix, |x| fold.map(x)),
                inner => columns(fold, matrix, inner, first, piece),
            }
            (at, target) = (at + n, tail);
        }
    }

    fn finish(&self, live: &Live, target: &mut [f32]) {
        if self.reduction == Reduction::Mean {
            let count = self.reduced.elements(live.rows) as f32;
            target.iter_mut().for_each(|x| *x /= count);
        }
    }
}

impl CpuKernel for ReduceKernel {
    fn phases(&self, live: &Live) -> usize {
        if self.parts(live.rows) > 1 { 2 } else { 1 }
    }

    fn tasks(&self, phase: usize, live: &Live) -> usize {
        let outputs = self.outputs.elements(live.rows);
        match (self.parts(live.rows), phase) {
            (1, _) | (_, 1) => outputs.div_ceil(self.chunk(phase, live)),
            (parts, _) => outputs * parts,
        }
    }

    fn split(&self, phase: usize, operand: Operand, live: &Live) -> Split {
        match (self.parts(live.rows), phase, operand) {
            (1, _, Operand::Output(i)) | (_, 1, Operand::Output(i)) if i == self.output => {
                Split::Chunks(self.chunk(phase, live))
            }
            (2.., 0, Operand::Scratch) => Split::Chunks(self.chunk(phase, live)),
            _ => Split::Read,
        }
    }

    fn scratch(&self, rows: usize) -> usize {
        match self.parts(rows) {
            1 => 0,
            parts => parts * self.outputs.elements(rows),
        }
    }

    fn run(&self, phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let at = (phase, task);
        match self.reduction {
            Reduction::Max => simd::dispatch(Task { kernel: self, at, live, io, fold: Max }),
            Reduction::SumSquares => {
                simd::dispatch(Task { kernel: self, at, live, io, fold: SumSquares });
            }
            Reduction::Sum | Reduction::Mean => {
                simd::dispatch(Task { kernel: self, at, live, io, fold: Sum });
            }
        }
    }
}

/// One row, each element mapped first.
#[inline(always)]
fn row<F: Fold>(fold: F, x: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut total = F::START;
    for block in x.chunks(BLOCK) {
        let mut lanes = [F::START; LANES];
        let (groups, tail) = block.as_chunks::<LANES>();
        for group in groups {
            for (lane, &x) in lanes.iter_mut().zip(group) {
                *lane = fold.join(*lane, map(x));
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(tail) {
            *lane = fold.join(*lane, map(x));
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                lanes[i] = fold.join(lanes[i], lanes[i + width]);
            }
        }
        total = fold.join(total, lanes[0]);
    }
    total
}

/// Columns `first..` of a matrix with so many.
#[inline(always)]
fn columns<F: Fold>(fold: F, x: &[f32], inner: usize, mut first: usize, target: &mut [f32]) {
    let (wide, rest) = target.as_chunks_mut::<{ 4 * LANES }>();
    for results in wide {
        let sums: [[f32; LANES]; 4] = strip::<F, 4, LANES>(fold, x, inner, first);
        results.as_chunks_mut().0.copy_from_slice(&sums);
        first += 4 * LANES;
    }
    let (narrow, rest) = rest.as_chunks_mut::<LANES>();
    for results in narrow {
        [*results] = strip::<F, 1, LANES>(fold, x, inner, first);
        first += LANES;
    }
    let (few, rest) = rest.as_chunks_mut::<4>();
    for results in few {
        [*results] = strip::<F, 1, 4>(fold, x, inner, first);
        first += 4;
    }
    for result in rest {
        [[*result]] = strip::<F, 1, 1>(fold, x, inner, first);
        first += 1;
    }
}

/// `M` times `N` columns, whose sums stay in registers.
#[inline(always)]
fn strip<F: Fold, const M: usize, const N: usize>(
    fold: F,
    x: &[f32],
    inner: usize,
    first: usize,
) -> [[f32; N]; M] {
    let mut total = [[F::START; N]; M];
    for block in x.chunks(BLOCK_ROWS * inner) {
        let mut sums = [[F::START; N]; M];
        for row in block.chunks_exact(inner) {
            let groups = row[first..][..M * N].as_chunks::<N>().0;
            for m in 0..M {
                for n in 0..N {
                    sums[m][n] = fold.join(sums[m][n], fold.map(groups[m][n]));
                }
            }
        }
        for (total, sum) in total.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *total = fold.join(*total, *sum);
        }
    }
    total
}

struct Task<'a, 'b, F> {
    kernel: &'a ReduceKernel,
    /// Phase and task.
    at: (usize, usize),
    live: &'a Live,
    io: &'a TaskIo<'b>,
    fold: F,
}

impl<F: Fold> simd::Vectorised for Task<'_, '_, F> {
    #[inline(always)]
    fn run(self) {
        let Task { kernel, at: (phase, task), live, io, fold } = self;
        let first = task * kernel.chunk(phase, live);
        match (kernel.parts(live.rows), phase) {
            (1, _) => {
                let target = io.output(kernel.output);
                kernel.fill(fold, io.input(0), first, live, target);
                kernel.finish(live, target);
            }
            (parts, 0) => {
                let reduced = kernel.reduced.elements(live.rows);
                let whole = &io.input(0)[task / parts * reduced..][..reduced];
                let start = task % parts * ELEMENTS;
                let part = &whole[start..reduced.min(start + ELEMENTS)];
                io.scratch()[0] = row(fold, part, |x| fold.map(x));
            }
            (parts, _) => {
                let target = io.output(kernel.output);
                let partial = &io.written_scratch()[first * parts..];
                for (total, partial) in target.iter_mut().zip(partial.chunks(parts)) {
                    *total = row(fold, partial, |x| x);
                }
                kernel.finish(live, target);
            }
        }
    }
}
