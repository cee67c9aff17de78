//! A plan: one flat list of steps over buffers whose places are known before the first step.
//!
//! Forward, backward and update are ranges of the list. Passes work on values that are written
//! once; the last one lays the buffers out. Nothing here knows a device or a layer.

mod arena;
mod backward;
mod build;
mod display;
mod fuse;
mod lasting;
mod lower;
mod update;
mod verify;

use std::ops::Range;

pub use build::{Clip, Request, RowLoss};
pub use lasting::{Group, GroupRequest, Lasting, LastingParameter, Update};
pub use update::{StateRule, UpdateRule};

use crate::op::{BufferId, Graph, Mode};

/// Alignment of every buffer in an arena, in bytes.
pub const ALIGNMENT: usize = 256;

/// A flat list of steps, checked and laid out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Buffers and steps. The first buffers are those of [`Lasting`], under the same ids.
    pub graph: Graph,
    /// What the plan is for.
    pub mode: Mode,
    /// The largest number of rows.
    pub capacity: usize,
    /// Whether gradients add up over several passes, of which only the last runs the update.
    pub accumulate: bool,
    /// Steps of the forward pass.
    pub forward: Range<usize>,
    /// Steps of the backward pass; empty unless training.
    pub backward: Range<usize>,
    /// Steps of the update; empty unless training.
    pub update: Range<usize>,
    /// Buffers that the user fills, by name: inputs, targets, weights.
    pub feeds: Vec<(String, BufferId)>,
    /// The model's outputs, by name.
    pub outputs: Vec<(String, BufferId)>,
    /// The losses over the rows in use, by name: one element each.
    pub losses: Vec<(String, BufferId)>,
    /// Byte offset of each buffer in its arena: the lasting one, or this plan's own.
    pub offsets: Vec<usize>,
    /// Bytes of this plan's own arena.
    pub bytes: usize,
}

impl Plan {
    /// The ranges that whole passes run: all steps, and where gradients add up also those without the
    /// update.
    pub fn passes(&self) -> Vec<Range<usize>> {
        let partial = self.accumulate.then_some(0..self.backward.end);
        partial.into_iter().chain(std::iter::once(0..self.update.end)).collect()
    }

    /// The buffer of a feed.
    pub fn feed(&self, name: &str) -> Option<BufferId> {
        self.feeds.iter().find(|(n, _)| n == name).map(|(_, id)| *id)
    }
}
