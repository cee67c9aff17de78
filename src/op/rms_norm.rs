//! Root mean square norm over the last dimensions (Zhang and Sennrich 2019), with its gradient.
//!
//! `y = x̂ weight`, `x̂ = x r`, `r = 1 / √(mean(x²) + ε)`, the mean being that of a row: the last
//! `axes` dimensions. With `h = g weight`, `dx = r (h − x̂ mean(h x̂))` and `dweight = Σ g x̂` over
//! rows. It is [`layer_norm`](super::layer_norm) with a mean of 0, and shares its kernels.

use serde::{Deserialize, Serialize};

use super::launch::{Launches, Target};
use super::layer_norm::{
    Backward, Forward, check, check_epsilon, check_gradient, emit_gradients, examples, launch,
    reference, reference_gradient,
};
use super::{CallTypes, Case, CpuKernel, Family, Gradient, Op, OpError, ReferenceCall};
use crate::tensor::{Shape, TensorType};

/// Inputs: x, and a weight of the normalised shape, which is optional. Outputs: y and the reciprocal
/// root mean square of each row, with normalised dimensions of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RmsNorm {
    /// How many dimensions, counted from the last, are normalised together.
    pub axes: usize,
    /// ε, added to the mean of the squares.
    pub epsilon: f64,
}

/// Inputs: x, reciprocal root mean square, upstream gradient, and the weight if there is one.
/// Outputs: gradients of x, and of the weight if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RmsNormGradient {
    /// How many dimensions, counted from the last, are normalised together.
    pub axes: usize,
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let ([x] | [x, _]) = inputs else {
            return Err(OpError(format!("takes x and weight, got {}", inputs.len())));
        };
        check_epsilon(self.epsilon)?;
        Ok(vec![x.clone(), check(x, &inputs[1..], self.axes)?])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        emit_gradients(gradient, RmsNormGradient { axes: self.axes })
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let [y, _, reciprocals] = reference(call, self.axes, self.epsilon, false);
        vec![y, reciprocals]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Forward::new(types, self.axes, self.epsilon, false))
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::forward((types, capacity, target), self.axes, self.epsilon, false))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        4 * types.inputs[0].shape.elements(rows) as u64
    }
}

impl Op for RmsNormGradient {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        check_gradient(inputs, 1, self.axes, false)
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("second derivatives are not supported".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        reference_gradient(call, self.axes, false)
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Backward::new(types, self.axes, false))
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::backward((types, capacity, target), self.axes, false))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        8 * types.inputs[0].shape.elements(rows) as u64
    }
}

/// Types of x, of a statistic and of the weight; normalised dimensions; rows in use.
fn typed_examples() -> impl Iterator<Item = ([TensorType; 3], usize, usize)> {
    examples().into_iter().map(|(dims, axes, rows)| {
        let x = TensorType::f32(Shape::rows(&dims));
        let statistic = check(&x, &[], axes).expect("invariant: examples fit");
        let weight = TensorType::f32(Shape::fixed(&dims[dims.len() - axes..]));
        ([x, statistic, weight], axes, rows)
    })
}

impl Family for RmsNorm {
    const NAME: &'static str = "rms_norm";

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for ([x, _, weight], axes, rows) in typed_examples() {
            let op = RmsNorm { axes, epsilon: 1e-2 };
            cases.push(Case::new(op, vec![x.clone()], rows).gradients(&[0], &[0]));
            cases.push(Case::new(op, vec![x, weight], rows).gradients(&[0], &[0, 1]));
        }
        cases
    }
}

impl Family for RmsNormGradient {
    const NAME: &'static str = "rms_norm_gradient";

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for ([x, statistic, weight], axes, rows) in typed_examples() {
            let mut inputs = vec![x.clone(), statistic, x];
            let case =
                |inputs| Case::new(RmsNormGradient { axes }, inputs, rows).gradients(&[], &[]);
            cases.push(case(inputs.clone()));
            inputs.push(weight);
            cases.push(case(inputs));
        }
        cases
    }
}
