//! Ctrl-C and SIGTERM, sent to this test's own program run once more as a child.
#![cfg(unix)]

#[path = "common/training.rs"]
mod training;

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use ironwarp::prelude::*;
use ironwarp::train::{StepReport, Stop};
use training::{Descent, bits, quiet, regression, trainer};

/// Names the folder that parent and child share.
const FOLDER: &str = "IRONWARP_TEST_INTERRUPTS";
/// How long each step of the child lasts.
const STEP: &str = "IRONWARP_TEST_STEP_MILLISECONDS";

fn begin() -> Trainer {
    trainer(&Model::input(3).dense(1), Descent(0.01))
}

/// Tells the parent that training is on, and takes its time.
struct Slow(std::path::PathBuf, Duration);

impl Callback for Slow {
    fn on_step(&mut self, report: &StepReport) -> anyhow::Result<Flow> {
        if report.step == 3 {
            std::fs::write(self.0.join("begun"), "")?;
        }
        std::thread::sleep(if report.step < 3 { Duration::ZERO } else { self.1 });
        Ok(Flow::Continue)
    }
}

/// The child: it trains for long, unless it is stopped. Without a parent it does nothing.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let step = std::env::var(STEP).expect("the parent says").parse().expect("a number");
    let mut slow = Slow(folder.clone().into(), Duration::from_millis(step));
    let mut trainer = begin();
    let fit = quiet(1_000_000, 8).callback(&mut slow).checkpoints(Checkpoints::new(&folder));
    let history = trainer.fit(&regression(32, 3), fit.stop_on_interrupt()).expect("training");
    assert_eq!(history.stop, Stop::Interrupt);
    let steps = trainer.steps().to_string();
    std::fs::write(Path::new(&folder).join("steps"), steps).expect("a file");
}

fn spawn(folder: &Path, step_milliseconds: u64) -> Child {
    let program = std::env::current_exe().expect("this program");
    let child = Command::new(program)
        .args(["--exact", "child", "--quiet"])
        .env(FOLDER, folder)
        .env(STEP, step_milliseconds.to_string())
        .spawn()
        .expect("a child");
    while !folder.join("begun").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn send(signal: &str, child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().expect("`kill`").success());
}

fn wait(mut child: Child) -> ExitStatus {
    child.wait().expect("the child's end")
}

#[test]
fn the_first_one_finishes_the_step_saves_and_stops() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().expect("a folder");
        let child = spawn(folder.path(), 20);
        send(signal, &child);
        assert!(wait(child).success(), "{signal}");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        let steps: u64 = read("steps").parse().expect("a number");
        let mut resumed = begin();
        resumed.resume(folder.path().join("last.safetensors")).expect("a checkpoint");
        assert_eq!(resumed.steps(), steps, "{signal}");
        let mut straight = begin();
        straight.fit(&regression(32, 3), quiet(1_000_000, 8).step_limit(steps)).expect("training");
        assert_eq!(bits(&resumed), bits(&straight), "{signal}");
    }
}

#[test]
fn the_second_one_ends_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = spawn(folder.path(), 3_600_000); // an hour for the step at hand
    send("-INT", &child);
    std::thread::sleep(Duration::from_millis(200)); // or both might count as one
    send("-INT", &child);
    assert_eq!(wait(child).code(), Some(130));
    assert!(!folder.path().join("steps").exists());
}
