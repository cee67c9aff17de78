//! Loss and metrics on data.

use serde::Serialize;

use super::check::not_empty;
use super::trainer::Trainer;
use crate::data::{ColumnId, Dataset, Task};
use crate::error::Result;
use crate::metric::{Metric, Targets};

/// Loss and metrics on some data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean loss, weighted as the data is.
    pub loss: f64,
    /// Metrics by name.
    pub metrics: Vec<(String, f64)>,
}

impl Evaluation {
    /// A metric by name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }
}

impl Trainer {
    /// Loss and metrics on some data: accuracy for classes, root mean squared error for numbers.
    ///
    /// # Errors
    /// If the data does not fit the model.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Evaluation> {
        self.evaluate_metrics(data, None)
    }

    /// Loss and these metrics on some data.
    ///
    /// # Errors
    /// If the data does not fit the model, or a metric the task.
    pub fn evaluate_metrics(
        &mut self,
        data: &Dataset,
        metrics: Option<&[Metric]>,
    ) -> Result<Evaluation> {
        let (index, capacity) = self.evaluation_plan(data)?;
        let total = weight_sum(data, 0..data.len());
        self.session.set_share(total, data.len().div_ceil(capacity))?;
        let (seed, mut loss, mut outputs) = (self.seed, 0.0, Vec::new());
        let (session, plan) = self.split_plan(index);
        session.forward_all(plan, data, seed, |session, _, rows| {
            for (_, buffer) in &plan.plan.losses {
                loss += f64::from(session.fetch(plan, *buffer, 1)?[0]);
            }
            if let [(_, buffer)] = plan.plan.outputs.as_slice() {
                outputs.extend(session.fetch(plan, *buffer, rows)?);
            }
            Ok(())
        })?;
        let metrics = measure(data, &outputs, metrics)?;
        Ok(Evaluation { loss, metrics })
    }

    fn evaluation_plan(&mut self, data: &Dataset) -> Result<(usize, usize)> {
        not_empty(data)?;
        let fits = EVALUATION_ROWS.into_iter().find(|&c| c >= data.len());
        let capacity = fits.unwrap_or(EVALUATION_ROWS[EVALUATION_ROWS.len() - 1]);
        Ok((self.plan(data, None, capacity, false)?, capacity))
    }

    /// Makes the plan of an evaluation and measures outputs of 0, so that what can go wrong does so
    /// before training.
    pub(super) fn check_evaluation(
        &mut self,
        data: &Dataset,
        metrics: Option<&[Metric]>,
    ) -> Result<()> {
        self.evaluation_plan(data)?;
        if let [(_, output)] = self.network().outputs() {
            let count = self.network().ty(*output).shape.elements(data.len());
            measure(data, &vec![0.0; count], metrics)?;
        }
        Ok(())
    }
}

/// Rows of evaluation plans: few sizes, so that few plans are kept.
const EVALUATION_ROWS: [usize; 2] = [64, 1024];

/// Sum of the weights of some rows; their number if the data has none.
pub(super) fn weight_sum(data: &Dataset, rows: impl ExactSizeIterator<Item = usize>) -> f64 {
    match data.weights() {
        Some(weights) => rows.map(|row| f64::from(weights[row])).sum(),
        None => rows.len() as f64,
    }
}

/// What is measured unless something is named.
pub(super) fn default_metrics(data: &Dataset) -> [Metric; 1] {
    match data.task() {
        Task::Classification { .. } => [Metric::Accuracy],
        _ => [Metric::RootMeanSquaredError],
    }
}

/// Metrics of all outputs against the data's only target.
fn measure(
    data: &Dataset,
    outputs: &[f32],
    metrics: Option<&[Metric]>,
) -> Result<Vec<(String, f64)>> {
    let ([target], false) = (data.targets(), outputs.is_empty()) else { return Ok(vec![]) };
    let rows: Vec<usize> = (0..data.len()).collect();
    let width = outputs.len() / data.len();
    let default = default_metrics(data);
    let metrics = metrics.unwrap_or(&default);
    let count = data.len() * target.row_elements();
    let column = ColumnId::Target(0);
    let classes = matches!(data.task(), Task::Classification { .. });
    let (mut labels, mut numbers) = (vec![], vec![]);
    if classes {
        labels.resize(count, 0);
        data.gather_u32(column, &rows, &mut labels)?;
    } else {
        numbers.resize(count, 0.0);
        data.gather_f32(column, &rows, &mut numbers)?;
    }
    let mut outputs = outputs.to_vec();
    if let (Some(p), false) = (data.preprocessing(), classes) {
        p.inverse_transform_targets(&mut outputs)?;
        p.inverse_transform_targets(&mut numbers)?;
    }
    let targets = if classes { Targets::Classes(&labels) } else { Targets::Numbers(&numbers) };
    let each = metrics.iter().map(|metric| {
        Ok((metric.to_string(), metric.evaluate(&outputs, width, targets, data.weights())?))
    });
    each.collect()
}
