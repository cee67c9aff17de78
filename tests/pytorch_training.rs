//! Whole runs of twenty steps against PyTorch: losses before every step, weights after some. First
//! by the reference executor in `f64`, then by a trainer on the CPU.

mod pytorch;
#[path = "common/training.rs"]
mod training;

use std::sync::Arc;

use ironwarp::data::{Column, Dataset};
use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::exec::{Executor, PlanId};
use ironwarp::loss::Loss;
use ironwarp::op::{Live, Mode};
use ironwarp::optim::{AdamW, OptimizerStep, Sgd};
use ironwarp::plan::{Clip, GroupRequest, Lasting, Plan, Request};
use ironwarp::prelude::*;
use ironwarp::train::StepReport;
use pytorch::{Case, assert_close, cases};
use training::{bounds, cpu, quiet};

const STEPS: usize = 20;
const RECORDED: [usize; 4] = [1, 2, 5, 20];
const ROWS: usize = 7;
const NAMES: [(&str, &str); 6] = [
    ("dense_1.weight", "0.weight"),
    ("dense_1.bias", "0.bias"),
    ("dense_2.weight", "2.weight"),
    ("dense_2.bias", "2.bias"),
    ("dense_3.weight", "4.weight"),
    ("dense_3.bias", "4.bias"),
];

fn classifies(case: &Case) -> bool {
    case.text("loss") == "cross_entropy"
}

fn model(case: &Case) -> Model {
    let outputs = if classifies(case) { 3 } else { 1 };
    Model::input(6).dense(8).tanh().dense(5).relu().dense(outputs)
}

fn optimizer(case: &Case) -> Box<dyn Optimizer> {
    let rate = case.number("lr");
    match case.text("optimizer") {
        "Adam" => Box::new(Adam::new(rate)),
        "AdamW" => Box::new(AdamW::new(rate).weight_decay(case.number("weight_decay"))),
        "SGD" => {
            let momentum = case.number("momentum");
            Box::new(Sgd::new(rate).momentum(momentum).nesterov(case.flag("nesterov")))
        }
        other => panic!("{}: no optimizer `{other}`", case.name),
    }
}

fn schedule(case: &Case) -> Schedule {
    match case.text("schedule") {
        "cosine" => Schedule::Cosine { minimum: case.number("eta_min") },
        _ => Schedule::Constant,
    }
}

fn passes(case: &Case) -> usize {
    case.number("micro_batches") as usize
}

fn clip(case: &Case) -> Clip {
    case.parameters["clip_norm"].as_f64().map_or(Clip::None, Clip::Norm)
}

/// What a run shows: the loss before each step, and all weights after the recorded ones.
#[derive(Default)]
struct Shown {
    losses: Vec<f64>,
    weights: Vec<Vec<Vec<f64>>>,
}

/// What PyTorch shows.
fn expected(case: &Case) -> Shown {
    let weights = |step: &usize| {
        let one = |(_, theirs): (&str, &str)| case.get(&format!("out.{theirs}.{step}"));
        NAMES.map(|names| one(names).elements.clone()).to_vec()
    };
    Shown {
        losses: case.get("out.loss").elements.clone(),
        weights: RECORDED.iter().map(weights).collect(),
    }
}

/// The same run by the plan's definitions.
struct Judge {
    executor: ReferenceExecutor,
    lasting: Lasting,
    plan: Arc<Plan>,
    id: PlanId,
}

impl Judge {
    fn new(case: &Case, rounding: Rounding) -> Judge {
        let network = model(case).network().expect("a network");
        let group = GroupRequest {
            name: "all".into(),
            parameters: NAMES
                .map(|(ours, theirs)| {
                    (ours.into(), case.get(&format!("in.{theirs}")).shape.clone())
                })
                .to_vec(),
            rule: Some(optimizer(case).rule()),
        };
        let scalars = ["normalizer/loss", "penalty_share", "first"].map(String::from);
        let lasting = Lasting::new(&[group], &scalars);
        let loss: Box<dyn Loss> = match classifies(case) {
            true => Box::new(CrossEntropy::default()),
            false => Box::new(MeanSquaredError),
        };
        let with_losses = network.with_losses(&[(&*loss, 1.0, false)]).expect("losses");
        let request = Request {
            model: &with_losses.graph,
            outputs: network.outputs(),
            losses: &with_losses.losses,
            mode: Mode::Training,
            capacity: ROWS,
            accumulate: passes(case) > 1,
            clip: clip(case),
            gradients: &[],
        };
        let plan = Arc::new(Plan::build(&request, &lasting).expect("a plan"));
        let mut executor = ReferenceExecutor::new(&lasting, rounding);
        for (place, (_, theirs)) in lasting.parameters().zip(NAMES) {
            executor.write_f64(place.parameter, &case.get(&format!("in.{theirs}")).elements);
        }
        let id = executor.load(plan.clone()).expect("memory");
        Judge { executor, lasting, plan, id }
    }

    fn scalar(&mut self, name: &str, value: f64) {
        self.executor.write_f64(self.lasting.scalar(name).expect("laid out"), &[value]);
    }

    fn run(mut self, case: &Case) -> Shown {
        let (optimizer, schedule, passes) = (optimizer(case), schedule(case), passes(case));
        let (x, target) = (&case.get("in.x").elements, &case.get("in.target").elements);
        let (mut shown, mut memory) = (Shown::default(), vec![]);
        self.scalar("normalizer/loss", 1.0 / (ROWS * passes) as f64);
        for step in 1..=STEPS {
            let base = optimizer.learning_rate();
            let learning_rate = schedule.learning_rate(base, step as u64 - 1, STEPS as u64);
            let at = OptimizerStep { step: step as u64, learning_rate, decay_factor: 1.0 };
            let mut scalars = vec![];
            optimizer.scalars(&at, &mut memory, &mut scalars);
            for (buffer, scalar) in self.lasting.groups[0].scalars.iter().zip(scalars) {
                self.executor.write_f64(*buffer, &[scalar]);
            }
            let mut loss = 0.0;
            for pass in (step - 1) * passes..step * passes {
                self.scalar("first", f64::from(u8::from(pass == (step - 1) * passes)));
                for (name, all, width) in [("input", x, 6), ("target/loss", target, 1)] {
                    let feed = self.plan.feed(name).expect("a feed");
                    let rows = &all[pass * ROWS * width..][..ROWS * width];
                    self.executor.feed_f64(self.id, feed, rows);
                }
                let last = pass + 1 == step * passes;
                let end = if last { self.plan.update.end } else { self.plan.backward.end };
                let live = Live { rows: ROWS, seed: 0, step: pass as u64 };
                self.executor.run(self.id, 0..end, &live).expect("the plan runs");
                loss += self.executor.fetch_f64(self.id, self.plan.losses[0].1, ROWS)[0];
            }
            shown.losses.push(loss);
            if RECORDED.contains(&step) {
                let all = self.lasting.parameters();
                shown.weights.push(all.map(|p| self.executor.read_f64(p.parameter)).collect());
            }
        }
        shown
    }
}

#[test]
fn the_reference_trains_as_pytorch_does() {
    let cases = cases("training");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (got, expected) = (Judge::new(&case, Rounding::None).run(&case), expected(&case));
        assert_close(&case.name, &got.losses, &expected.losses);
        for (i, step) in RECORDED.iter().enumerate() {
            for (n, (name, _)) in NAMES.iter().enumerate() {
                let what = format!("{}, `{name}` after step {step}", case.name);
                assert_close(&what, &got.weights[i][n], &expected.weights[i][n]);
            }
        }
    }
}

/// Notes the losses.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Callback for Losses {
    fn on_step(&mut self, report: &StepReport) -> anyhow::Result<Flow> {
        self.0.push(report.loss);
        Ok(Flow::Continue)
    }
}

fn data(case: &Case) -> Dataset {
    let single = |role: &str| case.get(role).elements.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let target = match classifies(case) {
        true => {
            let labels = single("in.target").into_iter().map(|x| x as u32).collect();
            Column::indices("y", &[], labels)
        }
        false => Column::numbers("y", &[1], single("in.target")),
    };
    Dataset::new(vec![Column::numbers("x", &[6], single("in.x"))], vec![target]).expect("data")
}

/// The same run by a trainer, as a user would write it.
fn train(case: &Case) -> Shown {
    let (model, rate) = (model(case), case.number("lr"));
    let builder = match case.text("optimizer") {
        "Adam" => Trainer::new(&model, Adam::new(rate)),
        "AdamW" => Trainer::new(&model, AdamW::new(rate).weight_decay(case.number("weight_decay"))),
        _ => Trainer::new(&model, Sgd::new(rate).momentum(0.9).nesterov(true)),
    };
    let builder = match clip(case) {
        Clip::Norm(limit) => builder.clip_norm(limit),
        _ => builder,
    };
    let mut trainer = builder.device(cpu(1)).build().expect("a trainer");
    for (ours, theirs) in NAMES {
        let start: Vec<f32> =
            case.get(&format!("in.{theirs}")).elements.iter().map(|&x| x as f32).collect();
        trainer.set_parameter(ours, &start).expect("its place");
    }
    let (data, mut losses, mut shown) = (data(case), Losses::default(), Shown::default());
    for step in RECORDED {
        let fit = quiet(1, ROWS).accumulate(passes(case)).shuffle(false).schedule(schedule(case));
        let left = step as u64 - trainer.steps();
        trainer.fit(&data, fit.callback(&mut losses).step_limit(left)).expect("training");
        let all = training::parameters(&trainer);
        let wide = |x: Vec<f32>| x.into_iter().map(f64::from).collect();
        shown.weights.push(all.into_iter().map(|(_, x)| wide(x)).collect());
    }
    shown.losses = losses.0;
    shown
}

/// The largest distance of two runs up to a step: of losses, and of weights.
fn distance(a: &Shown, b: &Shown, recorded: usize) -> f64 {
    let pairs = a.losses.iter().zip(&b.losses).take(RECORDED[recorded]);
    let weights = a.weights[..=recorded].iter().flatten().flatten();
    let other = b.weights[..=recorded].iter().flatten().flatten();
    pairs.chain(weights.zip(other)).fold(0.0, |m, (a, b)| f64::max(m, (a - b).abs()))
}

#[test]
fn a_trainer_trains_as_pytorch_does() {
    for case in cases("training") {
        let (exact, got) = (expected(&case), train(&case));
        assert_eq!(got.losses.len(), STEPS, "{}", case.name);
        let stored = Judge::new(&case, Rounding::Storage).run(&case);
        for (i, step) in RECORDED.into_iter().enumerate() {
            let (error, once) = (distance(&got, &exact, i), distance(&stored, &exact, i));
            let bound = bounds::whole_run(once, 8);
            assert!(error <= bound, "{} after step {step}: {error:e} > {bound:e}", case.name);
        }
    }
}
