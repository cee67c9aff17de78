//! The plan of a run, and what it takes, before the run.

use std::fmt::Write;
use std::sync::Arc;

use super::options::Fit;
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::Result;
use crate::plan::Plan;

impl Trainer {
    /// The plan that [`fit`](Self::fit) would train by.
    ///
    /// # Errors
    /// If options or data do not fit.
    pub fn training_plan(&mut self, data: &Dataset, fit: &Fit<'_>) -> Result<Arc<Plan>> {
        let (index, _) = self.prepare(data, fit)?;
        Ok(self.split_plan(index).1.plan.clone())
    }

    /// That plan as a table; on a GPU with the launches of each step, and where a step has several
    /// forms, which one it takes and whether that was estimated, measured or remembered.
    ///
    /// On a GPU a table of the device's memory follows: bytes by what they are for, and their sum.
    /// All of it is allocated for this table, so the run allocates nothing more. What the driver
    /// itself takes for code and graphs is not known and not in it.
    ///
    /// # Errors
    /// If options or data do not fit, or memory is short.
    pub fn describe_plan(&mut self, data: &Dataset, fit: &Fit<'_>) -> Result<String> {
        let (index, orders) = self.prepare(data, fit)?;
        self.make_room(&orders, fit, index)?;
        let (session, loaded) = self.split_plan(index);
        let executor = &session.executor;
        let mut text = loaded.plan.annotated(|step| executor.notes(loaded.id, step)).to_string();
        let memory = executor.memory();
        if !memory.is_empty() {
            let sum: u64 = memory.iter().map(|(_, bytes)| bytes).sum();
            let _ = writeln!(text, "memory of the device, in bytes");
            for (what, bytes) in memory.iter().chain([&("in all", sum)]) {
                let _ = writeln!(text, "  {bytes:>14}  {what}");
            }
        }
        Ok(text)
    }
}
