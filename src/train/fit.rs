//! The loop over epochs and steps.

use std::thread::Scope;
use std::time::{Duration, Instant};

use super::burst::{At, at_most};
use super::callback::{Flow, StepReport};
use super::evaluation::weight_sum;
use super::guard;
use super::history::{EpochRecord, History, Stop};
use super::interrupt;
use super::options::Fit;
use super::progress::Display;
use super::rows::{Orders, Rows, Taken};
use super::state::{Best, Run};
use super::supply::Supply;
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::{Result, TrainError};
use crate::op::Live;
use crate::optim::OptimizerStep;

/// Sizes of one epoch.
pub(super) struct Epoch {
    rows: usize,
    /// Rows per update.
    step_rows: usize,
    /// Updates per epoch.
    pub(super) steps: usize,
}

impl Trainer {
    /// Trains. If a run was stopped before its end, or taken up from a checkpoint, this goes on
    /// with it.
    ///
    /// # Errors
    /// If options or data do not fit, a value becomes not finite (the parameters stay as before
    /// that step), a checkpoint can't be written, or a callback returns an error.
    pub fn fit(&mut self, data: &Dataset, mut fit: Fit<'_>) -> Result<History> {
        if fit.dry_run {
            return self.dry_run(data, fit);
        }
        let held = held(data, &fit)?;
        let data = held.as_ref().unwrap_or(data);
        let (plan, orders) = self.prepare(data, &fit)?;
        self.begin_run(data, &mut fit)?;
        self.preprocessing = data.preprocessing().cloned();
        self.media = data.media().cloned();
        if fit.interrupt {
            interrupt::watch()?;
        }
        let result = std::thread::scope(|scope| self.run_epochs(&orders, &mut fit, plan, scope));
        if fit.interrupt {
            interrupt::unwatch();
        }
        let stop = result?;
        self.end_run(&fit, stop)
    }

    pub(super) fn run(&mut self) -> &mut Run {
        self.state.run.get_or_insert_default()
    }

    fn run_epochs<'scope, 'data>(
        &mut self,
        orders: &Orders<'data>,
        fit: &mut Fit<'_>,
        plan: usize,
        scope: &'scope Scope<'scope, 'data>,
    ) -> Result<Stop> {
        let data = orders.data();
        let step_rows = fit.batch.saturating_mul(fit.accumulate);
        let epoch = Epoch { rows: data.len(), step_rows, steps: data.len().div_ceil(step_rows) };
        let mut display = Display::new(fit.progress, fit.epochs);
        let mut left = fit.step_limit;
        let mut bursts = self.bursts(orders, fit, plan, scope)?;
        let mut supply = match bursts {
            Some(_) => None,
            None => Some(self.supply(orders, fit, scope)?),
        };
        let mut indices = Vec::with_capacity(step_rows.min(data.len()));
        while self.run().epoch < fit.epochs && !self.run().stopped {
            display.begin_epoch();
            let (started, first) = (Instant::now(), self.run().batch);
            let number = self.state.epochs + self.run().epoch as u64;
            self.session.set_epoch(number)?;
            let order = orders.epoch(number);
            while self.run().batch < epoch.steps {
                let at = At { data, fit, plan, epoch: &epoch, order: &order };
                let (taken, flow) = if let Some(bursts) = &mut bursts {
                    (self.burst(&at, bursts, at_most(left), &mut display)?, Flow::Continue)
                } else {
                    let start = self.run().batch * step_rows;
                    let end = epoch.rows.min(start + step_rows);
                    let rows = Rows::new(order.clone(), start..end);
                    let loss = self.supplied_step(&at, supply.as_mut(), &rows, &mut indices)?;
                    display.waited += std::mem::take(&mut self.fed);
                    let run = self.run();
                    display.step(run.epoch + 1, run.batch, epoch.steps, loss);
                    (1, self.call_step(fit, loss, &epoch)?)
                };
                left = left.map(|n| n - taken as u64);
                if let Some(stop) = stop_now(fit, flow, left) {
                    if let Some(bursts) = &mut bursts {
                        let at = At { data, fit, plan, epoch: &epoch, order: &order };
                        self.collect_all(&at, bursts, &mut display)?;
                    }
                    if self.run().batch == epoch.steps {
                        self.finish_epoch(data, fit, &epoch, started, first, &mut display)?;
                    } else {
                        self.save_last(fit)?;
                    }
                    return Ok(stop);
                }
            }
            let flow = self.finish_epoch(data, fit, &epoch, started, first, &mut display)?;
            if flow == Flow::Stop {
                return Ok(Stop::Callback);
            }
        }
        Ok(if self.run().stopped { Stop::EarlyStopping } else { Stop::Finished })
    }

    /// One update on these rows, which are in memory or come from the windows at hand. `indices` is
    /// room for their numbers.
    fn supplied_step(
        &mut self,
        at: &At<'_, '_>,
        supply: Option<&mut Supply<'_>>,
        rows: &Rows,
        indices: &mut Vec<usize>,
    ) -> Result<f64> {
        let begun = Instant::now();
        let held = supply.map(|supply| supply.held(rows)).transpose()?.flatten();
        match &held {
            Some(held) => {
                indices.clear();
                indices.extend(0..held.len());
            }
            None => rows.write(indices),
        }
        self.fed += begun.elapsed();
        let data = held.as_ref().unwrap_or(at.data);
        self.step(data, at.fit, at.plan, at.epoch, rows.taken(indices))
    }

    /// One update on these rows: as many passes as there are batches in them.
    pub(super) fn step(
        &mut self,
        data: &Dataset,
        fit: &Fit<'_>,
        plan: usize,
        epoch: &Epoch,
        taken: Taken<'_>,
    ) -> Result<f64> {
        let done = self.run().step;
        let rate = self.rate(fit, epoch, done);
        self.memory_before.clone_from(&self.state.memory);
        self.write_scalars(rate)?;
        let weight = weight_sum(data, taken.rows.iter().copied());
        let passes = taken.rows.len().div_ceil(fit.batch);
        self.session.set_share(weight, passes)?;
        let (seed, mut pass, mut loss) = (self.seed, self.state.pass, 0.0);
        let mut fed = Duration::ZERO;
        for (i, batch) in taken.chunks(fit.batch).enumerate() {
            pass += 1;
            let live = Live { rows: batch.rows.len(), seed, step: pass };
            self.session.set_first(i == 0)?;
            let (session, loaded) = self.split_plan(plan);
            let begun = Instant::now();
            session.feed(loaded, data, batch)?;
            fed += begun.elapsed();
            let end =
                if i + 1 == passes { loaded.plan.update.end } else { loaded.plan.backward.end };
            session.executor.run(loaded.id, 0..end, &live)?;
            for (_, buffer) in &loaded.plan.losses {
                let mut value = [0.0];
                session.executor.fetch(loaded.id, *buffer, 1, &mut value)?;
                loss += f64::from(value[0]);
            }
            let mut halted = [0.0];
            if let (Some(flag), true) = (session.lasting.halted, i + 1 == passes) {
                session.executor.fetch(loaded.id, flag, 1, &mut halted)?;
            }
            if halted[0] != 0.0 || !loss.is_finite() {
                session.proceed()?;
                session.feed(loaded, data, batch)?;
                let layer = guard::culprit(session, loaded, &live)?;
                return Err(self.not_finite(loss, rate, layer));
            }
        }
        self.fed += fed;
        self.state.pass = pass;
        self.state.step += 1;
        self.account(loss, weight);
        Ok(loss)
    }

    /// Counts a finished step.
    pub(super) fn account(&mut self, loss: f64, weight: f64) {
        let run = self.run();
        run.loss_sum += loss * weight;
        run.weight_sum += weight;
        run.batch += 1;
        run.step += 1;
    }

    fn not_finite(&mut self, loss: f64, learning_rate: f64, layer: String) -> crate::Error {
        self.state.memory.clone_from(&self.memory_before);
        let what = if loss.is_finite() { "the gradient norm" } else { "the loss" };
        let (epoch, step) = (self.run().epoch + 1, self.run().step + 1);
        TrainError::NotFinite { what, epoch, step, learning_rate, layer }.into()
    }

    /// Writes the optimizer's scalars for the next update.
    pub(super) fn write_scalars(&mut self, learning_rate: f64) -> Result<()> {
        let step = self.state.step + 1;
        let places = self.session.lasting.groups.iter().zip(&self.groups);
        for ((group, options), memory) in places.zip(&mut self.state.memory) {
            if group.rule.is_none() {
                continue;
            }
            let (rate_factor, decay_factor) = options.scales();
            let at =
                OptimizerStep { step, learning_rate: learning_rate * rate_factor, decay_factor };
            self.scalars.clear();
            self.optimizer.scalars(&at, memory, &mut self.scalars);
            if let Some(decay) = self.average {
                self.scalars.push(if step == 1 { 0.0 } else { decay });
            }
            for (buffer, scalar) in group.scalars.iter().zip(&self.scalars) {
                self.session.executor.write(*buffer, &[*scalar as f32])?;
            }
        }
        Ok(())
    }

    fn call_step(&mut self, fit: &mut Fit<'_>, loss: f64, epoch: &Epoch) -> Result<Flow> {
        if fit.callbacks.is_empty() {
            return Ok(Flow::Continue);
        }
        let (number, step) = (self.run().epoch + 1, self.run().step);
        let learning_rate = self.rate(fit, epoch, step - 1);
        let epoch = number;
        let report = StepReport { epoch, step, loss, learning_rate };
        let mut flow = Flow::Continue;
        for callback in &mut fit.callbacks {
            if callback.on_step(&report)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        self.keep_callbacks(fit);
        Ok(flow)
    }

    fn keep_callbacks(&mut self, fit: &Fit<'_>) {
        let kept = &mut self.run().callbacks;
        kept.clear();
        kept.extend(fit.callbacks.iter().map(|c| c.state()));
    }

    /// Validation, plateau, early stopping, record, callbacks, checkpoints.
    fn finish_epoch(
        &mut self,
        data: &Dataset,
        fit: &mut Fit<'_>,
        epoch: &Epoch,
        started: Instant,
        first: usize,
        display: &mut Display,
    ) -> Result<Flow> {
        let trained = started.elapsed().as_secs_f64();
        let rows = epoch.rows - first * epoch.step_rows;
        let last = self.run().step.saturating_sub(1);
        let mut record = EpochRecord {
            epoch: self.run().epoch + 1,
            loss: self.run().loss_sum / self.run().weight_sum.max(f64::MIN_POSITIVE),
            learning_rate: self.rate(fit, epoch, last),
            validation_loss: None,
            metrics: vec![],
            seconds: 0.0,
            rows_per_second: rows as f64 / trained.max(1e-9),
            waited_seconds: display.waited.as_secs_f64(),
        };
        if let Some(validation) = &fit.validation {
            let evaluation = self.evaluate_metrics(validation, fit.metrics.as_deref())?;
            record.validation_loss = Some(evaluation.loss);
            record.metrics = evaluation.metrics;
        }
        if fit.training_metrics {
            let evaluation = self.evaluate_metrics(data, fit.metrics.as_deref())?;
            let own = evaluation.metrics.into_iter();
            record.metrics.extend(own.map(|(name, value)| (format!("training_{name}"), value)));
        }
        record.seconds = started.elapsed().as_secs_f64();
        let best = self.judge(fit, &record)?;
        if let Some((monitor, _)) = &fit.plateau
            && let (Some(value), Some(plateau)) =
                (record.value(monitor), self.run().plateau.as_mut())
        {
            plateau.observe(value);
        }
        display.epoch(&record, best);
        let number = record.epoch;
        let run = self.run();
        run.history.push(record.clone());
        run.epoch = number;
        (run.batch, run.loss_sum, run.weight_sum) = (0, 0.0, 0.0);
        // From here on the epoch is done, whatever a callback or the disk says.
        let mut flow = Flow::Continue;
        for callback in &mut fit.callbacks {
            if callback.on_epoch(&record)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        self.keep_callbacks(fit);
        if let Some(checkpoints) = &fit.checkpoints {
            checkpoints.after_epoch(self, number, best)?;
        }
        Ok(flow)
    }

    /// Compares with the best epoch; true if this is the new best.
    fn judge(&mut self, fit: &Fit<'_>, record: &EpochRecord) -> Result<bool> {
        let validation_loss = super::EarlyStopping::default();
        let stopping = match (&fit.early_stopping, record.validation_loss) {
            (Some(stopping), _) => stopping,
            (None, Some(_)) => &validation_loss,
            (None, None) => return Ok(false),
        };
        let Some(value) = record.value(&stopping.monitor) else { return Ok(false) };
        let best = self.run().best;
        if stopping.improves(value, best.map(|b| b.value)) {
            self.run().best = Some(Best { value, epoch: record.epoch, waited: 0 });
            if fit.early_stopping.as_ref().is_some_and(|s| s.restore_best) {
                let parameters = self.session.parameters()?;
                self.run().best_parameters = parameters.into_iter().collect();
            }
            return Ok(true);
        }
        let patience = fit.early_stopping.as_ref().map(|s| s.patience);
        let run = self.run();
        if let Some(best) = &mut run.best {
            best.waited += 1;
            run.stopped = patience.is_some_and(|patience| best.waited >= patience);
        }
        Ok(false)
    }

    fn save_last(&mut self, fit: &Fit<'_>) -> Result<()> {
        match &fit.checkpoints {
            Some(checkpoints) => checkpoints.save_last(self),
            None => Ok(()),
        }
    }
}

/// Data that stays in files but fits into what may be held, in memory.
fn held(data: &Dataset, fit: &Fit<'_>) -> Result<Option<Dataset>> {
    let fits = data.is_streamed() && data.windows().is_none();
    let all = fits.then(|| data.load(std::slice::from_ref(&(0..data.len())), fit.loading_threads));
    Ok(all.transpose()?)
}

/// Whether training stops between two steps.
fn stop_now(fit: &Fit<'_>, flow: Flow, left: Option<u64>) -> Option<Stop> {
    if fit.interrupt && interrupt::pressed() {
        return Some(Stop::Interrupt);
    }
    match (flow, left) {
        (Flow::Stop, _) => Some(Stop::Callback),
        (_, Some(0)) => Some(Stop::StepLimit),
        _ => None,
    }
}
