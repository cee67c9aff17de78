//! The residual connection.

use super::{Layer, Value};

/// `x + f(x)` for any layer `f` that keeps the shape (He et al. 2016).
#[derive(Clone, Copy, Debug)]
pub struct Residual<L> {
    layer: L,
}

impl<L: Layer> Residual<L> {
    /// A connection around this layer; a closure is a layer too.
    pub fn new(layer: L) -> Self {
        Residual { layer }
    }
}

impl<L: Layer> Layer for Residual<L> {
    fn stem(&self) -> &str {
        "residual"
    }

    fn describe(&self, _input: &Value) -> String {
        "Residual".into()
    }

    fn forward(&self, input: &Value) -> Value {
        let branch = input.apply(None, &self.layer);
        let (before, after) = (input.ty(), branch.ty());
        if before != after {
            return input.fail(format!(
                "the layer inside a residual must keep the shape, got {before} and {after}"
            ));
        }
        input + &branch
    }
}
