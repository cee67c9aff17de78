//! The program `ironwarp`, run as a user runs it, and a table for it.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The program with these arguments, in a folder, without a GPU.
pub fn ironwarp(folder: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ironwarp"));
    program.args(arguments).current_dir(folder).env("CUDA_VISIBLE_DEVICES", "");
    program
}

/// What the program says on success.
pub fn said(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = ironwarp(folder, arguments).output().expect("it runs");
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{arguments:?}: {status}\n{errors}");
    String::from_utf8(stdout).expect("text")
}

/// The JSON that it says.
pub fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(folder, arguments)).expect("one JSON value alone")
}

/// How a failing call ends, and why.
pub fn failed(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = ironwarp(folder, arguments).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !text.contains("panicked"), "{arguments:?}\n{text}");
    (output.status.code(), text)
}

/// Rents of flats: 50 by the district, 10 a room; some cells missing, a street of its own each.
pub fn flats(folder: &Path) {
    let mut text = String::from("street,rooms,district,rent,\"sunny, or not\"\n");
    for row in 0..600 {
        let (rooms, district) = (row * 7 % 5 + 1, ["east", "north", "west"][row * 11 % 3]);
        let rent = 10 * rooms + 50 * (row * 11 % 3) + row % 2;
        let rooms = if row % 50 == 7 { String::new() } else { rooms.to_string() };
        let sunny = ["yes", "\"no, never\""][row % 2];
        writeln!(text, "{row} Elm St,{rooms},{district},{rent},{sunny}").unwrap();
    }
    fs::write(folder.join("flats.csv"), text).unwrap();
}

/// A training that takes a moment.
pub const SHORT: [&str; 8] =
    ["--hidden", "16", "--epochs", "40", "--batch", "16", "--learning-rate", "0.01"];

/// Arguments of a short training on [`flats`].
pub fn train<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["train", "flats.csv"][..], arguments, &SHORT].concat()
}

/// Trains with each of these flags alone, beside the arguments: each is in the help, makes a model of its
/// own, and the line that it leaves in the settings makes the same one again.
pub fn each_makes_its_own(
    folder: &Path,
    arguments: &[&str],
    name: &str,
    flags: &[(&[&str], &str)],
) {
    let train = |more: &[&str]| {
        said(folder, &[&["train"], arguments, more].concat());
        fs::read(folder.join(format!("{name}.safetensors"))).unwrap()
    };
    let help = said(folder, &["train", "--help"]);
    let mut models = vec![train(&[])];
    for (flag, line) in flags {
        let model = train(flag);
        assert!(
            help.contains(&format!("{} ", flag[0])) || help.contains(&format!("{}\n", flag[0]))
        );
        let settings = format!("{name}.toml");
        let text = fs::read_to_string(folder.join(&settings)).unwrap();
        assert!(text.lines().any(|found| found == *line), "{line}: {text}");
        said(folder, &["train", "--config", &settings, "--out", "again.safetensors"]);
        assert!(fs::read(folder.join("again.safetensors")).unwrap() == model, "{flag:?}");
        let other = models.iter().position(|other| *other == model);
        assert_eq!(other, None, "{flag:?} makes the model of that flag, or of none");
        models.push(model);
    }
}
