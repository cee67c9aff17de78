//! The dropout layer.

use super::{Layer, Value};

/// In training, zeroes each element with a probability and divides the others by one minus it; in
/// evaluation, the identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    probability: f64,
}

impl Dropout {
    /// A layer that zeroes elements with this probability, in 0..=1; PyTorch's default is 0.5.
    pub fn new(probability: f64) -> Self {
        Dropout { probability }
    }
}

impl Layer for Dropout {
    fn stem(&self) -> &str {
        "dropout"
    }

    fn describe(&self, _input: &Value) -> String {
        format!("Dropout {}", self.probability)
    }

    fn forward(&self, input: &Value) -> Value {
        input.dropout(self.probability)
    }
}
