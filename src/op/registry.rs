//! The op families by name, for model files and for the tests that iterate every op.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::{AnyOp, Op, OpError};
use crate::tensor::TensorType;

/// One example call of an op: what tests, benches and sanitizer runs iterate.
#[derive(Clone, Debug)]
pub struct Case {
    /// The op.
    pub op: AnyOp,
    /// Types of its inputs.
    pub inputs: Vec<TensorType>,
    /// Rows in use.
    pub rows: usize,
    /// Lowest and highest value of float inputs.
    pub range: (f32, f32),
    /// Integer input `i` runs over `0..integers[i]`.
    pub integers: BTreeMap<usize, u32>,
    /// Outputs that have a gradient.
    pub outputs: Vec<usize>,
    /// Inputs that a gradient is wanted for.
    pub wanted: Vec<usize>,
}

impl Case {
    /// A case with inputs in -2..2; all outputs and float inputs have gradients.
    pub fn new(op: impl Op, inputs: Vec<TensorType>, rows: usize) -> Self {
        let outputs = op.outputs(&inputs).map_or(0, |types| types.len());
        let wanted = (0..inputs.len()).filter(|&i| inputs[i].dtype.is_float()).collect();
        Case {
            op: Arc::new(op),
            inputs,
            rows,
            range: (-2.0, 2.0),
            integers: BTreeMap::new(),
            outputs: (0..outputs).collect(),
            wanted,
        }
    }

    /// The same with gradients of these outputs alone, with respect to these inputs alone.
    pub fn gradients(self, outputs: &[usize], wanted: &[usize]) -> Self {
        Case { outputs: outputs.to_vec(), wanted: wanted.to_vec(), ..self }
    }

    /// The same with another range of inputs.
    pub fn range(self, low: f32, high: f32) -> Self {
        Case { range: (low, high), ..self }
    }

    /// The same with integer input `i` in `0..end`.
    pub fn integers(mut self, i: usize, end: u32) -> Self {
        self.integers.insert(i, end);
        self
    }
}

/// An op that can be made from its attributes.
pub trait Family: Op + Serialize + DeserializeOwned {
    /// The family's name, as [`Op::name`] gives it.
    const NAME: &'static str;

    /// Example calls: sizes 1 and primes, broadcasting, every branch.
    fn cases() -> Vec<Case>;
}

type Make = fn(serde_json::Value) -> Result<AnyOp, OpError>;

struct Entry {
    make: Make,
    cases: fn() -> Vec<Case>,
}

/// Op families by name.
pub struct Registry {
    entries: BTreeMap<&'static str, Entry>,
}

impl Registry {
    /// The families of this crate.
    pub fn standard() -> Self {
        let mut registry = Registry { entries: BTreeMap::new() };
        registry.add::<super::layer_norm::LayerNorm>();
        registry.add::<super::layer_norm::LayerNormGradient>();
        registry.add::<super::concatenate::Concatenate>();
        registry.add::<super::draw::Draw>();
        registry.add::<super::dropout::Dropout>();
        registry.add::<super::gather::Gather>();
        registry.add::<super::gather::GatherGradient>();
        registry.add::<super::matmul::Matmul>();
        registry.add::<super::pointwise::Pointwise>();
        registry.add::<super::rectangles::Rectangles>();
        registry.add::<super::reduce::Reduce>();
        registry.add::<super::reshape::Reshape>();
        registry.add::<super::rms_norm::RmsNorm>();
        registry.add::<super::rms_norm::RmsNormGradient>();
        registry.add::<super::roll::Roll>();
        registry.add::<super::softmax::Softmax>();
        registry.add::<super::softmax::SoftmaxGradient>();
        registry.add::<super::slice::Pad>();
        registry.add::<super::slice::Slice>();
        registry.add::<super::softmax_cross_entropy::SoftmaxCrossEntropy>();
        registry.add::<super::softmax_cross_entropy::SoftmaxCrossEntropyGradient>();
        registry.add::<super::softmax_cross_entropy::SoftmaxCrossEntropyWithGradient>();
        registry.add::<super::transpose::Transpose>();
        registry.add::<super::warp::Warp>();
        registry
    }

    /// Adds a family, a user's own too.
    pub fn add<F: Family>(&mut self) {
        let make: Make = |value| match serde_json::from_value::<F>(value) {
            Ok(op) => Ok(Arc::new(op)),
            Err(error) => Err(OpError(format!("attributes of `{}`: {error}", F::NAME))),
        };
        self.entries.insert(F::NAME, Entry { make, cases: F::cases });
    }

    /// Makes an op from its name and attributes.
    pub fn make(&self, name: &str, attributes: serde_json::Value) -> Result<AnyOp, OpError> {
        let entry = self.entries.get(name).ok_or_else(|| {
            OpError(format!("unknown op `{name}`; register it and load with `Trained::load_with`"))
        })?;
        (entry.make)(attributes)
    }

    /// The example calls of every family.
    pub fn cases(&self) -> Vec<Case> {
        self.entries.values().flat_map(|entry| (entry.cases)()).collect()
    }

    /// Names of the families, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        self.entries.keys().copied().collect()
    }
}
