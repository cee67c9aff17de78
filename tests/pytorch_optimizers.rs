//! Optimizers and schedules against PyTorch: whole update ranges of plans, in `f64`.
//!
//! Not compared: `out.gradient_norm` (a plan keeps the norm to itself; the clipped updates show it);
//! of the schedules those in [`OTHER_SCHEDULES`].

mod pytorch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::exec::{Executor, PlanId};
use ironwarp::init::Init;
use ironwarp::layer::Value;
use ironwarp::layer::value::Trace;
use ironwarp::op::{Live, Mode, Role};
use ironwarp::optim::schedule::{Plateau, Schedule};
use ironwarp::optim::{
    Adadelta, Adagrad, Adam, AdamW, GradientDescent, Lion, NAdam, Optimizer, OptimizerStep, RAdam,
    RmsProp, Sgd,
};
use ironwarp::plan::{Clip, GroupRequest, Lasting, Plan, Request, RowLoss};
use ironwarp::tensor::{Shape, TensorType};
use pytorch::{Case, assert_close, cases};

const NAMES: [&str; 2] = ["w", "b"];

fn adam(case: &Case) -> Adam {
    let (first, second) = betas(case);
    Adam::new(case.number("lr"))
        .betas(first, second)
        .epsilon(case.number("eps"))
        .weight_decay(case.number("weight_decay"))
        .amsgrad(case.flag("amsgrad"))
}

fn betas(case: &Case) -> (f64, f64) {
    let beta = |i: usize| case.parameters["betas"][i].as_f64().expect("a number");
    (beta(0), beta(1))
}

fn relative_of_adam(case: &Case) -> Box<dyn Optimizer> {
    let (rate, decay) = (case.number("lr"), case.number("weight_decay"));
    let (first, second) = betas(case);
    let decoupled = case.flag("decoupled_weight_decay");
    match case.text("optimizer") {
        "AdamW" => {
            let adam = AdamW::new(rate).betas(first, second).epsilon(case.number("eps"));
            Box::new(adam.weight_decay(decay).amsgrad(case.flag("amsgrad")))
        }
        "NAdam" => {
            let nadam = NAdam::new(rate)
                .betas(first, second)
                .epsilon(case.number("eps"))
                .momentum_decay(case.number("momentum_decay"));
            Box::new(match decoupled {
                true => nadam.decoupled_weight_decay(decay),
                false => nadam.weight_decay(decay),
            })
        }
        "RAdam" => {
            let radam = RAdam::new(rate).betas(first, second).epsilon(case.number("eps"));
            Box::new(match decoupled {
                true => radam.decoupled_weight_decay(decay),
                false => radam.weight_decay(decay),
            })
        }
        other => panic!("{}: no optimizer `{other}`", case.name),
    }
}

fn optimizer(case: &Case) -> Box<dyn Optimizer> {
    let (rate, decay) = (case.number("lr"), case.number("weight_decay"));
    match case.text("optimizer") {
        "SGD" => Box::new(
            Sgd::new(rate)
                .momentum(case.number("momentum"))
                .dampening(case.number("dampening"))
                .nesterov(case.flag("nesterov"))
                .weight_decay(decay),
        ),
        "Adam" => Box::new(adam(case)),
        "AdamW" | "NAdam" | "RAdam" => relative_of_adam(case),
        "RMSprop" => Box::new(
            RmsProp::new(rate)
                .alpha(case.number("alpha"))
                .epsilon(case.number("eps"))
                .momentum(case.number("momentum"))
                .centered(case.flag("centered"))
                .weight_decay(decay),
        ),
        "Adagrad" => Box::new(
            Adagrad::new(rate)
                .learning_rate_decay(case.number("lr_decay"))
                .initial_accumulator_value(case.number("initial_accumulator_value"))
                .epsilon(case.number("eps"))
                .weight_decay(decay),
        ),
        "Adadelta" => Box::new(
            Adadelta::new(rate)
                .rho(case.number("rho"))
                .epsilon(case.number("eps"))
                .weight_decay(decay),
        ),
        "Lion" => {
            let (first, second) = betas(case);
            Box::new(Lion::new(rate).betas(first, second).weight_decay(decay))
        }
        other => panic!("{}: no optimizer `{other}`", case.name),
    }
}

/// Two parameters, each a group of its own, whose gradients are feeds.
struct Run {
    plan: Arc<Plan>,
    lasting: Lasting,
    executor: ReferenceExecutor,
    id: PlanId,
    memory: Vec<Vec<f64>>,
}

impl Run {
    fn new(case: &Case, optimizer: &dyn Optimizer) -> Run {
        let averaged = !case.parameters["ema_decay"].is_null();
        let rule = match averaged {
            true => optimizer.rule().with_average(),
            false => optimizer.rule(),
        };
        let groups = NAMES.map(|name| GroupRequest {
            name: name.into(),
            parameters: vec![(
                format!("model.{name}"),
                case.get(&format!("in.{name}")).shape.clone(),
            )],
            rule: Some(rule.clone()),
        });
        let lasting = Lasting::new(&groups, &["penalty_share".into()]);
        let plan = Arc::new(plan(case, &lasting));
        let mut executor = ReferenceExecutor::new(&lasting, Rounding::None);
        executor.write_f64(lasting.scalar("penalty_share").expect("laid out"), &[1.0]);
        for (name, group) in NAMES.iter().zip(&lasting.groups) {
            let start = &case.get(&format!("in.{name}")).elements;
            executor.write_f64(group.parameters[0].parameter, start);
            for (state, buffer) in rule.states.iter().zip(&group.parameters[0].states) {
                let initial = match state.name.as_str() {
                    // The rule's is this, rounded to single precision.
                    "sum" => case.number("initial_accumulator_value"),
                    _ => f64::from(state.initial),
                };
                assert_eq!(initial as f32, state.initial);
                executor.write_f64(*buffer, &vec![initial; start.len()]);
                if state.name == "average" && case.text("ema_start") == "initial" {
                    executor.write_f64(*buffer, start);
                }
            }
        }
        let id = executor.load(plan.clone()).expect("memory");
        Run { plan, lasting, executor, id, memory: vec![vec![]; NAMES.len()] }
    }

    fn step(&mut self, case: &Case, optimizer: &dyn Optimizer, step: u64) {
        for (i, name) in NAMES.into_iter().enumerate() {
            let own = &case.parameters["groups"][name];
            let at = OptimizerStep {
                step,
                learning_rate: own["lr"].as_f64().unwrap_or(optimizer.learning_rate()),
                decay_factor: if own["weight_decay"].as_f64() == Some(0.0) { 0.0 } else { 1.0 },
            };
            let mut scalars = vec![];
            optimizer.scalars(&at, &mut self.memory[i], &mut scalars);
            if let Some(decay) = case.parameters["ema_decay"].as_f64() {
                // A copy after the first step, or an average from the start on.
                let copies = step == 1 && case.text("ema_start") == "first";
                scalars.push(if copies { 0.0 } else { decay });
            }
            let group = &self.lasting.groups[i];
            assert_eq!(group.scalars.len(), scalars.len(), "{}", case.name);
            for (buffer, scalar) in group.scalars.iter().zip(scalars) {
                self.executor.write_f64(*buffer, &[scalar]);
            }
            let all = &case.get(&format!("in.gradient.{name}")).elements;
            let size = all.len() / 10;
            let feed = self.plan.feed(&format!("gradient.{name}")).expect("a feed");
            let gradient = &all[(step as usize - 1) * size..][..size];
            self.executor.feed_f64(self.id, feed, gradient);
        }
        let live = Live { rows: 1, seed: 0, step };
        self.executor.run(self.id, 0..self.plan.update.end, &live).expect("the plan runs");
    }

    fn compare(&self, case: &Case, step: u64) {
        for (name, group) in NAMES.iter().zip(&self.lasting.groups) {
            let parameter = &group.parameters[0];
            let what = format!("{}, `{name}` after step {step}", case.name);
            let expected = case.get(&format!("out.{name}.{step}"));
            assert_close(&what, &self.executor.read_f64(parameter.parameter), &expected.elements);
            if let Some(average) = case.find(&format!("out.ema.{name}.{step}")) {
                let state = *parameter.states.last().expect("the average");
                let what = format!("{what}, average");
                assert_close(&what, &self.executor.read_f64(state), &average.elements);
            }
        }
    }
}

/// A plan whose loss is Σ w · gradient.w + Σ b · gradient.b, so that the fed gradients are exact.
fn plan(case: &Case, lasting: &Lasting) -> Plan {
    let trace = Arc::new(Mutex::new(Trace::default()));
    let products = NAMES.map(|name| {
        let shape = &case.get(&format!("in.{name}")).shape;
        let ty = TensorType::f32(Shape::fixed(shape));
        let feed = {
            let graph = &mut trace.lock().expect("not poisoned").graph;
            graph.add(format!("gradient.{name}"), ty, Role::Input)
        };
        let feed = Value::new(trace.clone(), feed);
        let axes: Vec<_> = (0..shape.len()).collect();
        let parameter = feed.parameter(name, shape, Init::Constant(0.0));
        (parameter * feed).sum(&axes, false).reshape(Shape::fixed(&[1]))
    });
    let [w, b] = products;
    let loss = w + b;
    let trace = trace.lock().expect("not poisoned");
    assert!(trace.error.is_none(), "{:?}", trace.error);
    let norm = case.parameters["clip_norm"].as_f64().map(Clip::Norm);
    let value = case.parameters["clip_value"].as_f64().map(Clip::Value);
    let losses = [RowLoss { name: "loss".into(), value: loss.id(), factor: 1.0, weighted: false }];
    let request = Request {
        model: &trace.graph,
        outputs: &[],
        losses: &losses,
        mode: Mode::Training,
        capacity: 1,
        accumulate: false,
        clip: norm.or(value).unwrap_or_default(),
        gradients: &[],
    };
    Plan::build(&request, lasting).expect("a plan")
}

#[test]
fn parameters_follow_pytorch() {
    let cases = cases("optimizers");
    assert_eq!(cases.len(), 42);
    for case in cases {
        let optimizer = optimizer(&case);
        optimizer.check().expect("PyTorch takes these too");
        let mut run = Run::new(&case, &*optimizer);
        for step in 1..=10 {
            run.step(&case, &*optimizer, step);
            if [1, 2, 5, 10].contains(&step) {
                run.compare(&case, step);
            }
        }
    }
}

/// Arguments that PyTorch records, made without any: the defaults are the same.
#[test]
fn defaults_are_those_of_pytorch() {
    let defaults: [(&str, Box<dyn Optimizer>); 10] = [
        ("sgd", Box::new(Sgd::new(0.1))),
        ("adam", Box::new(Adam::new(1e-3))),
        ("adamw", Box::new(AdamW::new(1e-3))),
        ("nadam", Box::new(NAdam::new(2e-3))),
        ("radam", Box::new(RAdam::new(1e-3))),
        ("rmsprop", Box::new(RmsProp::new(1e-2))),
        ("adagrad", Box::new(Adagrad::new(1e-2))),
        ("adadelta", Box::new(Adadelta::default())),
        ("lion", Box::new(Lion::new(1e-4))),
        ("sgd", Box::new(GradientDescent::new(0.1))),
    ];
    let cases: BTreeMap<_, _> =
        cases("optimizers").into_iter().map(|c| (c.name.clone(), c)).collect();
    for (name, default) in defaults {
        let recorded = optimizer(&cases[name]);
        assert_eq!(default.hyper_parameters(), recorded.hyper_parameters(), "{name}");
        assert_eq!(default.rule(), recorded.rule(), "{name}");
        assert_eq!(default.check(), Ok(()));
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let wrong: [(&str, Box<dyn Optimizer>); 14] = [
        ("sgd: `learning_rate`", Box::new(Sgd::new(-0.1))),
        ("sgd: `momentum`", Box::new(Sgd::new(0.1).momentum(1.0))),
        ("sgd: `nesterov`", Box::new(Sgd::new(0.1).nesterov(true))),
        ("gradient_descent: `learning_rate`", Box::new(GradientDescent::new(f64::NAN))),
        ("adam: `betas.1`", Box::new(Adam::new(0.1).betas(0.9, 1.0))),
        ("adam: `epsilon`", Box::new(Adam::new(0.1).epsilon(-1.0))),
        ("adamw: `weight_decay`", Box::new(AdamW::new(0.1).weight_decay(-0.1))),
        ("nadam: `momentum_decay`", Box::new(NAdam::new(0.1).momentum_decay(-1.0))),
        ("radam: `betas.0`", Box::new(RAdam::new(0.1).betas(-0.1, 0.9))),
        ("rms_prop: `alpha`", Box::new(RmsProp::new(0.1).alpha(1.5))),
        ("adagrad: `learning_rate_decay`", Box::new(Adagrad::new(0.1).learning_rate_decay(-1.0))),
        ("adadelta: `rho`", Box::new(Adadelta::new(1.0).rho(f64::NAN))),
        ("lion: `learning_rate`", Box::new(Lion::new(f64::INFINITY))),
        ("lion: `betas.0`", Box::new(Lion::new(0.1).betas(1.0, 0.9))),
    ];
    for (start, optimizer) in wrong {
        let message = optimizer.check().expect_err(start);
        assert!(message.starts_with(start), "{message}");
    }
}

/// Schedules of PyTorch that are not ours.
const OTHER_SCHEDULES: [(&str, &str); 3] = [
    ("one_cycle_linear", "one-cycle goes along half cosines only"),
    ("one_cycle_three_phase", "one-cycle has two phases only"),
    ("plateau_cooldown", "the plateau's threshold is relative only"),
];

/// Schedule, base rate, length of the run, and how many of the thirty rates are compared.
fn schedule(name: &str, case: &serde_json::Value) -> (Schedule, f64, u64, usize) {
    let number = |key: &str| case["arguments"][key].as_f64().expect("a number");
    let count = |key: &str| case["arguments"][key].as_u64().expect("a count");
    let (base, all) = (case["learning_rate"].as_f64().expect("a number"), 30);
    match name {
        "constant" => (Schedule::Constant, base, 30, all),
        "step" => {
            let factor = number("gamma");
            (Schedule::Step { every: count("step_size"), factor }, base, 30, all)
        }
        "multi_step" => {
            let milestones = case["arguments"]["milestones"].as_array().expect("a list");
            let milestones = milestones.iter().map(|m| m.as_u64().expect("a count")).collect();
            (Schedule::MultiStep { milestones, factor: number("gamma") }, base, 30, all)
        }
        "exponential" => {
            (Schedule::Exponential { every: 1, factor: number("gamma") }, base, 30, all)
        }
        "polynomial_0.5" | "polynomial_1" | "polynomial_2" => {
            let schedule = Schedule::Polynomial { end: 0.0, power: number("power") };
            (schedule, base, count("total_iters"), all)
        }
        "cosine" | "cosine_eta_min" => {
            (Schedule::Cosine { minimum: number("eta_min") }, base, count("T_max"), all)
        }
        // PyTorch's rises again after T_max; ours stays down.
        "cosine_periodic" => {
            (Schedule::Cosine { minimum: number("eta_min") }, base, count("T_max"), 11)
        }
        "linear" | "linear_default" => {
            let (steps, start_factor) = (count("total_iters"), number("start_factor"));
            let then = Box::new(Schedule::Constant);
            (Schedule::Warmup { steps, start_factor, then }, base, 30, all)
        }
        "warmup_cosine" => {
            let (steps, start_factor) = (count("milestone"), number("start_factor"));
            let then = Box::new(Schedule::Cosine { minimum: number("eta_min") });
            (Schedule::Warmup { steps, start_factor, then }, base, steps + count("T_max"), all)
        }
        "one_cycle" => (Schedule::one_cycle(), number("max_lr"), count("total_steps"), all),
        other => panic!("no schedule `{other}`"),
    }
}

fn plateau(case: &serde_json::Value) -> Vec<f64> {
    let arguments = &case["arguments"];
    let number = |key: &str| arguments[key].as_f64().expect("a number");
    assert_eq!(arguments["threshold_mode"], "rel");
    let mut plateau = Plateau {
        factor: number("factor"),
        patience: arguments["patience"].as_u64().expect("a count"),
        threshold: number("threshold"),
        larger_is_better: arguments["mode"] == "max",
        ..Plateau::default()
    };
    let base = case["learning_rate"].as_f64().expect("a number");
    let metric = case["metric"].as_array().expect("a list");
    let mut rates = vec![base];
    for metric in &metric[..29] {
        rates.push(base * plateau.observe(metric.as_f64().expect("a number")));
    }
    rates
}

#[test]
fn schedules_follow_pytorch() {
    let text = include_str!("fixtures/schedules.json");
    let file: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let mut compared = 0;
    for (name, case) in file["cases"].as_object().expect("cases") {
        if OTHER_SCHEDULES.iter().any(|(other, _)| other == name) {
            continue;
        }
        compared += 1;
        let rates = case["rates"].as_array().expect("a list");
        let rates: Vec<f64> = rates.iter().map(|r| r.as_f64().expect("a number")).collect();
        if name.starts_with("plateau") {
            assert_close(name, &plateau(case), &rates);
            continue;
        }
        let (schedule, base, total, count) = schedule(name, case);
        let got: Vec<_> = (0..30).map(|step| schedule.learning_rate(base, step, total)).collect();
        assert_close(name, &got[..count], &rates[..count]);
    }
    assert_eq!(compared, 16);
}
