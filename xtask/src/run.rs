//! `gpu-run`: runs what a bundle holds, one command after the other, and reports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::items::{self, Item, json};
use crate::report::{Outcome, Report};

/// Runs the items of these groups, or all, in the bundle that this program stands in.
pub(crate) fn all(groups: &[&str]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let bundle = program.parent().and_then(Path::parent).ok_or("the program stands nowhere")?;
    let items = items::all(bundle)?;
    if let Some(unknown) = groups.iter().find(|g| !items.iter().any(|item| item.group == **g)) {
        let absent = *unknown == "sanitizer" && items::sanitizer().is_none();
        let why =
            if absent { "compute-sanitizer is not installed" } else { "there is no such group" };
        return Err(format!("{unknown}: {why}"));
    }
    let folder = bundle.join("report");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let commit = std::fs::read_to_string(bundle.join("commit")).unwrap_or_default();
    let mut report = Report::new(commit.trim(), items::sanitizer());
    for item in items.iter().filter(|i| groups.is_empty() || groups.contains(&i.group)) {
        println!("=== {}: {}", item.group, item.command.join(" "));
        let outcome = execute(item, bundle, &folder)?;
        match &outcome.problem {
            None => println!("    passed in {:.1} s", outcome.seconds),
            Some(problem) => println!("{}\n    FAILED: {problem}", outcome.tail),
        }
        report.outcomes.push(outcome);
        // After every item, so that a machine that is taken away leaves what was done.
        report.write(&folder)?;
    }
    if groups.is_empty() && items::sanitizer().is_none() {
        println!("=== sanitizer: ABSENT: compute-sanitizer is not installed");
    }
    println!("{} in {}", report.verdict(), folder.display());
    match report.failed() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} failed", report.outcomes.len())),
    }
}

/// Runs a command with both outputs in files, so that nothing waits for a reader.
fn execute(item: &Item, bundle: &Path, folder: &Path) -> Result<Outcome, String> {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    let (out, err) = (path("stdout"), path("stderr"));
    let create = |file: &Path| File::create(file).map_err(|e| format!("{}: {e}", file.display()));
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", &item.limit.to_string()]).args(&item.command);
    command.env("IRONWARP_TEST_GPU", "1").env("IRONWARP_REQUIRE_NVRTC", "1");
    command.env("CRITERION_HOME", path("criterion"));
    command.current_dir(bundle).stdout(create(&out)?).stderr(create(&err)?);
    let started = Instant::now();
    let status = command.status().map_err(|e| format!("cannot run `timeout`: {e}"))?;
    let seconds = started.elapsed().as_secs_f64();
    let read = |file: &Path| {
        let bytes = std::fs::read(file).unwrap_or_default();
        let _ = std::fs::remove_file(file);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (out, err) = (read(&out), read(&err));
    if let Some(name) = item.kept {
        std::fs::write(path(name), &out).map_err(|e| format!("{name}: {e}"))?;
    }
    let whole = format!("{out}{err}");
    let judged = if item.must == items::Must::PrintJson { &out } else { &whole };
    Ok(Outcome {
        group: item.group,
        command: item.command.join(" "),
        code: status.code(),
        seconds,
        problem: item.must.problem(status.code(), judged),
        tail: tail(&whole),
        result: json(&out),
    })
}

/// The last lines, 4,000 characters at most.
fn tail(text: &str) -> String {
    let text = text.trim_end();
    let start = text.char_indices().rev().nth(3999).map_or(0, |(at, _)| at);
    let cut =
        if start == 0 { 0 } else { text[start..].find('\n').map_or(start, |n| start + n + 1) };
    text[cut..].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::Must;

    fn run(command: &str, must: Must, limit: u64) -> Outcome {
        run_and_keep(command, must, limit).0
    }

    /// The outcome, and what was kept of its output.
    fn run_and_keep(command: &str, must: Must, limit: u64) -> (Outcome, String) {
        let folder = std::env::temp_dir().join(format!("gpu-run-{}-{limit}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let command = ["sh", "-c", command].map(String::from).to_vec();
        let item = Item { group: "tests", command, limit, must, kept: Some("kept") };
        let outcome = execute(&item, &folder, &folder).expect("it starts");
        let kept = std::fs::read_to_string(folder.join("kept")).expect("it is kept");
        std::fs::remove_dir_all(&folder).expect("it is there");
        (outcome, kept)
    }

    #[test]
    fn a_command_is_reported_with_its_end_and_its_last_words() {
        let command = "echo '{\"a\": 1}'; echo note >&2";
        let (outcome, kept) = run_and_keep(command, Must::PrintJson, 60);
        assert_eq!(kept, "{\"a\": 1}\n");
        assert_eq!(outcome.problem, None);
        assert_eq!(outcome.result.expect("an object")["a"], 1);
        assert_eq!(outcome.tail, "{\"a\": 1}\nnote");
        let outcome = run("echo lost; exit 3", Must::Succeed, 61);
        assert_eq!((outcome.code, outcome.problem), (Some(3), Some("exit code 3".into())));
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let outcome = run("sleep 60", Must::Succeed, 1);
        assert_eq!(outcome.problem, Some("it did not end in time".into()));
        assert!(outcome.seconds < 59.0);
    }

    #[test]
    fn a_tail_is_whole_lines_where_the_text_is_long() {
        assert_eq!(tail("a\nb\n\n"), "a\nb");
        let long = "äb\n".repeat(3000);
        let end = tail(&long);
        assert!(end.len() < 6000 && end.starts_with("äb"), "{}", &end[..9]);
    }
}
