//! The harness's checks and jobs on a card.

use ironwarp::bench::job::Job;
use ironwarp::bench::measure::Budget;
use ironwarp::bench::run::check;
use ironwarp::bench::workload::{Kind, Rule, Training, Workload};
use ironwarp::prelude::*;

const NETWORK: Training = Training {
    widths: &[3, 5, 4],
    activation: Model::relu,
    classes: true,
    rule: Rule::Adam,
    batch: 7,
    rows: 28,
};

#[test]
fn small_workloads_are_right_and_run() {
    let Some(_session) = emulator::session() else { return };
    let device = Device::cuda(0).expect("a card");
    for kind in [Kind::Training(NETWORK), Kind::Inference(NETWORK, 3), Kind::Update(2, 90)] {
        let workload = Workload { id: "small", description: "small", kind };
        // Its rows come 1000 times over for a sample; two steps are enough here.
        let data = workload.data(true);
        let data = data.rows(..data.len().min(14));
        let problem = check(&workload, &device, &data).expect("the card runs it");
        assert_eq!(problem, None, "{workload:?}");
        let mut job = Job::first_step(&workload, &device, &data).expect("a step");
        let samples = job.samples(2).expect("samples");
        assert!(samples.len() == 2 && samples.iter().all(|seconds| *seconds > 0.0));
        let mut probe = workload.probe(&device, &data).expect("a plan");
        let last = probe.plan.graph.steps.len() - 1;
        let spread = probe.time(last..last + 1, Budget::TINY).expect("the last step alone");
        assert!(spread.median > 0.0);
    }
}

#[test]
fn emulated_launches_of_a_step_are_as_many_as_the_harness_says() {
    let Some(session) = emulator::session() else { return };
    let device = Device::cuda(0).expect("a card");
    let data = NETWORK.data(7);
    let mut probe = NETWORK.probe(&device, &data).expect("a plan");
    let whole = 0..probe.plan.graph.steps.len();
    let folder = tempfile::tempdir().expect("a folder");
    session.record(folder.path());
    probe.run(whole.clone()).expect("a step");
    probe.wait().expect("a step");
    let names = emulator::recorded(folder.path()).expect("what was launched");
    assert_eq!(names.len(), probe.launches(whole.clone()), "{names:?}");
    let on_cpu = NETWORK.probe(&Device::cpu(), &data).expect("a plan");
    let views = on_cpu.plan.graph.steps.iter().filter(|step| step.op.is_view()).count();
    assert_eq!(on_cpu.launches(whole.clone()), whole.len() - views);
}
