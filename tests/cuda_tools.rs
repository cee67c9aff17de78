//! What tells of a card that it works, and what IRONWARP_DEBUG shows of a training on it.

use std::process::Command;

use ironwarp::exec::Device;
use ironwarp::train::Trial;

#[test]
fn one_training_step_agrees_with_the_cpu() {
    let Some(_session) = emulator::session() else { return };
    let trial = Trial::of(&Device::cuda(0).expect("a device")).expect("training");
    println!("{} differs by {:.1e} of {:.1e}", trial.device, trial.difference, trial.allowed);
    assert!(trial.is_within(), "{trial:?}");
}

/// Runs the test above in a process of its own, whose levels are its own too.
fn train_with(level: &str, folder: &std::path::Path) -> String {
    let mut command = Command::new(std::env::current_exe().expect("a test has a file"));
    command.args(["--exact", "one_training_step_agrees_with_the_cpu", "--nocapture"]);
    command.env("IRONWARP_DEBUG", level).env("IRONWARP_DEBUG_DIR", folder);
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn debug_levels_show_plan_times_and_sources() {
    if emulator::session().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let shows = |text: &str| {
        ["plan for training", "mean microseconds", "wrote"].map(|part| text.contains(part))
    };
    assert_eq!(shows(&train_with("0", folder.path())), [false, false, false]);
    let text = train_with("1", folder.path());
    assert_eq!(shows(&text), [true, false, false]);
    assert!(text.contains("      -> matmul, "), "each step's launches stand below it: {text}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let text = train_with("3", folder.path());
    assert_eq!(shows(&text), [true, true, true]);
    assert!(text.contains(" 1 x  dense_1: matmul"), "each step ran once and is named: {text}");
    let files = std::fs::read_dir(folder.path()).expect("a folder").flatten();
    let sources: Vec<_> = files
        .filter(|file| file.file_name().to_string_lossy().starts_with("matmul-"))
        .map(|file| std::fs::read_to_string(file.path()).expect("a text"))
        .collect();
    assert!(!sources.is_empty(), "{text}");
    for source in sources {
        assert!(source.starts_with("// --gpu-architecture="), "{source}");
        assert!(source.contains(" --fmad=false") && source.contains("__global__"), "{source}");
    }
}
