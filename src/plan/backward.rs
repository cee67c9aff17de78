//! All of automatic differentiation: one reverse walk over the forward steps.

use std::collections::HashMap;

use crate::op::expression::Expr;
use crate::op::pointwise::Pointwise;
use crate::op::{BufferId, Gradient, Graph, OpError, Step};

/// Appends the steps that compute the gradients of `wanted`, given the gradients `seeds` of some
/// values, and returns them: `None` for a value that no seed depends on.
pub(super) fn append(
    graph: &mut Graph,
    forward: usize,
    seeds: &[(BufferId, BufferId)],
    wanted: &[BufferId],
) -> Result<Vec<Option<BufferId>>, (Step, OpError)> {
    let active = active(graph, forward, wanted);
    let mut gradients: HashMap<BufferId, BufferId> = HashMap::new();
    for &(value, gradient) in seeds {
        add(graph, &mut gradients, value, gradient, "loss").map_err(|e| no_step(graph, e))?;
    }
    for index in (0..forward).rev() {
        let step = graph.steps[index].clone();
        let upstream: Vec<_> = step.outputs.iter().map(|o| gradients.get(o).copied()).collect();
        let needed: Vec<_> = step.inputs.iter().map(|i| active[i.index()]).collect();
        if upstream.iter().all(Option::is_none) || !needed.contains(&true) {
            continue;
        }
        let fail = |error| (step.clone(), error);
        let mut gradient = Gradient::new(graph, step.clone(), upstream, needed.clone());
        step.op.backward(&mut gradient).map_err(fail)?;
        let results = gradient.finish();
        for ((input, result), needed) in step.inputs.iter().zip(results).zip(needed) {
            if let (Some(result), true) = (result, needed) {
                add(graph, &mut gradients, *input, result, &step.layer).map_err(fail)?;
            }
        }
    }
    Ok(wanted.iter().map(|id| gradients.get(id).copied()).collect())
}

/// Which values depend on a wanted one.
fn active(graph: &Graph, forward: usize, wanted: &[BufferId]) -> Vec<bool> {
    let mut active = vec![false; graph.buffers.len()];
    wanted.iter().for_each(|id| active[id.index()] = true);
    for step in &graph.steps[..forward] {
        if step.inputs.iter().any(|id| active[id.index()]) {
            step.outputs.iter().for_each(|id| active[id.index()] = true);
        }
    }
    active
}

/// Adds a gradient to those that reached the value before.
fn add(
    graph: &mut Graph,
    gradients: &mut HashMap<BufferId, BufferId>,
    value: BufferId,
    gradient: BufferId,
    layer: &str,
) -> Result<(), OpError> {
    let sum = match gradients.get(&value) {
        None => gradient,
        Some(&before) => {
            let op = Pointwise::new(2, &(Expr::input(0) + Expr::input(1)));
            graph.call(std::sync::Arc::new(op), &[before, gradient], layer)?[0]
        }
    };
    gradients.insert(value, sum);
    Ok(())
}

fn no_step(graph: &Graph, error: OpError) -> (Step, OpError) {
    (graph.steps[0].clone(), error)
}
