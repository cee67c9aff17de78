//! Training on the device beside the CPU: accuracy, equal bits between ways of queueing
//! and between runs, resuming, refusals, and plans that need every kind of op.

mod common;

use ironwarp::exec::cuda::Replay;
use ironwarp::optim::schedule::Plateau;
use ironwarp::prelude::*;
use ironwarp::train::Stop;
use ndarray::{Array1, Array2};

/// Rows of two features and a class that follows from them.
fn classes(rows: usize) -> Dataset {
    let value = |i: usize, j: usize| ((i * 7 + j * 13) % 23) as f32 / 11.0 - 1.0;
    let x = Array2::from_shape_fn((rows, 4), |(i, j)| value(i, j));
    let y: Array1<u32> =
        x.outer_iter().map(|r| u32::from(r[0] + r[1] > 0.0) + u32::from(r[2] > 0.3)).collect();
    Dataset::from_arrays(x, y).expect("sound data")
}

fn model() -> Model {
    Model::input(4).dense(16).relu().dropout(0.2).dense(3)
}

fn trainer(device: Device) -> Trainer {
    Trainer::new(&model(), Adam::new(0.01))
        .device(device)
        .seed(3)
        .clip_norm(5.0)
        .build()
        .expect("builds")
}

fn fit<'a>(epochs: usize) -> Fit<'a> {
    Fit::epochs(epochs).batch(8).progress(Progress::Silent)
}

fn weights(trainer: &Trainer) -> Vec<u32> {
    let names = ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"];
    let all = names.iter().flat_map(|name| trainer.parameter(name).expect("a parameter"));
    all.map(f32::to_bits).collect()
}

fn cuda() -> Device {
    Device::cuda(0).expect("a device")
}

#[test]
fn graphs_steps_and_single_steps_give_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let data = classes(45);
    let run = |device: Device, callback: bool| {
        let mut trainer = trainer(device);
        let mut listener = Listener;
        let mut fit = fit(3);
        if callback {
            // Whoever listens to steps gets them one by one.
            fit = fit.callback(&mut listener);
        }
        let history = trainer.fit(&data, fit).expect("trains");
        (weights(&trainer), history.epochs.iter().map(|e| e.loss.to_bits()).collect::<Vec<_>>())
    };
    let bursts = run(cuda(), false);
    assert_eq!(bursts, run(cuda(), false), "two runs");
    assert_eq!(bursts, run(cuda().replay(Replay::Steps), false), "launch by launch");
    assert_eq!(bursts, run(cuda(), true), "step by step");
}

/// Bursts get drawn rows from the host; whoever listens to steps gets them one by one.
#[test]
fn drawn_rows_are_the_same_in_bursts_and_step_by_step() {
    let Some(_session) = emulator::session() else { return };
    let data = classes(45);
    let run = |device: Device, callback: bool| {
        let mut trainer = trainer(device);
        let mut listener = Listener;
        let fit = fit(3).sample_balanced();
        let fit = if callback { fit.callback(&mut listener) } else { fit };
        let history = trainer.fit(&data, fit).expect("trains");
        (weights(&trainer), history.epochs.iter().map(|e| e.loss.to_bits()).collect::<Vec<_>>())
    };
    let bursts = run(cuda(), false);
    assert_eq!(bursts, run(cuda().replay(Replay::Steps), false), "launch by launch");
    assert_eq!(bursts, run(cuda(), true), "step by step");
    let mut shuffled = trainer(cuda());
    shuffled.fit(&data, fit(3)).expect("trains");
    assert_ne!(bursts.0, weights(&shuffled));
}

struct Listener;

impl Callback for Listener {}

#[test]
fn the_device_learns_as_the_cpu_does() {
    let Some(_session) = emulator::session() else { return };
    let data = classes(60);
    let losses = |device| {
        let mut trainer = trainer(device);
        let history = trainer.fit(&data, fit(5)).expect("trains");
        let accuracy = trainer.evaluate(&data).expect("evaluates").metric("accuracy");
        (history.epochs.iter().map(|e| e.loss).collect::<Vec<_>>(), accuracy.expect("measured"))
    };
    let (cpu, gpu) = (losses(Device::cpu()), losses(cuda()));
    println!("cpu {:?}\ngpu {:?}", cpu.0, gpu.0);
    for (c, g) in cpu.0.iter().zip(&gpu.0) {
        assert!((c - g).abs() <= common::bounds::FREE_RUNNING * c.abs().max(1.0), "{c} and {g}");
    }
    assert_eq!(cpu.1, gpu.1);
}

/// Groups that are updated in one step, each by scalars of its own, beside a frozen one.
#[test]
fn groups_learn_as_on_the_cpu() {
    let Some(_session) = emulator::session() else { return };
    let data = classes(48);
    let train = |device: Device| {
        let model = Model::input(4).dense(8).relu().dense(6).relu().dense(3);
        let trainer = Trainer::new(&model, AdamW::new(0.02).weight_decay(0.1)).device(device);
        let trainer = trainer.freeze("dense_2.*").clip_norm(0.5).seed(3);
        let trainer = trainer.group(ParameterGroup::vectors().weight_decay_factor(0.0));
        let trainer =
            trainer.group(ParameterGroup::matching("dense_1.*").learning_rate_factor(0.1));
        let mut trainer = trainer.build().expect("builds");
        let before = trainer.parameter("dense_2.weight").expect("a parameter");
        let history = trainer.fit(&data, fit(4)).expect("trains");
        assert_eq!(trainer.parameter("dense_2.weight").expect("a parameter"), before);
        history.epochs.iter().map(|e| e.loss).collect::<Vec<_>>()
    };
    let (cpu, gpu) = (train(Device::cpu()), train(cuda()));
    println!("cpu {cpu:?}\ngpu {gpu:?}");
    for (c, g) in cpu.iter().zip(&gpu) {
        assert!((c - g).abs() <= common::bounds::FREE_RUNNING * c.abs().max(1.0), "{c} and {g}");
    }
}

/// A dataset whose row 21 makes the loss infinite.
fn poisoned() -> Dataset {
    let x =
        Array2::from_shape_fn((40, 4), |(i, j)| if i == 21 { 3e38 } else { (i + j) as f32 / 40.0 });
    let y: Array1<f32> = (0..40).map(|i| i as f32 / 40.0).collect();
    Dataset::from_arrays(x, y).expect("sound data")
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_names_the_layer() {
    let Some(_session) = emulator::session() else { return };
    let data = poisoned();
    let run = |device: Device| {
        let model = Model::input(4).dense(8).relu().dense(1);
        let mut trainer =
            Trainer::new(&model, Adam::new(0.01)).device(device).build().expect("builds");
        let error = trainer.fit(&data, fit(2)).expect_err("a row overflows").to_string();
        let weights = weights(&trainer);
        // The same batch again: still refused, still nothing changed.
        let again = trainer.fit(&data, fit(2)).expect_err("the same row").to_string();
        assert_eq!(error, again);
        assert_eq!(weights, self::weights(&trainer));
        (error, trainer.steps(), weights)
    };
    let (cpu, gpu) = (run(Device::cpu()), run(cuda()));
    assert_eq!((&cpu.0, cpu.1), (&gpu.0, gpu.1));
    assert_eq!(gpu, run(cuda().replay(Replay::Steps)));
}

/// Rows of which a batch of two makes more steps than two bursts have; one may be as in [`poisoned`].
fn many(bad_step: Option<usize>) -> Dataset {
    let x = Array2::from_shape_fn((2 * MANY - 1, 4), |(i, j)| match bad_step {
        Some(step) if i == 2 * step => 3e38,
        _ => ((i * 7 + j * 13) % 23) as f32 / 23.0,
    });
    let y: Array1<f32> = (0..2 * MANY - 1).map(|i| (i % 11) as f32 / 11.0).collect();
    Dataset::from_arrays(x, y).expect("sound data")
}

/// Steps of an epoch of [`many`].
const MANY: usize = 150;

/// One epoch over [`many`] rows in their order.
fn fit_many<'a>() -> Fit<'a> {
    Fit::epochs(1).batch(2).shuffle(false).progress(Progress::Silent)
}

fn regression_trainer() -> Trainer {
    let model = Model::input(4).dense(8).relu().dense(1);
    Trainer::new(&model, Adam::new(0.01)).device(cuda()).build().expect("builds")
}

#[test]
fn a_bad_step_anywhere_in_a_burst_changes_nothing_though_the_next_is_sent() {
    let Some(_session) = emulator::session() else { return };
    let clean = many(None);
    for bad in [0, 63, 64, 127, 130] {
        let mut before = regression_trainer();
        if bad > 0 {
            before.fit(&clean, fit_many().step_limit(bad as u64)).expect("trains");
        }
        let mut trainer = regression_trainer();
        let error = trainer.fit(&many(Some(bad)), fit_many()).expect_err("a row overflows");
        let (error, place) = (error.to_string(), format!("step {},", bad + 1));
        assert!(error.starts_with("the loss is not finite at epoch 1"), "{error}");
        assert!(error.replace(" (", ", (").contains(&place), "{bad}: {error}");
        assert_eq!(trainer.steps(), bad as u64);
        assert_eq!(weights(&trainer), weights(&before), "step {bad}");
        let again = trainer.fit(&many(Some(bad)), fit_many()).expect_err("the same row");
        assert_eq!(again.to_string(), error);
        assert_eq!(weights(&trainer), weights(&before), "step {bad} once more");
    }
}

#[test]
fn steps_of_several_bursts_are_counted_exactly() {
    let Some(_session) = emulator::session() else { return };
    let data = many(None);
    let run = |single: bool| {
        let mut listener = Listener;
        let mut trainer = regression_trainer();
        let fit = if single { fit_many().callback(&mut listener) } else { fit_many() };
        let history = trainer.fit(&data, fit).expect("trains");
        (weights(&trainer), history.epochs[0].loss.to_bits())
    };
    let whole = run(false);
    assert_eq!(whole, run(true), "step by step");
    let mut trainer = regression_trainer();
    for (limit, steps) in [(1, 1), (63, 64), (36, 100), (64, 164 - 14)] {
        trainer.fit(&data, fit_many().step_limit(limit)).expect("trains");
        assert_eq!(trainer.steps(), steps);
    }
    assert_eq!(whole.0, weights(&trainer));
}

#[test]
fn a_run_stopped_anywhere_and_resumed_ends_with_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let data = classes(45);
    let whole = {
        let mut trainer = trainer(cuda());
        trainer.fit(&data, fit(3)).expect("trains");
        weights(&trainer)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.safetensors");
    for stop in [1, 5, 6, 7, 17] {
        let mut first = trainer(cuda());
        first.fit(&data, fit(3).step_limit(stop)).expect("trains");
        first.save_checkpoint(&path).expect("saves");
        let mut second = trainer(cuda());
        second.resume(&path).expect("resumes");
        second.fit(&data, fit(3)).expect("trains");
        assert_eq!(whole, weights(&second), "stopped after {stop} steps");
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= common::bounds::FREE_RUNNING * a.abs().max(1.0)
}

/// Trains with an option, once on the CPU and on the device twice, the second time step by step:
/// the figures agree, rates and counts exactly, and on the device so do the bits. Returns the
/// device's history and steps.
fn beside_the_cpu(
    epochs: usize,
    option: impl for<'a> Fn(Fit<'a>, &Dataset) -> Fit<'a>,
) -> (History, u64) {
    let (data, test) = (classes(45), classes(20));
    let run = |device: Device, single: bool| {
        let model = model();
        let builder = Trainer::new(&model, Sgd::new(0.1).momentum(0.9)).device(device);
        let mut trainer = builder.seed(4).build().expect("builds");
        let (mut listener, fit) = (Listener, option(fit(epochs), &test));
        let fit = if single { fit.callback(&mut listener) } else { fit };
        let history = trainer.fit(&data, fit).expect("trains");
        (history, trainer.steps(), weights(&trainer))
    };
    let (cpu, gpu, single) = (run(Device::cpu(), false), run(cuda(), false), run(cuda(), true));
    assert_eq!((gpu.1, &gpu.2), (single.1, &single.2), "step by step");
    assert_eq!((cpu.1, &cpu.0.stop, cpu.0.epochs.len()), (gpu.1, &gpu.0.stop, gpu.0.epochs.len()));
    for ((c, g), s) in cpu.0.epochs.iter().zip(&gpu.0.epochs).zip(&single.0.epochs) {
        assert_eq!(g.loss.to_bits(), s.loss.to_bits(), "step by step");
        assert_eq!((g.validation_loss, &g.metrics), (s.validation_loss, &s.metrics));
        assert_eq!((c.learning_rate, g.learning_rate), (g.learning_rate, s.learning_rate));
        assert!(close(c.loss, g.loss), "{} and {}", c.loss, g.loss);
        assert_eq!(c.validation_loss.is_some(), g.validation_loss.is_some());
        let validated = c.validation_loss.zip(g.validation_loss);
        assert!(validated.is_none_or(|(c, g)| close(c, g)), "{validated:?}");
    }
    (gpu.0, gpu.1)
}

fn rates(history: &History) -> Vec<f64> {
    history.epochs.iter().map(|e| e.learning_rate).collect()
}

#[test]
fn batches_are_accumulated() {
    let Some(_session) = emulator::session() else { return };
    // 45 rows are three steps of two batches of eight rows; the last has fewer.
    assert_eq!(beside_the_cpu(2, |fit, _| fit.accumulate(2)).1, 6);
    assert_eq!(beside_the_cpu(2, |fit, _| fit).1, 12);
}

#[test]
fn every_epoch_is_validated() {
    let Some(_session) = emulator::session() else { return };
    let (history, _) = beside_the_cpu(3, |fit, test| fit.validate(test));
    let losses: Vec<_> = history.epochs.iter().filter_map(|e| e.validation_loss).collect();
    assert_eq!(losses.len(), 3);
    assert!(losses[2] < losses[0], "{losses:?}");
    assert!(history.epochs.iter().all(|e| e.value("accuracy").is_some()));
}

#[test]
fn a_schedule_lowers_the_rate_with_every_step() {
    let Some(_session) = emulator::session() else { return };
    let (history, _) = beside_the_cpu(3, |fit, _| fit.schedule(Schedule::Cosine { minimum: 0.01 }));
    let rates = rates(&history);
    assert!(rates.is_sorted_by(|a, b| a > b) && rates[0] < 0.1 && rates[2] > 0.01, "{rates:?}");
}

#[test]
fn a_plateau_lowers_the_rate_between_epochs() {
    let Some(_session) = emulator::session() else { return };
    for monitor in ["loss", "validation_loss"] {
        // No epoch is better by nine tenths than the best before.
        let plateau = Plateau { factor: 0.5, patience: 0, threshold: 0.9, ..Plateau::default() };
        let (history, _) = beside_the_cpu(4, |fit, test| {
            fit.validate(test).reduce_on_plateau(monitor, plateau.clone())
        });
        assert_eq!(rates(&history), [0.1, 0.1, 0.05, 0.025], "{monitor}");
    }
}

#[test]
fn training_stops_early() {
    let Some(_session) = emulator::session() else { return };
    // No epoch is better by 10 than the first, whose weights are brought back.
    let patience = || EarlyStopping { minimum_change: 10.0, ..EarlyStopping::patience(2) };
    let (history, steps) =
        beside_the_cpu(9, |fit, test| fit.validate(test).early_stopping(patience()));
    assert_eq!((history.stop, history.epochs.len(), steps), (Stop::EarlyStopping, 3, 18));
}

#[test]
fn options_together_work_as_on_the_cpu() {
    let Some(_session) = emulator::session() else { return };
    let (data, test) = (classes(45), classes(20));
    let run = |device: Device| {
        let model = model();
        let builder = Trainer::new(&model, Sgd::new(0.1).momentum(0.9)).device(device);
        let mut trainer = builder.seed(4).average(0.9).build().expect("builds");
        let fit = fit(4)
            .accumulate(2)
            .validate(&test)
            .schedule(Schedule::Cosine { minimum: 0.01 })
            .early_stopping(EarlyStopping::default());
        let history = trainer.fit(&data, fit).expect("trains");
        trainer.use_averages().expect("kept");
        let model = trainer.trained().expect("a model");
        let outputs = model.predict(&test).expect("predicts").into_raw_vec_and_offset().0;
        let losses: Vec<f64> = history
            .epochs
            .iter()
            .flat_map(|e| [e.loss, e.validation_loss.expect("validated")])
            .collect();
        (losses, outputs)
    };
    let (cpu, gpu) = (run(Device::cpu()), run(cuda()));
    assert_eq!(cpu.0.len(), gpu.0.len());
    assert!(cpu.0.iter().zip(&gpu.0).all(|(a, b)| close(*a, *b)), "{:?} and {:?}", cpu.0, gpu.0);
    let outputs = cpu.1.iter().zip(&gpu.1);
    assert!(outputs.into_iter().all(|(a, b)| close(f64::from(*a), f64::from(*b))));
    assert_eq!(gpu, run(cuda()), "two runs");
}

#[test]
fn every_layer_trains() {
    let Some(_session) = emulator::session() else { return };
    let x = Array2::from_shape_fn((30, 6), |(i, j)| ((i * 5 + j * 3) % 11) as u32);
    let y: Array1<u32> = x.outer_iter().map(|row| row.sum() % 3).collect();
    let data = Dataset::from_arrays(x, y).expect("sound data");
    let losses = |device: Device| {
        let model = Model::indices(6)
            .layer(Embedding::new(11, 8))
            .layer(LayerNorm::new())
            .flatten()
            .layer(Residual::new(Dense::new(48)))
            .layer(RmsNorm::new())
            .layer(Activation::Gelu)
            .dropout(0.1)
            .dense(3);
        let mut trainer =
            Trainer::new(&model, AdamW::new(0.01)).device(device).build().expect("builds");
        let history = trainer.fit(&data, fit(3)).expect("trains");
        history.epochs.iter().map(|e| e.loss).collect::<Vec<_>>()
    };
    let (cpu, gpu) = (losses(Device::cpu()), losses(cuda()));
    let close =
        |(a, b): (&f64, &f64)| (a - b).abs() <= common::bounds::FREE_RUNNING * a.abs().max(1.0);
    assert!(cpu.iter().zip(&gpu).all(close), "{cpu:?} and {gpu:?}");
}
