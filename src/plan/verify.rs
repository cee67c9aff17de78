//! The invariants of a plan, each under its name. Executors rely on them.

use std::collections::HashSet;

use crate::error::PlanError;
use crate::op::{Access, BufferId, Mode};
use crate::tensor::Dim;

use super::arena::lives;
use super::{ALIGNMENT, Lasting, Plan};

/// Checks every rule.
pub(super) fn verify(plan: &Plan, lasting: &Lasting) -> Result<(), PlanError> {
    types(plan)?;
    rows_first(plan)?;
    written_before_read(plan)?;
    no_overlap(plan)?;
    inputs_apart_from_outputs(plan)?;
    update_is_transaction(plan)?;
    one_gradient_one_update(plan, lasting)
}

fn broken(rule: &'static str, message: String) -> Result<(), PlanError> {
    Err(PlanError::Rule { rule, message })
}

/// Every step's outputs have the types that its op gives for its inputs.
fn types(plan: &Plan) -> Result<(), PlanError> {
    for (i, step) in plan.graph.steps.iter().enumerate() {
        let types = plan.graph.call_types(step);
        let expected = step.op.outputs(&types.inputs);
        if expected.as_ref() != Ok(&types.outputs) {
            let got = &types.outputs;
            return broken("types", format!("step {i} gives {expected:?}, not {got:?}"));
        }
    }
    Ok(())
}

/// Only the first dimension counts rows, so rows in use are a prefix of the buffer.
fn rows_first(plan: &Plan) -> Result<(), PlanError> {
    for buffer in &plan.graph.buffers {
        if buffer.ty.shape.dims().iter().skip(1).any(|d| matches!(d, Dim::Rows(_))) {
            return broken("rows_first", format!("`{}` {}", buffer.name, buffer.ty));
        }
    }
    Ok(())
}

/// No step reads what was not written; what a step writes was not written before, unless it lasts.
fn written_before_read(plan: &Plan) -> Result<(), PlanError> {
    let root = |id: &BufferId| plan.graph.root(*id).0;
    let mut written: HashSet<BufferId> = plan.feeds.iter().map(|(_, id)| root(id)).collect();
    for (i, step) in plan.graph.steps.iter().enumerate() {
        for id in &step.inputs {
            if !plan.graph.buffer(root(id)).role.is_lasting() && !written.contains(&root(id)) {
                let name = &plan.graph.buffer(*id).name;
                return broken("written_before_read", format!("step {i} reads `{name}`"));
            }
        }
        for id in &step.outputs {
            let lasting = plan.graph.buffer(root(id)).role.is_lasting();
            if !written.insert(root(id)) && !lasting {
                let name = &plan.graph.buffer(*id).name;
                return broken("written_once", format!("step {i} writes `{name}` again"));
            }
        }
    }
    Ok(())
}

/// No two buffers that are live at the same time overlap.
fn no_overlap(plan: &Plan) -> Result<(), PlanError> {
    let lives = lives(plan);
    let live: Vec<_> = lives.iter().enumerate().filter_map(|(i, l)| l.map(|l| (i, l))).collect();
    let span = |i: usize| {
        let bytes = plan.graph.buffers[i].ty.bytes(plan.capacity);
        (plan.offsets[i], plan.offsets[i] + bytes)
    };
    for (n, (i, a)) in live.iter().enumerate() {
        let (start, end) = span(*i);
        if start % ALIGNMENT != 0 || end > plan.bytes {
            return broken("in_arena", format!("`{}`", plan.graph.buffers[*i].name));
        }
        for (j, b) in &live[..n] {
            let (other_start, other_end) = span(*j);
            if a.meets(b) && start < other_end && other_start < end {
                let names = (&plan.graph.buffers[*i].name, &plan.graph.buffers[*j].name);
                return broken("no_overlap", format!("`{}` and `{}`", names.0, names.1));
            }
        }
    }
    Ok(())
}

/// Executors hand out inputs shared and outputs exclusively.
fn inputs_apart_from_outputs(plan: &Plan) -> Result<(), PlanError> {
    let span = |id: BufferId| {
        let (root, element) = plan.graph.root(id);
        (root, element, element + plan.graph.ty(id).shape.elements(plan.capacity))
    };
    for (i, step) in plan.graph.steps.iter().enumerate() {
        for (n, &output) in step.outputs.iter().enumerate() {
            let others = step.inputs.iter().chain(&step.outputs[..n]);
            let (root, start, end) = span(output);
            for &other in others {
                let (other_root, other_start, other_end) = span(other);
                if root == other_root && start < other_end && other_start < end {
                    let name = &plan.graph.buffer(output).name;
                    return broken(
                        "inputs_apart_from_outputs",
                        format!("step {i} writes `{name}` and has it as another operand"),
                    );
                }
            }
        }
    }
    Ok(())
}

/// Parameters and state change in the update range alone.
fn update_is_transaction(plan: &Plan) -> Result<(), PlanError> {
    use crate::op::Role::{Parameter, State};
    for (i, step) in plan.graph.steps[..plan.update.start].iter().enumerate() {
        for id in &step.outputs {
            if matches!(plan.graph.buffer(*id).role, Parameter | State) {
                let name = &plan.graph.buffer(*id).name;
                return broken("update_is_transaction", format!("step {i} writes `{name}`"));
            }
        }
    }
    Ok(())
}

/// Every trained parameter has one gradient, written in the backward range, and one update.
fn one_gradient_one_update(plan: &Plan, lasting: &Lasting) -> Result<(), PlanError> {
    if plan.mode != Mode::Training {
        return Ok(());
    }
    let writes = |range: std::ops::Range<usize>, id: BufferId| {
        let outputs = plan.graph.steps[range].iter().flat_map(|s| &s.outputs);
        outputs.filter(|&&o| o == id).count()
    };
    let rule = "one_gradient_one_update";
    for group in lasting.groups.iter().filter(|g| g.rule.is_some()) {
        for parameter in &group.parameters {
            let name = &parameter.name;
            let all = plan.graph.root(parameter.parameter).0;
            if writes(plan.update.clone(), all) != 1 {
                return broken(rule, format!("`{name}` is not updated once"));
            }
            let update = &plan.graph.steps[plan.update.clone()];
            let step = update.iter().find(|s| s.outputs.contains(&all));
            if step.is_some_and(|s| s.op.access(0) != Access::Update) {
                return broken(rule, format!("`{name}` is overwritten"));
            }
            let gradient = parameter.gradient.map_or(0, |g| writes(plan.backward.clone(), g));
            if gradient != 1 {
                return broken(rule, format!("`{name}` has {gradient} gradients"));
            }
        }
    }
    Ok(())
}
