//! What an op uses to emit the steps of its gradient, or the steps that stand for it.

use crate::tensor::TensorType;

use super::{AnyOp, BufferId, Graph, Op, OpError, Step};

/// Appends steps to a graph, under the layer path of the step they come from.
pub struct Emitter<'a> {
    graph: &'a mut Graph,
    layer: String,
}

impl<'a> Emitter<'a> {
    /// An emitter that appends to `graph`.
    pub fn new(graph: &'a mut Graph, layer: impl Into<String>) -> Self {
        Emitter { graph, layer: layer.into() }
    }

    /// Appends a call and returns its outputs.
    pub fn call(&mut self, op: impl Op, inputs: &[BufferId]) -> Result<Vec<BufferId>, OpError> {
        self.call_any(std::sync::Arc::new(op), inputs)
    }

    /// Appends a call of a shared op and returns its outputs.
    pub fn call_any(&mut self, op: AnyOp, inputs: &[BufferId]) -> Result<Vec<BufferId>, OpError> {
        self.graph.call(op, inputs, &self.layer)
    }

    /// Appends a call of an op with one output and returns it.
    pub fn one(&mut self, op: impl Op, inputs: &[BufferId]) -> Result<BufferId, OpError> {
        Ok(self.call(op, inputs)?[0])
    }

    /// Type of a value.
    pub fn ty(&self, id: BufferId) -> &TensorType {
        self.graph.ty(id)
    }
}

/// The backward pass of one step: upstream gradients in, gradients of the inputs out.
pub struct Gradient<'a> {
    /// Appends the steps.
    pub emitter: Emitter<'a>,
    step: Step,
    upstream: Vec<Option<BufferId>>,
    needed: Vec<bool>,
    results: Vec<Option<BufferId>>,
}

impl<'a> Gradient<'a> {
    /// The backward pass of `step`, whose outputs have these gradients; `needed` tells which
    /// inputs want one.
    pub fn new(
        graph: &'a mut Graph,
        step: Step,
        upstream: Vec<Option<BufferId>>,
        needed: Vec<bool>,
    ) -> Self {
        let results = vec![None; needed.len()];
        let emitter = Emitter::new(graph, step.layer.clone());
        Gradient { emitter, step, upstream, needed, results }
    }

    /// Input `i` of the forward step.
    pub fn input(&self, i: usize) -> BufferId {
        self.step.inputs[i]
    }

    /// Output `i` of the forward step.
    pub fn output(&self, i: usize) -> BufferId {
        self.step.outputs[i]
    }

    /// All inputs of the forward step.
    pub fn inputs(&self) -> &[BufferId] {
        &self.step.inputs
    }

    /// All outputs of the forward step.
    pub fn outputs(&self) -> &[BufferId] {
        &self.step.outputs
    }

    /// Gradient with respect to output `i`; `None` if nothing depends on it.
    pub fn upstream(&self, i: usize) -> Option<BufferId> {
        self.upstream[i]
    }

    /// Whether input `i` wants a gradient.
    pub fn needs(&self, i: usize) -> bool {
        self.needed[i]
    }

    /// Type of a value.
    pub fn ty(&self, id: BufferId) -> &TensorType {
        self.emitter.ty(id)
    }

    /// Appends a call of an op with one output and returns it.
    pub fn one(&mut self, op: impl Op, inputs: &[BufferId]) -> Result<BufferId, OpError> {
        self.emitter.one(op, inputs)
    }

    /// Sets the gradient of input `i`.
    pub fn set(&mut self, i: usize, gradient: BufferId) {
        self.results[i] = Some(gradient);
    }

    /// The gradients that were set.
    pub fn finish(self) -> Vec<Option<BufferId>> {
        self.results
    }
}
