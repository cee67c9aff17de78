//! `ironwarp train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args};
use ironwarp::Error;
use ironwarp::data::{Dataset, Kind as Cells, Recipe, SplitBy, TableReport, Task};
use ironwarp::error::DataError;
use ironwarp::exec::Device;
use ironwarp::file::{check_target, write_atomically};
use ironwarp::model::Model;
use ironwarp::train::{Fit, History, Progress, Stop, Trainer};

use super::AskedWrongly;
use super::folder;
use super::format::Format;
use super::outcome::{Outcome, Scores, constant};
use super::settings::Settings;

/// Learns to predict a column of a table from the others, or the classes of images or sounds.
///
/// Reads the table, fills or drops missing cells, scales numbers and encodes words, keeps rows apart
/// for a test, trains a network until it gets no better on other rows kept apart, and compares it
/// on the test with a linear model, trained the same way, and with the best constant answer. The
/// model's file holds all that `ironwarp predict` needs. Of a folder the classes are in the names of its
/// folders (images) or files (sounds); values are normalised by the rows for training. The settings that were used are written
/// beside it; `--config` takes them again, and makes the same model bit for bit.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ironwarp train houses.csv --target price
  ironwarp train houses.parquet --target price
  ironwarp train flowers.csv -t species --hidden 64,64 --dropout 0.1 -o flowers.safetensors
  ironwarp train --config flowers.toml --seed 7
  ironwarp train large.csv -t price --head 1000000 --spill rows/
  ironwarp train photos/ --size 32 --flip-horizontal 0.5 --crop 4
  ironwarp train recordings/ --pattern '{class}_{speaker}_{index}.wav' --length 8000 --mfcc 13")]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Settings from a TOML file; flags stand over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object in place of the text
    #[arg(long)]
    json: bool,
}

/// Rows for training, for stopping and for the test.
pub(crate) struct Parts {
    pub(crate) train: Dataset,
    pub(crate) validation: Dataset,
    pub(crate) test: Dataset,
}

/// A training that is done.
pub(crate) struct Training {
    pub(crate) settings: Settings,
    pub(crate) parts: Parts,
    pub(crate) device: Device,
    /// The name of what is predicted.
    pub(crate) target: String,
    /// Of a table.
    pub(crate) report: Option<TableReport>,
    pub(crate) parameters: usize,
    /// The model, and the settings.
    pub(crate) files: [PathBuf; 2],
}

pub(crate) fn run(arguments: &Arguments, flags: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut settings = match &arguments.config {
        Some(path) => arguments.settings.over_file(flags, path)?,
        None => arguments.settings.clone(),
    };
    settings.check()?;
    let say = |line: &dyn std::fmt::Display| -> anyhow::Result<()> {
        match arguments.json {
            true => Ok(()),
            false => Ok(writeln!(std::io::stdout(), "{line}")?),
        }
    };
    let device: Device = settings.device.parse().map_err(Error::from)?;
    let wrong = |text: &str| AskedWrongly(text.into());
    let data = settings.data.clone();
    let data = data.ok_or_else(|| wrong("name a CSV or Parquet file or a folder to learn from"))?;
    let target = match (data.is_dir(), &settings.target) {
        (true, _) => "label".to_string(),
        (false, Some(target)) => target.clone(),
        (false, None) => return Err(wrong("name the column to predict with --target").into()),
    };
    let name = if data.is_dir() { folder::name(&data) } else { target.clone() };
    let out = settings.out.get_or_insert_with(|| file_of(&name)).clone();
    check_target(&out).map_err(Error::from)?;
    let (parts, report) = match data.is_dir() {
        true => (folder::parts(&settings, &data)?, None),
        false => of_table(&mut settings, &data, &target, &say)?,
    };
    settings.settle(parts.train.task(), parts.train.len())?;
    say(&parts.text(&target))?;

    let model = network(&settings, &parts.train, &settings.hidden);
    say(&format!("\n{model}\nDevice: {device}: {}\n", device.reason()))?;
    let progress = if arguments.json { Progress::Lines } else { Progress::Auto };
    let (mut trainer, history) = fit(&settings, &model, &device, &parts, progress)?;
    let scores = Scores::of(&mut trainer, &parts.test)?;
    let files = save(&settings, &trainer, out)?;
    drop(trainer);
    let interrupted = history.stop == Stop::Interrupt;
    let linear = match interrupted {
        true => None,
        false => {
            let model = network(&settings, &parts.train, &[]);
            let (mut trainer, _) = fit(&settings, &model, &device, &parts, Progress::Silent)?;
            Some(Scores::of(&mut trainer, &parts.test)?)
        }
    };
    let constant = constant(&parts.train, &parts.test)?;
    let training = Training {
        settings,
        parts,
        device,
        target,
        report,
        parameters: model.parameter_count()?,
        files,
    };
    super::show(
        &Outcome::new(&training, &history, [Some(scores), linear, Some(constant)]),
        arguments.json,
    )?;
    Ok(if interrupted { ExitCode::from(super::INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// The parts of a table and its report, which is told.
fn of_table(
    settings: &mut Settings,
    data: &Path,
    target: &str,
    say: &dyn Fn(&dyn std::fmt::Display) -> anyhow::Result<()>,
) -> anyhow::Result<(Parts, Option<TableReport>)> {
    let ignored = settings.ignore.clone().unwrap_or_default();
    let leave = |name: &str| ignored.iter().any(|ignored| ignored == name);
    let (table, left) = settings.format.read(data, None, &leave)?;
    let report = table.report(Some(target)).map_err(Error::from)?;
    let ignored = ignore_useless(settings, &report);
    let recipe = settings.recipe(table.target(target).map_err(Error::from)?, &left);
    // Names that are no columns' are refused before much is said.
    recipe.task().map_err(Error::from)?;
    say(&report)?;
    if let Some(ignored) = ignored {
        say(&format!("Ignored: {ignored}; --ignore says otherwise\n"))?;
    }
    let parts = match &settings.spill {
        Some(folder) => spilled(settings, &recipe, data, folder)?,
        None => split(settings, &recipe)?,
    };
    Ok((parts, Some(report)))
}

/// The model's file, and that of the settings beside it.
fn save(settings: &Settings, trainer: &Trainer, model: PathBuf) -> anyhow::Result<[PathBuf; 2]> {
    trainer.save(&model)?;
    let beside = model.with_extension("toml");
    write_atomically(&beside, toml::to_string(&settings)?.as_bytes()).map_err(Error::from)?;
    Ok([model, beside])
}

/// Ignores columns that tell nothing of rows to come, unless the user said what to ignore: those of
/// one value, and words of which most rows have one of their own, such as names, each of which
/// would be a feature. Says which and why.
fn ignore_useless(settings: &mut Settings, report: &TableReport) -> Option<String> {
    if settings.ignore.is_some() {
        return None;
    }
    let inputs =
        report.columns.iter().filter(|column| Some(&column.name) != report.target.as_ref());
    let useless = inputs.filter_map(|column| {
        let names = column.kind == Cells::Category && column.distinct * 2 > report.rows;
        let why = match column.distinct {
            0 => "is empty",
            1 => "has one value",
            _ if names => "has a word for most rows",
            _ => return None,
        };
        Some((column.name.clone(), format!("{} ({why})", column.name)))
    });
    let (names, texts): (Vec<_>, Vec<_>) = useless.unzip();
    settings.ignore = Some(names);
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Three parts, all fitted on the rows for training.
fn split(settings: &Settings, recipe: &Recipe) -> ironwarp::Result<Parts> {
    let classes = matches!(recipe.task()?, Task::Classification { .. });
    let by = match (&settings.split_by_time, &settings.group_by, classes) {
        (Some(column), ..) => SplitBy::Time(column),
        (None, Some(_), true) => SplitBy::GroupsAndClasses,
        (None, Some(_), false) => SplitBy::Groups,
        (None, None, true) => SplitBy::Classes,
        (None, None, false) => SplitBy::Chance,
    };
    let parts = recipe.split_three(by, settings.validation, settings.test, settings.seed)?;
    let [train, validation, test] = parts;
    Ok(Parts { train: weighted(settings, train)?, validation, test })
}

/// Three parts of a table that is larger than memory, one after the other in the file, fitted on its
/// first rows alone.
fn spilled(
    settings: &Settings,
    recipe: &Recipe,
    data: &Path,
    folder: &Path,
) -> anyhow::Result<Parts> {
    let some = recipe.build().map_err(Error::from)?;
    let known = some.preprocessing().expect("invariant: it came from a table");
    let created = std::fs::create_dir_all(folder);
    created.map_err(|source| Error::from(DataError::Write { path: folder.into(), source }))?;
    let csv = Format { head: None, ..settings.format.clone() }.csv(data, None)?;
    let all = csv
        .spill(known, folder)
        .map_err(Error::from)?
        .with_memory(settings.memory.saturating_mul(1 << 20));
    let share = |rows: usize, share: f64| (rows as f64 * share).round() as usize;
    let rest = share(all.len(), 1.0 - settings.test);
    let train = share(rest, 1.0 - settings.validation);
    anyhow::ensure!(
        0 < train && train < rest && rest < all.len(),
        Error::from(DataError::Invalid(format!(
            "{} rows are too few for training, validation and test",
            all.len()
        )))
    );
    let fitted = some.len();
    anyhow::ensure!(
        fitted <= train,
        AskedWrongly(format!(
            "--head {fitted} takes in rows that are for validation or test; the first {train} are for \
             training"
        ))
    );
    let (validation, test) = (all.rows(train..rest), all.rows(rest..));
    Ok(Parts { train: weighted(settings, all.rows(..train))?, validation, test })
}

/// Rows that weigh as they are asked to.
pub(crate) fn weighted(settings: &Settings, train: Dataset) -> ironwarp::Result<Dataset> {
    match settings.balanced {
        true => {
            let weights = train.balanced_class_weights()?;
            Ok(train.with_class_weights(&weights)?)
        }
        false => Ok(train),
    }
}

impl Parts {
    fn text(&self, target: &str) -> String {
        let [train, validation, test] =
            [&self.train, &self.validation, &self.test].map(|d| d.len());
        let what = match self.train.classes() {
            0 => "a number".to_string(),
            classes => format!("one of {classes} classes"),
        };
        let features = self.train.features();
        format!(
            "Target: {target}, {what}, from {features} features\nRows: {train} for training, \
             {validation} to tell when to stop, {test} for the test"
        )
    }
}

/// Hidden layers of these widths, and the output that the data asks for.
fn network(settings: &Settings, data: &Dataset, hidden: &[usize]) -> Model {
    let row = data.inputs()[0].row_shape.as_slice();
    let input = Model::input(row);
    let input = if row.len() > 1 { input.flatten() } else { input };
    let model = hidden.iter().fold(input, |model, &width| {
        let model = model.dense(width).layer(settings.activation.layer());
        if settings.dropout == 0.0 { model } else { model.dropout(settings.dropout) }
    });
    model.dense(data.task().outputs())
}

/// Trains until the validation loss gets no better.
fn fit(
    settings: &Settings,
    model: &Model,
    device: &Device,
    parts: &Parts,
    progress: Progress,
) -> anyhow::Result<(Trainer, History)> {
    let builder = settings.learning.trainer(model);
    let mut trainer = builder.device(device.clone()).seed(settings.seed).build()?;
    let fit = settings.learning.fit().validate(&parts.validation).progress(progress);
    let fit = if settings.balanced_sampling { fit.sample_balanced() } else { fit };
    let fit = settings.augmentation.augment()?.into_iter().fold(fit, Fit::augment);
    let fit = fit.stop_on_interrupt();
    let history = trainer.fit(&parts.train, fit)?;
    Ok((trainer, history))
}

/// A file of the target's name in this folder.
fn file_of(target: &str) -> PathBuf {
    let plain = |c: char| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' };
    PathBuf::from(target.chars().map(plain).collect::<String>() + ".safetensors")
}
