//! What `ironwarp train` tells at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use ironwarp::data::{ColumnId, Dataset, TableReport, Task};
use ironwarp::metric::{Average, Metric, Targets};
use ironwarp::train::{History, Stop, Trainer};
use serde::Serialize;

use super::choices::Kind;
use super::train::Training;

/// Metrics of a test, in the order of [`metrics`].
pub(crate) struct Scores(Vec<f64>);

/// The metrics of a task: their names in short, and themselves.
fn metrics(task: Task) -> [(&'static str, Metric); 3] {
    match task {
        Task::Classification { .. } => [
            ("accuracy", Metric::Accuracy),
            ("f1_macro", Metric::F1(Average::Macro)),
            ("recall_macro", Metric::Recall(Average::Macro)),
        ],
        _ => [
            ("rmse", Metric::RootMeanSquaredError),
            ("mae", Metric::MeanAbsoluteError),
            ("r2", Metric::R2),
        ],
    }
}

impl Scores {
    /// Those of a model.
    pub(crate) fn of(trainer: &mut Trainer, test: &Dataset) -> ironwarp::Result<Scores> {
        let metrics = metrics(test.task()).map(|(_, metric)| metric);
        let evaluation = trainer.evaluate_metrics(test, Some(&metrics))?;
        Ok(Scores(evaluation.metrics.into_iter().map(|(_, value)| value).collect()))
    }
}

/// The scores of the most frequent class, or of the mean.
pub(crate) fn constant(train: &Dataset, test: &Dataset) -> ironwarp::Result<Scores> {
    let metrics = metrics(test.task()).map(|(_, metric)| metric);
    let scores: Result<Vec<f64>, _> = match test.task() {
        Task::Classification { classes } => {
            let mut counts = vec![0usize; classes];
            labels(train)?.into_iter().for_each(|label| counts[label as usize] += 1);
            let most = counts.iter().max().copied().unwrap_or_default();
            let row = counts.iter().map(|&count| f32::from(u8::from(count == most)));
            let outputs: Vec<f32> = row.collect::<Vec<_>>().repeat(test.len());
            let labels = labels(test)?;
            let of = |m: Metric| m.evaluate(&outputs, classes, Targets::Classes(&labels), None);
            metrics.into_iter().map(of).collect()
        }
        _ => {
            let known = numbers(train)?;
            let mean = known.iter().map(|&x| f64::from(x)).sum::<f64>() / known.len() as f64;
            let outputs = vec![mean as f32; test.len()];
            let numbers = numbers(test)?;
            let of = |m: Metric| m.evaluate(&outputs, 1, Targets::Numbers(&numbers), None);
            metrics.into_iter().map(of).collect()
        }
    };
    Ok(Scores(scores?))
}

fn labels(data: &Dataset) -> ironwarp::Result<Vec<u32>> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut labels = vec![0; rows.len()];
    data.gather_u32(ColumnId::Target(0), &rows, &mut labels)?;
    Ok(labels)
}

/// Targets in their own units.
fn numbers(data: &Dataset) -> ironwarp::Result<Vec<f32>> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut numbers = vec![0.0; rows.len()];
    data.gather_f32(ColumnId::Target(0), &rows, &mut numbers)?;
    if let Some(preprocessing) = data.preprocessing() {
        preprocessing.inverse_transform_targets(&mut numbers)?;
    }
    Ok(numbers)
}

/// A training and what came of it.
#[derive(Serialize)]
pub(crate) struct Outcome {
    target: String,
    task: Kind,
    features: usize,
    train_rows: usize,
    validation_rows: usize,
    test_rows: usize,
    parameters: usize,
    device: String,
    epochs: usize,
    seconds: f64,
    /// The share of them in which training waited for rows.
    waited: f64,
    rows_per_second: f64,
    stop: Stop,
    model: PathBuf,
    settings: PathBuf,
    /// Of the network, by names such as `test_rmse`.
    #[serde(flatten)]
    test: BTreeMap<String, Option<f64>>,
    /// The first metric of a linear model; none after an interrupt.
    baseline_linear: Option<f64>,
    /// The first metric of the best constant answer.
    baseline_constant: Option<f64>,
    /// What was in the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<TableReport>,
    #[serde(skip)]
    table: Vec<(&'static str, [Option<f64>; 3])>,
}

impl Outcome {
    /// What came of a training, with the scores of the network, a linear model and a constant.
    pub(crate) fn new(
        training: &Training,
        history: &History,
        scores: [Option<Scores>; 3],
    ) -> Outcome {
        let Training { settings, parts, .. } = training;
        let value = |of: &Option<Scores>, place: usize| of.as_ref().map(|scores| scores.0[place]);
        let row = |(place, (name, _))| (name, scores.each_ref().map(|of| value(of, place)));
        let table: Vec<_> = metrics(parts.test.task()).into_iter().enumerate().map(row).collect();
        let seconds: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
        let rates = history.epochs.iter().map(|epoch| epoch.rows_per_second);
        Outcome {
            target: training.target.clone(),
            task: settings.task.unwrap_or(Kind::Regression),
            features: parts.train.features(),
            train_rows: parts.train.len(),
            validation_rows: parts.validation.len(),
            test_rows: parts.test.len(),
            parameters: training.parameters,
            device: training.device.to_string(),
            epochs: history.epochs.len(),
            seconds,
            waited: history.waited(),
            rows_per_second: rates.sum::<f64>() / history.epochs.len().max(1) as f64,
            stop: history.stop.clone(),
            model: training.files[0].clone(),
            settings: training.files[1].clone(),
            test: table.iter().map(|(name, [own, ..])| (format!("test_{name}"), *own)).collect(),
            baseline_linear: table[0].1[1],
            baseline_constant: table[0].1[2],
            report: training.report.clone(),
            table,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.stop {
            Stop::EarlyStopping => ", until the validation loss got no better",
            Stop::Interrupt => ", until it was interrupted",
            _ => "",
        };
        let waited = 100.0 * self.waited;
        let waited = format!("waited for data {waited:.1} % of the time");
        writeln!(f, "\n{} epochs in {:.1} s{why}, {waited}", self.epochs, self.seconds)?;
        write!(f, "\nOn {} rows of the test", self.test_rows)?;
        self.table.iter().try_for_each(|(name, _)| write!(f, " {name:>14}"))?;
        for (row, name) in ["network", "linear model", "constant"].into_iter().enumerate() {
            write!(f, "\n{name:<21}")?;
            self.table.iter().try_for_each(|(_, values)| match values[row] {
                // Adding 0 turns the -0 that a small negative number is rounded to into 0.
                Some(value) => write!(f, " {:>14.4}", (value * 1e4).round() / 1e4 + 0.0),
                None => write!(f, " {:>14}", "-"),
            })?;
        }
        write!(f, "\n\nSaved {} and {}", self.model.display(), self.settings.display())
    }
}
