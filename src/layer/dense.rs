//! The fully connected layer.

use super::{Layer, Value};
use crate::init::Init;

/// `y = x · weightᵀ + bias` over the last dimension: `[.., in]` to `[.., out]`.
///
/// Parameters: `weight` `[out, in]`, `bias` `[out]`. Both begin as PyTorch's `nn.Linear`: uniform in
/// ±1/√in.
#[derive(Clone, Debug)]
pub struct Dense {
    outputs: usize,
    bias: bool,
    init: Init,
    l1: f64,
    l2: f64,
}

impl Dense {
    /// A layer with `outputs` outputs; the number of inputs follows from the layer before.
    pub fn new(outputs: usize) -> Self {
        Dense { outputs, bias: true, init: Init::DenseDefault, l1: 0.0, l2: 0.0 }
    }

    /// The same with or without a bias.
    pub fn bias(self, bias: bool) -> Self {
        Dense { bias, ..self }
    }

    /// The same with other initial weights.
    pub fn init(self, init: Init) -> Self {
        Dense { init, ..self }
    }

    /// The same with `factor · Σ|weight|` added to the loss.
    pub fn l1(self, factor: f64) -> Self {
        Dense { l1: factor, ..self }
    }

    /// The same with `factor · Σ weight²` added to the loss.
    pub fn l2(self, factor: f64) -> Self {
        Dense { l2: factor, ..self }
    }
}

impl Layer for Dense {
    fn stem(&self) -> &str {
        "dense"
    }

    fn describe(&self, input: &Value) -> String {
        format!("Dense {} -> {}", input.last(), self.outputs)
    }

    fn forward(&self, input: &Value) -> Value {
        let shape = input.shape();
        if shape.rank() < 2 || input.is_integer() {
            return input.fail(format!(
                "a dense layer takes floats of shape [B, .., inputs], got {}",
                input.ty()
            ));
        }
        if self.outputs == 0 {
            return input.fail("a dense layer needs at least one output, got 0");
        }
        let inputs = input.last();
        let weight = input.parameter("weight", &[self.outputs, inputs], self.init);
        for (factor, magnitude) in
            [(self.l1, weight.map(|w| w.abs())), (self.l2, weight.map(|w| w.square()))]
        {
            if factor != 0.0 {
                magnitude.sum(&[0, 1], false).penalty(factor);
            }
        }
        let product = input.matmul_transposed(&weight);
        if !self.bias {
            return product;
        }
        let bias =
            input.parameter("bias", &[self.outputs], Init::DenseBiasDefault { fan_in: inputs });
        product + &bias
    }
}
