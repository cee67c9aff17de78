//! Layers that give the same elements another shape.

use super::{Layer, Value};
use crate::tensor::{Dim, Shape};

/// All dimensions but the rows as one: `[B, ..]` to `[B, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten;

/// Other sizes after the rows: `[B, ..]` to `[B, sizes..]`, with as many elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    sizes: Vec<usize>,
}

impl Reshape {
    /// A layer that gives each row these sizes.
    pub fn new(sizes: &[usize]) -> Self {
        Reshape { sizes: sizes.to_vec() }
    }
}

impl Layer for Flatten {
    fn stem(&self) -> &str {
        "flatten"
    }

    fn describe(&self, _input: &Value) -> String {
        "Flatten".into()
    }

    fn forward(&self, input: &Value) -> Value {
        input.flatten()
    }
}

impl Layer for Reshape {
    fn stem(&self) -> &str {
        "reshape"
    }

    fn describe(&self, _input: &Value) -> String {
        format!("Reshape {:?}", self.sizes)
    }

    fn forward(&self, input: &Value) -> Value {
        let shape = input.shape();
        let Some(&rows) = shape.dims().first() else {
            return input.fail(format!("a reshape layer takes [B, ..], got {}", input.ty()));
        };
        let sizes = self.sizes.iter().map(|&n| Dim::Fixed(n));
        input.reshape(Shape(std::iter::once(rows).chain(sizes).collect()))
    }
}
