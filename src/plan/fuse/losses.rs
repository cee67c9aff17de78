//! Lets a loss and its gradient be computed in one pass, where the gradient's factor does not depend on
//! the loss: the step that gives each row's loss, its product with the seed, the sum of those, and the
//! step that gives the gradient become one.

use std::collections::HashSet;

use crate::op::expression::{Expr, Program};
use crate::op::reduce::Reduce;
use crate::op::{BufferId, Graph, Step};
use crate::tensor::Shape;

/// Joins what can be joined; returns the number of forward steps that are left. Values in `kept` are
/// read by the user.
pub(in crate::plan) fn join_losses(
    graph: &mut Graph,
    mut forward: usize,
    kept: &HashSet<BufferId>,
) -> usize {
    let mut i = 0;
    while i < forward {
        if let Some(found) = Found::at(graph, forward, kept, i) {
            let (sum, mut gone) = found.apply(graph);
            gone.sort_unstable();
            debug_assert!(gone.iter().all(|at| *at != sum));
            for at in gone.into_iter().rev() {
                graph.steps.remove(at);
                forward -= usize::from(at < forward);
            }
        }
        i += 1;
    }
    forward
}

/// Places of the steps around a loss.
struct Found {
    loss: usize,
    product: usize,
    sum: usize,
    gradient: usize,
    seed: BufferId,
    joint: Step,
}

/// The only step that reads a value, if nobody else does.
fn only_reader(graph: &Graph, kept: &HashSet<BufferId>, value: BufferId) -> Option<usize> {
    let mut readers = (0..graph.steps.len()).filter(|&i| graph.steps[i].inputs.contains(&value));
    let first = readers.next().filter(|_| readers.next().is_none())?;
    (!kept.contains(&value) && !graph.buffer(value).role.is_lasting()).then_some(first)
}

impl Found {
    fn at(graph: &Graph, forward: usize, kept: &HashSet<BufferId>, loss: usize) -> Option<Found> {
        let step = &graph.steps[loss];
        let (&value, others) = step.outputs.split_first()?;
        let product = only_reader(graph, kept, value)?;
        let by = &graph.steps[product];
        let &[first, seed] = by.inputs.as_slice() else { return None };
        let plain = Program::new(2, &[Expr::input(0) * Expr::input(1)]);
        let multiplies = by.op.as_pointwise().is_some_and(|p| *p.program() == plain);
        if first != value || !multiplies {
            return None;
        }
        let sum = only_reader(graph, kept, by.outputs[0])?;
        let total = &graph.steps[sum];
        if !total.op.as_reduce().is_some_and(Reduce::sums_rows) || sum >= forward {
            return None;
        }
        let gradient = (forward..graph.steps.len()).find(|&i| {
            let inputs = &graph.steps[i].inputs;
            let wanted = step.inputs.iter().chain(others).chain([&seed]);
            inputs.iter().eq(wanted)
        })?;
        if others.iter().any(|id| only_reader(graph, kept, *id) != Some(gradient)) {
            return None;
        }
        let op = step.op.with_gradient(&*graph.steps[gradient].op)?;
        let mut inputs = step.inputs.clone();
        inputs.push(seed);
        let outputs = vec![total.outputs[0], graph.steps[gradient].outputs[0]];
        let joint = Step { op, inputs, outputs, layer: step.layer.clone() };
        Some(Found { loss, product, sum, gradient, seed, joint })
    }

    /// Puts the joint step in place of the sum; returns that place and the steps that go. A seed that
    /// is a scalar, spread over the rows, is read where it stands.
    fn apply(self, graph: &mut Graph) -> (usize, Vec<usize>) {
        let Found { loss, product, sum, gradient, seed, mut joint } = self;
        let mut gone = vec![loss, product, gradient];
        let writes = graph.steps.iter().position(|step| step.outputs == [seed]);
        let readers = graph.steps.iter().filter(|step| step.inputs.contains(&seed)).count();
        if let (Some(at), 2) = (writes, readers)
            && let [scalar] = graph.steps[at].inputs[..]
            && graph.ty(scalar).shape == Shape::fixed(&[1])
            && let plain = Program::new(1, &[Expr::input(0)])
            && graph.steps[at].op.as_pointwise().is_some_and(|p| *p.program() == plain)
        {
            joint.inputs.pop();
            joint.inputs.push(scalar);
            gone.push(at);
        }
        graph.steps[sum] = joint;
        (sum, gone)
    }
}
