//! Training on the emulated device beside the CPU: accuracy, equal bits between ways of queueing
//! and between runs, resuming, refusals, and plans that need every kind of op.

mod common;

use ironwarp::exec::cuda::Replay;
use ironwarp::prelude::*;
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
    Device::cuda(0).expect("the emulated device")
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
