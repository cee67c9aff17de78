//! The beginning and the end of a run, and runs that leave no trace.

use xxhash_rust::xxh3::xxh3_64;

use super::fit::Epoch;
use super::history::{History, Stop};
use super::options::Fit;
use super::rows::Orders;
use super::state::{Run, State};
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::{Result, TrainError};
use crate::op::BufferId;

impl Trainer {
    /// Checks everything that can be known before the first step.
    pub(super) fn prepare<'data>(
        &mut self,
        data: &'data Dataset,
        fit: &Fit<'_>,
    ) -> Result<(usize, Orders<'data>)> {
        fit.check(data)?;
        let orders = Orders::new(data, fit, self.seed)?;
        if let Some(checkpoints) = &fit.checkpoints {
            checkpoints.check()?;
        }
        let training = Some(fit.augment.as_ref());
        let plan = self.plan(data, training, fit.batch, fit.accumulate > 1)?;
        for measured in fit.validation.iter().chain(fit.training_metrics.then_some(data)) {
            self.check_evaluation(measured, fit.metrics.as_deref())?;
        }
        if fit.tune {
            self.tune_plans()?;
        }
        Ok((plan, orders))
    }

    /// Begins a run, or checks that one at hand can go on with these options.
    pub(super) fn begin_run(&mut self, data: &Dataset, fit: &mut Fit<'_>) -> Result<()> {
        let fingerprint = data.fingerprint()?;
        let mut options = fit.fingerprint()?;
        options.insert("windows".into(), format!("{:?}", data.windows()));
        options.insert("loss".into(), self.loss_fingerprint(data)?);
        let Some(run) = &self.state.run else {
            self.state.run = Some(Run {
                data: fingerprint,
                options,
                plateau: fit.plateau.as_ref().map(|(_, plateau)| plateau.clone()),
                ..Run::default()
            });
            return Ok(());
        };
        // An option that came after the run began was not used.
        let old = |name: &String| run.options.get(name).map_or("None", String::as_str);
        let mut changed: Vec<_> = options
            .iter()
            .filter(|(name, value)| old(name) != *value)
            .map(|(name, value)| format!("{name} was {} and is {value}", old(name)))
            .collect();
        if run.data != fingerprint {
            changed.insert(0, "the data is another".into());
        }
        if !changed.is_empty() {
            return Err(TrainError::State(format!(
                "cannot go on with the run: {}; call `fit` as before, or `abandon_run` first",
                changed.join("; ")
            ))
            .into());
        }
        for (callback, state) in fit.callbacks.iter_mut().zip(&run.callbacks) {
            callback.restore(state)?;
        }
        Ok(())
    }

    /// A hash of all that the losses compute.
    fn loss_fingerprint(&self, data: &Dataset) -> Result<String> {
        let with_losses = self.with_losses(data)?;
        let first = self.network().graph().steps.len();
        let mut text = format!("{:?}", with_losses.losses);
        for step in &with_losses.graph.steps[first..] {
            let (op, attributes) = (step.op.name(), step.op.attributes());
            text += &format!("{op} {attributes} {:?} {:?};", step.inputs, step.outputs);
        }
        Ok(format!("number {:016x}", xxh3_64(text.as_bytes())))
    }

    /// Closes a finished run; a stopped one stays open, to go on with.
    pub(super) fn end_run(&mut self, fit: &Fit<'_>, stop: Stop) -> Result<History> {
        let epochs = self.run().history.clone();
        if matches!(stop, Stop::Finished | Stop::EarlyStopping) {
            let run = self.state.run.take().unwrap_or_default();
            self.state.epochs += run.epoch as u64;
            let restore = fit.early_stopping.as_ref().is_some_and(|s| s.restore_best);
            if restore && !run.best_parameters.is_empty() {
                let parameters = self.session.lasting.parameters();
                let places: Vec<_> = parameters.map(|p| (p.name.clone(), p.parameter)).collect();
                self.session.restore(&places, &run.best_parameters)?;
            }
        }
        Ok(History { epochs, stop })
    }

    /// Forgets the run that was stopped or taken up and that [`fit`](Self::fit) would go on with, so
    /// that the next one begins. Parameters and optimizer state stay as they are.
    pub fn abandon_run(&mut self) {
        if let Some(run) = self.state.run.take() {
            self.state.epochs += run.epoch as u64 + u64::from(run.batch > 0);
        }
    }

    /// Two steps, validation and callbacks; then everything is put back.
    pub(super) fn dry_run(&mut self, data: &Dataset, fit: Fit<'_>) -> Result<History> {
        self.prepare(data, &fit)?;
        let buffers: Vec<BufferId> = self
            .session
            .lasting
            .updates
            .iter()
            .flat_map(|u| std::iter::once(u.parameter).chain(u.states.iter().copied()))
            .collect();
        let kept: Vec<_> =
            buffers.iter().map(|&buffer| self.session.tensor(buffer)).collect::<Result<_>>()?;
        let begin = State { run: None, ..self.state.clone() };
        let state = std::mem::replace(&mut self.state, begin);
        let (preprocessing, media) = (self.preprocessing.clone(), self.media.clone());
        let rows = data.len().min(2 * fit.batch.saturating_mul(fit.accumulate));
        // The weights are of all rows, and were looked at.
        let short = Fit { epochs: 1, checkpoints: None, dry_run: false, step_limit: None, ..fit };
        let short = Fit { sampling: None, ..short };
        let result = self.fit(&data.rows(..rows), short);
        for (buffer, tensor) in buffers.into_iter().zip(&kept) {
            self.session.executor.write(buffer, tensor.as_f32().unwrap_or_default())?;
        }
        self.state = state;
        (self.preprocessing, self.media) = (preprocessing, media);
        result
    }

    /// The rate of an update, counted from 0 in the run, under the plateau at hand.
    pub(super) fn rate(&self, fit: &Fit<'_>, epoch: &Epoch, step: u64) -> f64 {
        let plateau = self.state.run.as_ref().and_then(|r| r.plateau.as_ref());
        let total = (fit.epochs * epoch.steps) as u64;
        fit.schedule.learning_rate(self.optimizer.learning_rate(), step, total)
            * plateau.map_or(1.0, |p| p.scale())
    }
}
