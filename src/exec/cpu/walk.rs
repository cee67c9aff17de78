//! How a team walks a plan: where its members meet, and who runs what. Neither changes a bit.
//!
//! Between two steps the members meet only where one writes memory that the other reads or writes, so a
//! layer's gradients, of its weights and of its input, are computed without a meeting. Steps of one task
//! are all the first member's, and need no meeting among themselves.
//!
//! An update follows the gradients: each member updates what it has the gradients of in its cache, and
//! finds the weights there when the next step reads them. Where cores are far from each other, fetching
//! an element takes longer than updating it.

use std::ops::Range;

use super::memory::{Prepared, View};
use crate::op::{Live, Operand, Split};

/// Completes the steps of a plan for a team of so many members.
pub(super) fn plan(steps: &mut [Prepared], members: usize, live: &Live) {
    for i in 0..steps.len() {
        let (before, rest) = steps.split_at_mut(i);
        let step = &mut rest[0];
        step.tasks_of = follow(before, step, members, live);
        step.single = match &step.tasks_of {
            Some(tasks) => tasks[1..].iter().all(Vec::is_empty),
            None => (0..step.kernel.phases(live)).all(|p| step.kernel.tasks(p, live) <= 1),
        };
    }
    let mut first = 0;
    for i in 0..steps.len() {
        let step = &steps[i];
        let alone = |other: &Prepared| step.single && other.single;
        let meets = steps[first..i].iter().any(|s| !alone(s) && conflict(s, step, live));
        if meets {
            first = i;
        }
        steps[i].meets = meets;
    }
}

/// Where a step's buffers lie: in which arena, and their bytes.
fn places(views: &[View], live: &Live) -> impl Iterator<Item = (bool, Range<usize>)> {
    views.iter().map(|v| (v.lasting, v.offset..v.offset + v.ty.bytes(live.rows)))
}

/// Whether one of two steps writes what the other reads or writes; all have one scratch buffer.
fn conflict(a: &Prepared, b: &Prepared, live: &Live) -> bool {
    let overlap = |x: &[View], y: &[View]| {
        places(x, live).any(|(in_x, x)| {
            places(y, live).any(|(in_y, y)| in_x == in_y && x.start < y.end && y.start < x.end)
        })
    };
    overlap(&a.outputs, &b.inputs)
        || overlap(&a.outputs, &b.outputs)
        || overlap(&a.inputs, &b.outputs)
        || (a.kernel.scratch(live.rows) > 0 && b.kernel.scratch(live.rows) > 0)
}

/// Tasks of an update at most whose elements the first member may have in its cache.
const FEW: usize = 16;

/// Each task of a step that follows one of its inputs, given to the member who wrote the middle of what
/// it reads there; none if nothing before the step writes that, or if the parts are so unequal that
/// waiting would cost more than fetching.
fn follow(
    before: &[Prepared],
    step: &Prepared,
    members: usize,
    live: &Live,
) -> Option<Vec<Vec<usize>>> {
    let input = &step.inputs[step.kernel.follows()?];
    let tasks = step.kernel.tasks(0, live);
    let Split::Chunks(chunk) = step.kernel.split(0, Operand::Output(0), live) else { return None };
    let mut views = step.inputs.iter().chain(&step.outputs);
    let fixed = views.all(|view| !view.ty.shape.has_rows()) && step.kernel.phases(live) == 1;
    if !fixed || tasks <= 1 || members == 1 {
        return None;
    }
    let elements = input.ty.shape.elements(live.rows);
    let mut tasks_of = vec![vec![]; members];
    for task in 0..tasks {
        let middle = (task * chunk + elements.min((task + 1) * chunk)) / 2;
        let place = input.offset + middle * input.ty.dtype.size();
        let writer =
            before.iter().rev().find_map(|s| writer(s, input.lasting, place, members, live))?;
        tasks_of[writer].push(task);
    }
    let most = tasks_of.iter().map(Vec::len).max()?;
    let one = most == tasks && !tasks_of[0].is_empty() && tasks <= FEW;
    let equal = 8 * members * most <= 9 * tasks + 8 * members;
    (one || equal).then_some(tasks_of)
}

/// The member that writes a place in a step, unless another one helps it.
fn writer(
    step: &Prepared,
    lasting: bool,
    place: usize,
    members: usize,
    live: &Live,
) -> Option<usize> {
    let holds = |(arena, bytes): (bool, Range<usize>)| arena == lasting && bytes.contains(&place);
    let output = places(&step.outputs, live).position(holds)?;
    let view = &step.outputs[output];
    let element = (place - view.offset) / view.ty.dtype.size();
    let split = |phase| step.kernel.split(phase, Operand::Output(output), live);
    let phase = (0..step.kernel.phases(live)).rfind(|phase| split(*phase) != Split::Read)?;
    let task = split(phase).task(element)?;
    if let Some(tasks_of) = &step.tasks_of {
        return tasks_of.iter().position(|tasks| tasks.contains(&task));
    }
    Some(match step.kernel.tasks(phase, live) {
        _ if step.single => 0,
        tasks if tasks <= members => task,
        // The last whose part, `tasks * member / members` and on, begins at the task or before.
        tasks => ((task + 1) * members - 1) / tasks,
    })
}

#[cfg(test)]
mod tests;
