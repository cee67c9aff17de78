//! A network as JSON and back. What is read is checked like what is traced: types are derived
//! again, names and references must hold, and ops come from a registry; nothing is executed.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{ModelError, Result};
use crate::init::Init;
use crate::layer::value::{LayerRecord, Parameter};
use crate::op::{Access, BufferId, Graph, Registry, Role};
use crate::tensor::{Dim, TensorType};

use super::Network;

/// Deepest nesting of layers in a file.
const MAX_DEPTH: usize = 1000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    inputs: Vec<StoredInput>,
    parameters: Vec<StoredParameter>,
    steps: Vec<StoredStep>,
    outputs: Vec<(String, u32)>,
    layers: Vec<StoredLayer>,
    penalties: Vec<(u32, f64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredInput {
    name: String,
    value: u32,
    #[serde(rename = "type")]
    ty: TensorType,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredParameter {
    name: String,
    value: u32,
    shape: Vec<usize>,
    init: Init,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStep {
    op: String,
    attributes: Json,
    inputs: Vec<u32>,
    outputs: Vec<u32>,
    layer: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLayer {
    path: String,
    kind: String,
    output: TensorType,
    steps: (usize, usize),
    depth: usize,
}

impl Network {
    /// The network as JSON; [`Network::from_json`] reads it.
    pub fn to_json(&self) -> Json {
        let ids = |ids: &[BufferId]| ids.iter().map(|id| id.0).collect();
        let stored = Stored {
            inputs: self
                .inputs
                .iter()
                .map(|(name, id)| StoredInput {
                    name: name.clone(),
                    value: id.0,
                    ty: self.graph.ty(*id).clone(),
                })
                .collect(),
            parameters: self
                .parameters
                .iter()
                .map(|p| StoredParameter {
                    name: p.name.clone(),
                    value: p.buffer.0,
                    shape: self.shape(p),
                    init: p.init,
                })
                .collect(),
            steps: self
                .graph
                .steps
                .iter()
                .map(|s| StoredStep {
                    op: s.op.name().to_string(),
                    attributes: s.op.attributes(),
                    inputs: ids(&s.inputs),
                    outputs: ids(&s.outputs),
                    layer: s.layer.clone(),
                })
                .collect(),
            outputs: self.outputs.iter().map(|(name, id)| (name.clone(), id.0)).collect(),
            layers: self
                .layers
                .iter()
                .map(|l| StoredLayer {
                    path: l.path.clone(),
                    kind: l.kind.clone(),
                    output: l.output.clone(),
                    steps: (l.steps.start, l.steps.end),
                    depth: l.depth,
                })
                .collect(),
            penalties: self.penalties.iter().map(|(id, factor)| (id.0, *factor)).collect(),
        };
        serde_json::to_value(stored).expect("invariant: plain data serialises")
    }

    /// Reads what [`Network::to_json`] wrote, with ops from `registry`.
    ///
    /// # Errors
    /// If an op is unknown, a reference leads nowhere, or types do not fit.
    pub fn from_json(json: Json, registry: &Registry) -> Result<Network> {
        let stored: Stored = serde_json::from_value(json)
            .map_err(|error| ModelError::Name(format!("the stored graph is malformed: {error}")))?;
        let mut reader = Reader { graph: Graph::default(), known: Default::default() };
        let mut inputs = Vec::new();
        for input in stored.inputs {
            let id = reader.add(&input.name, input.value, input.ty, Role::Input)?;
            inputs.push((input.name, id));
        }
        let mut parameters = Vec::new();
        for p in stored.parameters {
            p.init.check().map_err(malformed)?;
            let ty = TensorType::f32(crate::tensor::Shape::fixed(&p.shape));
            let buffer = reader.add(&p.name, p.value, ty, Role::Parameter)?;
            parameters.push(Parameter { name: p.name, buffer, init: p.init });
        }
        let steps = stored.steps.len();
        for step in stored.steps {
            reader.step(step, registry)?;
        }
        let outputs = stored
            .outputs
            .into_iter()
            .map(|(name, id)| Ok((name, reader.find(id)?)))
            .collect::<Result<Vec<_>>>()?;
        if outputs.is_empty() {
            return Err(malformed("it has no output"));
        }
        let penalties = stored
            .penalties
            .into_iter()
            .map(|(id, factor)| Ok((reader.find(id)?, factor)))
            .collect::<Result<Vec<_>>>()?;
        if stored.layers.iter().any(|l| l.depth > MAX_DEPTH || l.steps.1 > steps) {
            return Err(malformed("a layer is too deep or has steps that are not there"));
        }
        let layers = stored
            .layers
            .into_iter()
            .map(|l| LayerRecord {
                path: l.path,
                kind: l.kind,
                output: l.output,
                steps: l.steps.0..l.steps.1,
                depth: l.depth,
            })
            .collect();
        Ok(Network { graph: reader.graph, inputs, outputs, parameters, layers, penalties })
    }
}

fn malformed(message: impl std::fmt::Display) -> crate::Error {
    ModelError::Name(format!("the stored graph is malformed: {message}")).into()
}

struct Reader {
    graph: Graph,
    known: std::collections::HashMap<u32, BufferId>,
}

impl Reader {
    fn find(&self, id: u32) -> Result<BufferId> {
        let found = self.known.get(&id).copied();
        found.ok_or_else(|| malformed(format!("value {id} is used before it is made")))
    }

    fn learn(&mut self, id: u32, buffer: BufferId) -> Result<()> {
        match self.known.insert(id, buffer) {
            None => Ok(()),
            Some(_) => Err(malformed(format!("value {id} is made twice"))),
        }
    }

    fn add(&mut self, name: &str, id: u32, ty: TensorType, role: Role) -> Result<BufferId> {
        if self.graph.find(name).is_some() {
            return Err(malformed(format!("two values are named `{name}`")));
        }
        let late_rows = ty.shape.dims().iter().skip(1).any(|d| matches!(d, Dim::Rows(_)));
        if late_rows || ty.shape.checked_elements(1 << 20).is_none() {
            return Err(malformed(format!("`{name}` cannot be {ty}")));
        }
        let buffer = self.graph.add(name, ty, role);
        self.learn(id, buffer)?;
        Ok(buffer)
    }

    fn step(&mut self, step: StoredStep, registry: &Registry) -> Result<()> {
        let shape = |message: String| ModelError::Shape {
            layer: step.layer.clone(),
            op: step.op.clone(),
            message,
        };
        let op = registry.make(&step.op, step.attributes).map_err(|e| shape(e.to_string()))?;
        if (0..step.outputs.len()).any(|output| op.access(output) == Access::Update) {
            return Err(malformed(format!("`{}` would change what it reads", step.op)));
        }
        let inputs = step.inputs.iter().map(|&id| self.find(id)).collect::<Result<Vec<_>>>()?;
        let outputs =
            self.graph.call(op, &inputs, &step.layer).map_err(|e| shape(e.to_string()))?;
        if outputs.len() != step.outputs.len() {
            return Err(malformed(format!("`{}` does not have {:?}", step.op, step.outputs)));
        }
        for (&id, &buffer) in step.outputs.iter().zip(&outputs) {
            let ty = self.graph.ty(buffer);
            if ty.shape.checked_elements(1 << 20).is_none() {
                return Err(malformed(format!("a result of `{}` cannot be {ty}", step.op)));
            }
            self.learn(id, buffer)?;
        }
        Ok(())
    }
}
