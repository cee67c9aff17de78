//! Reductions over any axes: sum, mean, maximum.
//!
//! `y[kept] = reduce over the axes of x`. Sums are taken in a fixed order that depends on the shape
//! alone. A maximum is NaN if an element is; its gradient is shared evenly among ties, as PyTorch's
//! `amax` does.

use serde::{Deserialize, Serialize};

use super::expression::Expr;
use super::pointwise::Pointwise;
use super::reshape::Reshape;
use super::{
    BufferId, CallTypes, Case, CpuKernel, Emitter, Family, Gradient, Live, Mode, Op, OpError,
    Operand, ReferenceCall, Split, TaskIo,
};
use crate::cpu::simd;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// What is done with the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The sum over the number of elements; rows count as far as they are in use.
    Mean,
    /// The largest element.
    Max,
    /// The sum of the squares.
    SumSquares,
}

/// Reduces over `axes`; with `keep` they stay as dimensions of size 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduce {
    reduction: Reduction,
    axes: Vec<usize>,
    keep: bool,
}

impl Reduce {
    /// A reduction over `axes`, in any order; double ones count once.
    pub fn new(reduction: Reduction, axes: &[usize], keep: bool) -> Self {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        axes.dedup();
        Reduce { reduction, axes, keep }
    }

    fn is_reduced(&self, axis: usize) -> bool {
        self.axes.contains(&axis)
    }

    /// The last run of neighbouring axes.
    fn last_run(&self) -> usize {
        let mut start = self.axes.len().saturating_sub(1);
        while start > 0 && self.axes[start - 1] + 1 == self.axes[start] {
            start -= 1;
        }
        start
    }

    fn output_shape(&self, input: &Shape) -> Shape {
        let dims = input.dims().iter().enumerate();
        let kept = dims.filter_map(|(i, &dim)| match (self.is_reduced(i), self.keep) {
            (false, _) => Some(dim),
            (true, true) => Some(Dim::Fixed(1)),
            (true, false) => None,
        });
        Shape(kept.collect())
    }
}

/// Emits the steps that sum `value` over the dimensions in which `shape` was broadcast to it.
pub(crate) fn sum_to(
    emitter: &mut Emitter<'_>,
    value: BufferId,
    shape: &Shape,
) -> Result<BufferId, OpError> {
    let full = emitter.ty(value).shape.clone();
    if full == *shape {
        return Ok(value);
    }
    let missing = full.rank() - shape.rank();
    let axes: Vec<usize> = (0..full.rank())
        .filter(|&i| i < missing || shape.dims()[i - missing] != full.dims()[i])
        .collect();
    let keep = axes.iter().any(|&a| a >= missing);
    let sum = emitter.one(Reduce::new(Reduction::Sum, &axes, keep), &[value])?;
    if emitter.ty(sum).shape == *shape {
        return Ok(sum);
    }
    emitter.one(Reshape { shape: shape.clone() }, &[sum])
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("a reduction takes one input, got {}", inputs.len())));
        };
        if input.dtype != DType::F32 {
            return Err(OpError(format!("a reduction takes f32, got {input}")));
        }
        if self.axes.last().is_some_and(|&a| a >= input.shape.rank()) {
            return Err(OpError(format!(
                "axes {:?} are not all below the rank of {}",
                self.axes, input.shape
            )));
        }
        let empty = self.axes.iter().any(|&a| input.shape.dims()[a] == Dim::Fixed(0));
        if self.axes.is_empty() || empty {
            return Err(OpError(format!("nothing to reduce over axes {:?} of {input}", self.axes)));
        }
        Ok(vec![TensorType::f32(self.output_shape(&input.shape))])
    }

    fn expand(
        &self,
        _mode: Mode,
        inputs: &[BufferId],
        emitter: &mut Emitter<'_>,
    ) -> Result<Option<Vec<BufferId>>, OpError> {
        let run = self.last_run();
        if run == 0 {
            return Ok(None);
        }
        let last = Reduce::new(self.reduction, &self.axes[run..], true);
        let again = match self.reduction {
            Reduction::SumSquares => Reduction::Sum,
            other => other,
        };
        let rest = Reduce::new(again, &self.axes[..run], true);
        let partial = emitter.one(last, inputs)?;
        let reduced = emitter.one(rest, &[partial])?;
        let shape = self.output_shape(&emitter.ty(inputs[0]).shape.clone());
        Ok(Some(vec![emitter.one(Reshape { shape }, &[reduced])?]))
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) else {
            return Ok(());
        };
        let input = gradient.input(0);
        let shape = gradient.ty(input).shape.clone();
        let kept = Reduce { keep: true, ..self.clone() }.output_shape(&shape);
        let upstream = gradient.one(Reshape { shape: kept.clone() }, &[upstream])?;
        let (x, y, z) = (Expr::input(0), Expr::input(1), Expr::input(2));
        let spread = |e: &Expr, n| Pointwise::new(n, e).with_shape(shape.clone());
        let result = match self.reduction {
            Reduction::Sum => gradient.one(spread(&x, 1), &[upstream])?,
            Reduction::Mean => {
                let ones = gradient.one(spread(&Expr::constant(1.0), 0), &[])?;
                let sum = Reduce { reduction: Reduction::Sum, keep: true, ..self.clone() };
                let count = gradient.one(sum, &[ones])?;
                gradient.one(spread(&(x / y), 2), &[upstream, count])?
            }
            Reduction::SumSquares => {
                let product = 2.0 * (x * y);
                gradient.one(spread(&product, 2), &[input, upstream])?
            }
            Reduction::Max => {
                let output = gradient.output(0);
                let largest = gradient.one(Reshape { shape: kept }, &[output])?;
                let ties = gradient.one(spread(&x.equal(&y), 2), &[input, largest])?;
                let sum = Reduce { reduction: Reduction::Sum, keep: true, ..self.clone() };
                let count = gradient.one(sum, &[ties])?;
                let share = x.select(y / z, 0.0);
                gradient.one(spread(&share, 3), &[ties, upstream, count])?
            }
        };
        gradient.set(0, result);
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let sizes = call.input_sizes(0);
        let count: usize = call.output_sizes(0).iter().product();
        let reduced: usize = self.axes.iter().map(|&a| sizes[a]).product();
        let start = if self.reduction == Reduction::Max { f64::NEG_INFINITY } else { 0.0 };
        let mut result = vec![start; count];
        for (element, &x) in call.inputs[0].iter().enumerate() {
            let (mut rest, mut at, mut stride) = (element, 0, 1);
            for (axis, size) in sizes.iter().enumerate().rev() {
                if !self.is_reduced(axis) {
                    at += rest % size * stride;
                    stride *= size;
                }
                rest /= size;
            }
            result[at] = match self.reduction {
                Reduction::Max if x.is_nan() || result[at].is_nan() => f64::NAN,
                Reduction::Max => result[at].max(x),
                Reduction::SumSquares => result[at] + x * x,
                _ => result[at] + x,
            };
        }
        if self.reduction == Reduction::Mean {
            result.iter_mut().for_each(|x| *x /= reduced as f64);
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        let dims = types.inputs[0].shape.dims();
        let (first, last) = (self.axes[0], self.axes[self.axes.len() - 1]);
        let shape = |dims: &[Dim]| Shape(dims.to_vec());
        Box::new(ReduceKernel {
            reduction: self.reduction,
            reduced: shape(&dims[first..=last]),
            inner: dims[last + 1..].iter().map(|d| d.size(1)).product(),
            outputs: types.outputs[0].shape.clone(),
        })
    }

    fn label(&self) -> String {
        let name = format!("{:?}", self.reduction).to_lowercase();
        format!("{name} over {:?}", self.axes)
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        types.inputs[0].shape.elements(rows) as u64
    }
}

/// The input as `[outer, reduced, inner]`.
///
/// Long rows (`inner` = 1) are cut into parts of `ELEMENTS`; their partial results stand in the
/// scratch buffer, and a second phase joins them.
struct ReduceKernel {
    reduction: Reduction,
    reduced: Shape,
    inner: usize,
    outputs: Shape,
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

impl ReduceKernel {
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

    #[inline(always)]
    fn combine(&self, a: f32, b: f32) -> f32 {
        match self.reduction {
            Reduction::Max if b.is_nan() || a < b => b,
            Reduction::Max => a,
            _ => a + b,
        }
    }

    #[inline(always)]
    fn start(&self) -> f32 {
        if self.reduction == Reduction::Max { f32::NEG_INFINITY } else { 0.0 }
    }

    /// One row, each element mapped first.
    #[inline(always)]
    fn row(&self, x: &[f32], map: impl Fn(f32) -> f32) -> f32 {
        let mut total = self.start();
        for block in x.chunks(BLOCK) {
            let mut lanes = [self.start(); LANES];
            let (groups, tail) = block.as_chunks::<LANES>();
            for group in groups {
                for (lane, &x) in lanes.iter_mut().zip(group) {
                    *lane = self.combine(*lane, map(x));
                }
            }
            for (lane, &x) in lanes.iter_mut().zip(tail) {
                *lane = self.combine(*lane, map(x));
            }
            let mut width = LANES;
            while width > 1 {
                width /= 2;
                for i in 0..width {
                    lanes[i] = self.combine(lanes[i], lanes[i + width]);
                }
            }
            total = self.combine(total, lanes[0]);
        }
        total
    }

    #[inline(always)]
    fn mapped_row(&self, x: &[f32]) -> f32 {
        match self.reduction {
            Reduction::SumSquares => self.row(x, |x| x * x),
            _ => self.row(x, |x| x),
        }
    }

    /// Columns `first..` of one outer index.
    #[inline(always)]
    fn columns(&self, x: &[f32], first: usize, target: &mut [f32]) {
        let mut partial = [0.0; COLUMNS];
        let partial = &mut partial[..target.len()];
        target.fill(self.start());
        for block in x.chunks(BLOCK_ROWS * self.inner) {
            partial.fill(self.start());
            for row in block.chunks_exact(self.inner) {
                for (sum, &x) in partial.iter_mut().zip(&row[first..]) {
                    let x = if self.reduction == Reduction::SumSquares { x * x } else { x };
                    *sum = self.combine(*sum, x);
                }
            }
            for (total, &sum) in target.iter_mut().zip(&*partial) {
                *total = self.combine(*total, sum);
            }
        }
    }

    /// Results `at..` of a phase that reads the input.
    #[inline(always)]
    fn fill(&self, x: &[f32], mut at: usize, live: &Live, mut target: &mut [f32]) {
        let reduced = self.reduced.elements(live.rows);
        while !target.is_empty() {
            let (outer, first) = (at / self.inner, at % self.inner);
            let n = target.len().min(self.inner - first);
            let (piece, tail) = target.split_at_mut(n);
            let matrix = &x[outer * reduced * self.inner..][..reduced * self.inner];
            match self.inner {
                1 => piece[0] = self.mapped_row(matrix),
                _ => self.columns(matrix, first, piece),
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
            (1, _, Operand::Output(_)) | (_, 0, Operand::Scratch) | (_, 1, Operand::Output(_)) => {
                Split::Chunks(self.chunk(phase, live))
            }
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
        simd::dispatch(Task { kernel: self, phase, task, live, io });
    }
}

struct Task<'a, 'b> {
    kernel: &'a ReduceKernel,
    phase: usize,
    task: usize,
    live: &'a Live,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for Task<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Task { kernel, phase, task, live, io } = self;
        let first = task * kernel.chunk(phase, live);
        match (kernel.parts(live.rows), phase) {
            (1, _) => {
                let target = io.output(0);
                kernel.fill(io.input(0), first, live, target);
                kernel.finish(live, target);
            }
            (parts, 0) => {
                let reduced = kernel.reduced.elements(live.rows);
                let row = &io.input(0)[task / parts * reduced..][..reduced];
                let start = task % parts * ELEMENTS;
                let part = &row[start..reduced.min(start + ELEMENTS)];
                io.scratch()[0] = kernel.mapped_row(part);
            }
            (parts, _) => {
                let target = io.output(0);
                let partial = &io.written_scratch()[first * parts..];
                for (total, partial) in target.iter_mut().zip(partial.chunks(parts)) {
                    *total = kernel.row(partial, |x| x);
                }
                kernel.finish(live, target);
            }
        }
    }
}

impl Family for Reduce {
    const NAME: &'static str = "reduce";

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Max, Reduction::SumSquares] {
            let case = |shape: Shape, axes: &[usize], keep, rows| {
                Case::new(Reduce::new(reduction, axes, keep), vec![TensorType::f32(shape)], rows)
            };
            cases.push(case(Shape::rows(&[5]), &[1], false, 3));
            cases.push(case(Shape::rows(&[5]), &[0], false, 3));
            cases.push(case(Shape::rows(&[5]), &[0, 1], true, 7));
            cases.push(case(Shape::rows(&[3, 1, 7]), &[1, 2], true, 2));
            cases.push(case(Shape::rows(&[3, 4]), &[0, 1], false, 11));
            cases.push(case(Shape::rows(&[3, 131]), &[1], false, 2));
            cases.push(case(Shape::fixed(&[1]), &[0], true, 1));
            cases.push(case(Shape::rows(&[2311]), &[1], false, 2));
            // Many elements come close to the largest: its gradient is checked on fewer rows.
            let many = case(Shape::rows(&[3]), &[0], false, 211);
            cases.push(if reduction == Reduction::Max { many.gradients(&[], &[]) } else { many });
            // Long enough for two phases; too long for all elements to be apart from the largest.
            cases.push(case(Shape::rows(&[1 << 15]), &[0, 1], false, 3).gradients(&[], &[]));
        }
        cases
    }
}
