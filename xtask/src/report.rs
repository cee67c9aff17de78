//! The report of a run: one JSON file for programs and one text for people.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// How one command went.
pub(crate) struct Outcome {
    /// The item's group.
    pub(crate) group: &'static str,
    /// Program and arguments.
    pub(crate) command: String,
    /// None where a signal ended it.
    pub(crate) code: Option<i32>,
    /// How long it ran.
    pub(crate) seconds: f64,
    /// Why it failed, if it did.
    pub(crate) problem: Option<String>,
    /// The end of what it printed.
    pub(crate) tail: String,
    /// The JSON object that it printed, if it was one.
    pub(crate) result: Option<Value>,
}

/// How all went.
pub(crate) struct Report {
    commit: String,
    seconds_since_1970: u64,
    sanitizer: Option<String>,
    /// In the order run.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// An empty report of now, of this commit and with compute-sanitizer at this place.
    pub(crate) fn new(commit: &str, sanitizer: Option<String>) -> Report {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Report { commit: commit.into(), seconds_since_1970: now, sanitizer, outcomes: vec![] }
    }

    /// How many items failed.
    pub(crate) fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.problem.is_some()).count()
    }

    /// One line.
    pub(crate) fn verdict(&self) -> String {
        format!("{} items, {} failed", self.outcomes.len(), self.failed())
    }

    /// Writes `report.json` and `report.txt`.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), String> {
        let json = format!("{:#}\n", self.json());
        for (name, text) in [("report.json", json), ("report.txt", self.text())] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let item = |o: &Outcome| {
            json!({
                "group": o.group, "command": o.command, "exit_code": o.code, "seconds": o.seconds,
                "problem": o.problem, "result": o.result, "tail": o.tail,
            })
        };
        json!({
            "commit": self.commit,
            "seconds_since_1970": self.seconds_since_1970,
            "compute_sanitizer": self.sanitizer,
            "failed": self.failed(),
            "items": self.outcomes.iter().map(item).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        // Writing to a string never fails.
        let sanitizer = self.sanitizer.as_deref().unwrap_or("NOT INSTALLED");
        let mut text = format!("ironwarp {}: {}\n", self.commit, self.verdict());
        let _ = writeln!(text, "compute-sanitizer: {sanitizer}\n");
        for o in &self.outcomes {
            let verdict = o.problem.as_deref().map_or("passed".into(), |p| format!("FAILED: {p}"));
            let _ = writeln!(text, "{:8.1} s  {:<9}  {}  {verdict}", o.seconds, o.group, o.command);
        }
        for o in &self.outcomes {
            let _ = writeln!(text, "\n=== {}\n{}", o.command, o.tail);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_what_failed() {
        let outcome = |command: &str, problem: Option<&str>| Outcome {
            group: "tests",
            command: command.into(),
            code: Some(i32::from(problem.is_some())),
            seconds: 1.5,
            problem: problem.map(String::from),
            tail: format!("last words of {command}"),
            result: None,
        };
        let outcomes = vec![outcome("good", None), outcome("bad", Some("exit code 1"))];
        let report = Report { outcomes, ..Report::new("abc", None) };
        assert_eq!(report.failed(), 1);
        assert_eq!(report.json()["items"][1]["problem"], "exit code 1");
        assert_eq!(report.json()["items"][0]["problem"], Value::Null);
        let text = report.text();
        assert!(text.contains("bad  FAILED: exit code 1") && text.contains("last words of bad"));
    }
}
