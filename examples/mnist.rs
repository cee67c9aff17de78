//! Classifies MNIST images, read from IDX files (`--data` names their folder, gzip or not), with a
//! network of dense layers: 8,000 images to train on, the next 2,000 to test.

mod common;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ironwarp::prelude::*;

/// The file in the folder whose name says that it holds this.
fn find(folder: &Path, what: &str) -> anyhow::Result<PathBuf> {
    let entries =
        folder.read_dir().with_context(|| format!("cannot read folder `{}`", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.file_name().is_some_and(|n| n.to_string_lossy().contains(what)));
    // The test images, "t10k-...", if there are those of training as well.
    files.sort();
    let last = files.pop();
    last.with_context(|| format!("`{}` has no file named like `t10k-{what}.gz`", folder.display()))
}

fn main() -> anyhow::Result<()> {
    let mut arguments = common::arguments();
    let folder = arguments.data("the folder of MNIST's IDX files")?;
    let data =
        Dataset::idx(find(&folder, "images-idx3-ubyte")?, find(&folder, "labels-idx1-ubyte")?)?;
    ensure!(data.len() >= 10_000, "10,000 images are wanted, the files hold {}", data.len());
    let train = data.rows(..arguments.amount(8_000, 1_000));
    let test = data.rows(8_000..10_000);

    let model = Model::input(&[28, 28])
        .named("flatten", |image: &Value| image.flatten())
        .dense(512)
        .relu()
        .dense(512)
        .relu()
        .dense(train.classes());
    arguments.say(&model);
    let device = arguments.device()?;
    let mut trainer =
        Trainer::new(&model, Adam::new(1e-3)).device(device).seed(arguments.seed).build()?;
    let fit = Fit::epochs(arguments.amount(10, 1)).batch(128).validate(&test).stop_on_interrupt();
    let history = trainer.fit(&train, fit)?;
    arguments.say(&history);

    let evaluation = trainer.evaluate(&test)?;
    arguments.report("test_accuracy", evaluation.metric("accuracy"));
    arguments.report("test_loss", evaluation.loss);
    arguments.report("rows_per_second", common::rows_per_second(&history));
    arguments.finish()
}
