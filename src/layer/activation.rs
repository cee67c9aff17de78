//! Activation functions: each a scalar expression of the value, so each fuses with its neighbours;
//! softmax alone is an op of its own.
//!
//! Where the derivative is simpler in the output (ReLU, ELU), it is written in it: the input need
//! not be kept. Values and derivatives at ties are PyTorch's.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::{Layer, Value};
use crate::op::expression::Expr;
use crate::op::softmax::Softmax;

/// α of SELU (Klambauer et al. 2017).
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// Scale of SELU (Klambauer et al. 2017).
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// Of `x²` in GELU by `tanh`.
const GELU_CUBIC: f64 = 0.044_715;
/// `√(2/π)`.
const GELU_SCALE: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;

pub(crate) fn gelu(x: &Expr) -> Expr {
    x * 0.5 * ((x * FRAC_1_SQRT_2).erf() + 1.0)
}

/// The derivative times upstream: `Φ(x) + x φ(x)`.
pub(crate) fn gelu_slope(x: &Expr, g: &Expr) -> Expr {
    let density = (x.square() * -0.5).exp() * (0.5 * GELU_SCALE);
    g * (((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5 + x * density)
}

fn gelu_tanh_of(x: &Expr) -> Expr {
    ((x + (x.square() * x) * GELU_CUBIC) * GELU_SCALE).tanh()
}

pub(crate) fn gelu_tanh(x: &Expr) -> Expr {
    x * 0.5 * (gelu_tanh_of(x) + 1.0)
}

/// The derivative times upstream.
pub(crate) fn gelu_tanh_slope(x: &Expr, g: &Expr) -> Expr {
    let tanh = gelu_tanh_of(x);
    let inner = x.square() * (3.0 * GELU_CUBIC * GELU_SCALE) + GELU_SCALE;
    g * ((&tanh + 1.0) * 0.5 + (x * 0.5) * ((1.0 - tanh.square()) * inner))
}

impl Value {
    /// `max(x, 0)`; the derivative at 0 is 0.
    pub fn relu(&self) -> Value {
        self.map_with_gradient(
            |x| x.less_equal(0.0).select(0.0, x),
            |_, y, g| y.less_equal(0.0).select(0.0, g),
        )
    }

    /// `x` above 0, `slope · x` below (Maas et al. 2013); PyTorch's default slope is 0.01.
    pub fn leaky_relu(&self, slope: f64) -> Value {
        self.map(|x| Expr::constant(0.0).less(x).select(x, x * slope))
    }

    /// `x` above 0, `alpha (exp(x) − 1)` below (Clevert et al. 2016); PyTorch's default alpha is 1.
    pub fn elu(&self, alpha: f64) -> Value {
        self.map_with_gradient(
            |x| x.less_equal(0.0).select(x.min(0.0).expm1() * alpha, x),
            |_, y, g| Expr::constant(0.0).less(y).select(g, g * (y + alpha)),
        )
    }

    /// Scaled ELU (Klambauer et al. 2017).
    pub fn selu(&self) -> Value {
        const SLOPE: f64 = SELU_ALPHA * SELU_SCALE;
        self.map_with_gradient(
            |x| x.less_equal(0.0).select(x.min(0.0).expm1() * SLOPE, x * SELU_SCALE),
            |_, y, g| Expr::constant(0.0).less(y).select(g * SELU_SCALE, g * (y + SLOPE)),
        )
    }

    /// `x Φ(x)` with the error function (Hendrycks and Gimpel 2016): PyTorch's default GELU.
    pub fn gelu(&self) -> Value {
        self.map_with_gradient(gelu, |x, _, g| gelu_slope(x, g))
    }

    /// GELU by `tanh`: `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    pub fn gelu_tanh(&self) -> Value {
        self.map_with_gradient(gelu_tanh, |x, _, g| gelu_tanh_slope(x, g))
    }

    /// `x · sigmoid(x)`, also called swish.
    pub fn silu(&self) -> Value {
        self.map(|x| x * x.sigmoid())
    }

    /// `1 / (1 + exp(−x))`.
    pub fn sigmoid(&self) -> Value {
        self.map_with_gradient(|x| x.sigmoid(), |_, y, g| g * (y * (1.0 - y)))
    }

    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Value {
        self.map_with_gradient(|x| x.tanh(), |_, y, g| g * (1.0 - y.square()))
    }

    /// `log(1 + exp(x))`.
    pub fn softplus(&self) -> Value {
        self.map_with_gradient(|x| x.softplus(), |x, _, g| g * x.sigmoid())
    }

    /// `x · tanh(softplus(x))` (Misra 2019).
    pub fn mish(&self) -> Value {
        self.map(|x| x * x.softplus().tanh())
    }

    /// `x · min(max(x + 3, 0), 6) / 6` (Howard et al. 2019); slope 0 at −3 and 1 at 3.
    pub fn hard_swish(&self) -> Value {
        self.map_with_gradient(
            |x| x * (x + 3.0).max(0.0).min(6.0) / 6.0,
            |x, _, g| {
                let middle = g * (x / 3.0 + 0.5);
                x.less_equal(-3.0).select(0.0, x.less(3.0).select(middle, g))
            },
        )
    }

    /// `exp(x) / Σ exp(x)` over the last dimension. For a loss take cross-entropy on the logits.
    pub fn softmax(&self) -> Value {
        self.one(Softmax { log: false }, &[])
    }

    /// `x − log Σ exp(x)` over the last dimension.
    pub fn log_softmax(&self) -> Value {
        self.one(Softmax { log: true }, &[])
    }
}

/// An activation as a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the methods of `Value` of the same names say what each is
#[non_exhaustive]
pub enum Activation {
    Relu,
    LeakyRelu(f64),
    Elu(f64),
    Selu,
    Gelu,
    GeluTanh,
    Silu,
    Sigmoid,
    Tanh,
    Softplus,
    Mish,
    HardSwish,
    Softmax,
    LogSoftmax,
}

impl Layer for Activation {
    fn stem(&self) -> &str {
        match self {
            Activation::Relu => "relu",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Elu(_) => "elu",
            Activation::Selu => "selu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::Silu => "silu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Softplus => "softplus",
            Activation::Mish => "mish",
            Activation::HardSwish => "hard_swish",
            Activation::Softmax => "softmax",
            Activation::LogSoftmax => "log_softmax",
        }
    }

    fn describe(&self, _input: &Value) -> String {
        format!("{self:?}")
    }

    fn forward(&self, x: &Value) -> Value {
        match *self {
            Activation::Relu => x.relu(),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Elu(alpha) => x.elu(alpha),
            Activation::Selu => x.selu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Tanh => x.tanh(),
            Activation::Softplus => x.softplus(),
            Activation::Mish => x.mish(),
            Activation::HardSwish => x.hard_swish(),
            Activation::Softmax => x.softmax(),
            Activation::LogSoftmax => x.log_softmax(),
        }
    }
}
