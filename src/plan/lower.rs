//! Puts the steps that an op stands for in its place, and turns views into shared buffers.

use std::collections::HashMap;

use crate::op::{BufferId, Emitter, Graph, Mode, OpError, Step};

/// Expands every step from `first` on until no op stands for others.
pub(super) fn expand(
    graph: &mut Graph,
    first: usize,
    mode: Mode,
) -> Result<HashMap<BufferId, BufferId>, (Step, OpError)> {
    let mut pending: Vec<Step> = graph.steps.split_off(first);
    pending.reverse();
    let mut renamed: HashMap<BufferId, BufferId> = HashMap::new();
    while let Some(mut step) = pending.pop() {
        step.inputs.iter_mut().for_each(|id| *id = resolve(&renamed, *id));
        let start = graph.steps.len();
        let op = step.op.clone();
        let mut emitter = Emitter::new(graph, step.layer.clone());
        match op.expand(mode, &step.inputs, &mut emitter) {
            Err(error) => return Err((step, error)),
            Ok(None) => graph.steps.push(step),
            Ok(Some(results)) => {
                renamed.extend(step.outputs.into_iter().zip(results));
                pending.extend(graph.steps.drain(start..).rev());
            }
        }
    }
    Ok(renamed)
}

/// The value that stands for `id` now.
pub(super) fn resolve(renamed: &HashMap<BufferId, BufferId>, mut id: BufferId) -> BufferId {
    while let Some(&next) = renamed.get(&id) {
        id = next;
    }
    id
}

/// Removes view steps: their output becomes a part of their input.
pub(super) fn join_views(graph: &mut Graph) {
    let steps = std::mem::take(&mut graph.steps);
    for step in steps {
        let free = step.op.is_view() && graph.buffer(step.outputs[0]).within.is_none();
        if free && !graph.buffer(step.outputs[0]).role.is_lasting() {
            graph.buffers[step.outputs[0].index()].within = Some((step.inputs[0], 0));
        } else {
            graph.steps.push(step);
        }
    }
}
