//! Reductions over any axes: sum, mean, maximum.
//!
//! `y[kept] = reduce over the axes of x`. Sums are taken in a fixed order that depends on the shape
//! alone. A maximum is NaN if an element is; its gradient is shared evenly among ties, as PyTorch's
//! `amax` does.

mod kernel;
mod launch;

use serde::{Deserialize, Serialize};

pub(in crate::op) use kernel::ReduceKernel;

use super::expression::Expr;
use super::launch::{Launches, Target};
use super::pointwise::Pointwise;
use super::reshape::Reshape;
use super::{
    BufferId, CallTypes, Case, CpuKernel, Emitter, Family, Gradient, Mode, Op, OpError,
    ReferenceCall,
};
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

    /// Whether it sums over the first dimension alone.
    pub(crate) fn sums_rows(&self) -> bool {
        self.reduction == Reduction::Sum && self.axes == [0]
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
        let shape = self.output_shape(&emitter.ty(inputs[0]).shape.clone());
        let single = |&axis: &usize| emitter.ty(inputs[0]).shape.dims()[axis] == Dim::Fixed(1);
        if self.reduction != Reduction::SumSquares && self.axes.iter().all(single) {
            return Ok(Some(vec![emitter.one(Reshape { shape }, inputs)?]));
        }
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
                let sizes = self.axes.iter().map(|&axis| match shape.dims()[axis] {
                    Dim::Fixed(size) => Some(size),
                    Dim::Rows(_) => None,
                });
                if let Some(count) = sizes.product::<Option<usize>>() {
                    let share = gradient.one(spread(&(x / count as f64), 1), &[upstream])?;
                    gradient.set(0, share);
                    return Ok(());
                }
                // How many rows there are is known when they are counted.
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
        Box::new(ReduceKernel::new(self, types, 0))
    }

    fn as_reduce(&self) -> Option<&Reduce> {
        Some(self)
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::launches(self, types, capacity, target))
    }

    fn label(&self) -> String {
        let name = format!("{:?}", self.reduction).to_lowercase();
        format!("{name} over {:?}", self.axes)
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        types.inputs[0].shape.elements(rows) as u64
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
            // Several blocks for one result, along columns and along rows.
            cases.push(case(Shape::rows(&[132]), &[0], false, 300).gradients(&[], &[]));
            cases.push(case(Shape::rows(&[5003]), &[1], false, 2).gradients(&[], &[]));
            // Long enough for two phases; too long for all elements to be apart from the largest.
            cases.push(case(Shape::rows(&[1 << 15]), &[0, 1], false, 3).gradients(&[], &[]));
        }
        cases
    }
}
