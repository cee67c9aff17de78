//! Whole training steps, the update alone, and inference, on the CPU and every GPU, each beside the
//! least that it takes on this device in the same run. The workloads are those of `ironwarp bench`; `docs/benchmarks.md` tells
//! what the limit is.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironwarp::bench::job::Job;
use ironwarp::bench::limit::Limits;
use ironwarp::bench::run::devices;
use ironwarp::bench::workload::{Kind, Workload, workloads};
use ironwarp::data::Dataset;
use ironwarp::exec::Device;

/// The workloads, and inference with each of their networks.
fn all() -> Vec<(String, Workload)> {
    let mut all = vec![];
    for workload in workloads() {
        match workload.kind.clone() {
            Kind::Training(network) => {
                all.push((format!("{} train", workload.id), workload.clone()));
                for rows in [1, 256] {
                    let kind = Kind::Inference(network.clone(), rows);
                    let name = format!("{} infer {rows}", workload.id);
                    all.push((name, Workload { kind, ..workload.clone() }));
                }
            }
            Kind::Update(..) => all.push((format!("{} update", workload.id), workload)),
            // W8 is inference with W3's network.
            Kind::Inference(..) | Kind::Missing(_) => {}
        }
    }
    all
}

/// A workload after its first step, on so many rows a sample.
pub(crate) fn job(device: &Device, workload: &Workload, data: &Dataset) -> (Job, u64) {
    let job = Job::first_step(workload, device, data).expect("memory");
    let rows = workload.rows() * job.steps_per_sample();
    (job, rows as u64)
}

fn steps(c: &mut Criterion) {
    let (all, no_gpu) = devices();
    if let Some(reason) = no_gpu {
        println!("no GPU: {reason}");
    }
    all.iter().for_each(|device| steps_on(device, c));
}

fn steps_on(device: &Device, c: &mut Criterion) {
    println!("{device}");
    let mut limits = Limits::new(device).expect("memory");
    let mut group = c.benchmark_group(format!("step on {device}"));
    for (name, workload) in all() {
        let data = workload.data(true);
        let probe = workload.probe(device, &data).expect("memory");
        let rows = probe.rows as f64;
        let floor = limits.of_range(&probe, workload.timed(&probe.plan)).expect("it runs");
        drop(probe);
        let (limit, bound) = (rows / floor.seconds, floor.bound);
        println!("{name}: at most {limit:.0} rows/s by its limit, {bound:?}");
        let (mut job, count) = job(device, &workload, &data);
        group.throughput(Throughput::Elements(count)).sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| job.samples(1).expect("it runs"));
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
