//! Dropout (Srivastava et al. 2014), inverted as in PyTorch: in training an element becomes 0 with
//! probability p, and what stays is divided by 1 − p; in evaluation the input passes.
//!
//! A plan never holds this op: it stands for one pointwise step in training, whose mask is made
//! from the element's index, forward and backward alike, and for nothing at all in evaluation.

use serde::{Deserialize, Serialize};

use super::expression::Expr;
use super::pointwise::Pointwise;
use super::{
    BufferId, CallTypes, Case, CpuKernel, Emitter, Family, Gradient, Mode, Op, OpError,
    ReferenceCall,
};
use crate::tensor::{DType, Shape, TensorType};

/// Zeroes elements at random in training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// Probability that an element becomes 0, in 0..=1.
    pub probability: f64,
    /// Stream of random numbers; each dropout of a model has its own.
    pub stream: u32,
}

impl Dropout {
    /// `select(uniform < p, 0, x / (1 − p))`, the factor `1 / (1 − p)` being made here.
    fn training(&self) -> Pointwise {
        // The probability that a device compares with, so that the mask is the same in f64.
        let probability = f64::from(self.probability as f32);
        // With p = 1 nothing is kept; an infinite factor would make the gradient 0 · ∞.
        let factor = if probability < 1.0 { 1.0 / (1.0 - probability) } else { 0.0 };
        let kept = Expr::input(0) * factor;
        let mask = Expr::uniform(self.stream).less(probability);
        Pointwise::new(1, &mask.select(0.0, kept))
    }

    /// What the op is outside of training.
    fn evaluation() -> Pointwise {
        Pointwise::new(1, &Expr::input(0))
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("dropout takes one input, got {}", inputs.len())));
        };
        if !(0.0..=1.0).contains(&self.probability) {
            let got = self.probability;
            return Err(OpError(format!("the probability of dropout must be in 0..=1, got {got}")));
        }
        if input.dtype != DType::F32 {
            return Err(OpError(format!("dropout takes f32, got {input}")));
        }
        Ok(vec![input.clone()])
    }

    fn expand(
        &self,
        mode: Mode,
        inputs: &[BufferId],
        emitter: &mut Emitter<'_>,
    ) -> Result<Option<Vec<BufferId>>, OpError> {
        match mode {
            Mode::Training if self.probability > 0.0 => {
                emitter.call(self.training(), inputs).map(Some)
            }
            _ => Ok(Some(inputs.to_vec())),
        }
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Self::evaluation().backward(gradient)
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        Self::evaluation().reference(call)
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Self::evaluation().kernel(types)
    }
}

impl Family for Dropout {
    const NAME: &'static str = "dropout";

    fn cases() -> Vec<Case> {
        let case =
            |probability, stream, ty| Case::new(Dropout { probability, stream }, vec![ty], 7);
        vec![
            case(0.5, 1, TensorType::f32(Shape::rows(&[13]))),
            case(0.1, u32::MAX, TensorType::f32(Shape::fixed(&[3, 5]))),
            case(0.0, 2, TensorType::f32(Shape::rows(&[]))),
            case(1.0, 3, TensorType::f32(Shape::rows(&[1, 2]))),
        ]
    }
}
