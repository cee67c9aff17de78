//! Bursts: many steps sent at once to a device that holds the data. While the device is at work on
//! one the host sends the next, and only then waits for the losses of the first. An epoch, or a run
//! that is stopped, ends when all are here.

use std::collections::VecDeque;

use super::evaluation::weight_sum;
use super::fit::Epoch;
use super::options::Fit;
use super::progress::Display;
use super::session::{LoadedPlan, Session, gather};
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::Result;
use crate::exec::{FeedMut, QUEUE, Resident, SENT};
use crate::op::Live;
use crate::random::Permutation;

/// The epoch at hand, and how it is trained.
pub(super) struct At<'a, 'f> {
    pub(super) data: &'a Dataset,
    pub(super) fit: &'a Fit<'f>,
    pub(super) plan: usize,
    pub(super) epoch: &'a Epoch,
    pub(super) order: &'a Permutation,
}

/// Bursts under way.
#[derive(Default)]
pub(super) struct Bursts {
    /// The oldest first.
    sent: VecDeque<Sent>,
    /// Results of the one collected last.
    results: Vec<f32>,
}

impl Bursts {
    /// Steps under way.
    fn steps(&self) -> usize {
        self.sent.iter().map(|sent| sent.weights.len()).sum()
    }
}

/// A burst that was sent, and where the trainer stood before it.
struct Sent {
    /// Of the rows of each step.
    weights: Vec<f64>,
    memory: Vec<Vec<f64>>,
    step: u64,
    pass: u64,
}

impl Session {
    fn resident(&mut self) -> &mut dyn Resident {
        self.executor.resident().expect("invariant: the device holds the data")
    }

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
    /// The means to send bursts: the device holds the data, each step is one pass, and nobody wants to
    /// be asked between steps.
    pub(super) fn bursts(
        &mut self,
        data: &Dataset,
        fit: &Fit<'_>,
        plan: usize,
    ) -> Result<Option<Bursts>> {
        if fit.accumulate > 1 || !fit.callbacks.is_empty() {
            return Ok(None);
        }
        // An earlier run may have ended with an error before it looked at the flag.
        self.session.proceed()?;
        let (session, loaded) = self.split_plan(plan);
        Ok(session.hold(loaded, data)?.then(Bursts::default))
    }

    /// Sends what may be under way of the next `most` steps of the epoch, waits for the oldest burst
    /// and returns how many steps it had.
    pub(super) fn burst(
        &mut self,
        at: &At<'_, '_>,
        bursts: &mut Bursts,
        most: usize,
        display: &mut Display,
    ) -> Result<usize> {
        while bursts.sent.len() < SENT {
            let left = (at.epoch.steps - self.run().batch).min(most) - bursts.steps();
            if left == 0 {
                break;
            }
            if let Err(error) = self.send_burst(at, bursts, left.min(QUEUE)) {
                // What was sent before counts, if it can.
                self.collect_all(at, bursts, display)?;
                return Err(error);
            }
        }
        self.collect_burst(at, bursts, display)
    }

    /// Waits for all that is under way and returns how many steps it had.
    pub(super) fn collect_all(
        &mut self,
        at: &At<'_, '_>,
        bursts: &mut Bursts,
        display: &mut Display,
    ) -> Result<usize> {
        let mut taken = 0;
        while !bursts.sent.is_empty() {
            taken += self.collect_burst(at, bursts, display)?;
        }
        Ok(taken)
    }

    fn send_burst(&mut self, at: &At<'_, '_>, bursts: &mut Bursts, count: usize) -> Result<()> {
        let mut sent = Sent {
            weights: Vec::with_capacity(count),
            memory: self.state.memory.clone(),
            step: self.state.step,
            pass: self.state.pass,
        };
        let ahead = bursts.steps();
        for i in ahead..ahead + count {
            sent.weights.push(self.queue_step(at, i)?);
        }
        let (session, loaded) = self.split_plan(at.plan);
        let resident = session.resident();
        if let Err(error) = resident.send(loaded.id) {
            self.go_back(at, sent, 0)?;
            return Err(error.into());
        }
        bursts.sent.push_back(sent);
        Ok(())
    }

    fn collect_burst(
        &mut self,
        at: &At<'_, '_>,
        bursts: &mut Bursts,
        display: &mut Display,
    ) -> Result<usize> {
        let sent = bursts.sent.pop_front().expect("invariant: a burst was sent");
        let (session, loaded) = self.split_plan(at.plan);
        let width = loaded.plan.losses.len() + 1;
        let resident = session.resident();
        if let Err(error) = resident.collect(loaded.id, &mut bursts.results) {
            bursts.sent.clear();
            self.go_back(at, sent, 0)?;
            return Err(error.into());
        }
        let mut taken = 0;
        for (result, weight) in bursts.results.chunks(width).zip(&sent.weights) {
            let loss = result[..width - 1].iter().map(|x| f64::from(*x)).sum::<f64>();
            if result[width - 1] != 0.0 || !loss.is_finite() {
                self.refused(at, bursts, sent, taken)?;
                return Ok(taken + 1);
            }
            self.account(loss, *weight);
            taken += 1;
            let run = self.run();
            display.step(run.epoch + 1, run.batch, at.epoch.steps, loss);
        }
        Ok(taken)
    }

    /// Goes back to the step of a burst that was not finite, since nothing changed from it on, not
    /// in the bursts behind either, and runs it by itself: it fails again, and the culprit is found.
    fn refused(
        &mut self,
        at: &At<'_, '_>,
        bursts: &mut Bursts,
        sent: Sent,
        taken: usize,
    ) -> Result<()> {
        self.go_back(at, sent, taken)?;
        let (session, loaded) = self.split_plan(at.plan);
        let resident = session.resident();
        for _ in bursts.sent.drain(..) {
            resident.collect(loaded.id, &mut bursts.results)?;
        }
        session.proceed()?;
        let start = self.run().batch * at.fit.batch;
        let rows: Vec<_> = places(at, start).collect();
        self.step(at.data, at.fit, at.plan, at.epoch, &rows)?;
        Ok(())
    }

    /// Lets the trainer stand where it stood after so many steps of a burst, all of them counted.
    fn go_back(&mut self, at: &At<'_, '_>, before: Sent, taken: usize) -> Result<()> {
        self.state.memory = before.memory;
        (self.state.step, self.state.pass) = (before.step, before.pass + taken as u64);
        let begin = self.run().step - taken as u64;
        for i in 0..taken as u64 {
            self.write_scalars(self.rate(at.fit, at.epoch, begin + i))?;
            self.state.step += 1;
        }
        Ok(())
    }

    /// Queues the `ahead`-th step after those that are done; returns the weight of its rows.
    fn queue_step(&mut self, at: &At<'_, '_>, ahead: usize) -> Result<f64> {
        let step = self.run().step + ahead as u64;
        let rate = self.rate(at.fit, at.epoch, step);
        self.write_scalars(rate)?;
        let start = (self.run().batch + ahead) * at.fit.batch;
        let rows = places(at, start);
        let live_rows = rows.len();
        let weight = weight_sum(at.data, rows);
        self.session.set_share(weight, 1)?;
        self.session.set_first(true)?;
        self.state.step += 1;
        self.state.pass += 1;
        let live = Live { rows: live_rows, seed: self.seed, step: self.state.pass };
        let order = at.fit.shuffle.then_some(at.order);
        let (session, loaded) = self.split_plan(at.plan);
        let resident = session.resident();
        resident.queue(loaded.id, &live, start as u64, order);
        Ok(weight)
    }
}

/// The rows of the batch that begins at a place of the epoch.
fn places<'a>(at: &At<'a, '_>, start: usize) -> impl ExactSizeIterator<Item = usize> + use<'a> {
    let (end, shuffle, order) = (at.data.len().min(start + at.fit.batch), at.fit.shuffle, at.order);
    (start..end).map(move |i| if shuffle { order.get(i as u64) as usize } else { i })
}
