//! The last pass: where each buffer lies.
//!
//! A buffer is live from the step that writes it to the last one that reads it. Buffers are placed
//! from the largest down, each at the lowest offset where nothing lies that is live at the same
//! time. Feeds are live from the beginning, results to the end.

use crate::error::{PlanError, Result};
use crate::op::BufferId;

use super::{ALIGNMENT, Lasting, Plan};

/// Life of one buffer: steps from and to, both included. Step 0 is "before the first".
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Life {
    pub(super) fn meets(&self, other: &Life) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

/// The life of every buffer that is not a part of another and not lasting.
pub(super) fn lives(plan: &Plan) -> Vec<Option<Life>> {
    let graph = &plan.graph;
    let mut lives: Vec<Option<Life>> = vec![None; graph.buffers.len()];
    let mut touch = |id: BufferId, at: usize| {
        let root = graph.root(id).0;
        if !graph.buffer(root).role.is_lasting() {
            let life = lives[root.index()].get_or_insert(Life { from: at, to: at });
            life.from = life.from.min(at);
            life.to = life.to.max(at);
        }
    };
    plan.feeds.iter().for_each(|(_, id)| touch(*id, 0));
    for (i, step) in graph.steps.iter().enumerate() {
        step.inputs.iter().chain(&step.outputs).for_each(|id| touch(*id, i + 1));
    }
    let end = graph.steps.len() + 1;
    for (_, id) in plan.outputs.iter().chain(&plan.losses) {
        touch(*id, end);
    }
    lives
}

/// Assigns offsets.
pub(super) fn assign(plan: &mut Plan, lasting: &Lasting) -> Result<()> {
    let lives = lives(plan);
    let mut sizes = Vec::with_capacity(lives.len());
    for (life, buffer) in lives.iter().zip(&plan.graph.buffers) {
        let bytes = match life {
            None => Some(0),
            Some(_) => buffer
                .ty
                .shape
                .checked_elements(plan.capacity)
                .and_then(|n| n.checked_mul(buffer.ty.dtype.size()))
                .and_then(|n| n.checked_next_multiple_of(ALIGNMENT)),
        };
        sizes.push(bytes.ok_or_else(|| {
            PlanError::Unsupported(format!(
                "`{}` {} with {} rows has too many bytes; use a smaller batch",
                buffer.name, buffer.ty, plan.capacity
            ))
        })?);
    }
    let mut order: Vec<usize> = (0..lives.len()).filter(|&i| lives[i].is_some()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), i));
    let mut offsets = vec![0; lives.len()];
    offsets[..lasting.offsets.len()].copy_from_slice(&lasting.offsets);
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| lives[i].zip(lives[j]).is_some_and(|(a, b)| a.meets(&b)))
            .map(|&j| (offsets[j], offsets[j] + sizes[j]))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + sizes[i] <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[i] = offset;
        plan.bytes = plan.bytes.max(offset + sizes[i]);
        placed.push(i);
    }
    for i in lasting.offsets.len()..offsets.len() {
        let (root, element) = plan.graph.root(BufferId(i as u32));
        if root.index() != i {
            offsets[i] = offsets[root.index()] + element * plan.graph.ty(root).dtype.size();
        }
    }
    plan.offsets = offsets;
    Ok(())
}
