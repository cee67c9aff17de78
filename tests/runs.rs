//! Runs that end early, fail, go on, are given up, or only rehearse.

#[path = "common/training.rs"]
mod training;

use ironwarp::data::{Column, Dataset};
use ironwarp::loss::Huber;
use ironwarp::optim::schedule::Plateau;
use ironwarp::prelude::*;
use ironwarp::train::{EpochRecord, Stop};
use training::{Descent, bits, cpu, files, numbers, quiet, regression, trainer, two_classes};

fn line() -> Model {
    Model::input(3).dense(1)
}

/// Fails after one of the epochs, once.
struct FailsOnce(usize);

impl Callback for FailsOnce {
    fn on_epoch(&mut self, record: &EpochRecord) -> anyhow::Result<Flow> {
        if record.epoch == self.0 {
            self.0 = 0;
            anyhow::bail!("epoch {} is enough", record.epoch);
        }
        Ok(Flow::Continue)
    }
}

/// Worse with every epoch, so plateau and early stopping count each.
fn counting<'a>(data: &Dataset) -> Fit<'a> {
    let plateau = Plateau { factor: 0.5, patience: 3, ..Plateau::default() };
    let fit = quiet(12, 32).validate(data).reduce_on_plateau("validation_loss", plateau);
    fit.early_stopping(EarlyStopping::patience(9))
}

#[test]
fn an_epoch_whose_callback_failed_counts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = regression(32, 3);
    let mut straight = trainer(&line(), Descent(1.5));
    let expected = straight.fit(&data, counting(&data)).expect("training");
    assert_ne!(expected.epochs[0].learning_rate, expected.epochs[9].learning_rate);
    for epoch in [1, 4, 12] {
        let mut failing = FailsOnce(epoch);
        let mut trainer = trainer(&line(), Descent(1.5));
        let history = match trainer.fit(&data, counting(&data).callback(&mut failing)) {
            Ok(history) => history, // early stopping was faster
            Err(error) => {
                assert_eq!(error.to_string(), format!("epoch {epoch} is enough"));
                trainer.fit(&data, counting(&data).callback(&mut failing)).expect("training")
            }
        };
        let rates = |history: &ironwarp::train::History| {
            history.epochs.iter().map(|e| e.learning_rate).collect::<Vec<_>>()
        };
        assert_eq!(rates(&history), rates(&expected), "failed after epoch {epoch}");
        assert_eq!(history.stop, expected.stop);
        assert!(files(&trainer, folder.path()) == files(&straight, folder.path()));
    }
}

#[test]
fn a_history_that_is_not_finite_can_be_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint");
    let data = regression(32, 3);
    let x = Column::numbers("x", &[3], numbers(24, 1));
    let far = Column::numbers("y", &[1], vec![1e30; 8]); // its square is no number in f32
    let far = Dataset::new(vec![x], vec![far]).expect("data");
    let fit = || quiet(3, 16).validate(&far).early_stopping(EarlyStopping::patience(9));
    let mut straight = trainer(&line(), Descent(0.01));
    let expected = straight.fit(&data, fit()).expect("training");
    assert_eq!(expected.epochs[0].validation_loss, Some(f64::INFINITY));
    let mut first = trainer(&line(), Descent(0.01));
    first.fit(&data, fit().step_limit(3)).expect("training");
    first.save_checkpoint(&path).expect("a checkpoint");
    let mut second = trainer(&line(), Descent(0.01));
    second.resume(&path).expect("the checkpoint fits");
    let history = second.fit(&data, fit()).expect("training");
    let losses = |h: &History| h.epochs.iter().map(|e| e.validation_loss).collect::<Vec<_>>();
    assert_eq!(losses(&history), losses(&expected));
    assert_eq!(bits(&second), bits(&straight));

    let record = EpochRecord {
        validation_loss: Some(f64::NAN),
        metrics: vec![("a".into(), f64::NEG_INFINITY), ("b".into(), 0.5)],
        ..expected.epochs[0].clone()
    };
    let text = serde_json::to_string(&record).expect("JSON");
    assert!(text.contains(r#""validation_loss":"NaN","metrics":[["a","-inf"],["b",0.5]]"#));
    let back: EpochRecord = serde_json::from_str(&text).expect("a record");
    assert!(back.validation_loss.is_some_and(f64::is_nan));
    assert_eq!(back.metrics, record.metrics);
}

#[test]
fn a_run_goes_on_with_the_same_options_alone() {
    let data = regression(32, 3);
    let stopped = |loss| {
        let model = line();
        let builder = Trainer::new(&model, Descent(0.1)).device(cpu(1)).seed(4);
        let mut trainer = builder.loss(loss).build().expect("a trainer");
        trainer.fit(&data, quiet(2, 8).step_limit(3)).expect("training");
        trainer
    };
    let mut first = stopped(Huber { delta: 1.0 });
    let before = (bits(&first), first.steps());
    let mut refuse = |data: &Dataset, fit| first.fit(data, fit).expect_err("refused").to_string();
    assert_eq!(
        refuse(&data.rows(..24), quiet(2, 4)),
        "cannot go on with the run: the data is another; batch was 8 and is 4; call `fit` as \
         before, or `abandon_run` first"
    );
    let error =
        refuse(&data, quiet(2, 8).early_stopping(EarlyStopping::default().monitor("loss", false)));
    assert!(error.contains("early_stopping was None and is Some("), "{error}");
    let error = refuse(&data, quiet(2, 8).validate(&data));
    assert!(error.contains("validation was None and is Some("), "{error}");
    let plateau = Plateau::default();
    let error = refuse(&data, quiet(2, 8).reduce_on_plateau("loss", plateau));
    assert!(error.contains("reduce_on_plateau was None and is Some("), "{error}");
    assert_eq!((bits(&first), first.steps()), before);

    // The loss is compared by what it computes.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint");
    first.save_checkpoint(&path).expect("a checkpoint");
    let resume = |delta| {
        let mut other = stopped(Huber { delta });
        other.resume(&path).expect("the rest fits");
        other.fit(&data, quiet(2, 8))
    };
    let error = resume(2.0).expect_err("refused").to_string();
    assert!(error.starts_with("cannot go on with the run: loss was number "), "{error}");
    assert_eq!(resume(1.0).expect("the same loss").stop, Stop::Finished);
}

#[test]
fn an_abandoned_run_makes_place_for_another() {
    let data = regression(32, 3);
    let mut trainer = trainer(&line(), Descent(0.1));
    trainer.fit(&data, quiet(2, 8).step_limit(3)).expect("training");
    let before = bits(&trainer);
    trainer.abandon_run();
    assert_eq!(bits(&trainer), before);
    let history = trainer.fit(&data, quiet(1, 16)).expect("training");
    assert_eq!((history.epochs.len(), trainer.steps()), (1, 3 + 2));
}

/// Counts calls.
#[derive(Default)]
struct Calls(usize, usize);

impl Callback for Calls {
    fn on_step(&mut self, _: &ironwarp::train::StepReport) -> anyhow::Result<Flow> {
        self.0 += 1;
        Ok(Flow::Continue)
    }

    fn on_epoch(&mut self, _: &EpochRecord) -> anyhow::Result<Flow> {
        self.1 += 1;
        Ok(Flow::Continue)
    }
}

#[test]
fn a_dry_run_sees_everything_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("run");
    std::fs::create_dir(&kept).expect("a folder");
    let (data, mut calls) = (two_classes(64, 3), Calls::default());
    let model = Model::input(3).dense(4).dropout(0.5).dense(2);
    let builder = Trainer::new(&model, Adam::new(0.1)).device(cpu(1)).average(0.9);
    let mut trainer = builder.build().expect("a trainer");
    trainer.fit(&data, quiet(3, 8).step_limit(3)).expect("training");
    let before = files(&trainer, folder.path());
    let fit = quiet(5, 8).accumulate(2).validate(&data).checkpoints(Checkpoints::new(&kept));
    let history = trainer.fit(&data, fit.callback(&mut calls).dry_run()).expect("a dry run");
    assert_eq!((calls.0, calls.1), (2, 1));
    assert!(history.epochs[0].validation_loss.is_some());
    assert!(files(&trainer, folder.path()) == before, "a dry run leaves traces");
    assert_eq!(std::fs::read_dir(&kept).expect("the folder").count(), 0);
    trainer.fit(&data, quiet(3, 8)).expect("the run at hand goes on");

    let unfit = trainer.fit(&data, quiet(5, 8).validate(&two_classes(8, 4)).dry_run());
    assert_eq!(
        unfit.expect_err("refused").to_string(),
        "column `x` has 4 elements per row, the model's `input` f32[B, 3] wants 3; a model of \
         such rows has 4 inputs"
    );
}

#[test]
fn training_data_is_measured_on_wish() {
    let data = two_classes(64, 3);
    let mut trainer = trainer(&Model::input(3).dense(4).dropout(0.5).dense(2), Adam::new(0.05));
    let stopping = EarlyStopping::patience(9).monitor("training_accuracy", true);
    let fit = quiet(2, 8).training_metrics().validate(&data.rows(..20)).early_stopping(stopping);
    let history = trainer.fit(&data, fit).expect("training");
    let names: Vec<_> = history.epochs[0].metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accuracy", "training_accuracy"]);
    assert!(history.to_csv().starts_with(
        "epoch,loss,learning_rate,validation_loss,accuracy,training_accuracy,seconds"
    ));
    let best = history.epochs.iter().filter_map(|e| e.value("training_accuracy"));
    let best = best.fold(0.0, f64::max);
    let now = trainer.evaluate(&data).expect("an evaluation").metric("accuracy");
    assert_eq!(now, Some(best), "the best weights were brought back");
}

#[test]
fn what_cannot_be_measured_is_refused_before_the_first_step() {
    let data = two_classes(32, 3);
    let one_class = Dataset::new(
        vec![Column::numbers("x", &[3], numbers(12, 1))],
        vec![Column::indices("y", &[], vec![0; 4])],
    );
    let one_class = one_class.expect("data");
    let mut trainer = trainer(&Model::input(3).dense(2), Adam::new(0.1));
    let mut refuse = |fit| {
        let error = trainer.fit(&data, fit).expect_err("refused").to_string();
        assert_eq!(trainer.steps(), 0);
        error
    };
    assert_eq!(
        refuse(quiet(1, 8).validate(&data).metrics(&[Metric::R2])),
        "`r2` is for numbers, but the targets are classes"
    );
    assert_eq!(
        refuse(quiet(1, 8).validate(&one_class).metrics(&[Metric::RocAuc])),
        "ROC AUC is not defined: a class does not occur among the labels"
    );
    let stopping = EarlyStopping::patience(1).monitor("acuracy", true);
    assert_eq!(
        refuse(quiet(1, 8).validate(&data).early_stopping(stopping)),
        "training options: `acuracy` is not recorded; there is `loss`, `validation_loss`, \
         `accuracy`"
    );
    assert_eq!(
        refuse(quiet(1, 8).early_stopping(EarlyStopping::patience(1))),
        "training options: `validation_loss` is not recorded, without `validate`; there is `loss`"
    );
}
