//! Softmax cross-entropy on logits, one loss per row, with its gradient.
//!
//! `loss = Σ t (lse − x)` with `lse = log Σ exp(x)` over the last dimension, taken relative to the
//! largest logit. The target `t` is a class label (`u32`, the logits' shape without the last
//! dimension) or a distribution (`f32`, the logits' shape). With label smoothing ε,
//! `t = (1 − ε) target + ε / classes` (Szegedy et al. 2016, as in PyTorch).
//! Gradient: `dx = upstream (softmax(x) Σt − t)`. A label out of range makes the loss NaN.

mod joint;
mod kernel;
mod narrow;

pub use joint::SoftmaxCrossEntropyWithGradient;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::launch::{self, Argument, Launches, Target};
use super::rows::{RowLaunch, Rows};
use super::{AnyOp, CallTypes, Case, CpuKernel, Family, Gradient, Op, OpError, ReferenceCall};
use crate::tensor::{DType, Shape, TensorType};
use kernel::Form;

/// Inputs: logits, target. Outputs: loss per row, log-sum-exp per row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxCrossEntropy {
    /// ε in 0..1.
    pub label_smoothing: f64,
}

/// Inputs: logits, target, log-sum-exp, upstream gradient per row. Output: gradient of the logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxCrossEntropyGradient {
    /// ε in 0..1.
    pub label_smoothing: f64,
}

/// Shape of one value per row of logits.
fn row_shape(logits: &TensorType) -> Shape {
    Shape(logits.shape.dims()[..logits.shape.rank() - 1].to_vec())
}

/// The CUDA form of `entry`, with the constants that choose it.
fn launches(
    smoothing: f64,
    types: &CallTypes,
    capacity: usize,
    target: &Target,
    (entry, form, arguments): (&'static str, Form, Vec<Argument>),
) -> Launches {
    let rows = Rows::new(&types.inputs[0], 1);
    let smoothing = smoothing as f32;
    let hard = types.inputs[1].dtype == DType::U32;
    let by_row = types.inputs.last().is_some_and(|upstream| upstream.shape.has_rows());
    let kernel = launch::Kernel::new("softmax_cross_entropy")
        .constant("LOSS", u32::from(form != Form::Gradient))
        .constant("GRADIENT", u32::from(form != Form::Loss))
        .constant("HARD", u32::from(hard))
        .constant("BY_ROW", u32::from(by_row))
        .float("SHARE", 1.0 - smoothing)
        .float("REST", smoothing / rows.width as f32);
    let arrays = if hard { 1 } else { 2 };
    let launch = RowLaunch { kernel, entry, arrays, arguments };
    launch.over(&rows, types, capacity, target)
}

fn check(inputs: &[TensorType], smoothing: f64) -> Result<(), OpError> {
    let (logits, target) = (&inputs[0], &inputs[1]);
    if logits.shape.rank() < 2 || logits.shape.last().is_none_or(|classes| classes == 0) {
        return Err(OpError(format!("logits must be [rows, .., classes], got {logits}")));
    }
    let wanted = match target.dtype {
        DType::U32 => row_shape(logits),
        _ => logits.shape.clone(),
    };
    if logits.dtype != DType::F32 || target.shape != wanted {
        return Err(OpError(format!(
            "logits are {logits}: the target must be u32{} or f32{}, got {target}",
            row_shape(logits),
            logits.shape
        )));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(OpError(format!("label smoothing must be in 0..1, got {smoothing}")));
    }
    Ok(())
}

/// The smoothed target of one row, in `f64`.
fn smoothed(target: &[f64], hard: bool, row: usize, classes: usize, smoothing: f64) -> Vec<f64> {
    let rest = smoothing / classes as f64;
    (0..classes)
        .map(|class| match hard {
            true if target[row] >= classes as f64 => f64::NAN,
            true => f64::from(target[row] == class as f64),
            false => target[row * classes + class],
        })
        .map(|t| (1.0 - smoothing) * t + rest)
        .collect()
}

fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

impl Op for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        if inputs.len() != 2 {
            return Err(OpError(format!("takes logits and target, got {}", inputs.len())));
        }
        check(inputs, self.label_smoothing)?;
        Ok(vec![TensorType::f32(row_shape(&inputs[0])); 2])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if gradient.needs(1) || gradient.upstream(1).is_some() {
            return Err(OpError("only the logits have a gradient".into()));
        }
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let op = SoftmaxCrossEntropyGradient { label_smoothing: self.label_smoothing };
            let operands = [gradient.input(0), gradient.input(1), gradient.output(1), upstream];
            let result = gradient.one(op, &operands)?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let classes = call.input_sizes(0).pop().unwrap_or(1);
        let hard = call.types.inputs[1].dtype == DType::U32;
        let (mut losses, mut sums) = (Vec::new(), Vec::new());
        for (row, x) in call.inputs[0].chunks(classes).enumerate() {
            let lse = log_sum_exp(x);
            let target = smoothed(call.inputs[1], hard, row, classes, self.label_smoothing);
            // A class that a label leaves out adds nothing, not even where its logit is -inf.
            let term = |(&t, x): (&f64, &f64)| if hard && t == 0.0 { 0.0 } else { t * (lse - x) };
            losses.push(target.iter().zip(x).map(term).sum());
            sums.push(lse);
        }
        vec![losses, sums]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(kernel::Kernel::new(self.label_smoothing, types, Form::Loss))
    }

    fn with_gradient(&self, gradient: &dyn Op) -> Option<AnyOp> {
        let Self { label_smoothing } = *self;
        let same = gradient.name() == SoftmaxCrossEntropyGradient::NAME
            && gradient.attributes() == self.attributes();
        same.then(|| Arc::new(SoftmaxCrossEntropyWithGradient { label_smoothing }) as AnyOp)
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let (input, output) = (Argument::Input, Argument::Output);
        let arguments = vec![input(0), input(1), input(1), output(0), output(1)];
        let entry = ("softmax_cross_entropy", Form::Loss, arguments);
        Some(launches(self.label_smoothing, types, capacity, target, entry))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        3 * types.inputs[0].shape.elements(rows) as u64
    }
}

impl Op for SoftmaxCrossEntropyGradient {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [logits, _, sums, upstream] = inputs else {
            return Err(OpError(format!("takes four inputs, got {}", inputs.len())));
        };
        check(inputs, self.label_smoothing)?;
        let wanted = TensorType::f32(row_shape(logits));
        if *sums != wanted || *upstream != wanted {
            return Err(OpError(format!("expected {wanted}, got {sums} and {upstream}")));
        }
        Ok(vec![logits.clone()])
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("second derivatives are not supported".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let classes = call.input_sizes(0).pop().unwrap_or(1);
        let hard = call.types.inputs[1].dtype == DType::U32;
        let mut result = Vec::new();
        for (row, x) in call.inputs[0].chunks(classes).enumerate() {
            let (lse, upstream) = (call.inputs[2][row], call.inputs[3][row]);
            let target = smoothed(call.inputs[1], hard, row, classes, self.label_smoothing);
            let mass: f64 = target.iter().sum();
            result.extend(
                x.iter().zip(&target).map(|(x, t)| upstream * ((x - lse).exp() * mass - t)),
            );
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(kernel::Kernel::new(self.label_smoothing, types, Form::Gradient))
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let input = Argument::Input;
        let arguments = vec![input(0), input(1), input(1), input(2), input(3), Argument::Output(0)];
        let entry = ("softmax_cross_entropy_gradient", Form::Gradient, arguments);
        Some(launches(self.label_smoothing, types, capacity, target, entry))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        4 * types.inputs[0].shape.elements(rows) as u64
    }
}

fn example(classes: usize, soft: bool) -> Vec<TensorType> {
    let target = match soft {
        true => TensorType::f32(Shape::rows(&[classes])),
        false => TensorType::new(DType::U32, Shape::rows(&[])),
    };
    vec![TensorType::f32(Shape::rows(&[classes])), target]
}

const EXAMPLES: [(usize, bool, f64, usize); 8] = [
    (10, false, 0.0, 7),
    (10, false, 0.1, 3),
    (1, false, 0.0, 2),
    (37, false, 0.0, 300),
    (5, true, 0.0, 4),
    (17, true, 0.2, 1),
    (2051, false, 0.1, 2),
    (2052, true, 0.1, 2),
];

impl Family for SoftmaxCrossEntropy {
    const NAME: &'static str = "softmax_cross_entropy";

    fn cases() -> Vec<Case> {
        EXAMPLES
            .iter()
            .map(|&(classes, soft, label_smoothing, rows)| {
                let case = Case::new(
                    SoftmaxCrossEntropy { label_smoothing },
                    example(classes, soft),
                    rows,
                );
                case.integers(1, classes as u32).gradients(&[0], &[0])
            })
            .collect()
    }
}

impl Family for SoftmaxCrossEntropyGradient {
    const NAME: &'static str = "softmax_cross_entropy_gradient";

    fn cases() -> Vec<Case> {
        EXAMPLES
            .iter()
            .map(|&(classes, soft, label_smoothing, rows)| {
                let mut inputs = example(classes, soft);
                inputs
                    .extend([TensorType::f32(Shape::rows(&[])), TensorType::f32(Shape::rows(&[]))]);
                let case = Case::new(SoftmaxCrossEntropyGradient { label_smoothing }, inputs, rows);
                case.integers(1, classes as u32).gradients(&[], &[])
            })
            .collect()
    }
}
