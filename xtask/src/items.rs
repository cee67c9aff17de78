//! What is run on a machine with a card, and how to tell that it went well.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bundle::{DATA, files};

/// What compute-sanitizer ends with when it found something.
const FOUND: i32 = 97;

/// One command.
pub(crate) struct Item {
    /// `doctor`, `tests`, ...
    pub(crate) group: &'static str,
    /// The program and its arguments, from the bundle's folder.
    pub(crate) command: Vec<String>,
    /// After so many seconds it is ended and has failed.
    pub(crate) limit: u64,
    /// What it must do.
    pub(crate) must: Must,
    /// The file in the report's folder that keeps what it prints.
    pub(crate) kept: Option<&'static str>,
}

/// What the report keeps of `ironwarp bench`: the figures and the page.
const FIGURES: &str = "bench.json";
const PAGE: &str = "report/bench.html";

/// What a command must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    /// End well.
    Succeed,
    /// End well and print one JSON object.
    PrintJson,
    /// Run tests, all of them.
    Test,
    /// End because compute-sanitizer found the planted fault.
    FindTheFault,
}

impl Must {
    /// Why it did not do it; none if it did.
    pub(crate) fn problem(self, code: Option<i32>, output: &str) -> Option<String> {
        let code = code.map_or("a signal".to_string(), |code| format!("exit code {code}"));
        if self == Must::FindTheFault {
            let found = code == format!("exit code {FOUND}");
            return (!found).then(|| format!("it did not find the planted fault: {code}"));
        }
        if code == "exit code 124" || code == "exit code 137" {
            return Some("it did not end in time".into());
        }
        if code != "exit code 0" {
            return Some(code);
        }
        match self {
            Must::PrintJson if json(output).is_none() => Some("it printed no JSON object".into()),
            Must::Test => skipped(output),
            _ => None,
        }
    }
}

/// The JSON object that a text is.
pub(crate) fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok().filter(Value::is_object)
}

/// What of the tests did not run: a card is not there to be skipped.
fn skipped(output: &str) -> Option<String> {
    if let Some(line) = output.lines().find(|line| line.contains("SKIPPED")) {
        return Some(line.into());
    }
    let result = output.lines().find_map(|line| line.strip_prefix("test result: ok. "));
    let Some(result) = result else { return Some("no result of tests was printed".into()) };
    let count = |what: &str| {
        let part = result.split("; ").find_map(|part| part.strip_suffix(what));
        part.and_then(|number| number.trim().parse::<usize>().ok()).unwrap_or(0)
    };
    match (count("passed"), count("ignored")) {
        (0, _) => Some("no test ran".into()),
        (_, 0) => None,
        (_, ignored) => Some(format!("{ignored} tests were ignored")),
    }
}

/// Everything in the bundle, in the order to run it.
pub(crate) fn all(bundle: &Path) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut add = |group, limit, must, command: &[&str]| {
        let kept = command.contains(&PAGE).then_some(FIGURES);
        let command = command.iter().map(ToString::to_string).collect();
        items.push(Item { group, command, limit, must, kept });
    };
    add("doctor", 120, Must::Succeed, &["bin/ironwarp", "doctor"]);
    add("doctor", 120, Must::PrintJson, &["bin/ironwarp", "doctor", "--json"]);
    let one_by_one = ["--skip", "emulated_", "--nocapture", "--test-threads=1"];
    // The planted faults run under the sanitizer alone.
    for test in programs(bundle, "test")?.iter().filter(|test| !test.ends_with("/sanitizer")) {
        add("tests", 600, Must::Test, &[&[&**test], &one_by_one[..]].concat());
    }
    if let Some(sanitizer) = sanitizer() {
        let found = format!("--error-exitcode={FOUND}");
        let faults = [
            ("memcheck", "a_write_past_the_end_is_found"),
            ("racecheck", "a_missing_barrier_is_found"),
        ];
        for (tool, fault) in faults {
            let under = [&*sanitizer, "--tool", tool, &*found, "bin/test/sanitizer", "--exact"];
            add("sanitizer", 300, Must::FindTheFault, &[&under[..], &[fault]].concat());
        }
        for tool in ["memcheck", "racecheck", "initcheck", "synccheck"] {
            let under = [&*sanitizer, "--tool", tool, &*found, "bin/test/cuda_ops"];
            add("sanitizer", 1200, Must::Test, &[&under[..], &one_by_one[..]].concat());
        }
    }
    for example in programs(bundle, "example")? {
        let name = example.rsplit('/').next().unwrap_or_default();
        let data = DATA.iter().find(|(reader, _)| *reader == name);
        let data = data.map(|(_, part)| format!("data/{part}"));
        let data: Vec<&str> = data.iter().flat_map(|data| ["--data", data]).collect();
        if data.last().is_some_and(|data| !bundle.join(data).exists()) {
            continue;
        }
        for device in ["cuda:0", "cpu"] {
            let on = [&*example, "--json", "--device", device];
            add("examples", 600, Must::PrintJson, &[&on[..], &data[..]].concat());
        }
    }
    for bench in programs(bundle, "bench")? {
        add("benches", 1200, Must::Succeed, &[&bench, "--bench"]);
    }
    add("benches", 1800, Must::PrintJson, &["bin/ironwarp", "bench", "--json", "--html", PAGE]);
    // Last, so that the benches ran by estimates.
    let mnist = ["--layers", "784,512,512,10", "--batch", "128", "--json"];
    add("benches", 600, Must::PrintJson, &[&["bin/ironwarp", "tune"], &mnist[..]].concat());
    Ok(items)
}

/// Programs of one kind, as paths from the bundle's folder.
fn programs(bundle: &Path, kind: &str) -> Result<Vec<String>, String> {
    let name = |path: &PathBuf| path.file_name()?.to_str().map(|name| format!("bin/{kind}/{name}"));
    let found: Vec<String> =
        files(&bundle.join("bin").join(kind))?.iter().filter_map(name).collect();
    if found.is_empty() { Err(format!("bin/{kind} is empty")) } else { Ok(found) }
}

/// compute-sanitizer, if it is installed.
pub(crate) fn sanitizer() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(std::env::var_os);
    let toolkits = toolkits.map(PathBuf::from).chain(["/usr/local/cuda".into()]);
    let folders = toolkits.flat_map(|kit| [kit.join("bin"), kit.join("compute-sanitizer")]);
    let mut files =
        std::env::split_paths(&path).chain(folders).map(|f| f.join("compute-sanitizer"));
    files.find(|file| file.is_file()).map(|file| file.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAN: &str = "test a ... ok\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.1s\n";

    #[test]
    fn tests_must_run_and_none_may_be_skipped() {
        let problem = |output: &str| Must::Test.problem(Some(0), output);
        assert_eq!(problem(RAN), None);
        assert_eq!(problem(""), Some("no result of tests was printed".into()));
        assert_eq!(problem(&RAN.replace("3 p", "0 p")), Some("no test ran".into()));
        assert_eq!(problem(&RAN.replace("0 i", "2 i")), Some("2 tests were ignored".into()));
        let skipped = format!("SKIPPED a: no compiler\n{RAN}");
        assert_eq!(problem(&skipped), Some("SKIPPED a: no compiler".into()));
        assert_eq!(Must::Test.problem(Some(101), RAN), Some("exit code 101".into()));
        assert_eq!(Must::Test.problem(None, RAN), Some("a signal".into()));
    }

    #[test]
    fn a_fault_that_is_not_found_and_a_hang_are_problems() {
        assert_eq!(Must::FindTheFault.problem(Some(FOUND), ""), None);
        for code in [0, 1, 124] {
            assert!(Must::FindTheFault.problem(Some(code), "").is_some());
            let problem = Must::Succeed.problem(Some(code), "");
            assert_eq!(problem.is_some(), code != 0, "{problem:?}");
        }
        assert!(Must::Succeed.problem(Some(124), "").is_some_and(|p| p.contains("in time")));
    }

    #[test]
    fn the_harness_runs_last_but_tuning_and_both_forms_are_kept() {
        let bundle = std::env::temp_dir().join(format!("gpu-items-{}", std::process::id()));
        for kind in ["test", "example", "bench"] {
            let folder = bundle.join("bin").join(kind);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join("one"), "").expect("a file");
        }
        let items = all(&bundle).expect("a whole bundle");
        std::fs::remove_dir_all(&bundle).expect("it is there");
        let [.., bench, tune] = &items[..] else { panic!("there are items") };
        let all = |item: &Item| item.command.join(" ");
        assert_eq!(all(bench), "bin/ironwarp bench --json --html report/bench.html");
        assert_eq!(
            (bench.kept, bench.must, bench.group),
            (Some(FIGURES), Must::PrintJson, "benches")
        );
        assert!(all(tune).contains("tune") && tune.kept.is_none(), "{}", all(tune));
        assert!(items.iter().filter(|item| item.kept.is_some()).count() == 1);
    }

    #[test]
    fn a_result_is_one_object() {
        assert_eq!(Must::PrintJson.problem(Some(0), "{\"a\": 1}\n"), None);
        for output in ["", "1", "Epoch 1\n{}", "{}{}"] {
            assert!(Must::PrintJson.problem(Some(0), output).is_some(), "{output}");
        }
    }
}
