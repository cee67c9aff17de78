//! Finds the first value that is not finite by running a refused step again, step by step.

use crate::error::Result;
use crate::op::Live;

use super::session::{LoadedPlan, Session};

/// The layer of the first forward or backward step with a result that is not finite. The plan's
/// feeds must hold the refused batch.
pub(super) fn culprit(session: &mut Session, plan: &LoadedPlan, live: &Live) -> Result<String> {
    for i in 0..plan.plan.backward.end {
        session.executor.run(plan.id, i..i + 1, live)?;
        let step = &plan.plan.graph.steps[i];
        for &output in &step.outputs {
            let ty = plan.plan.graph.ty(output);
            if !ty.dtype.is_float() {
                continue;
            }
            let lasting = output.index() < session.lasting.graph.buffers.len();
            let finite = match lasting {
                true => {
                    session.tensor(output)?.as_f32().is_none_or(|x| x.iter().all(|x| x.is_finite()))
                }
                false => session.fetch(plan, output, live.rows)?.iter().all(|x| x.is_finite()),
            };
            if !finite {
                return Ok(step.layer.clone());
            }
        }
    }
    Ok("update".to_string())
}
