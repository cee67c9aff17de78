//! A plan as a table: what a reviewer reads and the tests keep as snapshots.

use std::fmt;

use crate::op::{BufferId, Mode};

use super::Plan;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Training => "training",
            Mode::Evaluation => "evaluation",
        };
        writeln!(
            f,
            "plan for {mode}, at most {} rows, {} steps, {} bytes of its own",
            self.capacity,
            self.graph.steps.len(),
            self.bytes
        )?;
        let ranges = [
            ("forward", self.forward.clone()),
            ("backward", self.backward.clone()),
            ("update", self.update.clone()),
        ];
        for (name, range) in ranges.into_iter().filter(|(_, r)| !r.is_empty()) {
            writeln!(f, "{name}")?;
            for step in &self.graph.steps[range] {
                let list = |ids: &[BufferId]| {
                    ids.iter().map(|id| self.name(*id)).collect::<Vec<_>>().join(", ")
                };
                let (outputs, inputs) = (list(&step.outputs), list(&step.inputs));
                writeln!(f, "  {}: {outputs} <- {} ({inputs})", step.layer, step.op.label())?;
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Name, type and place of a buffer.
    fn name(&self, id: BufferId) -> String {
        let buffer = self.graph.buffer(id);
        let root = self.graph.buffer(self.graph.root(id).0);
        let place = match root.role.is_lasting() {
            true => String::new(),
            false => format!("@{}", self.offsets[id.index()]),
        };
        format!("{}{}{place}", buffer.name, buffer.ty.shape)
    }
}
