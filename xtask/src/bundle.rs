//! `gpu-bundle`: one folder that tests and measures a machine with a card and without Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What the folder may take.
const LIMIT: u64 = 60 << 20;

const RUN: &str = r#"#!/bin/sh
# Runs every test, sanitizer, example and bench of this folder on the card of this machine and writes
# report/report.json and report/report.txt; exit code 1 if anything failed. It needs the NVIDIA driver
# and NVRTC. Arguments choose groups: doctor tests sanitizer examples benches.
cd "$(dirname "$0")" && exec bin/xtask gpu-run "$@"
"#;

/// Parts of a data folder that examples can read, by example.
pub(crate) const DATA: [(&str, &str); 2] =
    [("mnist", "mnist-t10k"), ("housing", "housing/housing.csv")];

/// Builds everything, stripped, and collects it in `target/gpu-bundle`. Of `data` the folder
/// `mnist-t10k` and the file `housing/housing.csv` are taken along.
pub(crate) fn make(root: &Path, data: Option<&Path>) -> Result<(), String> {
    let folder = root.join("target/gpu-bundle");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| say(&folder, &e))?;
    }
    for (kind, names) in wanted(root)? {
        for program in build(root, kind, &names)? {
            let name = program.0;
            let place = folder.join("bin").join(if kind == "bin" { "" } else { kind }).join(name);
            strip(&program.1, &place)?;
        }
    }
    copy(&root.join("examples/data"), &folder.join("examples/data"))?;
    if let Some(data) = data {
        for (_, part) in DATA {
            copy(&data.join(part), &folder.join("data").join(part))?;
        }
    }
    let script = folder.join("run.sh");
    fs::write(&script, RUN).map_err(|e| say(&script, &e))?;
    succeed(Command::new("chmod").arg("+x").arg(&script))?;
    let commit = output(Command::new("git").args(["describe", "--always", "--dirty"]), root)?;
    let place = folder.join("commit");
    fs::write(&place, commit).map_err(|e| say(&place, &e))?;
    let bytes = size(&folder)?;
    let mib = bytes as f64 / f64::from(1 << 20);
    println!("{}: {mib:.1} MiB; copy it, then `./run.sh` there", folder.display());
    if bytes > LIMIT {
        return Err(format!("the folder may take {} MiB", LIMIT >> 20));
    }
    Ok(())
}

/// Cargo's kinds of targets and the names wanted of each.
fn wanted(root: &Path) -> Result<[(&'static str, Vec<String>); 4], String> {
    let stems = |folder: &str| -> Result<Vec<String>, String> {
        let mut stems: Vec<String> = files(&root.join(folder))?
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "rs"))
            .filter_map(|file| Some(file.file_stem()?.to_str()?.to_string()))
            .collect();
        stems.sort();
        Ok(stems)
    };
    let mut tests = stems("tests")?;
    tests.retain(|t| t.starts_with("cuda_") || ["kernels", "sanitizer"].contains(&t.as_str()));
    let mut benches = stems("benches")?;
    benches.retain(|bench| ["step", "ops"].contains(&bench.as_str()));
    let programs = vec!["ironwarp".into(), "xtask".into()];
    Ok([("bin", programs), ("test", tests), ("example", stems("examples")?), ("bench", benches)])
}

/// Builds targets of one kind and returns their files by name.
fn build(root: &Path, kind: &str, names: &[String]) -> Result<Vec<(String, PathBuf)>, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    match kind {
        "test" => command.args(["test", "--no-run", "--release"]),
        "bench" => command.args(["bench", "--no-run"]),
        _ => command.args(["build", "--release", "-p", "ironwarp", "-p", "xtask"]),
    };
    command.args(["--locked", "--message-format=json-render-diagnostics"]);
    for name in names {
        command.arg(format!("--{kind}={name}"));
    }
    let text = output(&mut command, root)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built: Vec<(String, PathBuf)> = messages
        .filter(|message| message["target"]["kind"][0] == kind)
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?;
            Some((name.to_string(), message["executable"].as_str()?.into()))
        })
        .filter(|(name, _)| names.contains(name))
        .collect();
    match names.iter().find(|name| !built.iter().any(|(built, _)| built == *name)) {
        Some(name) => Err(format!("cargo built no {kind} `{name}`")),
        None => Ok(built),
    }
}

fn strip(program: &Path, place: &Path) -> Result<(), String> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder).map_err(|e| say(folder, &e))?;
    succeed(Command::new("strip").arg("-o").arg(place).arg(program))
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if from.is_dir() {
        let name = |file: &PathBuf| to.join(file.file_name().unwrap_or_default());
        return files(from)?.iter().try_for_each(|file| copy(file, &name(file)));
    }
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|e| say(folder, &e))?;
    let bytes = fs::read(from).map_err(|e| say(from, &e))?;
    fs::write(to, bytes).map_err(|e| say(to, &e))
}

/// What a folder holds.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| say(folder, &e))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64, String> {
    let each = |path: &PathBuf| match path.is_dir() {
        true => size(path),
        false => path.metadata().map(|about| about.len()).map_err(|e| say(path, &e)),
    };
    files(folder)?.iter().map(each).sum()
}

fn output(command: &mut Command, root: &Path) -> Result<String, String> {
    let output = command.current_dir(root).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| format!("cannot run {command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?} failed")),
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{command:?} failed")),
        Err(error) => Err(format!("cannot run {command:?}: {error}")),
    }
}

fn say(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
