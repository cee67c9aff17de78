//! Whole training steps, the optimizer alone, and inference, each beside what this machine reaches
//! in the same run: the best of the crate's matrix products of the same shapes, or an in-place
//! read-modify-write stream of the same bytes.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironwarp::cpu::gemm::Gemm;
use ironwarp::cpu::tile::TileMut;
use ironwarp::data::{Column, Dataset};
use ironwarp::exec::Executor;
use ironwarp::exec::cpu::team::Team;
use ironwarp::exec::cpu::{CpuExecutor, default_threads};
use ironwarp::op::reduce::{Reduce, Reduction};
use ironwarp::op::{Graph, Live, Mode, Role};
use ironwarp::optim::{Adam, Optimizer};
use ironwarp::plan::{Clip, GroupRequest, Lasting, Plan, Request, RowLoss};
use ironwarp::prelude::*;
use ironwarp::random;
use ironwarp::tensor::{Shape, TensorType};

/// Neither zero nor constant.
fn numbers(count: usize, stream: u32) -> Vec<f32> {
    let mut values = vec![0.0; count];
    random::fill_uniform(1, stream, 1, 0, &mut values);
    values
}

fn classes(rows: usize, inputs: usize, classes: u32) -> Dataset {
    let labels = (0..rows as u64).map(|i| random::word(1, 9, 1, i) % classes).collect();
    let x = Column::numbers("x", &[inputs], numbers(rows * inputs, 2));
    Dataset::new(vec![x], vec![Column::indices("y", &[], labels)]).expect("sound data")
}

fn regression(rows: usize, inputs: usize, outputs: usize) -> Dataset {
    let x = Column::numbers("x", &[inputs], numbers(rows * inputs, 2));
    let y = Column::numbers("y", &[outputs], numbers(rows * outputs, 3));
    Dataset::new(vec![x], vec![y]).expect("sound data")
}

/// Best of some rounds of the three products of every layer, on all threads: seconds.
fn products(widths: &[usize], batch: usize) -> f64 {
    let mut team = Team::new(default_threads()).expect("threads start");
    let mut total = 0.0;
    for (i, pair) in widths.windows(2).enumerate() {
        let (k, n) = (pair[0], pair[1]);
        let forward = Gemm { m: batch, n, k, transpose_b: true, ..Gemm::default() };
        let inputs = Gemm { m: batch, n: k, k: n, ..Gemm::default() };
        let weights = Gemm { m: n, n: k, k: batch, transpose_a: true, ..Gemm::default() };
        for gemm in [forward, inputs, weights].iter().filter(|g| i > 0 || **g != inputs) {
            let (a, b) = (numbers(gemm.m * gemm.k, 4), numbers(gemm.k * gemm.n, 5));
            let mut c = vec![0.0; gemm.m * gemm.n];
            let seconds = (0..20).map(|_| product(&mut team, gemm, &a, &b, &mut c));
            total += seconds.fold(f64::INFINITY, f64::min);
            black_box(&c);
        }
    }
    total
}

fn product(team: &mut Team, gemm: &Gemm, a: &[f32], b: &[f32], c: &mut [f32]) -> f64 {
    let mut whole = TileMut::new(c, gemm.m, gemm.n, gemm.n);
    let mut tiles = Vec::new();
    let (rows, columns) = gemm.tile(0);
    let mut rest = Some(whole.reborrow());
    while let Some(tile) = rest.take() {
        let (mut band, below) = match tile.rows() > rows.len() {
            true => {
                let (band, below) = tile.split_rows(rows.len());
                (Some(band), Some(below))
            }
            false => (Some(tile), None),
        };
        while let Some(tile) = band.take() {
            if tile.columns() > columns.len() {
                let (left, right) = tile.split_columns(columns.len());
                tiles.push(std::sync::Mutex::new(Some(left)));
                band = Some(right);
            } else {
                tiles.push(std::sync::Mutex::new(Some(tile)));
            }
        }
        rest = below;
    }
    let started = Instant::now();
    team.run(&|worker| {
        worker.for_each_task(gemm.tasks(), |task| {
            if let Some(tile) = tiles[task].lock().ok().and_then(|mut slot| slot.take()) {
                gemm.compute(task, a, b, tile, &mut |_, _, _| ());
            }
        });
    });
    started.elapsed().as_secs_f64()
}

fn train(c: &mut Criterion, name: &str, widths: &[usize], batch: usize, data: &Dataset) {
    let mut model = Model::input(widths[0]);
    for (i, &width) in widths[1..].iter().enumerate() {
        model = model.dense(width);
        if i + 2 < widths.len() {
            model = if widths.len() > 3 && widths[0] > 1000 { model.gelu() } else { model.relu() };
        }
    }
    let mut trainer = Trainer::new(&model, Adam::new(1e-3)).build().expect("a sound model");
    let limit = products(widths, batch);
    let flops: usize = 6 * widths.windows(2).map(|w| w[0] * w[1]).sum::<usize>() * batch
        - 2 * widths[0] * widths[1] * batch;
    println!(
        "{name}: its matrix products alone reach {:.0} rows/s, {:.0} GFLOP/s",
        batch as f64 / limit,
        flops as f64 / limit / 1e9
    );
    let mut group = c.benchmark_group("train");
    group.throughput(Throughput::Elements(data.len() as u64)).sample_size(10);
    group.bench_function(BenchmarkId::from_parameter(name), |b| {
        b.iter(|| {
            let fit = Fit::epochs(1).batch(batch).progress(Progress::Silent);
            trainer.fit(data, fit).expect("training goes on")
        });
    });
    group.finish();
    infer(c, name, &trainer, widths);
}

fn infer(c: &mut Criterion, name: &str, trainer: &Trainer, widths: &[usize]) {
    let trained = trainer.trained().expect("memory");
    let mut group = c.benchmark_group("infer");
    for rows in [1, 256] {
        let input = numbers(rows * widths[0], 6);
        let mut output = vec![0.0; rows * widths[widths.len() - 1]];
        group.throughput(Throughput::Elements(rows as u64)).sample_size(20);
        group.bench_function(BenchmarkId::new(name, rows), |b| {
            b.iter(|| trained.predict_into(&input, rows, &mut output).expect("sizes fit"));
        });
    }
}

/// Adam on 20 million parameters whose gradients are there.
fn update(c: &mut Criterion) {
    const COUNT: usize = 20_000_000;
    let parameters = vec![("weight".to_string(), vec![COUNT])];
    let adam = Adam::new(1e-3);
    let rule = Some(adam.rule());
    let groups = [GroupRequest { name: "all".into(), parameters, rule }];
    let lasting = Lasting::new(&groups, &["penalty_share".to_string()]);
    let mut graph = Graph::default();
    let weight = graph.add("weight", TensorType::f32(Shape::fixed(&[COUNT])), Role::Parameter);
    let sum = Reduce::new(Reduction::Sum, &[0], true);
    let value = graph.call(Arc::new(sum), &[weight], "sum").expect("types fit")[0];
    let losses = [RowLoss { name: "sum".into(), value, factor: 1.0, weighted: false }];
    let request = Request {
        model: &graph,
        outputs: &[],
        losses: &losses,
        mode: Mode::Training,
        capacity: 1,
        accumulate: false,
        clip: Clip::None,
        gradients: &[],
    };
    let plan = Arc::new(Plan::build(&request, &lasting).expect("a plan"));
    let mut cpu = CpuExecutor::new(&lasting, default_threads()).expect("threads start");
    let group = &lasting.groups[0];
    cpu.write(group.parameter, &numbers(group.elements, 7)).expect("memory");
    for (&scalar, value) in group.scalars.iter().zip([1e-3, 1.0, 0.0]) {
        cpu.write(scalar, &[value]).expect("memory");
    }
    let id = cpu.load(plan.clone()).expect("memory");
    let live = Live { rows: 1, seed: 0, step: 1 };
    cpu.run(id, 0..plan.update.end, &live).expect("the plan runs");
    println!("adam: an in-place stream reaches {:.1} GB/s", stream(28 * COUNT / 8));
    let mut bench = c.benchmark_group("update");
    bench.throughput(Throughput::Bytes(28 * COUNT as u64)).sample_size(20);
    bench.bench_function("adam 20M", |b| b.iter(|| cpu.run(id, plan.update.clone(), &live)));
}

/// GB/s of reading and writing this many floats in place, on all threads.
fn stream(count: usize) -> f64 {
    let threads: NonZeroUsize = default_threads();
    let mut values = numbers(count, 8);
    let part = count.div_ceil(threads.get());
    let round = |values: &mut Vec<f32>| {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for piece in values.chunks_mut(part) {
                scope.spawn(move || piece.iter_mut().for_each(|x| *x = *x * 0.999 + 0.001));
            }
        });
        started.elapsed().as_secs_f64()
    };
    let best = (0..20).map(|_| round(&mut values)).fold(f64::INFINITY, f64::min);
    black_box(&values);
    8.0 * count as f64 / best / 1e9
}

fn steps(c: &mut Criterion) {
    train(c, "64-128-10 batch 32", &[64, 128, 10], 32, &classes(32 * 200, 64, 10));
    train(c, "784-512-512-10 batch 128", &[784, 512, 512, 10], 128, &classes(128 * 20, 784, 10));
    let large = [1024, 2048, 2048, 1024];
    train(c, "1024-2048-2048-1024 batch 512", &large, 512, &regression(512 * 2, 1024, 1024));
    update(c);
}

criterion_group!(benches, steps);
criterion_main!(benches);
