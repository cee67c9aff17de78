//! A plan as a table: what a reviewer reads and the tests keep as snapshots.

use std::fmt;

use crate::op::{BufferId, Mode};

use super::Plan;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.annotated(|_| &[]).fmt(f)
    }
}

/// A plan's table with notes below its steps.
struct Annotated<'a, F> {
    plan: &'a Plan,
    notes: F,
}

impl<'a, F: Fn(usize) -> &'a [String]> fmt::Display for Annotated<'a, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Annotated { plan, notes } = self;
        let mode = match plan.mode {
            Mode::Training => "training",
            Mode::Evaluation => "evaluation",
        };
        writeln!(
            f,
            "plan for {mode}, at most {} rows, {} steps, {} bytes of its own",
            plan.capacity,
            plan.graph.steps.len(),
            plan.bytes
        )?;
        let ranges = [
            ("forward", plan.forward.clone()),
            ("backward", plan.backward.clone()),
            ("update", plan.update.clone()),
        ];
        for (name, range) in ranges.into_iter().filter(|(_, r)| !r.is_empty()) {
            writeln!(f, "{name}")?;
            for i in range {
                let step = &plan.graph.steps[i];
                let list = |ids: &[BufferId]| {
                    ids.iter().map(|id| plan.name(*id)).collect::<Vec<_>>().join(", ")
                };
                let (outputs, inputs) = (list(&step.outputs), list(&step.inputs));
                writeln!(f, "  {}: {outputs} <- {} ({inputs})", step.layer, step.op.label())?;
                notes(i).iter().try_for_each(|note| writeln!(f, "      {note}"))?;
            }
        }
        Ok(())
    }
}

impl Plan {
    /// The table with the lines that `notes` has for each step below it.
    pub fn annotated<'a>(&'a self, notes: impl Fn(usize) -> &'a [String]) -> impl fmt::Display {
        Annotated { plan: self, notes }
    }

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
