//! `ironwarp predict`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use ironwarp::data::{Preprocessing, Table, TargetTransform};
use ironwarp::exec::Device;
use ironwarp::file::write_atomically;
use ironwarp::metric::predicted_classes;
use ironwarp::train::Trained;
use ndarray::Array2;
use serde_json::{Map, Value, json};

use super::format::Format;

/// Predicts the target for the rows of a table, or the classes of images or sounds.
///
/// Columns are matched by name, in any order; those that the model does not know are passed over,
/// and the target may be among them or not. A row of the result belongs to a row of the table. Of
/// classes it holds the most probable one and its probability. A model of images or sounds takes a file
/// or a folder, whose folders are looked into, and does to files what was done in training.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ironwarp predict price.safetensors new.csv --out predictions.csv
  ironwarp predict species.safetensors new.csv.gz --probabilities | head
  ironwarp predict photos.safetensors new_photos/ --out classes.csv")]
pub(crate) struct Arguments {
    /// The model's file, as `ironwarp train` wrote it
    model: PathBuf,
    /// A CSV file, which may be gzipped, or a Parquet file; or an image, a WAV file, or a folder of these
    data: PathBuf,
    /// Where to write the predictions, as CSV [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Of classes, the probability of each
    #[arg(long)]
    probabilities: bool,
    /// One JSON array with an object a row, in place of CSV
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    format: Format,
    /// Where to compute: cpu, cuda:N, or auto, a GPU if there is one
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let device: Device = arguments.device.parse().map_err(ironwarp::Error::from)?;
    let model = Trained::load(&arguments.model, device)?;
    let answers = match model.media() {
        Some(media) => {
            let (names, outputs) = model.predict_files(&arguments.data)?;
            let all = arguments.probabilities;
            let mut answers = Answers::of_classes("label", media.classes(), &outputs, all)?;
            answers.names.insert(0, "file".into());
            answers.columns.insert(0, Answer::Words(names));
            answers
        }
        None => of_table(arguments, &model)?,
    };
    let mut text = Vec::new();
    answers.write(&mut text, arguments.json)?;
    match &arguments.out {
        None => io::stdout().write_all(&text)?,
        Some(path) => write_atomically(path, &text).map_err(ironwarp::Error::from)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_table(arguments: &Arguments, model: &Trained) -> anyhow::Result<Answers> {
    let file = arguments.model.display();
    let preprocessing = model.preprocessing().with_context(|| {
        format!("{file} was trained on arrays: it does not know what the columns of a table mean")
    })?;
    let (table, left) = arguments.format.read(&arguments.data, Some(preprocessing), &|name| {
        preprocessing.inputs().iter().all(|input| input.column != name)
    })?;
    let table = known_columns(table, left, preprocessing)?;
    let outputs = model.predict_table(&table)?;
    Answers::new(preprocessing, &outputs, arguments.probabilities)
}

/// The table without the columns that the model does not know, which are told with those that were
/// left before.
fn known_columns(
    table: Table,
    left: Vec<String>,
    preprocessing: &Preprocessing,
) -> anyhow::Result<Table> {
    let unknown: Vec<String> = preprocessing.unknown_columns(&table).map(String::from).collect();
    let passed = [left, unknown.clone()].concat();
    if !passed.is_empty() {
        writeln!(io::stderr(), "Passed over, unknown to the model: {}", passed.join(", "))?;
    }
    Ok(table.without(&unknown).map_err(ironwarp::Error::from)?)
}

/// Predictions by column.
struct Answers {
    names: Vec<String>,
    columns: Vec<Answer>,
    rows: usize,
}

/// A column of predictions.
enum Answer {
    Words(Vec<String>),
    Numbers(Vec<f32>),
}

impl Answers {
    fn new(known: &Preprocessing, outputs: &Array2<f32>, all: bool) -> anyhow::Result<Answers> {
        match known.target() {
            TargetTransform::Numbers(targets) => {
                let names = targets.iter().map(|target| target.column.clone()).collect();
                let columns = outputs.columns().into_iter();
                let columns = columns.map(|c| Answer::Numbers(c.to_vec())).collect();
                Ok(Answers { names, columns, rows: outputs.nrows() })
            }
            TargetTransform::Classes { column, classes } => {
                Answers::of_classes(column, classes, outputs, all)
            }
        }
    }

    /// The most probable classes, and their probabilities or, if asked for, those of all.
    fn of_classes(
        column: &str,
        classes: &[String],
        outputs: &Array2<f32>,
        all: bool,
    ) -> anyhow::Result<Answers> {
        let odds = probabilities(outputs);
        let scores: Vec<f32> = odds.iter().copied().collect();
        let best = predicted_classes(&scores, odds.ncols())?;
        let word = |&class: &u32| classes.get(class as usize).cloned().unwrap_or_default();
        let mut names = vec![column.to_string()];
        let mut columns = vec![Answer::Words(best.iter().map(word).collect())];
        if all {
            names.extend(classes.iter().map(|class| format!("{column}={class}")));
            columns.extend(odds.columns().into_iter().map(|c| Answer::Numbers(c.to_vec())));
        } else {
            let own = best.iter().zip(odds.rows()).map(|(&class, row)| row[class as usize]);
            names.push("probability".into());
            columns.push(Answer::Numbers(own.collect()));
        }
        Ok(Answers { names, columns, rows: outputs.nrows() })
    }

    fn write(&self, out: &mut Vec<u8>, json: bool) -> anyhow::Result<()> {
        if json {
            let rows: Vec<Value> = (0..self.rows).map(|row| self.object(row)).collect();
            return Ok(writeln!(out, "{}", serde_json::to_string(&rows)?)?);
        }
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(&self.names)?;
        for row in 0..self.rows {
            csv.write_record(self.columns.iter().map(|column| column.text(row)))?;
        }
        Ok(csv.flush()?)
    }

    fn object(&self, row: usize) -> Value {
        let cells = self.names.iter().zip(&self.columns);
        cells.map(|(name, column)| (name.clone(), column.value(row))).collect::<Map<_, _>>().into()
    }
}

impl Answer {
    fn text(&self, row: usize) -> String {
        match self {
            Answer::Words(words) => words[row].clone(),
            Answer::Numbers(numbers) => numbers[row].to_string(),
        }
    }

    fn value(&self, row: usize) -> Value {
        match self {
            Answer::Words(words) => json!(words[row]),
            Answer::Numbers(numbers) => json!(numbers[row]),
        }
    }
}

/// The softmax of each row; of one column, the logit of class 1 against class 0, both classes.
fn probabilities(logits: &Array2<f32>) -> Array2<f32> {
    let both = |row: usize, class: usize| if class == 1 { logits[[row, 0]] } else { 0.0 };
    let mut odds = match logits.ncols() {
        1 => Array2::from_shape_fn((logits.nrows(), 2), |(row, class)| both(row, class)),
        _ => logits.clone(),
    };
    for mut row in odds.rows_mut() {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.mapv_inplace(|logit| (logit - top).exp());
        let sum = row.sum();
        row.mapv_inplace(|x| x / sum);
    }
    odds
}
