//! Trains W2 of `docs/benchmarks.md` for some epochs of 64 steps on one thread, and does nothing
//! else: what `just instructions` counts. The count does not depend on the machine's mood.

use std::num::NonZeroUsize;

use ironwarp::bench::workload::{Kind, workloads};
use ironwarp::exec::Device;

fn main() {
    // Cargo adds an argument of its own.
    let epochs = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let w2 = workloads().into_iter().find(|workload| workload.id == "W2");
    let Some(Kind::Training(training)) = w2.map(|workload| workload.kind) else {
        unreachable!("W2 trains")
    };
    let data = training.data(64 * training.batch);
    let device = Device::cpu().threads(NonZeroUsize::MIN);
    let mut trainer = training.trainer(&device).expect("memory");
    trainer.fit(&data, training.fit(epochs)).expect("numbers to learn from");
    println!("{} steps", 64 * epochs);
}
