//! The harness: a run of small workloads, its formats, comparisons, and the program around it. What
//! is timed here says nothing; nobody looks at it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use ironwarp::bench::alone::{self, Alone, Resident};
use ironwarp::bench::compare::{Comparison, Verdict};
use ironwarp::bench::report::{Measured, Outcome, Report};
use ironwarp::bench::run::{Options, run};
use ironwarp::bench::workload::{Kind, Rule, Training, Workload, workloads};
use ironwarp::bench::{html, text};
use ironwarp::file::TensorFile;
use ironwarp::op::expression::Expr;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::{CallTypes, CpuKernel, Gradient, Op, OpError, ReferenceCall};
use ironwarp::prelude::*;
use ironwarp::tensor::TensorType;

/// Doubles on the CPU, and by its definition adds.
#[derive(Debug)]
struct Wrong;

impl Op for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        Ok(inputs.to_vec())
    }

    fn backward(&self, _: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("it has none".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        vec![call.inputs[0].iter().map(|x| x + 1.0).collect()]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Pointwise::new(1, &(Expr::input(0) * 2.0)).kernel(types)
    }
}

const NETWORK: Training = Training {
    widths: &[3, 5, 4],
    activation: Model::relu,
    classes: true,
    rule: Rule::Adam,
    batch: 7,
    rows: 28,
};

/// One workload of each kind, and one that computes wrongly.
fn small() -> Vec<Workload> {
    let broken: fn(Model) -> Model = |model| model.layer(|x: &Value| x.one(Wrong, &[]));
    let numbers =
        Training { classes: false, rule: Rule::AdamW, activation: Model::tanh, ..NETWORK };
    [
        ("W2", Kind::Training(NETWORK)),
        ("T2", Kind::Training(numbers)),
        ("T3", Kind::Inference(NETWORK, 40)),
        ("T4", Kind::Update(2, 300)),
        ("T5", Kind::Missing("a miracle")),
        ("T6", Kind::Inference(Training { activation: broken, ..NETWORK }, 2)),
    ]
    .map(|(id, kind)| Workload { id, description: "small & <quick>", kind })
    .into()
}

static REPORT: LazyLock<Report> = LazyLock::new(|| {
    let options = Options { quick: true, only: vec![], workloads: small() };
    let mut report = run(&options, &mut |_| ()).expect("the CPU is there");
    for entry in &mut report.cpu.workloads {
        // The program has no others of these.
        if let (Outcome::Measured(measured), "W2") = (&mut entry.outcome, &*entry.id) {
            measured.alone = Some(alone("W2"));
        }
    }
    report
});

/// A workload of the program's own, in two processes.
fn alone(id: &str) -> Alone {
    let program = Path::new(env!("CARGO_BIN_EXE_ironwarp"));
    alone::measure(program, id, "cpu", 2).expect("a process")
}

fn measured<'a>(report: &'a Report, id: &str) -> &'a Measured {
    report.cpu.measured().find(|(entry, _)| entry.id == id).expect("it was measured").1
}

fn outcome<'a>(report: &'a Report, id: &str) -> &'a Outcome {
    &report.cpu.workloads.iter().find(|entry| entry.id == id).expect("it is listed").outcome
}

#[test]
fn every_kind_of_workload_is_checked_and_measured() {
    for id in ["W2", "T2", "T3", "T4"] {
        let m = measured(&REPORT, id);
        assert!(m.rows_per_second > 0.0 && m.seconds_per_step.samples >= 5, "{id}: {m:?}");
        assert!(
            m.limit.seconds > 0.0 && m.memory_bytes > 0 && m.launches_per_step > 0,
            "{id}: {m:?}"
        );
        assert!(!m.parts.is_empty() && m.parts.iter().all(|part| part.seconds.median > 0.0));
    }
    // Parameters, gradients and both moments read, all but gradients written: 28 bytes each, and
    // some scalars. A group is padded to 64 elements.
    let update = measured(&REPORT, "T4").limit.bytes;
    assert!((28 * 640..28 * 640 + 64).contains(&update), "{update}");
    // 3-5-4 on 7 rows: products of 2 · 7 (15 + 20), and a little for bias, ReLU and loss.
    let forward = measured(&REPORT, "W2").phases[0].floor.flops;
    assert!((490..980).contains(&forward), "{forward}");
    let names: Vec<_> = measured(&REPORT, "W2").phases.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["forward", "backward", "update"]);
    assert!(
        matches!(outcome(&REPORT, "T5"), Outcome::NotAvailable { reason } if reason.contains("miracle"))
    );
    assert!(REPORT.cpu.batches.iter().any(|curve| curve.points.len() == 6), "sizes of steps");
    assert!(!REPORT.cpu.threads.is_empty(), "numbers of threads");
}

#[test]
fn a_process_takes_little_more_than_plan_and_data() {
    for (id, rows, width) in [("W2", 65536, 64), ("W3", 12800, 784), ("W8b256", 256, 784)] {
        let Alone { start_seconds, memory } = alone(id);
        assert!(start_seconds.samples == 2 && start_seconds.best > 0.0, "{id}: {start_seconds:?}");
        let targets = if id == "W8b256" { 0 } else { rows };
        assert!(memory.data >= 4 * (rows * width + targets), "{id}: {memory:?}");
        let Some(peak) = memory.peak else { continue };
        assert!(peak > memory.data && memory.plan > 0, "{id}: {memory:?}");
        let beyond = memory.beyond().expect("there is a peak");
        assert!(beyond <= 32 << 20, "{id}: {} KiB beyond, {memory:?}", beyond >> 10);
    }
    let nothing = alone::measure(Path::new("no such program"), "W2", "cpu", 1);
    assert!(nothing.is_err_and(|e| e.contains("W2 alone") && e.contains("no such program")));
    let unknown = alone::measure(Path::new(env!("CARGO_BIN_EXE_ironwarp")), "W99", "cpu", 1);
    assert_eq!(unknown, Err("W99 alone: it took no step".into()));
}

#[test]
fn what_was_measured_is_run_in_processes_too() {
    let mut report = REPORT.clone();
    report.cpu.workloads.retain(|entry| ["W2", "T5", "T6"].contains(&&*entry.id));
    let Outcome::Measured(own) = &mut report.cpu.workloads[0].outcome else { panic!("it is") };
    own.alone = None;
    let program = Path::new(env!("CARGO_BIN_EXE_ironwarp"));
    let mut told = vec![];
    report.run_alone(program, &mut |text| told.push(text.to_string())).expect("it has no other");
    assert_eq!(told, ["processes with one workload each on cpu"]);
    let alone = measured(&report, "W2").alone.expect("it was run");
    assert!(alone.start_seconds.samples == 3 && alone.memory.data > 0, "{alone:?}");
    assert_eq!(report.cpu.measured().count(), 1, "what is missing or wrong is not run");

    // On a GPU too, where the program has such a workload.
    let mut other = REPORT.clone();
    other.cpu.workloads.retain(|entry| entry.id == "T2");
    other.gpu = vec![std::mem::replace(&mut other.cpu, report.cpu)];
    other.cpu.workloads.clear();
    let mut told = vec![];
    let failed = other.run_alone(program, &mut |text| told.push(text.to_string()));
    assert_eq!(failed, Err("T2 alone: it took no step".into()));
    assert!(told[1].ends_with("on cuda:0"), "{told:?}");
}

#[test]
fn what_is_beyond_plan_and_data_is_known_where_the_peak_is() {
    let memory = Resident { peak: Some(100), plan: 30, data: 50 };
    assert_eq!(memory.beyond(), Some(20));
    assert_eq!(Resident { peak: None, ..memory }.beyond(), None);
    assert_eq!(Resident { peak: Some(70), ..memory }.beyond(), Some(0));
}

#[test]
fn a_wrong_result_is_not_timed() {
    let Outcome::Wrong { problem } = outcome(&REPORT, "T6") else { panic!("it is wrong") };
    assert!(problem.contains("differs from the definition"), "{problem}");
    assert_eq!(REPORT.wrong().count(), 1);
    assert!(REPORT.to_string().contains("WRONG, not timed"));
}

#[test]
fn json_has_its_keys_and_is_read_again() {
    let json = serde_json::to_value(&*REPORT).expect("plain data");
    assert!(json["gpu"].is_array() && json["roofline"]["cpu"]["streams"].is_array());
    let workload = &json["cpu"]["workloads"][0];
    assert_eq!(workload["outcome"], "measured");
    for key in ["rows_per_second", "share_of_limit", "gflops", "first_step_seconds"] {
        assert!(workload[key].is_number(), "{key} in {workload}");
    }
    for key in ["lower", "median", "upper", "p95", "samples"] {
        assert!(workload["seconds_per_step"][key].is_number(), "{key} in {workload}");
    }
    assert!(workload["alone"]["start_seconds"]["median"].is_number(), "{workload}");
    assert!(json["cpu"]["workloads"][1]["alone"].is_null(), "not available is not 0");
    let joules = &workload["joules_per_thousand_rows"];
    assert!(joules.is_null() || joules.as_f64() > Some(0.0), "not available is not 0");
    let text = serde_json::to_string(&*REPORT).expect("plain data");
    assert_eq!(Report::parse(&text).as_ref(), Ok(&*REPORT));
    for (text, why) in [
        ("{", "not JSON"),
        ("{}", "not a report"),
        (r#"{"format": 99}"#, "its format is 99"),
        (r#"{"format": 2}"#, "not a whole report"),
    ] {
        let error = Report::parse(text).expect_err("refused");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn csv_has_a_line_for_each_workload() {
    let text = text::csv(&REPORT);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().expect("names").clone();
    let lines: Vec<_> = reader.records().collect::<Result<_, _>>().expect("lines of equal length");
    let devices = 1 + REPORT.gpu.len();
    assert_eq!(lines.len(), devices * small().len());
    let at = names.iter().position(|n| n == "rows_per_second").expect("a column");
    let rate: f64 = lines[0][at].parse().expect("a number");
    assert_eq!(rate, measured(&REPORT, "W2").rows_per_second);
    assert_eq!(&lines[4][at], "", "not available is empty");
    let at = names.iter().position(|n| n == "start_seconds").expect("a column");
    assert!(lines[0][at].parse::<f64>().is_ok() && lines[1][at].is_empty(), "{lines:?}");
}

#[test]
fn the_table_fits_100_columns() {
    let table = format!("{}{}", *REPORT, text::parts(&REPORT));
    let widest = table.lines().max_by_key(|line| line.chars().count()).expect("lines");
    assert!(widest.chars().count() <= 100, "{widest}");
    assert!(table.contains("not available: needs a miracle"));
    // Its line, that of its process, and what it is.
    assert_eq!(
        REPORT.to_string().lines().filter(|line| line.starts_with("W2 ")).count(),
        3,
        "{table}"
    );
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_else() {
    let page = html::page(&REPORT);
    for foreign in ["http", "<script", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("small &amp; &lt;quick&gt;") && page.matches("<svg").count() >= 3);
    let body = page.strip_prefix("<!DOCTYPE html>").expect("a page");
    let mut open = vec![];
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("tags end");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).expect("a name");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "{tag}"),
            (false, false) => open.push(name),
            (false, true) => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "numbers");
}

/// The same report with one workload's times multiplied.
fn slowed(id: &str, factor: f64) -> Report {
    let mut report = REPORT.clone();
    for entry in &mut report.cpu.workloads {
        if let (true, Outcome::Measured(m)) = (entry.id == id, &mut entry.outcome) {
            let s = &mut m.seconds_per_step;
            for x in [&mut s.best, &mut s.lower, &mut s.median, &mut s.upper, &mut s.p95] {
                *x *= factor;
            }
        }
    }
    report
}

/// The report with quartiles 5 % off the median on both sides, whatever the machine did.
fn steady(mut report: Report) -> Report {
    for entry in &mut report.cpu.workloads {
        if let Outcome::Measured(m) = &mut entry.outcome {
            let s = &mut m.seconds_per_step;
            (s.lower, s.upper) = (0.95 * s.median, 1.05 * s.median);
        }
    }
    report
}

#[test]
fn a_slowdown_is_found_and_noise_is_not() {
    let old = steady(REPORT.clone());
    let verdict = |factor| {
        let comparison = Comparison::of(&steady(slowed("T2", factor)), &old);
        assert_eq!(comparison.changes.len(), 4);
        let others = comparison.changes.iter().filter(|change| change.id != "T2");
        assert!(others.into_iter().all(|change| change.verdict() == Verdict::Same));
        let change = comparison.changes.iter().find(|change| change.id == "T2").expect("compared");
        assert_eq!(comparison.is_slower(), change.verdict() == Verdict::Slower);
        change.verdict()
    };
    // Both spreads are a tenth: together a fifth.
    assert_eq!([1.0, 1.1, 0.9].map(verdict), [Verdict::Same; 3]);
    assert_eq!([1.4, 0.6].map(verdict), [Verdict::Slower, Verdict::Faster]);

    let mut elsewhere = old.clone();
    elsewhere.machine.processor = "another".into();
    let comparison = Comparison::of(&steady(slowed("T2", 9.0)), &elsewhere);
    assert!(!comparison.is_slower() && comparison.changes.is_empty());
    assert!(comparison.to_string().contains("not compared"), "{comparison}");
}

fn ironwarp(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_ironwarp");
    Command::new(program).arg("bench").args(arguments).output().expect("it starts")
}

#[test]
fn the_program_shows_compares_and_refuses() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let save = |name: &str, report: &Report| {
        fs::write(path(name), serde_json::to_string(report).expect("plain data")).expect("a file");
    };
    let mut good = steady(REPORT.clone());
    good.cpu.workloads.retain(|entry| !matches!(entry.outcome, Outcome::Wrong { .. }));
    save("good.json", &good);
    save("wrong.json", &REPORT);
    let mut slow = steady(slowed("T4", 2.0));
    slow.cpu.workloads.retain(|entry| !matches!(entry.outcome, Outcome::Wrong { .. }));
    save("slow.json", &slow);
    let code = |arguments: &[&str]| ironwarp(arguments).status.code();
    let (good, slow) = (path("good.json"), path("slow.json"));

    let shown = ironwarp(&["--from", &good, "--html", &path("page.html")]);
    assert_eq!(shown.status.code(), Some(0));
    assert_eq!(
        shown.stdout,
        Report::parse(&fs::read_to_string(&good).expect("saved"))
            .expect("read")
            .to_string()
            .into_bytes()
    );
    assert!(fs::read_to_string(path("page.html")).expect("written").ends_with("</html>\n"));
    let json = ironwarp(&["--from", &good, "--json", "--compare", &slow]);
    assert!(serde_json::from_slice::<Report>(&json.stdout).is_ok(), "JSON is alone");
    assert_eq!(json.status.code(), Some(0), "faster is no failure");
    assert_eq!(code(&["--from", &slow, "--compare", &good]), Some(1));
    assert_eq!(code(&["--from", &path("wrong.json")]), Some(1));
    assert_eq!(code(&["--from", &path("missing.json")]), Some(2));
    assert_eq!(code(&["--only", "W99"]), Some(2));
    if cfg!(debug_assertions) {
        let refused = ironwarp(&["--quick"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("debug build"));
    }
}

#[test]
fn others_are_given_the_same_data_and_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().display().to_string();
    let written = ironwarp(&["--export", &place, "--only", "W1,W8b1"]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let file = TensorFile::read(folder.path().join("W1.safetensors")).expect("a file");
    let floats = |name: &str| file.tensors[name].as_f32().expect("floats");
    assert_eq!((floats("x").len(), floats("y").len()), (100, 100));
    // The loss of the first step, from what was written.
    let (w, b) = (floats("dense_1.weight")[0], floats("dense_1.bias")[0]);
    let rows = floats("x").iter().zip(floats("y"));
    let loss = rows.map(|(x, y)| f64::from(w * x + b - y).powi(2)).sum::<f64>() / 100.0;
    let losses = floats("losses");
    assert!((f64::from(losses[0]) - loss).abs() <= 100.0 * f64::from(f32::EPSILON) * loss);
    assert!(losses.len() == 21 && losses[20] < losses[0]);
    let file = TensorFile::read(folder.path().join("W8b1.safetensors")).expect("a file");
    assert_eq!(file.tensors["outputs"].shape(), [1, 10]);
}

#[test]
fn the_workloads_are_those_that_other_programs_run() {
    let ids: Vec<_> = workloads().iter().map(|workload| workload.id).collect();
    assert_eq!(
        ids,
        ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8b1", "W8b256", "W9", "W10", "W11"]
    );
}
