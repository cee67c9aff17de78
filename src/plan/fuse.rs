//! Joins pointwise steps to the step before, so that what one writes and the next reads stays in
//! registers or in the cache.
//!
//! Step B joins an earlier step A whose result it reads if both have outputs of one shape and no
//! step between them reads from A: then A can wait until B. A is pointwise too, and the joint step
//! is; or A is a matrix product, and B becomes its epilogue. The joint step stores B's results, and
//! those of A that a later step or the user still reads.

mod losses;
mod sums;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::op::expression::{Builder, Node, Program};
use crate::op::matmul::Matmul;
use crate::op::pointwise::{MAX_OUTPUTS, Pointwise, compact};
use crate::op::{AnyOp, BufferId, Graph, Step};

pub(super) use losses::join_losses;
pub(super) use sums::join_row_sums;

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

/// What a step computes element by element.
enum Form<'a> {
    /// All of it.
    Pointwise(&'a Program),
    /// What follows this product, whose operands are the step's first two inputs.
    Product(&'a Matmul),
}

impl Form<'_> {
    fn of(step: &Step) -> Option<Form<'_>> {
        let pointwise = step.op.as_pointwise().filter(|p| p.is_pure());
        let pointwise = pointwise.map(|p| Form::Pointwise(p.program()));
        pointwise.or_else(|| step.op.as_matmul().filter(|p| !p.row_sums).map(Form::Product))
    }
}

/// The earlier step that `step` can join. A product is the last choice, since it ends the search.
fn partner(graph: &Graph, done: &[Step], step: &Step) -> Option<usize> {
    let Form::Pointwise(_) = Form::of(step)? else { return None };
    let shape = &graph.ty(step.outputs[0]).shape;
    let fits = |i: &usize| {
        let candidate = &done[*i];
        let reads = |s: &Step| candidate.outputs.iter().any(|id| s.inputs.contains(id));
        reads(step)
            && graph.ty(candidate.outputs[0]).shape == *shape
            && candidate.outputs.len() + step.outputs.len() <= MAX_OUTPUTS
            && !done[i + 1..].iter().any(reads)
    };
    let find = |pointwise: bool| {
        let form = |i: &usize| match Form::of(&done[*i]) {
            Some(Form::Pointwise(_)) => pointwise,
            Some(Form::Product(_)) => !pointwise,
            None => false,
        };
        (0..done.len()).rev().filter(form).find(fits)
    };
    find(true).or_else(|| find(false))
}

/// The step that computes what both did. `second` is pointwise.
fn join(graph: &Graph, first: &Step, second: &Step, is_read: impl Fn(&BufferId) -> bool) -> Step {
    let (Some(a), Some(Form::Pointwise(b))) = (Form::of(first), Form::of(second)) else {
        return second.clone();
    };
    let product = match a {
        Form::Pointwise(_) => None,
        Form::Product(matmul) => Some(matmul),
    };
    let (factors, own) = first.inputs.split_at(if product.is_some() { 2 } else { 0 });
    // Operands of the joint program; the plain product has no buffer.
    let mut operands: Vec<Option<BufferId>> = product.iter().map(|_| None).collect();
    operands.extend(own.iter().copied().map(Some));
    let given = operands.len();
    let news = second.inputs.iter().filter(|id| !first.outputs.contains(id));
    operands.extend(news.copied().map(Some));
    let mut builder = Builder::new(operands.len());
    let reads: Vec<_> = (0..operands.len()).map(|i| builder.push(Node::Input(i))).collect();
    let results = match a {
        Form::Pointwise(program) => builder.inline(program, &reads[..given]),
        Form::Product(matmul) => match &matmul.epilogue {
            Some(program) => builder.inline(program, &reads[..given]),
            None => vec![reads[0]],
        },
    };
    let read = |id: &BufferId| match first.outputs.iter().position(|o| o == id) {
        Some(i) => results[i],
        None => operands.iter().position(|o| *o == Some(*id)).map_or(usize::MAX, |i| reads[i]),
    };
    let mut values = builder.inline(b, &second.inputs.iter().map(read).collect::<Vec<_>>());
    let mut outputs = second.outputs.clone();
    for (id, &value) in first.outputs.iter().zip(&results).filter(|(id, _)| is_read(id)) {
        outputs.push(*id);
        values.push(value);
    }
    let (program, read) = compact(&builder.finish(values), &operands);
    let op: AnyOp = match product {
        Some(matmul) => Arc::new(matmul.with_epilogue(program)),
        None => {
            let shape = graph.ty(second.outputs[0]).shape.clone();
            Arc::new(Pointwise::from_program(program).with_shape(shape))
        }
    };
    let inputs = factors.iter().copied().chain(read).collect();
    // Each layer once.
    let mut layer = first.layer.clone();
    for part in second.layer.split(" + ") {
        if layer.split(" + ").all(|known| known != part) {
            layer = format!("{layer} + {part}");
        }
    }
    Step { op, inputs, outputs, layer }
}

#[cfg(test)]
mod tests;
