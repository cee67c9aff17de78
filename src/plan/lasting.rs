//! Lasting memory: parameters, gradients, optimizer state and control scalars, laid out from model
//! and optimizer alone, so that all plans of a run share it.
//!
//! Parameters are ordered by group. A group is one contiguous range, padded with zeros to a
//! multiple of 256 bytes; gradients and each state have the same layout, so one step updates all.

use crate::op::{BufferId, Graph, Role};
use crate::tensor::{Shape, TensorType};

use super::{ALIGNMENT, UpdateRule};

/// Elements of `f32` in one aligned unit.
const UNIT: usize = ALIGNMENT / 4;

/// A group of parameters that share one update rule and its scalars.
#[derive(Clone, Debug)]
pub struct GroupRequest {
    /// Name of the group.
    pub name: String,
    /// Names and shapes of its parameters.
    pub parameters: Vec<(String, Vec<usize>)>,
    /// How they are updated; `None` for frozen ones, which have neither gradient nor state.
    pub rule: Option<UpdateRule>,
}

/// One parameter and its places.
#[derive(Clone, Debug)]
pub struct LastingParameter {
    /// Name.
    pub name: String,
    /// Sizes.
    pub shape: Vec<usize>,
    /// The parameter itself.
    pub parameter: BufferId,
    /// Its gradient; `None` if frozen.
    pub gradient: Option<BufferId>,
    /// Its states, in the rule's order.
    pub states: Vec<BufferId>,
    /// First element in the group.
    pub element: usize,
}

/// A group and its places.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Elements, padding included.
    pub elements: usize,
    /// All parameters as one buffer.
    pub parameter: BufferId,
    /// All gradients; `None` if frozen.
    pub gradient: Option<BufferId>,
    /// All states, in the rule's order.
    pub states: Vec<BufferId>,
    /// The rule's scalars.
    pub scalars: Vec<BufferId>,
    /// The rule.
    pub rule: Option<UpdateRule>,
    /// The parameters, in order.
    pub parameters: Vec<LastingParameter>,
}

/// The layout of lasting memory.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// Its buffers; every plan begins with them.
    pub graph: Graph,
    /// The groups.
    pub groups: Vec<Group>,
    /// One element: 0 until a step is not finite, then 1, and no step changes anything until it is
    /// written to 0 again. `None` if nothing is updated.
    pub halted: Option<BufferId>,
    /// Byte offset of each buffer.
    pub offsets: Vec<usize>,
    /// Bytes in all.
    pub bytes: usize,
}

impl Lasting {
    /// Lays out the groups, and control scalars of these names beside those of the rules.
    pub fn new(groups: &[GroupRequest], scalars: &[String]) -> Lasting {
        let mut graph = Graph::default();
        let groups: Vec<_> = groups.iter().map(|g| add_group(&mut graph, g)).collect();
        let updates = groups.iter().any(|g| g.rule.is_some());
        let halted = updates.then(|| graph.add("halted", vector(1), Role::State));
        let mut lasting = Lasting { graph, groups, halted, offsets: vec![], bytes: 0 };
        lasting.add_control(scalars);
        lasting.assign();
        lasting
    }

    /// All parameters, by group.
    pub fn parameters(&self) -> impl Iterator<Item = &LastingParameter> {
        self.groups.iter().flat_map(|g| &g.parameters)
    }

    /// A control scalar by name.
    pub fn scalar(&self, name: &str) -> Option<BufferId> {
        self.graph.find(&format!("control/{name}"))
    }

    fn add_control(&mut self, names: &[String]) {
        let own = self.groups.iter().flat_map(|g| {
            let names = g.rule.iter().flat_map(|r| &r.scalars);
            names.map(|s| format!("{}/{s}", g.name)).collect::<Vec<_>>()
        });
        let all: Vec<String> = own.chain(names.iter().cloned()).collect();
        if all.is_empty() {
            return;
        }
        let control = self.graph.add("control", vector(all.len()), Role::Control);
        let views: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let name = format!("control/{name}");
                self.graph.add_within(name, vector(1), Role::Control, control, i)
            })
            .collect();
        let mut views = views.into_iter();
        for group in &mut self.groups {
            let count = group.rule.as_ref().map_or(0, |r| r.scalars.len());
            group.scalars = views.by_ref().take(count).collect();
        }
    }

    fn assign(&mut self) {
        self.offsets = vec![0; self.graph.buffers.len()];
        for i in 0..self.graph.buffers.len() {
            let buffer = &self.graph.buffers[i];
            self.offsets[i] = match buffer.within {
                Some((parent, element)) => self.offsets[parent.index()] + 4 * element,
                None => {
                    let offset = self.bytes;
                    self.bytes += buffer.ty.bytes(0).next_multiple_of(ALIGNMENT);
                    offset
                }
            };
        }
    }
}

fn vector(elements: usize) -> TensorType {
    TensorType::f32(Shape::fixed(&[elements]))
}

fn add_group(graph: &mut Graph, request: &GroupRequest) -> Group {
    let sizes: Vec<usize> =
        request.parameters.iter().map(|(_, shape)| shape.iter().product()).collect();
    let elements = sizes.iter().map(|n| n.next_multiple_of(UNIT)).sum::<usize>().max(UNIT);
    let name = &request.name;
    let parameter = graph.add(format!("group/{name}"), vector(elements), Role::Parameter);
    let states = request.rule.as_ref().map_or(&[][..], |r| &r.states);
    let gradient = request
        .rule
        .is_some()
        .then(|| graph.add(format!("group/{name}.gradient"), vector(elements), Role::Gradient));
    let state_ids: Vec<_> = states
        .iter()
        .map(|s| graph.add(format!("group/{name}.{}", s.name), vector(elements), Role::State))
        .collect();
    let mut group = Group {
        name: name.clone(),
        elements,
        parameter,
        gradient,
        states: state_ids,
        scalars: vec![],
        rule: request.rule.clone(),
        parameters: vec![],
    };
    let mut element = 0;
    for ((name, shape), size) in request.parameters.iter().zip(sizes) {
        let ty = TensorType::f32(Shape::fixed(shape));
        let mut view = |suffix: &str, role, parent| {
            graph.add_within(format!("{name}{suffix}"), ty.clone(), role, parent, element)
        };
        group.parameters.push(LastingParameter {
            name: name.clone(),
            shape: shape.clone(),
            parameter: view("", Role::Parameter, parameter),
            gradient: gradient.map(|g| view(".gradient", Role::Gradient, g)),
            states: states
                .iter()
                .zip(&group.states)
                .map(|(s, &id)| view(&format!(".{}", s.name), Role::State, id))
                .collect(),
            element,
        });
        element += size.next_multiple_of(UNIT);
    }
    group
}
