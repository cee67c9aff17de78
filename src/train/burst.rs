//! Bursts: many steps sent at once to a device that holds the data. The host comes back for their
//! losses when all are done, or when an epoch ends.

use super::evaluation::weight_sum;
use super::fit::Epoch;
use super::options::Fit;
use super::progress::Display;
use super::session::{LoadedPlan, Session, gather};
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::Result;
use crate::exec::{FeedMut, QUEUE};
use crate::op::Live;
use crate::random::Permutation;

impl Session {
    /// Lets the device hold all rows that a plan reads; false if it can't.
    fn hold(&mut self, plan: &LoadedPlan, data: &Dataset) -> Result<bool> {
        for (name, buffer) in &plan.plan.feeds {
            let source = self.source(name, data)?;
            let Some(resident) = self.executor.resident() else { return Ok(false) };
            let mut rows = Vec::new();
            let fill = &mut |range: std::ops::Range<usize>, target: FeedMut<'_>| {
                rows.clear();
                rows.extend(range);
                Ok(gather(data, source, &rows, target)?)
            };
            if !resident.hold(plan.id, *buffer, data.len(), fill)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Trainer {
    /// Whether steps can be sent in bursts: the device holds the data, each step is one pass, and
    /// nobody wants to be asked between steps.
    pub(super) fn sends_bursts(
        &mut self,
        data: &Dataset,
        fit: &Fit<'_>,
        plan: usize,
    ) -> Result<bool> {
        if fit.accumulate > 1 || !fit.callbacks.is_empty() {
            return Ok(false);
        }
        let (session, loaded) = self.split_plan(plan);
        session.hold(loaded, data)
    }

    /// Runs the next steps of the epoch, at most `most`, and returns how many were taken.
    pub(super) fn burst(
        &mut self,
        data: &Dataset,
        fit: &Fit<'_>,
        plan: usize,
        (epoch, order): (&Epoch, &Permutation),
        most: usize,
        display: &mut Display,
    ) -> Result<usize> {
        let (step, pass, first) = (self.state.step, self.state.pass, self.run().batch);
        let count = (epoch.steps - first).min(most).min(QUEUE);
        self.memory_before.clone_from(&self.state.memory);
        let mut weights = [0.0; QUEUE];
        for (i, weight) in weights[..count].iter_mut().enumerate() {
            *weight = self.queue_step(data, fit, plan, (epoch, order), i)?;
        }
        let mut results = std::mem::take(&mut self.results);
        let (session, loaded) = self.split_plan(plan);
        let resident = session.executor.resident().expect("invariant: the device holds the data");
        let collected = resident.collect(loaded.id, &mut results);
        let width = loaded.plan.losses.len() + 1;
        let mut taken = 0;
        if collected.is_ok() {
            for (result, weight) in results.chunks(width).zip(weights) {
                let loss = result[..width - 1].iter().map(|x| f64::from(*x)).sum::<f64>();
                if result[width - 1] != 0.0 || !loss.is_finite() {
                    break;
                }
                self.account(loss, weight);
                taken += 1;
                let run = self.run();
                display.step(run.epoch + 1, run.batch, epoch.steps, loss);
            }
        }
        self.results = results;
        if taken < count {
            // Nothing changed from the step on that was not finite: go back to it.
            self.state.memory.clone_from(&self.memory_before);
            (self.state.step, self.state.pass) = (step, pass);
            let begin = self.run().step - taken as u64;
            for i in 0..taken as u64 {
                self.write_scalars(self.rate(fit, epoch, begin + i))?;
                self.state.step += 1;
            }
            self.state.pass += taken as u64;
            collected?;
            self.session.proceed()?;
            // By itself it fails again, and the culprit is found.
            let start = (first + taken) * fit.batch;
            let rows: Vec<_> = places(data, fit, order, start).collect();
            self.step(data, fit, plan, epoch, &rows)?;
            taken += 1;
        }
        Ok(taken)
    }

    /// Queues the `ahead`-th step after those that are done; returns the weight of its rows.
    fn queue_step(
        &mut self,
        data: &Dataset,
        fit: &Fit<'_>,
        plan: usize,
        (epoch, order): (&Epoch, &Permutation),
        ahead: usize,
    ) -> Result<f64> {
        let step = self.run().step + ahead as u64;
        let rate = self.rate(fit, epoch, step);
        self.write_scalars(rate)?;
        let start = (self.run().batch + ahead) * fit.batch;
        let rows = places(data, fit, order, start);
        let live_rows = rows.len();
        let weight = weight_sum(data, rows);
        self.session.set_share(weight, 1)?;
        self.session.set_first(true)?;
        self.state.step += 1;
        self.state.pass += 1;
        let live = Live { rows: live_rows, seed: self.seed, step: self.state.pass };
        let (session, loaded) = self.split_plan(plan);
        let resident = session.executor.resident().expect("invariant: the device holds the data");
        resident.queue(loaded.id, &live, start as u64, fit.shuffle.then_some(order));
        Ok(weight)
    }
}

/// The rows of the batch that begins at a place of the epoch.
fn places<'a>(
    data: &Dataset,
    fit: &Fit<'_>,
    order: &'a Permutation,
    start: usize,
) -> impl ExactSizeIterator<Item = usize> + use<'a> {
    let (end, shuffle) = (data.len().min(start + fit.batch), fit.shuffle);
    (start..end).map(move |i| if shuffle { order.get(i as u64) as usize } else { i })
}
