//! The benches' own code on a card: every op once, small, and one sample of a step.

#[allow(dead_code)] // what times them
#[path = "../benches/ops.rs"]
mod ops;
#[allow(dead_code)]
#[path = "../benches/step.rs"]
mod step;

use ironwarp::bench::run::devices;
use ironwarp::bench::workload::{Kind, Rule, Training, Workload};
use ironwarp::prelude::*;

#[test]
fn every_op_of_the_benches_is_right_and_runs() {
    let Some(_session) = emulator::session() else { return };
    let device = Device::cuda(0).expect("a card");
    for (name, op, inputs) in ops::cases(16) {
        let mut probe = ops::probe(&device, op, &inputs, (5, 16));
        ops::check(name, &mut probe);
        assert!(!ops::run(&mut probe, 1).is_zero(), "{name}");
    }
}

#[test]
fn a_step_of_the_benches_runs() {
    let Some(_session) = emulator::session() else { return };
    let (all, no_gpu) = devices();
    assert!(no_gpu.is_none() && all[0].is_cpu() && all.len() > 1, "{all:?}");
    let network = Training {
        widths: &[3, 5, 4],
        activation: Model::relu,
        classes: true,
        rule: Rule::Adam,
        batch: 7,
        rows: 14,
    };
    let data = network.data(14);
    let workload = Workload { id: "small", description: "small", kind: Kind::Training(network) };
    for device in &all {
        let (mut job, rows) = step::job(device, &workload, &data);
        assert_eq!(rows, 14);
        assert!(job.samples(1).expect("it runs")[0] > 0.0);
    }
}
