//! Bad input gets an error that says where and what, and what was there before stays.

#[path = "common/training.rs"]
mod training;

use std::path::Path;

use ironwarp::data::{Column, Dataset};
use ironwarp::file::TensorFile;
use ironwarp::optim::schedule::Plateau;
use ironwarp::prelude::*;
use training::{Descent, bits, cpu, numbers, quiet, regression, trainer, two_classes};

fn refused(model: Model) -> String {
    model.network().expect_err("refused").to_string()
}

#[test]
fn wrong_shapes_name_the_layer() {
    let wrong = |x: &Value| x.matmul(&x.flatten());
    assert_eq!(
        refused(Model::input(&[4, 4]).named("mixer", wrong)),
        "layer `mixer`, operation `matmul`: matmul of [B, 4, 4] and [B, 16]: inner dimensions 4 and B \
         differ"
    );
    assert_eq!(
        refused(Model::input(0).dense(2)),
        "layer `dense_1`, operation `matmul`: matmul of [B, 0] and [2, 0]: there is nothing to add up, \
         the inner dimension is 0"
    );
    assert_eq!(
        refused(Model::input(1 << 40).dense(1 << 40)),
        "layer `dense_1`: no memory holds its parameter `dense_1.weight` [1099511627776, \
         1099511627776]"
    );
    assert_eq!(
        refused(Model::input(4).dense(0)),
        "layer `dense_1`: a dense layer needs at least one output, got 0"
    );
    assert_eq!(
        refused(Model::indices(4).dense(2)),
        "layer `dense_1`: a dense layer takes floats of shape [B, .., inputs], got u32[B, 4]"
    );
    assert_eq!(
        refused(Model::input(4).named("a", Dense::new(2)).named("a", Dense::new(2))),
        "model: two layers are named `a`"
    );
}

fn fit_error(data: &Dataset, fit: Fit<'_>) -> String {
    let mut trainer = trainer(&Model::input(3).dense(2), Adam::new(0.1));
    let before = bits(&trainer);
    let error = trainer.fit(data, fit).expect_err("refused").to_string();
    assert_eq!(bits(&trainer), before, "a refused fit changes nothing");
    error
}

#[test]
fn options_out_of_range_are_all_listed() {
    let data = two_classes(10, 3);
    assert_eq!(
        fit_error(&data, quiet(0, 11).accumulate(0).step_limit(0)),
        "training options: epochs must be at least 1; accumulate must be at least 1; the batch of \
         11 rows is larger than the data's 10; the step limit must be at least 1"
    );
    assert_eq!(
        fit_error(&data, quiet(1, 0)),
        "training options: the batch must have at least 1 row"
    );
    let fit = quiet(1, 5)
        .early_stopping(EarlyStopping::patience(1))
        .reduce_on_plateau("loss", Plateau { factor: 2.0, ..Plateau::default() })
        .schedule(Schedule::Exponential { every: 0, factor: -1.0 });
    assert_eq!(
        fit_error(&data, fit),
        "training options: learning-rate schedule: `every` is 0; it must be above zero; plateau: \
         `factor` is 2; it must be in 0..1; `validation_loss` is not recorded, without `validate`; \
         there is `loss`"
    );
    assert_eq!(
        fit_error(&data, quiet(1, 5).validate(&data.rows(0..0))),
        "training options: the validation data has no rows"
    );
    let model = Model::input(3).dense(2);
    let builder = Trainer::new(&model, Adam::new(0.1)).clip_norm(-1.0).average(1.5);
    let error = builder.loss(CrossEntropy::default()).loss(MeanSquaredError).build();
    assert_eq!(
        error.err().expect("refused").to_string(),
        "training options: the clipping limit must be above 0, got -1; the average's decay must \
         be in 0..1, got 1.5; 2 losses for 1 outputs; name one for each or none"
    );
}

#[test]
fn data_that_does_not_fit_is_refused() {
    let x = |n: usize| Column::numbers("x", &[3], numbers(3 * n, 1));
    let labels = Column::indices("y", &[], vec![0, 1, 2, 1]);
    let three = Dataset::new(vec![x(4)], vec![labels]).expect("data");
    assert_eq!(
        fit_error(&three, quiet(1, 2)),
        "the data has 3 classes, the model has 2 outputs; widen its last layer"
    );
    assert_eq!(
        fit_error(&two_classes(4, 5), quiet(1, 2)),
        "column `x` has 5 elements per row, the model's `input` f32[B, 3] wants 3; a model of \
         such rows has 5 inputs"
    );
    assert_eq!(
        fit_error(&regression(4, 3), quiet(1, 2)),
        "column `y` has 1 elements per row, the model's `target/loss` f32[B, 2] wants 2; give its \
         last layer as many outputs, flattening before it what has more dimensions"
    );
    let unlabelled = Dataset::new(vec![x(4)], vec![]).expect("data");
    assert_eq!(
        fit_error(&unlabelled, quiet(1, 2)),
        "the model wants a column for `target/loss`, the data has none"
    );
    let indices = Column::indices("words", &[2], vec![0, 9, 10, 1]);
    let words = Dataset::new(vec![indices], vec![Column::indices("y", &[], vec![0, 1])]);
    let words_data = words.expect("data");
    let mut embedding =
        trainer(&Model::indices(2).embedding(10, 4).flatten().dense(2), Descent(0.1));
    assert_eq!(
        embedding.fit(&words_data, quiet(1, 2)).expect_err("refused").to_string(),
        "column `words`, row 1: 10 is out of range, `embedding_1` has 10 rows, from 0; give it more or \
         number anew"
    );
    let two = Model::functional(|m| {
        let x = m.indices("words", 2).layer(Embedding::new(11, 4)).flatten();
        m.output("a", &x.layer(Dense::new(2)));
        m.output("b", &x.layer(Dense::new(2)));
    });
    let words = Column::indices("words", &[2], vec![0, 9, 10, 1]);
    let labels = |name: &str, last| Column::indices(name, &[], vec![0, last]);
    let data = Dataset::new(vec![words], vec![labels("a", 1), labels("b", 2)]).expect("data");
    let builder = Trainer::new(&two, Descent(0.1)).loss(CrossEntropy::default());
    let mut trainer = builder.loss(CrossEntropy::default()).build().expect("a trainer");
    assert_eq!(
        trainer.fit(&data, quiet(1, 2)).expect_err("refused").to_string(),
        "column `b`, row 1: 2 is out of range, `b` has 2 classes, from 0; give it more or number anew"
    );
    assert!(embedding.fit(&words_data.rows(..1), quiet(1, 1)).is_ok());
    let mut holed = numbers(12, 1);
    holed[7] = f32::NAN;
    let error = Dataset::new(vec![Column::numbers("x", &[3], holed)], vec![]).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "column `x`, row 2: NaN is not a finite number; impute or remove such rows first"
    );
}

#[test]
fn data_without_rows_is_refused() {
    let data = two_classes(8, 3);
    let empty = data.rows(0..0);
    let mut trainer = trainer(&Model::input(3).dense(2), Adam::new(0.1));
    let message = "the data has no rows";
    assert_eq!(trainer.evaluate(&empty).expect_err("refused").to_string(), message);
    let trained = trainer.trained().expect("a model");
    assert_eq!(trained.predict(&empty).expect_err("refused").to_string(), message);
    assert_eq!(
        trained.predict_into(&[], 0, &mut []).expect_err("refused").to_string(),
        "0 rows of 3 inputs and 2 outputs do not fit slices of 0 and 0"
    );
}

fn load_error(path: &Path) -> String {
    let error = Trained::load(path, cpu(1)).err().expect("refused").to_string();
    error.replace(&path.display().to_string(), "FILE")
}

#[test]
fn damaged_model_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    let trainer = trainer(&Model::input(3).dense(2), Adam::new(0.1));
    trainer.save(&path).expect("a file");
    let whole = std::fs::read(&path).expect("its bytes");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("a file");
        load_error(&path)
    };
    // A flipped bit anywhere, and a file that ends there.
    for i in (0..whole.len()).step_by(7) {
        let mut flipped = whole.clone();
        flipped[i] ^= 1 << (i % 8);
        let error = load(&flipped);
        assert!(error.contains("`FILE`"), "bit flipped in byte {i}: {error}");
        let error = load(&whole[..i]);
        assert!(error.starts_with("`FILE` is not a valid model file: "), "cut at {i}: {error}");
    }
    let mut absurd = whole.clone();
    absurd[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        load(&absurd),
        "`FILE` is not a valid model file: it announces a header of 18446744073709551615 bytes, the \
         limit is 16777216; it is damaged, or not a safetensors file"
    );
    let file = TensorFile::parse("whole", &whole).expect("valid");
    let weights = TensorFile { metadata: None, ..file };
    assert_eq!(
        load(&weights.to_bytes().expect("bytes")),
        "`FILE` does not fit the model: it holds weights but no model; it was not saved by \
         `Trainer::save`"
    );
    std::fs::remove_file(&path).expect("gone");
    assert_eq!(load_error(&path), "cannot read `FILE`");
}

fn with(seed: u64, optimizer: Adam, width: usize) -> Trainer {
    let model = Model::input(3).dense(width).relu().dense(2);
    let builder = Trainer::new(&model, optimizer).device(cpu(1)).seed(seed);
    builder.build().expect("a trainer")
}

fn resume_error(trainer: &mut Trainer, path: &Path) -> String {
    let before = bits(trainer);
    let error = trainer.resume(path).expect_err("refused").to_string();
    assert_eq!((bits(trainer), trainer.steps()), (before, 0), "a refused resume changes nothing");
    error.replace(&path.display().to_string(), "FILE")
}

#[test]
fn checkpoints_of_something_else_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint");
    let (data, adam) = (two_classes(16, 3), Adam::new(0.1));
    let mut first = with(1, adam, 4);
    first.fit(&data, quiet(2, 8).step_limit(3)).expect("training");
    first.save_checkpoint(&path).expect("a file");
    assert_eq!(
        resume_error(&mut with(1, adam, 5), &path),
        "`FILE` does not fit the model: it was made with another model"
    );
    assert_eq!(
        resume_error(&mut with(2, adam, 4), &path),
        "`FILE` does not fit the model: its seed is 1, the trainer's is 2"
    );
    assert_eq!(
        resume_error(&mut with(1, Adam::new(0.2), 4), &path),
        "`FILE` does not fit the model: its optimizer.hyper_parameters.learning_rate is 0.1, the \
         trainer's is 0.2"
    );
    let model = Model::input(3).dense(4).relu().dense(2);
    let other = Trainer::new(&model, adam).device(cpu(1)).seed(1).clip_norm(1.0);
    assert_eq!(
        resume_error(&mut other.build().expect("a trainer"), &path),
        "`FILE` does not fit the model: its optimizer.clip is \"None\", the trainer's is \
         \"Norm(1.0)\""
    );

    let mut second = with(1, adam, 4);
    second.resume(&path).expect("it fits");
    let resumed = bits(&second);
    let mut fit = |data: &Dataset, fit| second.fit(data, fit).expect_err("refused").to_string();
    assert_eq!(
        fit(&two_classes(17, 3), quiet(2, 8)),
        "cannot go on with the run: the data is another; call `fit` as before, or `abandon_run` \
         first"
    );
    assert_eq!(
        fit(&data, quiet(3, 4)),
        "cannot go on with the run: batch was 8 and is 4; epochs was 2 and is 3; call `fit` as \
         before, or `abandon_run` first"
    );
    assert_eq!((bits(&second), second.steps()), (resumed, 3));

    let model_file = folder.path().join("model");
    first.save(&model_file).expect("a file");
    assert_eq!(
        resume_error(&mut with(1, adam, 4), &model_file),
        "`FILE` does not fit the model: it is not a checkpoint; save one with `save_checkpoint` or \
         `Checkpoints`"
    );
    let mut file = TensorFile::read(&path).expect("a file");
    file.tensors.remove("optimizer/dense_1.weight.variance").expect("its name");
    let partial = folder.path().join("partial");
    file.write(&partial).expect("a file");
    assert_eq!(
        resume_error(&mut with(1, adam, 4), &partial),
        "`FILE` does not fit the model: tensors do not fit: `optimizer/dense_1.weight.variance` is \
         missing"
    );
}

#[test]
fn a_folder_that_cannot_be_written_to_is_found_before_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, missing) = (two_classes(16, 3), folder.path().join("missing"));
    let error = fit_error(&data, quiet(1, 8).checkpoints(Checkpoints::new(&missing)));
    let error = error.replace(&folder.path().display().to_string(), "FOLDER");
    assert_eq!(error, "cannot create a temporary file beside `FOLDER/missing/last.safetensors`");
    let trainer = trainer(&Model::input(3).dense(2), Descent(0.1));
    let error = trainer.save(missing.join("model")).expect_err("refused").to_string();
    let error = error.replace(&folder.path().display().to_string(), "FOLDER");
    assert_eq!(error, "cannot create a temporary file beside `FOLDER/missing/model`");
    assert!(!missing.exists());
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    let trainer = trainer(&Model::input(3).dense(2), Descent(0.1));
    std::fs::create_dir(&path).expect("a folder in the way");
    std::fs::write(path.join("kept"), "kept").expect("a file");
    let error = trainer.save(&path).expect_err("refused").to_string();
    assert_eq!(error.replace(&path.display().to_string(), "FILE"), "cannot write `FILE`");
    assert_eq!(std::fs::read_to_string(path.join("kept")).expect("still there"), "kept");
}

#[test]
fn parameters_of_other_names_or_sizes_are_refused() {
    let mut trainer = trainer(&Model::input(3).dense(2), Descent(0.1));
    let mut set =
        |name, x: &[f32]| trainer.set_parameter(name, x).expect_err("refused").to_string();
    assert_eq!(set("dense_2.weight", &[0.0]), "no parameter is named `dense_2.weight`");
    assert_eq!(set("dense_1.weight", &[0.0]), "`dense_1.weight` has 6 elements, got 1");
}
