//! Training that was interrupted and taken up again gives the same bytes as training in one go.

#[path = "common/training.rs"]
mod training;

use ironwarp::optim::schedule::Plateau;
use ironwarp::prelude::*;
use ironwarp::train::Stop;
use training::{cpu, files, quiet, trainer, two_classes};

const STEPS: usize = 201;
const STEPS_PER_EPOCH: usize = 3;

/// Everything at once: two layers, Adam with averages, clipping.
fn begin() -> Trainer {
    let model = Model::input(3).dense(5).tanh().dense(2);
    let builder = Trainer::new(&model, Adam::new(0.02).weight_decay(0.01));
    builder.device(cpu(1)).seed(9).average(0.9).clip_norm(1.0).build().expect("a trainer")
}

/// 23 rows in batches of 4, two batches a step: the last step of an epoch has one of 4 and one
/// of 3.
fn data() -> (Dataset, Dataset) {
    let all = two_classes(40, 3);
    let weights = (0..23).map(|i| 0.5 + i as f32 / 16.0).collect();
    (all.rows(..23).with_weights(weights).expect("weights"), all.rows(23..))
}

fn everything<'a>(validation: &Dataset) -> Fit<'a> {
    let plateau = Plateau { factor: 0.5, patience: 4, ..Plateau::default() };
    quiet(STEPS / STEPS_PER_EPOCH, 4)
        .accumulate(2)
        .schedule(Schedule::Cosine { minimum: 1e-4 })
        .reduce_on_plateau("validation_loss", plateau)
        .validate(validation)
        .early_stopping(EarlyStopping::patience(100))
}

#[test]
fn interrupted_at_any_step_the_files_are_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (train, validation) = data();
    let mut straight = begin();
    let history = straight.fit(&train, everything(&validation)).expect("training");
    assert_eq!(straight.steps(), STEPS as u64, "the run is to go to its end");
    assert_eq!(history.stop, Stop::Finished);
    let expected = files(&straight, folder.path());

    let path = folder.path().join("interrupted");
    let mut interrupted = begin();
    for step in 1..=STEPS as u64 {
        let one = interrupted.fit(&train, everything(&validation).step_limit(1)).expect("a step");
        assert_eq!((one.stop, interrupted.steps()), (Stop::StepLimit, step));
        interrupted.save_checkpoint(&path).expect("a checkpoint");
        let mut resumed = begin();
        resumed.resume(&path).expect("the checkpoint fits");
        let rest = resumed.fit(&train, everything(&validation)).expect("training");
        assert_eq!(rest.epochs.len(), STEPS / STEPS_PER_EPOCH);
        assert!(files(&resumed, folder.path()) == expected, "interrupted after step {step}");
    }
}

#[test]
fn early_stopping_survives_an_interruption() {
    let folder = tempfile::tempdir().expect("a folder");
    let (train, validation) = data();
    let fit = || everything(&validation).early_stopping(EarlyStopping::patience(2));
    let fast = || {
        let model = Model::input(3).dense(5).tanh().dense(2);
        trainer(&model, Adam::new(0.5))
    };
    let mut straight = fast();
    let history = straight.fit(&train, fit()).expect("training");
    assert_eq!(history.stop, Stop::EarlyStopping);
    let expected = files(&straight, folder.path());
    let path = folder.path().join("interrupted");
    let mut interrupted = fast();
    for step in 1..straight.steps() {
        interrupted.fit(&train, fit().step_limit(1)).expect("a step");
        interrupted.save_checkpoint(&path).expect("a checkpoint");
        let mut resumed = fast();
        resumed.resume(&path).expect("the checkpoint fits");
        let rest = resumed.fit(&train, fit()).expect("training");
        assert_eq!(rest.stop, Stop::EarlyStopping);
        assert!(files(&resumed, folder.path()) == expected, "interrupted after step {step}");
    }
}

#[test]
fn a_checkpoint_holds_what_was_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let (train, validation) = data();
    let mut first = begin();
    first.fit(&train, everything(&validation).step_limit(7)).expect("training");
    let saved = files(&first, folder.path());
    let path = folder.path().join("compared");
    let mut second = begin();
    second.resume(&path).expect("the checkpoint fits");
    assert!(files(&second, folder.path()) == saved, "resuming and saving changes the file");
}

#[test]
fn checkpoints_in_a_folder_are_taken_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (train, validation) = data();
    let mut straight = begin();
    straight.fit(&train, everything(&validation)).expect("training");
    let kept = folder.path().join("run");
    std::fs::create_dir(&kept).expect("a folder");
    let fit = || everything(&validation).checkpoints(Checkpoints::new(&kept).every(2));
    begin().fit(&train, fit().step_limit(14)).expect("training");
    let mut names: Vec<_> = std::fs::read_dir(&kept)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    let expected =
        ["best.safetensors", "epoch-2.safetensors", "epoch-4.safetensors", "last.safetensors"];
    assert_eq!(names, expected);
    for name in ["epoch-2.safetensors", "last.safetensors"] {
        let mut resumed = begin();
        resumed.resume(kept.join(name)).expect("the checkpoint fits");
        resumed.fit(&train, everything(&validation)).expect("training");
        let same = files(&resumed, folder.path()) == files(&straight, folder.path());
        assert!(same, "resumed from {name}");
    }
}

/// Rows that are drawn, by weights and by classes: no number of threads and no interruption changes
/// a bit, and other draws are no way to go on.
#[test]
fn drawn_rows_go_on_where_they_stopped() {
    const EPOCHS: usize = 4;
    let folder = tempfile::tempdir().expect("a folder");
    let (train, _) = data();
    let weights: Vec<f32> = (0..23).map(|i| (i % 4) as f32).collect();
    let fits: [&dyn Fn() -> Fit<'static>; 3] = [
        &|| quiet(EPOCHS, 4).sample_weighted(&weights),
        &|| quiet(EPOCHS, 4).sample_balanced(),
        &|| quiet(EPOCHS, 4),
    ];
    let path = folder.path().join("interrupted");
    let mut ends = vec![];
    for fit in fits {
        let mut straight = begin();
        straight.fit(&train, fit()).expect("training");
        let expected = files(&straight, folder.path());
        let model = Model::input(3).dense(5).tanh().dense(2);
        let many = Trainer::new(&model, Adam::new(0.02).weight_decay(0.01)).device(cpu(3));
        let mut many = many.seed(9).average(0.9).clip_norm(1.0).build().expect("a trainer");
        many.fit(&train, fit()).expect("training");
        assert!(files(&many, folder.path()) == expected, "with three threads");
        let mut interrupted = begin();
        for step in 1..straight.steps() {
            interrupted.fit(&train, fit().step_limit(1)).expect("a step");
            interrupted.save_checkpoint(&path).expect("a checkpoint");
            let mut resumed = begin();
            resumed.resume(&path).expect("the checkpoint fits");
            resumed.fit(&train, fit()).expect("training");
            assert!(files(&resumed, folder.path()) == expected, "interrupted after step {step}");
        }
        ends.push(expected);
    }
    assert!(ends[0] != ends[1] && ends[1] != ends[2] && ends[0] != ends[2]);
    let mut resumed = begin();
    resumed.resume(&path).expect("the checkpoint fits");
    let error = resumed.fit(&train, quiet(EPOCHS, 4).sample_balanced()).map(|_| ()).unwrap_err();
    let text = "sampling was None and is Some(\"balanced\")";
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn draws_that_cannot_be_are_refused() {
    let (train, _) = data();
    let said = |fit: Fit<'_>| begin().fit(&train, fit).map(|_| ()).unwrap_err().to_string();
    let short = said(quiet(1, 4).sample_weighted(&[1.0; 9]));
    assert!(short.contains("sampling: 9 weights for 23 rows"), "{short}");
    let ordered = said(quiet(1, 4).sample_balanced().shuffle(false));
    assert!(ordered.contains("leave out `shuffle(false)`"), "{ordered}");
    let numbers = training::regression(23, 3);
    let mut trainer = trainer(&Model::input(3).dense(1), Adam::new(0.5));
    let error = trainer.fit(&numbers, quiet(1, 4).sample_balanced()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("balanced sampling: this needs"), "{error}");
    // A dry run looks at the weights, and trains on few rows.
    begin().fit(&train, quiet(1, 4).sample_weighted(&[1.0; 23]).dry_run()).expect("a dry run");
    let dry = said(quiet(1, 4).sample_weighted(&[0.0; 23]).dry_run());
    assert!(dry.contains("all weights are 0"), "{dry}");
}
