//! Bursts: many steps sent at once to a device that holds the data, or with their rows, which a
//! thread has gathered. While the device is at work on one burst the host sends the next, and only
//! then waits for the losses of the first. An epoch, or a run that is stopped, ends when all are here.

use std::collections::VecDeque;
use std::thread::Scope;
use std::time::Duration;

use super::evaluation::weight_sum;
use super::filling::Filling;
use super::fit::Epoch;
use super::options::Fit;
use super::progress::Display;
use super::rows::{Order, Orders, Rows, Taken};
use super::session::{LoadedPlan, Session, Source, gather, gather_at};
use super::supply::Supply;
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::{DataError, Result, TrainError};
use crate::exec::{Holding, Part, QUEUE, Resident, SENT};
use crate::op::{BufferId, Live};

/// The epoch at hand, and how it is trained.
pub(super) struct At<'a, 'f> {
    pub(super) data: &'a Dataset,
    pub(super) fit: &'a Fit<'f>,
    pub(super) plan: usize,
    pub(super) epoch: &'a Epoch,
    pub(super) order: &'a Order,
}

impl At<'_, '_> {
    /// The rows of the batch that begins at a place of the epoch.
    fn batch(&self, start: usize) -> Rows {
        let end = self.data.len().min(start + self.fit.batch);
        Rows::new(self.order.clone(), start..end)
    }
}

/// Bursts under way.
pub(super) struct Bursts<'scope> {
    /// Most steps of one.
    most: usize,
    /// Gathers their rows, unless the device holds all.
    filling: Option<Filling<'scope>>,
    /// The oldest first.
    sent: VecDeque<Sent>,
    /// Results of the one collected last.
    results: Vec<f32>,
}

impl<'scope> Bursts<'scope> {
    fn new(most: usize, filling: Option<Filling<'scope>>) -> Self {
        Bursts { most, filling, sent: VecDeque::new(), results: vec![] }
    }

    /// How long rows were waited for since this was asked for last.
    fn take_waited(&mut self) -> Duration {
        self.filling.as_mut().map_or(Duration::ZERO, Filling::take_waited)
    }

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

    /// Where the rows of each feed of a plan come from.
    fn sources(
        &self,
        plan: &LoadedPlan,
        data: &Dataset,
    ) -> Result<Vec<(BufferId, Source)>, DataError> {
        let feeds = plan.plan.feeds.iter();
        feeds.map(|(name, feed)| Ok((*feed, self.source(name, data)?))).collect()
    }

    /// Copies all rows that a plan reads to the device, which has room for them.
    fn fill(
        &mut self,
        plan: &LoadedPlan,
        data: &Dataset,
        sources: &[(BufferId, Source)],
    ) -> Result<()> {
        let mut rows = Vec::new();
        self.resident().fill(plan.id, data.len(), &mut |feed, range, target| {
            rows.clear();
            rows.extend(range);
            let found = sources.iter().find(|(id, _)| *id == feed);
            let (_, source) = found.expect("invariant: every feed has a source");
            Ok(gather(data, *source, Taken::once(&rows), target)?)
        })
    }
}

impl Trainer {
    /// Makes room on the device for the rows of a run, and for what bursts need beside them, if each
    /// step is one pass and nobody wants to be asked between steps.
    pub(super) fn make_room(
        &mut self,
        orders: &Orders<'_>,
        fit: &Fit<'_>,
        plan: usize,
    ) -> Result<Holding> {
        if fit.accumulate > 1 || !fit.callbacks.is_empty() {
            return Ok(Holding::Nothing);
        }
        let (session, loaded) = self.split_plan(plan);
        match session.executor.resident() {
            Some(resident) => {
                Ok(resident.hold(loaded.id, orders.data().len(), !orders.on_device())?)
            }
            None => Ok(Holding::Nothing),
        }
    }

    /// The means to send bursts, where there is room for rows.
    pub(super) fn bursts<'scope, 'data>(
        &mut self,
        orders: &Orders<'data>,
        fit: &Fit<'_>,
        plan: usize,
        scope: &'scope Scope<'scope, 'data>,
    ) -> Result<Option<Bursts<'scope>>> {
        let (holding, data) = (self.make_room(orders, fit, plan)?, orders.data());
        // An earlier run may have ended with an error before it looked at the flag.
        self.session.proceed()?;
        let (session, loaded) = self.split_plan(plan);
        let sources = session.sources(loaded, data)?;
        match holding {
            Holding::Nothing => Ok(None),
            Holding::Whole => {
                session.fill(loaded, data, &sources)?;
                Ok(Some(Bursts::new(QUEUE, None)))
            }
            Holding::Parts { steps, parts } => {
                let mut supply = self.supply(orders, fit, scope)?;
                let fill = move |part: &mut dyn Part, rows: &Rows| {
                    let all = rows.places().len();
                    supply.each(rows, |data, taken, at| {
                        for (feed, source) in &sources {
                            gather_at(data, *source, taken, part.feed(*feed, all), (at, all))?;
                        }
                        Ok(())
                    })
                };
                let to_come = self.upcoming(orders, fit, steps);
                let filling = Filling::new(scope, fill, to_come, parts)?;
                Ok(Some(Bursts::new(steps, Some(filling))))
            }
        }
    }

    /// The rows of the run to come, in their order.
    pub(super) fn supply<'scope, 'data>(
        &mut self,
        orders: &Orders<'data>,
        fit: &Fit<'_>,
        scope: &'scope Scope<'scope, 'data>,
    ) -> Result<Supply<'scope>> {
        let (data, orders, begun) = (orders.data(), orders.clone(), self.state.epochs);
        let (epoch, batch) = (self.run().epoch, self.run().batch);
        let epochs = (epoch as u64..fit.epochs as u64).map(move |epoch| begun + epoch);
        let orders = epochs.map(move |epoch| orders.epoch(epoch));
        let first = batch.saturating_mul(fit.batch.saturating_mul(fit.accumulate));
        Supply::new(scope, data, orders, first, fit.loading_threads)
    }

    /// The rows of all bursts to come.
    fn upcoming<'data>(
        &mut self,
        orders: &Orders<'data>,
        fit: &Fit<'_>,
        most: usize,
    ) -> impl Iterator<Item = Rows> + use<'data> {
        let (orders, data, epochs) = (orders.clone(), orders.data(), self.state.epochs);
        let (batch, last, steps) = (fit.batch, fit.epochs, data.len().div_ceil(fit.batch));
        let (mut epoch, mut first) = (self.run().epoch, self.run().batch);
        let mut left = at_most(fit.step_limit);
        let mut order = orders.epoch(epochs + epoch as u64);
        std::iter::from_fn(move || {
            if first == steps {
                (epoch, first) = (epoch + 1, 0);
                order = orders.epoch(epochs + epoch as u64);
            }
            let count = (steps - first).min(left).min(most);
            if epoch >= last || count == 0 {
                return None;
            }
            let places = first * batch..data.len().min((first + count) * batch);
            first += count;
            left -= count;
            Some(Rows::new(order.clone(), places))
        })
    }

    /// Sends what may be under way of the next `most` steps of the epoch, waits for the oldest burst
    /// and returns how many steps it had.
    pub(super) fn burst(
        &mut self,
        at: &At<'_, '_>,
        bursts: &mut Bursts<'_>,
        most: usize,
        display: &mut Display,
    ) -> Result<usize> {
        while bursts.sent.len() < SENT {
            let left = (at.epoch.steps - self.run().batch).min(most) - bursts.steps();
            if left == 0 {
                break;
            }
            if let Err(error) = self.send_burst(at, bursts, left.min(bursts.most)) {
                // What was sent before counts, if it can.
                self.collect_all(at, bursts, display)?;
                return Err(error);
            }
        }
        display.waited += bursts.take_waited();
        self.collect_burst(at, bursts, display)
    }

    /// Waits for all that is under way and returns how many steps it had.
    pub(super) fn collect_all(
        &mut self,
        at: &At<'_, '_>,
        bursts: &mut Bursts<'_>,
        display: &mut Display,
    ) -> Result<usize> {
        let mut taken = 0;
        while !bursts.sent.is_empty() {
            taken += self.collect_burst(at, bursts, display)?;
        }
        Ok(taken)
    }

    fn send_burst(&mut self, at: &At<'_, '_>, bursts: &mut Bursts<'_>, count: usize) -> Result<()> {
        let ahead = bursts.steps();
        let first = self.run().batch + ahead;
        let end = at.data.len().min((first + count) * at.fit.batch);
        let filled = bursts.filling.as_mut().map(|f| f.next(first * at.fit.batch..end));
        let part = filled.transpose()?;
        let mut sent = Sent {
            weights: Vec::with_capacity(count),
            memory: self.state.memory.clone(),
            step: self.state.step,
            pass: self.state.pass,
        };
        for i in ahead..ahead + count {
            sent.weights.push(self.queue_step(at, i)?);
        }
        let (session, loaded) = self.split_plan(at.plan);
        let resident = session.resident();
        if let Err(error) = resident.send(loaded.id, part) {
            self.go_back(at, sent, 0)?;
            return Err(error.into());
        }
        bursts.sent.push_back(sent);
        Ok(())
    }

    fn collect_burst(
        &mut self,
        at: &At<'_, '_>,
        bursts: &mut Bursts<'_>,
        display: &mut Display,
    ) -> Result<usize> {
        let sent = bursts.sent.pop_front().expect("invariant: a burst was sent");
        let (session, loaded) = self.split_plan(at.plan);
        let width = loaded.plan.losses.len() + 1;
        let resident = session.resident();
        match (resident.collect(loaded.id, &mut bursts.results), &mut bursts.filling) {
            (Ok(Some(part)), Some(filling)) => filling.fill(part),
            (Ok(_), _) => {}
            (Err(error), _) => {
                bursts.sent.clear();
                self.go_back(at, sent, 0)?;
                return Err(error.into());
            }
        }
        let mut taken = 0;
        for (result, weight) in bursts.results.chunks(width).zip(&sent.weights) {
            let loss = result[..width - 1].iter().map(|x| f64::from(*x)).sum::<f64>();
            if result[width - 1] != 0.0 || !loss.is_finite() {
                return Err(self.refused(at, bursts, sent, taken)?);
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
        bursts: &mut Bursts<'_>,
        sent: Sent,
        taken: usize,
    ) -> Result<crate::Error> {
        self.go_back(at, sent, taken)?;
        let (session, loaded) = self.split_plan(at.plan);
        let resident = session.resident();
        for _ in bursts.sent.drain(..) {
            resident.collect(loaded.id, &mut bursts.results)?;
        }
        session.proceed()?;
        let start = self.run().batch * at.fit.batch;
        let (rows, mut indices) = (at.batch(start), Vec::new());
        rows.write(&mut indices);
        self.step(at.data, at.fit, at.plan, at.epoch, rows.taken(&indices))?;
        let step = self.run().step;
        Ok(TrainError::State(format!(
            "step {step} was not finite among others and is finite by itself, so the device does \
             not compute the same twice; it may be damaged"
        ))
        .into())
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
        let rows = at.batch(start);
        let weight = weight_of(at.data, &rows);
        self.session.set_share(weight, 1)?;
        self.session.set_first(true)?;
        self.state.step += 1;
        self.state.pass += 1;
        let live = Live { rows: rows.places().len(), seed: self.seed, step: self.state.pass };
        let order = at.order.permutation();
        let (session, loaded) = self.split_plan(at.plan);
        let resident = session.resident();
        resident.queue(loaded.id, &live, start as u64, order);
        Ok(weight)
    }
}

/// Sum of the weights of some rows.
fn weight_of(data: &Dataset, rows: &Rows) -> f64 {
    let mut indices = Vec::new();
    if data.weights().is_none() {
        return rows.places().len() as f64;
    }
    rows.write(&mut indices);
    weight_sum(data, indices.into_iter())
}

/// A limit of steps as a number of them.
pub(super) fn at_most(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |steps| usize::try_from(steps).unwrap_or(usize::MAX))
}
