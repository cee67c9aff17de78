//! Layers that normalise over the last dimensions of each row.

use super::{Layer, Value};
use crate::init::Init;
use crate::op;
use crate::tensor::Shape;

/// Layer norm (Ba et al. 2016): `(x − mean) / √(variance + ε) · weight + bias` over the last
/// dimension.
///
/// Parameters of rank 1, so weight decay leaves them alone: `weight`, ones, and `bias`, zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    axes: usize,
    epsilon: f64,
    weight: bool,
    bias: bool,
}

/// Root mean square norm (Zhang and Sennrich 2019): `x / √(mean(x²) + ε) · weight` over the last
/// dimension.
///
/// Parameter of rank 1, so weight decay leaves it alone: `weight`, ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm {
    axes: usize,
    epsilon: f64,
    weight: bool,
}

impl Default for LayerNorm {
    fn default() -> Self {
        LayerNorm { axes: 1, epsilon: 1e-5, weight: true, bias: true }
    }
}

impl Default for RmsNorm {
    fn default() -> Self {
        RmsNorm { axes: 1, epsilon: 1e-6, weight: true }
    }
}

impl LayerNorm {
    /// Over the last dimension, with weight and bias and ε = 1e-5, as PyTorch's `nn.LayerNorm`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same over the last `count` dimensions together; default 1.
    pub fn axes(self, count: usize) -> Self {
        LayerNorm { axes: count, ..self }
    }

    /// The same with another ε, at least 0; default 1e-5.
    pub fn epsilon(self, epsilon: f64) -> Self {
        LayerNorm { epsilon, ..self }
    }

    /// The same with or without a weight; without one there is no bias either.
    pub fn weight(self, weight: bool) -> Self {
        LayerNorm { weight, ..self }
    }

    /// The same with or without a bias.
    pub fn bias(self, bias: bool) -> Self {
        LayerNorm { bias, ..self }
    }
}

impl RmsNorm {
    /// Over the last dimension, with a weight and ε = 1e-6. (PyTorch's `nn.RMSNorm` takes the
    /// machine epsilon of the element type instead, 1.2e-7 in single precision.)
    pub fn new() -> Self {
        Self::default()
    }

    /// The same over the last `count` dimensions together; default 1.
    pub fn axes(self, count: usize) -> Self {
        RmsNorm { axes: count, ..self }
    }

    /// The same with another ε, at least 0; default 1e-6.
    pub fn epsilon(self, epsilon: f64) -> Self {
        RmsNorm { epsilon, ..self }
    }

    /// The same with or without a weight.
    pub fn weight(self, weight: bool) -> Self {
        RmsNorm { weight, ..self }
    }
}

/// The sizes of the last `axes` dimensions, all known; `None` after reporting that there are none.
fn normalised(input: &Value, axes: usize) -> Option<Vec<usize>> {
    let shape = input.shape();
    let last = shape.rank().checked_sub(axes).map(|first| &shape.dims()[first..]);
    let sizes = last.and_then(|dims| dims.iter().map(|d| d.fixed()).collect::<Option<Vec<_>>>());
    match sizes {
        Some(sizes) if !sizes.is_empty() && !input.is_integer() => Some(sizes),
        _ => {
            input.fail(format!(
                "a norm over the last {axes} dimensions takes floats with rows before them, got {}",
                input.ty()
            ));
            None
        }
    }
}

/// A parameter of rank 1 in the normalised shape.
fn parameter(input: &Value, name: &str, sizes: &[usize], init: Init) -> Value {
    let count = sizes.iter().product();
    input.parameter(name, &[count], init).reshape(Shape::fixed(sizes))
}

impl Layer for LayerNorm {
    fn stem(&self) -> &str {
        "layer_norm"
    }

    fn describe(&self, input: &Value) -> String {
        let shape = input.shape();
        let first = shape.rank().saturating_sub(self.axes);
        format!("LayerNorm {}", Shape(shape.dims()[first..].to_vec()))
    }

    fn forward(&self, input: &Value) -> Value {
        let Some(sizes) = normalised(input, self.axes) else {
            return input.clone();
        };
        let weight = self.weight.then(|| parameter(input, "weight", &sizes, Init::ONES));
        let bias =
            (self.weight && self.bias).then(|| parameter(input, "bias", &sizes, Init::ZEROS));
        let op = op::layer_norm::LayerNorm { axes: self.axes, epsilon: self.epsilon };
        let parameters: Vec<&Value> = weight.iter().chain(&bias).collect();
        input.call(op, &parameters).swap_remove(0)
    }
}

impl Layer for RmsNorm {
    fn stem(&self) -> &str {
        "rms_norm"
    }

    fn describe(&self, input: &Value) -> String {
        let shape = input.shape();
        let first = shape.rank().saturating_sub(self.axes);
        format!("RmsNorm {}", Shape(shape.dims()[first..].to_vec()))
    }

    fn forward(&self, input: &Value) -> Value {
        let Some(sizes) = normalised(input, self.axes) else {
            return input.clone();
        };
        let weight = self.weight.then(|| parameter(input, "weight", &sizes, Init::ONES));
        let op = op::rms_norm::RmsNorm { axes: self.axes, epsilon: self.epsilon };
        let parameters: Vec<&Value> = weight.iter().collect();
        input.call(op, &parameters).swap_remove(0)
    }
}
