//! Fifty steps of small models, each taken by the CPU and by the device from a common state: every
//! parameter and every optimizer state agrees within the bound of one step. Beside that, free runs
//! of both.

mod common;
#[path = "common/training.rs"]
mod training;

use std::num::NonZeroUsize;
use std::sync::Arc;

use common::bounds::FREE_RUNNING;
use ironwarp::exec::cpu::CpuExecutor;
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::exec::{Executor, FeedMut, PlanId};
use ironwarp::op::{BufferId, Live, Mode};
use ironwarp::optim::OptimizerStep;
use ironwarp::plan::{Clip, GroupRequest, Lasting, Plan, Request};
use ironwarp::prelude::*;
use training::bounds::whole_run;

const STEPS: u64 = 50;
const ROWS: usize = 8;

/// A model, how it is planned and where it starts.
struct Example {
    optimizer: Adam,
    plan: Arc<Plan>,
    lasting: Lasting,
    /// What lasts from step to step at the start.
    start: Vec<Vec<f32>>,
    /// The longest sum of products in it.
    terms: usize,
}

impl Example {
    fn new(model: &Model, terms: usize) -> Example {
        let (network, optimizer) = (model.network().expect("a network"), Adam::new(0.01));
        let parameters = network.parameters().iter();
        let group = GroupRequest {
            name: "all".into(),
            parameters: parameters.map(|p| (p.name.clone(), network.shape(p))).collect(),
            rule: Some(optimizer.rule()),
        };
        let scalars = ["normalizer/loss", "penalty_share", "first"].map(String::from);
        let lasting = Lasting::new(&[group], &scalars);
        let with_losses = network.with_losses(&[(&CrossEntropy::default(), 1.0, false)]);
        let with_losses = with_losses.expect("losses");
        let request = Request {
            model: &with_losses.graph,
            outputs: network.outputs(),
            losses: &with_losses.losses,
            mode: Mode::Training,
            capacity: ROWS,
            accumulate: false,
            clip: Clip::None,
            gradients: &[],
        };
        let plan = Arc::new(Plan::build(&request, &lasting).expect("a plan"));
        let group = &lasting.groups[0];
        let states = lasting.updates[0].states.len();
        let mut start = vec![vec![0.0; group.elements]; 1 + states];
        let initial = training::parameters(&training::trainer(model, optimizer));
        for (place, (name, values)) in group.parameters.iter().zip(&initial) {
            assert_eq!(place.name, *name);
            start[0][place.element..][..values.len()].copy_from_slice(values);
        }
        Example { optimizer, plan, lasting, start, terms }
    }

    /// The parameters, and each of the optimizer's states.
    fn buffers(&self) -> impl Iterator<Item = BufferId> {
        let update = &self.lasting.updates[0];
        [update.parameter].into_iter().chain(update.states.iter().copied())
    }
}

/// An example on an executor.
struct Run<'a, E> {
    example: &'a Example,
    executor: E,
    id: PlanId,
}

impl<'a, E: Executor> Run<'a, E> {
    fn new(example: &'a Example, mut executor: E) -> Self {
        let id = executor.load(example.plan.clone()).expect("memory");
        let mut run = Run { example, executor, id };
        run.set(&example.start);
        run
    }

    fn set(&mut self, state: &[Vec<f32>]) {
        for (buffer, values) in self.example.buffers().zip(state) {
            self.executor.write(buffer, values).expect("its place");
        }
    }

    fn state(&self) -> Vec<Vec<f32>> {
        let read = |buffer| {
            let mut values = vec![0.0; self.example.lasting.groups[0].elements];
            self.executor.read(buffer, &mut values).expect("its place");
            values
        };
        self.example.buffers().map(read).collect()
    }

    /// Takes a step on rows of its own; returns the loss.
    fn step(&mut self, step: u64) -> f64 {
        let Example { optimizer, plan, lasting, .. } = self.example;
        let learning_rate = optimizer.learning_rate();
        let (mut memory, mut scalars) = (vec![], vec![]);
        let at = OptimizerStep { step, learning_rate, decay_factor: 1.0 };
        optimizer.scalars(&at, &mut memory, &mut scalars);
        let scalar = |name| lasting.scalar(name).expect("laid out");
        let own = lasting.groups[0].scalars.iter().copied().zip(scalars);
        let others =
            [("normalizer/loss", 1.0 / ROWS as f64), ("penalty_share", 1.0), ("first", 1.0)];
        for (buffer, x) in own.chain(others.map(|(name, x)| (scalar(name), x))) {
            self.executor.write(buffer, &[x as f32]).expect("its place");
        }
        let first = step as usize * ROWS;
        for (name, feed) in &plan.feeds {
            let width = plan.graph.ty(*feed).shape.elements(1);
            let number = |i: usize| (first * width + i) * 7 % 11;
            let fill = &mut |target: FeedMut<'_>| match target {
                FeedMut::U32(t) if name == "input" => {
                    t.iter_mut().enumerate().for_each(|(i, x)| *x = number(i) as u32);
                }
                FeedMut::U32(t) => {
                    t.iter_mut().enumerate().for_each(|(i, x)| *x = number(2 * i) as u32 % 3);
                }
                FeedMut::F32(t) => {
                    t.iter_mut().enumerate().for_each(|(i, x)| *x = number(i) as f32 / 5.0 - 1.0);
                }
            };
            self.executor.feed(self.id, *feed, ROWS, fill).expect("a feed");
        }
        let live = Live { rows: ROWS, seed: 3, step };
        self.executor.run(self.id, 0..plan.update.end, &live).expect("the plan runs");
        let mut loss = [0.0];
        self.executor.fetch(self.id, plan.losses[0].1, ROWS, &mut loss).expect("a loss");
        f64::from(loss[0])
    }
}

fn cpu(example: &Example) -> Run<'_, CpuExecutor> {
    let threads = NonZeroUsize::new(2).expect("not zero");
    Run::new(example, CpuExecutor::new(&example.lasting, threads).expect("threads start"))
}

fn device(example: &Example) -> Run<'_, CudaExecutor> {
    let executor = CudaExecutor::new(&example.lasting, 0, Replay::Graph);
    Run::new(example, executor.expect("a device"))
}

fn judge(example: &Example, rounding: Rounding) -> Run<'_, ReferenceExecutor> {
    Run::new(example, ReferenceExecutor::new(&example.lasting, rounding))
}

/// The largest distance of two.
fn distance<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(&a, &b)| (a.into() - b.into()).abs()).fold(0.0, f64::max)
}

/// Fifty steps from common states; returns the largest distance as a share of its bound.
fn step_by_step(example: &Example) -> f64 {
    let (mut cpu, mut device) = (cpu(example), device(example));
    let [mut exact, mut stored] =
        [Rounding::None, Rounding::Storage].map(|rounding| judge(example, rounding));
    let mut worst = 0.0f64;
    for step in 1..=STEPS {
        let state = cpu.state();
        device.set(&state);
        exact.set(&state);
        stored.set(&state);
        let _losses = [cpu.step(step), device.step(step), exact.step(step), stored.step(step)];
        for ((a, b), buffer) in cpu.state().iter().zip(&device.state()).zip(example.buffers()) {
            assert_ne!(*a, vec![0.0; a.len()], "step {step} changes something");
            let once =
                distance(&exact.executor.read_f64(buffer), &stored.executor.read_f64(buffer));
            let (distance, bound) = (distance(a, b), whole_run(once, example.terms));
            let name = &example.lasting.graph.buffer(buffer).name;
            assert!(distance <= bound, "step {step}: {name} differs by {distance:e} > {bound:e}");
            worst = worst.max(distance / bound);
        }
    }
    worst
}

/// The losses of fifty steps of its own.
fn free(mut run: Run<'_, impl Executor>) -> Vec<f64> {
    (1..=STEPS).map(|step| run.step(step)).collect()
}

#[test]
fn fifty_steps_agree_from_common_states_and_running_free() {
    let Some(_session) = emulator::session() else { return };
    let dense = Model::input(4).dense(16).relu().dropout(0.2).dense(3);
    let norms = Model::indices(6)
        .layer(Embedding::new(11, 8))
        .layer(LayerNorm::new())
        .flatten()
        .dense(16)
        .gelu()
        .dense(3);
    for (name, model, terms) in [("dense", dense, 16), ("embedding and norm", norms, 48)] {
        let example = Example::new(&model, terms);
        let worst = step_by_step(&example);
        println!(
            "counted: {STEPS} steps of {name} from common states, {worst:.2} of a bound at most"
        );
        let (cpu, device) = (free(cpu(&example)), free(device(&example)));
        println!("cpu    {cpu:.7?}\ndevice {device:.7?}");
        for (c, d) in cpu.iter().zip(&device) {
            assert!((c - d).abs() <= FREE_RUNNING * c.abs().max(1.0), "{c} and {d}");
        }
    }
}
