//! Training as a user sees it: determinism, accumulation, weights, stopping, guards, callbacks.

#[path = "common/training.rs"]
mod training;

use ironwarp::error::TrainError;
use ironwarp::optim::schedule::Plateau;
use ironwarp::prelude::*;
use ironwarp::train::{EpochRecord, StepReport, Stop};
use training::bounds::reordered;
use training::{Descent, bits, cpu, files, parameters, quiet, regression, trainer, two_classes};

fn network() -> Model {
    Model::input(4).dense(6).tanh().dense(2)
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = two_classes(300, 20);
    let (train, validation) = (data.rows(..240), data.rows(240..));
    let run = |threads| {
        let model = Model::input(20).dense(150).relu().dense(70).gelu().dense(2);
        let builder = Trainer::new(&model, Adam::new(1e-2)).device(cpu(threads)).seed(1);
        let mut trainer = builder.clip_norm(0.5).average(0.9).build().expect("a trainer");
        let fit = quiet(3, 50).accumulate(2).validate(&validation);
        let history = trainer.fit(&train, fit).expect("training");
        let losses: Vec<_> = history
            .epochs
            .iter()
            .map(|e| (e.loss.to_bits(), e.validation_loss.map(f64::to_bits)))
            .collect();
        (losses, files(&trainer, folder.path()))
    };
    let one = run(1);
    assert!(run(1) == one, "a second run");
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn same_bits_for_any_number_of_threads_where_there_are_many_tasks() {
    // Products and updates of 16 tasks and more, as the first and as the last of a step; the last
    // batch of an epoch is smaller.
    let data = two_classes(128 * 3 + 40, 300);
    let run = |threads, accumulate| {
        let model = Model::input(300).dense(512).relu().layer_norm().dense(512).relu().dense(2);
        let builder = Trainer::new(&model, Adam::new(1e-3)).device(cpu(threads)).seed(1);
        let mut trainer = builder.build().expect("a trainer");
        trainer.fit(&data, quiet(1, 128).accumulate(accumulate)).expect("training");
        let trained = trainer.trained().expect("a trained model");
        let predictions = [data.rows(..300), data.rows(100..), data.rows(7..9), data.rows(50..350)]
            .map(|rows| {
                let outputs = trained.predict(&rows).expect("predictions");
                outputs.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
            });
        (bits(&trainer), predictions)
    };
    for accumulate in [1, 2] {
        let one = run(1, accumulate);
        for threads in [2, 3, 8] {
            assert!(run(threads, accumulate) == one, "{threads} threads, {accumulate} at once");
        }
    }
}

#[test]
fn normalised_rows_of_any_number_fit_what_was_set_aside_for_the_most() {
    // Of 121 rows of 1024 elements there are more sums than of 129.
    let data = two_classes(129 + 121, 4);
    let model = Model::input(4).dense(1024).layer_norm().dense(2);
    let builder = Trainer::new(&model, Adam::new(1e-3)).device(cpu(2)).seed(1);
    let mut trainer = builder.build().expect("a trainer");
    trainer.fit(&data, quiet(1, 129)).expect("training");
}

#[test]
fn other_seeds_train_otherwise() {
    let data = two_classes(32, 4);
    let run = |seed| {
        let model = network();
        let builder = Trainer::new(&model, Descent(0.1)).device(cpu(1)).seed(seed);
        let mut trainer = builder.build().expect("a trainer");
        trainer.fit(&data, quiet(1, 8)).expect("training");
        bits(&trainer)
    };
    assert_ne!(run(1), run(2));
}

/// Asserts that parameters agree but for the order of the sum over rows. With two classes and
/// tanh the shares of a step, weights included, sum to at most 1 for each element.
fn assert_reordered(a: &Trainer, b: &Trainer, rows: usize, rate: f64) {
    for ((name, a), (_, b)) in parameters(a).into_iter().zip(parameters(b)) {
        for (i, (a, b)) in a.into_iter().zip(b).enumerate() {
            let error = (f64::from(a) - f64::from(b)).abs();
            let bound = reordered(rows, 1.0, rate, f64::from(a));
            assert!(error <= bound, "`{name}`[{i}]: {a} and {b} differ by {error:e} > {bound:e}");
        }
    }
}

#[test]
fn accumulated_batches_equal_a_large_one() {
    let weights = (0..29).map(|i| (i % 5) as f32 / 2.0).collect();
    let data = two_classes(29, 4);
    for data in [data.clone(), data.with_weights(weights).expect("weights")] {
        let (mut small, mut large) =
            (trainer(&network(), Descent(1.0)), trainer(&network(), Descent(1.0)));
        let before = bits(&small);
        let a = small.fit(&data, quiet(1, 8).accumulate(4)).expect("training");
        let b = large.fit(&data, quiet(1, 29)).expect("training");
        assert_eq!((small.steps(), large.steps()), (1, 1));
        assert_ne!(bits(&small), before);
        assert_reordered(&small, &large, 29, 1.0);
        let (a, b) = (a.epochs[0].loss, b.epochs[0].loss);
        assert!((a - b).abs() <= reordered(29, a, 1.0, 0.0), "losses {a} and {b}");
    }
}

#[test]
fn sample_weights_count_rows_repeatedly() {
    let data = two_classes(12, 4);
    let counts: Vec<usize> = (0..12).map(|i| i % 4).collect();
    let repeated: Vec<usize> =
        counts.iter().enumerate().flat_map(|(row, &n)| std::iter::repeat_n(row, n)).collect();
    let repeated = data.select(&repeated).expect("rows");
    let weighted = data.with_weights(counts.iter().map(|&n| n as f32).collect()).expect("weights");
    let (mut a, mut b) = (trainer(&network(), Descent(1.0)), trainer(&network(), Descent(1.0)));
    a.fit(&weighted, quiet(1, 12)).expect("training");
    b.fit(&repeated, quiet(1, repeated.len())).expect("training");
    assert_reordered(&a, &b, repeated.len(), 1.0);
    let (a, b) = (a.evaluate(&weighted).expect("loss"), b.evaluate(&repeated).expect("loss"));
    // The parameters differ by roundings, whose effect on the loss has slopes of at most 1.
    let bound = 44.0 * reordered(repeated.len(), 1.0, 1.0, 1.0);
    assert!((a.loss - b.loss).abs() <= bound, "losses {} and {}", a.loss, b.loss);
}

#[test]
fn a_batch_of_weight_zero_changes_nothing() {
    let weights = (0..16).map(|i| if i < 8 { 0.0 } else { 1.0 }).collect();
    let data = two_classes(16, 4).with_weights(weights).expect("weights");
    let mut trained = trainer(&network(), Descent(1.0));
    let before = bits(&trained);
    let fit = || quiet(1, 8).shuffle(false);
    trained.fit(&data, fit().step_limit(1)).expect("a step");
    assert_eq!(bits(&trained), before);
    let history = trained.fit(&data, fit()).expect("a step");
    assert_ne!(bits(&trained), before);
    assert!(history.epochs[0].loss > 0.0);
}

/// Each epoch of this is worse than the one before: the rate is far too large.
fn diverging() -> (Trainer, Dataset) {
    (trainer(&Model::input(3).dense(1), Descent(2.0)), regression(32, 3))
}

#[test]
fn early_stopping_brings_back_the_best() {
    let (mut stopped, data) = diverging();
    let fit = || quiet(20, 32).validate(&data);
    let history =
        stopped.fit(&data, fit().early_stopping(EarlyStopping::patience(3))).expect("training");
    let losses: Vec<_> = history.epochs.iter().map(|e| e.validation_loss).collect();
    assert!(losses.is_sorted_by(|a, b| a < b), "it was to diverge: {losses:?}");
    assert_eq!((history.stop, losses.len()), (Stop::EarlyStopping, 4));
    let (mut first, _) = diverging();
    first.fit(&data, quiet(1, 32)).expect("training");
    assert_eq!(bits(&stopped), bits(&first));

    let (mut last, _) = diverging();
    let keep = EarlyStopping { restore_best: false, ..EarlyStopping::patience(3) };
    last.fit(&data, fit().early_stopping(keep)).expect("training");
    let (mut fourth, _) = diverging();
    fourth.fit(&data, quiet(4, 32)).expect("training");
    assert_eq!(bits(&last), bits(&fourth));
}

#[test]
fn a_plateau_lowers_the_rate() {
    // No epoch improves by nine tenths, so all but the first count as standing still.
    let plateau = Plateau { factor: 0.5, patience: 0, threshold: 0.9, ..Plateau::default() };
    let mut trainer = trainer(&Model::input(3).dense(1), Descent(1e-3));
    let fit = quiet(5, 8).reduce_on_plateau("loss", plateau);
    let history = trainer.fit(&regression(32, 3), fit).expect("training");
    let rates: Vec<_> = history.epochs.iter().map(|e| e.learning_rate).collect();
    assert_eq!(rates, [1e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4]);
}

/// Notes what it is told, and stops or fails where it is told to.
#[derive(Default)]
struct Notes {
    steps: Vec<StepReport>,
    epochs: Vec<EpochRecord>,
    stop_at: Option<u64>,
    fail_at: Option<u64>,
}

impl Callback for Notes {
    fn on_step(&mut self, report: &StepReport) -> anyhow::Result<Flow> {
        self.steps.push(*report);
        anyhow::ensure!(self.fail_at != Some(report.step), "step {} is enough", report.step);
        Ok(if self.stop_at == Some(report.step) { Flow::Stop } else { Flow::Continue })
    }

    fn on_epoch(&mut self, record: &EpochRecord) -> anyhow::Result<Flow> {
        self.epochs.push(record.clone());
        Ok(Flow::Continue)
    }
}

#[test]
fn callbacks_see_every_step_and_its_rate() {
    let (mut notes, data) = (Notes::default(), regression(32, 3));
    let mut trainer = trainer(&Model::input(3).dense(1), Descent(0.1));
    let halves = Schedule::Step { every: 1, factor: 0.5 };
    let fit = quiet(2, 16).schedule(halves).callback(&mut notes);
    let history = trainer.fit(&data, fit).expect("training");
    let steps: Vec<_> = notes.steps.iter().map(|s| (s.epoch, s.step, s.learning_rate)).collect();
    assert_eq!(steps, [(1, 1, 0.1), (1, 2, 0.05), (2, 3, 0.025), (2, 4, 0.0125)]);
    assert_eq!(notes.epochs, history.epochs);
    let rates: Vec<_> = history.epochs.iter().map(|e| e.learning_rate).collect();
    assert_eq!(rates, [0.05, 0.0125], "of each epoch's last step");
}

#[test]
fn a_callback_stops_training_which_goes_on_later() {
    let data = regression(32, 3);
    let start = || trainer(&Model::input(3).dense(1), Descent(0.1));
    let mut stopped = start();
    let mut notes = Notes { stop_at: Some(3), ..Notes::default() };
    let history = stopped.fit(&data, quiet(2, 8).callback(&mut notes)).expect("training");
    assert_eq!((history.stop, history.epochs.len(), stopped.steps()), (Stop::Callback, 0, 3));
    stopped.fit(&data, quiet(2, 8)).expect("training");
    let mut straight = start();
    straight.fit(&data, quiet(2, 8)).expect("training");
    assert_eq!((bits(&stopped), stopped.steps()), (bits(&straight), 8));
}

#[test]
fn an_error_of_a_callback_comes_out_as_it_is() {
    let data = regression(32, 3);
    let mut trainer = trainer(&Model::input(3).dense(1), Descent(0.1));
    let mut notes = Notes { fail_at: Some(2), ..Notes::default() };
    let error = trainer.fit(&data, quiet(2, 8).callback(&mut notes)).expect_err("an error");
    assert_eq!(error.to_string(), "step 2 is enough");
    assert!(matches!(error, ironwarp::Error::Other(_)));
    assert_eq!(trainer.steps(), 2);
}

fn not_finite(trainer: &mut Trainer, data: &Dataset, fit: Fit<'_>) -> TrainError {
    match trainer.fit(data, fit) {
        Err(ironwarp::Error::Train(error)) => error,
        other => panic!("expected a value that is not finite, got {other:?}"),
    }
}

#[test]
fn a_huge_rate_is_stopped_before_it_does_harm() {
    let data = regression(16, 3);
    let start = || trainer(&Model::input(3).dense(1), Descent(1e25));
    let mut guarded = start();
    let error = not_finite(&mut guarded, &data, quiet(3, 16));
    assert_eq!(
        error.to_string(),
        "the loss is not finite at epoch 2, step 2 (learning rate 1e25); first seen in `dense_1 + \
         loss`; try a smaller learning rate or gradient clipping"
    );
    let mut one_step = start();
    one_step.fit(&data, quiet(1, 16)).expect("a step");
    assert_eq!(bits(&guarded), bits(&one_step), "parameters from before the refused step");
    assert_eq!(guarded.steps(), 1);
}

#[test]
fn a_layer_that_blows_up_is_named() {
    let blow_up = |x: &Value| x.map(|x| (x + 100.0).exp());
    let model = Model::input(3).dense(4).named("blow_up", blow_up).dense(1);
    let mut trainer = trainer(&model, Adam::new(0.1));
    let before = bits(&trainer);
    let error = not_finite(&mut trainer, &regression(16, 3), quiet(1, 8));
    let TrainError::NotFinite { what, epoch, step, layer, .. } = error else {
        panic!("another error: {error}");
    };
    assert_eq!((what, epoch, step), ("the loss", 1, 1));
    assert_eq!(layer, "dense_1 + blow_up");
    assert_eq!((bits(&trainer), trainer.steps()), (before, 0));
}

#[test]
fn a_gradient_that_is_not_finite_is_seen_when_clipping() {
    // √(0 · x) has a finite value and no finite slope.
    let edge = |x: &Value| x.map(|x| x * 0.0).sqrt();
    let model = Model::input(3).dense(4).named("edge", edge).dense(1);
    let builder = Trainer::new(&model, Adam::new(0.1)).device(cpu(1)).clip_norm(1.0);
    let mut trainer = builder.build().expect("a trainer");
    let before = bits(&trainer);
    let error = not_finite(&mut trainer, &regression(16, 3), quiet(1, 8));
    let TrainError::NotFinite { what, step, layer, .. } = error else {
        panic!("another error: {error}");
    };
    // The slope is computed with the product that it is multiplied with, so both layers are named.
    assert_eq!((what, step, layer.as_str()), ("the gradient norm", 1, "dense_2 + edge"));
    assert_eq!((bits(&trainer), trainer.steps()), (before, 0));
}

#[test]
fn two_trainers_side_by_side() {
    let run = |seed| {
        let data = two_classes(64, 4);
        let model = network();
        let builder = Trainer::new(&model, Adam::new(0.01)).device(cpu(2)).seed(seed);
        let mut trainer = builder.build().expect("a trainer");
        trainer.fit(&data, quiet(20, 8)).expect("training");
        bits(&trainer)
    };
    let alone = [run(1), run(2)];
    let together = std::thread::scope(|scope| {
        let threads = [1, 2].map(|seed| scope.spawn(move || run(seed)));
        threads.map(|thread| thread.join().expect("no panic"))
    });
    assert_eq!(alone, together);
}
