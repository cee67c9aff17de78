//! Operations: everything the crate knows about one computation stands in one file here.
//!
//! An [`Op`] tells its output types from its input types, which steps compute its gradient, its
//! definition in plain loops ([`Op::reference`], the judge of every fast form) and its fast CPU
//! form ([`Op::kernel`]). Executors know ops only through this trait, so a new op is one new file
//! and one line in [`Registry::standard`]; a user's own op is registered the same way.

mod bands;
mod gradient;
mod graph;
pub mod kernel;
pub mod launch;
mod registry;
mod rows;

pub mod concatenate;
pub mod draw;
pub mod dropout;
pub mod expression;
pub mod gather;
pub mod layer_norm;
pub mod matmul;
pub mod pointwise;
pub mod rectangles;
pub mod reduce;
pub mod reshape;
pub mod rms_norm;
pub mod roll;
pub mod slice;
pub mod softmax;
pub mod softmax_cross_entropy;
pub mod transpose;
pub mod warp;

use std::fmt::Debug;
use std::sync::Arc;

pub use gradient::{Emitter, Gradient};
pub use graph::{Buffer, BufferId, Graph, Role, Step};
pub use kernel::{CpuKernel, Live, Operand, Split, TaskIo};
pub use launch::{Launches, Target};
pub use registry::{Case, Family, Registry};

use crate::tensor::TensorType;

/// Why an op refuses its inputs: what was expected, what came, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpError(pub String);

/// What a plan is for; some ops compute something else when a model is only evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Forward, backward and update.
    Training,
    /// Forward only: dropout is the identity, batch statistics are the running ones.
    Evaluation,
}

/// How a step uses one of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every element is written, none is read.
    Overwrite,
    /// Elements are read, then written: parameters and optimizer state.
    Update,
}

/// Types and live sizes of one call, as the kernels and the reference see them.
#[derive(Clone, Debug)]
pub struct CallTypes {
    /// Types of the inputs.
    pub inputs: Vec<TensorType>,
    /// Types of the outputs.
    pub outputs: Vec<TensorType>,
}

/// Inputs of the naive definition of an op: everything is `f64`, integers included.
pub struct ReferenceCall<'a> {
    /// Types of inputs and outputs.
    pub types: &'a CallTypes,
    /// Rows in use, seed and step.
    pub live: Live,
    /// Elements of the inputs, live rows only.
    pub inputs: Vec<&'a [f64]>,
    /// Old elements of the outputs; meaningful where [`Op::access`] says [`Access::Update`].
    pub outputs: Vec<&'a [f64]>,
}

impl ReferenceCall<'_> {
    /// Sizes of input `i` for the rows in use.
    pub fn input_sizes(&self, i: usize) -> Vec<usize> {
        self.types.inputs[i].shape.sizes(self.live.rows)
    }

    /// Sizes of output `i` for the rows in use.
    pub fn output_sizes(&self, i: usize) -> Vec<usize> {
        self.types.outputs[i].shape.sizes(self.live.rows)
    }
}

/// One computation.
pub trait Op: Debug + Send + Sync + 'static {
    /// The family's name: the file's stem, and the twin's in `kernels/`.
    fn name(&self) -> &'static str;

    /// The parameters as JSON; [`Registry`] makes the op from it again.
    fn attributes(&self) -> serde_json::Value;

    /// Types of the outputs, or why these inputs are refused.
    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError>;

    /// Emits the steps that compute the gradients of the inputs that need one.
    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError>;

    /// The definition, in plain loops.
    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>>;

    /// The fast CPU form for these types.
    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel>;

    /// The launches that compute the outputs on a CUDA device for up to `capacity` rows, or `None` if
    /// the op has no CUDA form.
    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let _ = (types, capacity, target);
        None
    }

    /// All that [`Op::launches`] chooses among by an estimate, each with a name, such as that of a
    /// tile; none where it has no choice. All give the same bits, so that a measurement may choose.
    fn alternatives(
        &self,
        types: &CallTypes,
        capacity: usize,
        target: &Target,
    ) -> Vec<(String, Launches)> {
        let _ = (types, capacity, target);
        vec![]
    }

    /// How output `output` is used.
    fn access(&self, output: usize) -> Access {
        let _ = output;
        Access::Overwrite
    }

    /// Steps to put in this op's place, if it is only a name for others in this mode.
    fn expand(
        &self,
        mode: Mode,
        inputs: &[BufferId],
        emitter: &mut Emitter<'_>,
    ) -> Result<Option<Vec<BufferId>>, OpError> {
        let _ = (mode, inputs, emitter);
        Ok(None)
    }

    /// The op that computes `Σ upstream · output 0` (`[1]`) and the gradient of input 0 from this op's
    /// inputs and `upstream` (the shape of output 0, or `[1]`), if it can do what the step of
    /// `gradient` does in the same pass; `plan/fuse.rs` puts it there.
    fn with_gradient(&self, gradient: &dyn Op) -> Option<AnyOp> {
        let _ = gradient;
        None
    }

    /// Whether the only output has the bytes of the first input, so that it can be the same buffer.
    fn is_view(&self) -> bool {
        false
    }

    /// The pointwise program, if this op is one; `plan/fuse.rs` joins such steps.
    fn as_pointwise(&self) -> Option<&pointwise::Pointwise> {
        None
    }

    /// The matrix product, if this op is one; `plan/fuse.rs` gives it an epilogue.
    fn as_matmul(&self) -> Option<&matmul::Matmul> {
        None
    }

    /// The reduction, if this op is one; `plan/fuse.rs` joins it with a product.
    fn as_reduce(&self) -> Option<&reduce::Reduce> {
        None
    }

    /// One line for the printed plan.
    fn label(&self) -> String {
        self.name().to_string()
    }

    /// Floating-point operations for the rows in use, a multiply and an add counting two.
    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        types.outputs.iter().map(|t| t.shape.elements(rows) as u64).sum()
    }
}

/// A shared op, as steps hold it.
pub type AnyOp = Arc<dyn Op>;
