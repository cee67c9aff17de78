//! A traced model: pure data.

use std::sync::{Arc, Mutex};

use crate::error::{ModelError, Result};
use crate::layer::Value;
use crate::layer::value::{LayerRecord, Parameter, Trace, lock};
use crate::loss::Loss;
use crate::op::{BufferId, Graph, Role};
use crate::plan::RowLoss;
use crate::tensor::TensorType;

use super::Summary;

/// A graph of op calls with named inputs, outputs and parameters.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) graph: Graph,
    pub(super) inputs: Vec<(String, BufferId)>,
    pub(super) outputs: Vec<(String, BufferId)>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) layers: Vec<LayerRecord>,
    pub(super) penalties: Vec<(BufferId, f64)>,
}

/// A network with its losses: what a training plan is made of.
#[derive(Clone, Debug)]
pub struct WithLosses {
    /// The network's graph, then targets and losses.
    pub graph: Graph,
    /// The losses, penalties included.
    pub losses: Vec<RowLoss>,
}

impl Network {
    pub(super) fn from_trace(trace: &Trace, outputs: Vec<(String, BufferId)>) -> Result<Network> {
        if let Some(error) = &trace.error {
            return Err(error.clone().into());
        }
        if outputs.is_empty() {
            return Err(ModelError::Name("the model has no output".into()).into());
        }
        for (i, (name, _)) in outputs.iter().enumerate() {
            if outputs[..i].iter().any(|(other, _)| other == name) {
                return Err(ModelError::Name(format!("two outputs are named `{name}`")).into());
            }
        }
        for parameter in &trace.parameters {
            if let Err(message) = parameter.init.check() {
                let layer = parameter.name.clone();
                return Err(ModelError::Layer { layer, message }.into());
            }
        }
        let of_role = |role| {
            let buffers = trace.graph.buffers.iter().enumerate();
            buffers
                .filter(move |(_, b)| b.role == role)
                .map(|(i, b)| (b.name.clone(), BufferId(i as u32)))
        };
        Ok(Network {
            graph: trace.graph.clone(),
            inputs: of_role(Role::Input).collect(),
            outputs,
            parameters: trace.parameters.clone(),
            layers: trace.layers.clone(),
            penalties: trace.penalties.clone(),
        })
    }

    /// The graph of op calls.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Inputs by name.
    pub fn inputs(&self) -> &[(String, BufferId)] {
        &self.inputs
    }

    /// Outputs by name.
    pub fn outputs(&self) -> &[(String, BufferId)] {
        &self.outputs
    }

    /// Parameters in the order of their making.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Layers in the order of their calls.
    pub fn layers(&self) -> &[LayerRecord] {
        &self.layers
    }

    /// Type of a value.
    pub fn ty(&self, id: BufferId) -> &TensorType {
        self.graph.ty(id)
    }

    /// Sizes of a parameter.
    pub fn shape(&self, parameter: &Parameter) -> Vec<usize> {
        self.graph.ty(parameter.buffer).shape.sizes(0)
    }

    /// Number of parameters, frozen ones included.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|p| self.graph.ty(p.buffer).shape.elements(0)).sum()
    }

    /// A table of the layers.
    pub fn summary(&self) -> Summary<'_> {
        Summary::new(self)
    }

    /// Names of the losses: `loss` if there is one output, else the outputs' names.
    pub fn loss_names(&self) -> Vec<String> {
        match self.outputs.as_slice() {
            [_] => vec!["loss".to_string()],
            outputs => outputs.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Appends a loss for every output: targets are feeds `target/<loss>`.
    ///
    /// # Errors
    /// If a loss refuses its output.
    pub fn with_losses(&self, losses: &[(&dyn Loss, f64, bool)]) -> Result<WithLosses> {
        let trace = Arc::new(Mutex::new(Trace::of(self.graph.clone())));
        let mut all = Vec::new();
        for ((name, (_, output)), &(loss, factor, weighted)) in
            self.loss_names().into_iter().zip(&self.outputs).zip(losses)
        {
            let ty = loss.target(self.graph.ty(*output));
            let target = lock(&trace).graph.add(format!("target/{name}"), ty, Role::Target);
            let target = Value::new(trace.clone(), target);
            let output = Value::new(trace.clone(), *output);
            let kind = (loss.name(), loss.name().to_string());
            let value = output.scope(Some(&name), kind, |x| loss.forward(x, &target));
            all.push(RowLoss { name, value: value.id(), factor, weighted });
        }
        for (i, &(value, factor)) in self.penalties.iter().enumerate() {
            let name = format!("penalty_{}", i + 1);
            all.push(RowLoss { name, value, factor, weighted: false });
        }
        let trace = lock(&trace);
        match &trace.error {
            Some(error) => Err(error.clone().into()),
            None => Ok(WithLosses { graph: trace.graph.clone(), losses: all }),
        }
    }
}
