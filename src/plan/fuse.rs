//! Joins neighbouring pointwise steps, so that what one writes and the next reads stays in
//! registers.
//!
//! Step B joins an earlier step A whose result it reads if both have outputs of one shape and no
//! step between them reads from A: then A can wait until B. The joint step stores B's results, and
//! those of A that a later step or the user still reads.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::op::expression::{Builder, Node};
use crate::op::pointwise::{MAX_OUTPUTS, Pointwise, compact};
use crate::op::{BufferId, Graph, Step};

/// Fuses the steps of a range in place and returns how many are left. Values in `kept` are read by
/// the user.
pub(super) fn fuse(graph: &mut Graph, range: Range<usize>, kept: &HashSet<BufferId>) -> usize {
    let tail = graph.steps.split_off(range.end);
    let steps = graph.steps.split_off(range.start);
    let mut done: Vec<Step> = Vec::new();
    let mut rest: Vec<Step> = steps.into_iter().rev().collect();
    while let Some(mut step) = rest.pop() {
        while let Some(partner) = partner(graph, &done, &step) {
            let first = done.remove(partner);
            let is_read = |id: &BufferId| {
                kept.contains(id)
                    || graph.buffer(*id).role.is_lasting()
                    || done.iter().chain(&rest).chain(&tail).any(|s| s.inputs.contains(id))
            };
            step = join(graph, &first, &step, is_read);
        }
        done.push(step);
    }
    let count = done.len();
    graph.steps.extend(done);
    graph.steps.extend(tail);
    count
}

fn pure(step: &Step) -> Option<&Pointwise> {
    step.op.as_pointwise().filter(|p| p.updates() == 0)
}

/// The earlier step that `step` can join.
fn partner(graph: &Graph, done: &[Step], step: &Step) -> Option<usize> {
    pure(step)?;
    let shape = &graph.ty(step.outputs[0]).shape;
    for (i, candidate) in done.iter().enumerate().rev() {
        let feeds = candidate.outputs.iter().any(|id| step.inputs.contains(id));
        let fits = pure(candidate).is_some()
            && graph.ty(candidate.outputs[0]).shape == *shape
            && candidate.outputs.len() + step.outputs.len() <= MAX_OUTPUTS;
        let reads = |s: &Step| candidate.outputs.iter().any(|id| s.inputs.contains(id));
        if feeds && fits && !done[i + 1..].iter().any(reads) {
            return Some(i);
        }
    }
    None
}

fn join(graph: &Graph, first: &Step, second: &Step, is_read: impl Fn(&BufferId) -> bool) -> Step {
    let (Some(a), Some(b)) = (pure(first), pure(second)) else { return second.clone() };
    let mut operands: Vec<BufferId> = first.inputs.clone();
    operands.extend(second.inputs.iter().filter(|id| !first.outputs.contains(id)));
    let mut builder = Builder::new(operands.len());
    let input = |builder: &mut Builder, id: &BufferId| {
        let place = operands.iter().position(|o| o == id).expect("invariant: collected above");
        builder.push(Node::Input(place))
    };
    let reads: Vec<_> = first.inputs.iter().map(|id| input(&mut builder, id)).collect();
    let results = builder.inline(a.program(), &reads);
    let reads: Vec<_> = second
        .inputs
        .iter()
        .map(|id| match first.outputs.iter().position(|o| o == id) {
            Some(place) => results[place],
            None => input(&mut builder, id),
        })
        .collect();
    let mut values = builder.inline(b.program(), &reads);
    let mut outputs = second.outputs.clone();
    for (id, value) in first.outputs.iter().zip(results) {
        if is_read(id) {
            outputs.push(*id);
            values.push(value);
        }
    }
    let operands: Vec<_> = operands.into_iter().map(Some).collect();
    let (program, inputs) = compact(&builder.finish(values), &operands);
    let shape = graph.ty(second.outputs[0]).shape.clone();
    let op = Pointwise::from_program(program).with_shape(shape);
    let layer = match first.layer == second.layer {
        true => first.layer.clone(),
        false => format!("{} + {}", first.layer, second.layer),
    };
    Step { op: Arc::new(op), inputs, outputs, layer }
}
