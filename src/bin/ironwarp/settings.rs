//! How `ironwarp train` trains: each setting once, as a flag and as a line of a TOML file.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use ironwarp::Error;
use ironwarp::data::{Distribution, Impute, Recipe, Task};
use ironwarp::error::DataError;
use serde::{Deserialize, Serialize};

use super::AskedWrongly;
use super::augmentation::Augmentation;
use super::choices::{Activation, Encoding, Kind, Missing, Scale};
use super::folder::Files;
use super::format::Format;
use super::learning::Learning;

/// Everything that can be said about a training. What is `None` follows from the data, and is
/// written down by [`Settings::settle`].
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// What to learn from: a CSV file, which may be gzipped, a Parquet file, a folder with one folder of
    /// images for each class, or a folder of WAV files, with --pattern
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// The column to predict; all others are inputs
    #[arg(long, short, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// Columns that are no inputs [default: those of words that most rows have for themselves]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ignore: Option<Vec<String>>,
    /// What the target is [default: classes if it is words or a few whole numbers from 0]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<Kind>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) format: Format,
    /// What becomes of a missing cell
    #[arg(long, default_value = "median")]
    pub(crate) missing: Missing,
    /// Rows that a missing number is the mean of, with `--missing neighbours`
    #[arg(long, value_name = "COUNT", default_value = "5")]
    pub(crate) neighbours: usize,
    /// What becomes of numbers
    #[arg(long, default_value = "standard")]
    pub(crate) scale: Scale,
    /// Share of a column's numbers, at either end, that are taken for the last one before
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub(crate) clip: f64,
    /// What becomes of words
    #[arg(long, default_value = "one-hot")]
    pub(crate) encoding: Encoding,
    /// Words of less than this share of the rows are one category, together with unknown ones
    #[arg(long, value_name = "SHARE", default_value = "0.001")]
    pub(crate) rare: f64,
    /// Of dates also sine and cosine of month, day, weekday and hour, so that December is next to
    /// January
    #[arg(long)]
    pub(crate) cyclic_dates: bool,
    /// Columns whose features' squares, and products of each two, are features too; or `all`
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) polynomial: Vec<String>,
    /// As --polynomial, without squares
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) interactions: Vec<String>,
    /// Columns whose features are replaced by their principal components, after products are made;
    /// or `all`
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) pca: Vec<String>,
    /// So many components of --pca [default: all]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pca_components: Option<usize>,
    /// Components of --pca have variance 1
    #[arg(long)]
    pub(crate) whiten: bool,
    /// Leaves out rows that are equal to an earlier one
    #[arg(long)]
    pub(crate) drop_duplicates: bool,
    /// For a CSV file larger than memory: the folder into which its rows are written, encoded, and where
    /// they stay. Needs --head: what is done to columns follows from so many rows. Training, validation
    /// and test follow each other in the file, whose rows should be in random order
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spill: Option<PathBuf>,
    /// What training may hold of the rows of --spill, in MiB
    #[arg(long, value_name = "MEBIBYTES", default_value = "1024")]
    pub(crate) memory: usize,
    /// Share of the rows that only the final test sees
    #[arg(long, value_name = "SHARE", default_value = "0.2")]
    pub(crate) test: f64,
    /// Share of the other rows that tells when to stop
    #[arg(long, value_name = "SHARE", default_value = "0.15")]
    pub(crate) validation: f64,
    /// Rows that share a value of this column stay together in one of the three parts
    #[arg(long, value_name = "COLUMN", conflicts_with = "split_by_time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group_by: Option<String>,
    /// The test has the latest rows by this column, and validation the latest of the others
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) split_by_time: Option<String>,
    /// Rows of rare classes count more, so that all classes count alike
    #[arg(long)]
    pub(crate) balanced: bool,
    /// Rows of rare classes are drawn more often, so that all classes come alike
    #[arg(long, conflicts_with = "balanced")]
    pub(crate) balanced_sampling: bool,
    /// Widths of the hidden layers; 0 for none
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', default_value = "128,64")]
    pub(crate) hidden: Vec<usize>,
    /// Follows every hidden layer
    #[arg(long, default_value = "relu")]
    pub(crate) activation: Activation,
    /// Share of the hidden values that a training step leaves out
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub(crate) dropout: f64,
    /// Of splits, initial weights and the order of rows
    #[arg(long, default_value = "0")]
    pub(crate) seed: u64,
    /// Where to train: cpu, cuda:N, or auto, a GPU if there is one
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// The model's file; the settings come beside it, as TOML [default: named after the target]
    #[arg(long, short, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) learning: Learning,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) augmentation: Augmentation,
}

impl Default for Settings {
    /// What the flags say when none is given.
    fn default() -> Self {
        let flags = Settings::augment_args(Command::new("train")).get_matches_from(["train"]);
        Settings::from_arg_matches(&flags).expect("invariant: no flag is required")
    }
}

impl Settings {
    /// The settings of a file, and over them those that are given as flags.
    pub(crate) fn over_file(&self, flags: &ArgMatches, path: &Path) -> anyhow::Result<Settings> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Data(DataError::Read { path: path.into(), source }))?;
        let of_file = || AskedWrongly(format!("in the settings {}", path.display()));
        let known = Settings::augment_args(Command::new("train"));
        let known: Vec<String> =
            known.get_arguments().map(|flag| flag.get_id().as_str().replace('_', "-")).collect();
        let keys = toml::de::DeTable::parse(&text).with_context(of_file)?;
        if let Some(key) =
            keys.get_ref().keys().find(|key| !known.iter().any(|name| name == key.get_ref()))
        {
            let line = text[..key.span().start].matches('\n').count() + 1;
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            let message = format!(
                "line {line}: unknown field `{}`, expected one of {}",
                key.get_ref(),
                known.join(", ")
            );
            return Err(anyhow::Error::new(AskedWrongly(message)).context(of_file()));
        }
        let mut all = toml::Table::try_from(self)?;
        // Read as settings first: only so an error names the line.
        toml::from_str::<Settings>(&text).with_context(of_file)?;
        for (name, value) in toml::from_str::<toml::Table>(&text).with_context(of_file)? {
            let flag = flags.value_source(&name.replace('-', "_"));
            if flag != Some(ValueSource::CommandLine) {
                all.insert(name, value);
            }
        }
        Ok(all.try_into()?)
    }

    /// What is done to the columns, of which some were left out when the table was read.
    pub(crate) fn recipe(&self, recipe: Recipe, left: &[String]) -> Recipe {
        let recipe = match self.task {
            Some(Kind::Classification) => recipe.classification(),
            Some(Kind::Regression) => recipe.regression(),
            None => recipe,
        };
        let ignored = self.ignore.iter().flatten().filter(|name| !left.contains(name));
        let ignored: Vec<&str> = ignored.map(String::as_str).collect();
        // A row without its target is of no use, whatever is said of inputs.
        let recipe = recipe.ignore(&ignored).drop_missing().standardize_target();
        let recipe = self.group_by.iter().fold(recipe, |recipe, column| recipe.group_by(column));
        let recipe = match self.missing {
            Missing::Median => recipe.impute(Impute::MostFrequent).impute(Impute::Median),
            Missing::Mean => recipe.impute(Impute::MostFrequent).impute(Impute::Mean),
            Missing::MostFrequent => recipe.impute(Impute::MostFrequent),
            Missing::Neighbours => {
                recipe.impute(Impute::MostFrequent).impute(Impute::Neighbours(self.neighbours))
            }
            Missing::Drop => recipe,
        };
        let recipe = match self.scale {
            Scale::Standard => recipe.standardize(),
            Scale::MinMax => recipe.min_max(),
            Scale::Robust => recipe.robust(),
            Scale::Uniform => recipe.quantile(Distribution::Uniform),
            Scale::Normal => recipe.quantile(Distribution::Normal),
            Scale::None => recipe,
        };
        let recipe = match self.encoding {
            Encoding::OneHot => recipe.one_hot(),
            Encoding::Ordinal => recipe.ordinal(),
            Encoding::Target => recipe.target_encode(self.seed),
        };
        let recipe = recipe.join_rare(self.rare);
        let recipe = self.combine(recipe);
        let recipe = if self.cyclic_dates { recipe.cyclic_dates() } else { recipe };
        let recipe = if self.drop_duplicates { recipe.drop_duplicates() } else { recipe };
        if self.clip == 0.0 { recipe } else { recipe.clip_quantiles(self.clip, 1.0 - self.clip) }
    }

    /// What is made of several columns.
    fn combine(&self, recipe: Recipe) -> Recipe {
        type How<'a> = &'a dyn Fn(Recipe, &[&str]) -> Recipe;
        let combined = |recipe: Recipe, columns: &[String], how: How| {
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            match names[..] {
                [] => recipe,
                // No name is every column.
                ["all"] => how(recipe, &[]),
                _ => how(recipe, &names),
            }
        };
        let recipe = combined(recipe, &self.polynomial, &|r, names| r.polynomial(names));
        let recipe = combined(recipe, &self.interactions, &|r, names| r.interactions(names));
        combined(recipe, &self.pca, &|r, names| match self.whiten {
            true => r.whiten(names, self.pca_components),
            false => r.principal_components(names, self.pca_components),
        })
    }

    /// Writes down what follows from the data: from its task, and its number of training rows. Refuses
    /// what does not fit the task.
    pub(crate) fn settle(&mut self, task: Task, rows: usize) -> anyhow::Result<()> {
        self.learning.check(task)?;
        self.task = Some(match task {
            Task::Classification { .. } => Kind::Classification,
            _ => Kind::Regression,
        });
        self.hidden.retain(|&width| width > 0);
        self.learning.settle(task, rows);
        Ok(())
    }

    /// Refuses what can't be whatever the data is: shares that leave no rows, two ways to do one thing.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let spill = self.spill.is_some();
        let [ordered, whole] = ["--spill leaves rows in their order", "--spill leaves no row out"];
        for (wrong, text) in [
            (
                self.group_by.is_some() && self.split_by_time.is_some(),
                "rows are split by groups or by time; give --group-by or --split-by-time",
            ),
            (self.learning.epochs == 0, "epochs must be at least 1; give --epochs"),
            (
                self.pca.is_empty() && (self.whiten || self.pca_components.is_some()),
                "whitening and a count of components are for --pca COLUMNS",
            ),
            (
                self.balanced && self.balanced_sampling,
                "rare classes count more or come more often; give --balanced or --balanced-sampling",
            ),
            (
                spill && self.format.head.is_none(),
                "--spill needs --head ROWS: what is done to columns follows from so many",
            ),
            (spill && self.group_by.is_some(), &format!("{ordered}; leave --group-by away")),
            (
                spill && self.split_by_time.is_some(),
                &format!("{ordered}; leave --split-by-time away"),
            ),
            (spill && self.drop_duplicates, &format!("{whole}; leave --drop-duplicates away")),
        ] {
            anyhow::ensure!(!wrong, AskedWrongly(text.into()));
        }
        for (name, share) in [("test", self.test), ("validation", self.validation)] {
            anyhow::ensure!(
                share > 0.0 && share < 1.0,
                AskedWrongly(format!("--{name} is {share}; it must be above 0 and below 1"))
            );
        }
        self.augmentation.augment().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> (Settings, ArgMatches) {
        let command = Settings::augment_args(Command::new("train").no_binary_name(true));
        let matches = command.get_matches_from(arguments);
        (Settings::from_arg_matches(&matches).unwrap(), matches)
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_stands_over_the_file_and_the_file_over_defaults() {
        let file = file("target = \"a\"\nepochs = 7\nhidden = [3]\nbalanced = true\n");
        let (given, matches) = flags(&["--epochs", "200", "--scale", "min-max"]);
        let settings = given.over_file(&matches, file.path()).unwrap();
        assert_eq!(settings.target.as_deref(), Some("a"));
        assert_eq!((settings.learning.epochs, settings.hidden.as_slice()), (200, &[3][..]));
        assert_eq!((settings.scale, settings.balanced), (Scale::MinMax, true));
        let learning = settings.learning;
        assert_eq!((learning.patience, learning.learning_rate), (15, None));
    }

    #[test]
    fn what_was_settled_is_read_back_as_it_was() {
        let (mut settings, _) = flags(&["data.csv", "--target", "a", "--hidden", "0"]);
        settings.settle(Task::Classification { classes: 3 }, 10_000).unwrap();
        let learning = &settings.learning;
        assert_eq!((learning.batch, settings.hidden.len()), (Some(64), 0));
        assert_eq!((learning.learning_rate, learning.weight_decay), (Some(0.002), Some(0.01)));
        let file = file(&toml::to_string(&settings).unwrap());
        let (none, matches) = flags(&[]);
        assert_eq!(none.over_file(&matches, file.path()).unwrap(), settings);
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        let (none, matches) = flags(&[]);
        let wrong = file("epochs = 3\nepoch = 4\n");
        let error = format!("{:#}", none.over_file(&matches, wrong.path()).unwrap_err());
        assert!(error.contains("line 2") && error.contains("unknown field `epoch`"), "{error}");
    }
}
