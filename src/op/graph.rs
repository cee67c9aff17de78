//! Buffers and steps: what a traced model and a plan are made of.

use crate::tensor::TensorType;

use super::{AnyOp, CallTypes, OpError};

/// Index of a buffer in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

impl BufferId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a buffer is for. Parameters, gradients, state and control last from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// Given by the user for each batch.
    Input,
    /// Given by the user for each batch, read by a loss.
    Target,
    /// Trained, or frozen.
    Parameter,
    /// Gradient of a parameter, or of all of a group.
    Gradient,
    /// Optimizer state, running statistics, averages.
    State,
    /// Scalars that the trainer writes before a step: learning rate, normalisers.
    Control,
    /// Result of a step.
    Activation,
}

impl Role {
    /// Whether the content stays from step to step.
    pub fn is_lasting(self) -> bool {
        matches!(self, Role::Parameter | Role::Gradient | Role::State | Role::Control)
    }
}

/// One value: written by one step, or lasting, or given.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Name; unique for all but activations.
    pub name: String,
    /// Type and shape.
    pub ty: TensorType,
    /// Purpose.
    pub role: Role,
    /// The buffer that holds this one, and at which element this one begins in it.
    pub within: Option<(BufferId, usize)>,
}

/// One call of an op.
#[derive(Clone, Debug)]
pub struct Step {
    /// The computation.
    pub op: AnyOp,
    /// Buffers read.
    pub inputs: Vec<BufferId>,
    /// Buffers written.
    pub outputs: Vec<BufferId>,
    /// Path of the layer that the step comes from.
    pub layer: String,
}

/// Steps over buffers.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// All steps, in order of execution.
    pub steps: Vec<Step>,
}

impl Graph {
    /// The buffer of an id.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// Type of a buffer.
    pub fn ty(&self, id: BufferId) -> &TensorType {
        &self.buffer(id).ty
    }

    /// Adds a buffer.
    pub fn add(&mut self, name: impl Into<String>, ty: TensorType, role: Role) -> BufferId {
        let id = BufferId(self.buffers.len() as u32);
        self.buffers.push(Buffer { name: name.into(), ty, role, within: None });
        id
    }

    /// Adds a buffer that is a part of another.
    pub fn add_within(
        &mut self,
        name: impl Into<String>,
        ty: TensorType,
        role: Role,
        parent: BufferId,
        element: usize,
    ) -> BufferId {
        let id = self.add(name, ty, role);
        self.buffers[id.index()].within = Some((parent, element));
        id
    }

    /// Appends a call; its outputs are new activations.
    pub fn call(
        &mut self,
        op: AnyOp,
        inputs: &[BufferId],
        layer: &str,
    ) -> Result<Vec<BufferId>, OpError> {
        let types: Vec<_> = inputs.iter().map(|&id| self.ty(id).clone()).collect();
        let outputs: Vec<_> = op
            .outputs(&types)?
            .into_iter()
            .map(|ty| self.add(format!("%{}", self.buffers.len()), ty, Role::Activation))
            .collect();
        self.steps.push(Step {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            layer: layer.to_string(),
        });
        Ok(outputs)
    }

    /// Finds a buffer by name.
    pub fn find(&self, name: &str) -> Option<BufferId> {
        self.buffers.iter().position(|b| b.name == name).map(|i| BufferId(i as u32))
    }

    /// Types of a step's buffers.
    pub fn call_types(&self, step: &Step) -> CallTypes {
        let types = |ids: &[BufferId]| ids.iter().map(|&id| self.ty(id).clone()).collect();
        CallTypes { inputs: types(&step.inputs), outputs: types(&step.outputs) }
    }

    /// The outermost buffer that holds this one, and at which element this one begins in it.
    pub fn root(&self, id: BufferId) -> (BufferId, usize) {
        let (mut id, mut offset) = (id, 0);
        while let Some((parent, element)) = self.buffer(id).within {
            id = parent;
            offset += element;
        }
        (id, offset)
    }
}
