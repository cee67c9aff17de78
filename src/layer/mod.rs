//! Layers: functions from values to values, traced when the model is built. They hold no arrays.
//!
//! A closure is a layer too, so a user's own needs no trait:
//!
//! ```
//! use ironwarp::prelude::*;
//! let gated = |x: &Value| x.layer(Dense::new(32)) * x.layer(Dense::new(32)).sigmoid();
//! let model = Model::input(&[8]).layer(gated).dense(1);
//! assert_eq!(model.parameter_count()?, 2 * (8 * 32 + 32) + 33);
//! # Ok::<(), ironwarp::Error>(())
//! ```

pub mod activation;
mod dense;
mod dropout;
mod embedding;
mod layout;
mod norm;
mod reshape;
mod residual;
pub mod value;

pub use dense::Dense;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use norm::{LayerNorm, RmsNorm};
pub use reshape::{Flatten, Reshape};
pub use residual::Residual;
pub use value::Value;

/// A function from a value to a value.
pub trait Layer {
    /// Stem of the layer's name, such as `dense`.
    fn stem(&self) -> &str {
        "layer"
    }

    /// What the summary says, such as `Dense 64 -> 128`.
    fn describe(&self, input: &Value) -> String {
        let _ = input;
        self.stem().to_string()
    }

    /// Appends the layer's calls.
    fn forward(&self, input: &Value) -> Value;
}

impl<F: Fn(&Value) -> Value> Layer for F {
    fn forward(&self, input: &Value) -> Value {
        self(input)
    }
}

impl Value {
    /// Applies a layer under a name of its own: its stem and a number.
    pub fn layer(&self, layer: impl Layer) -> Value {
        self.apply(None, &layer)
    }

    /// Applies a layer under this name.
    pub fn named(&self, name: &str, layer: impl Layer) -> Value {
        self.apply(Some(name), &layer)
    }

    fn apply(&self, name: Option<&str>, layer: &impl Layer) -> Value {
        let kind = (layer.stem(), layer.describe(self));
        self.scope(name, kind, |x| layer.forward(x))
    }
}
