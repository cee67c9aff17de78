//! The program `ironwarp` on a machine without a card, and asked wrongly.

use std::process::Command;

/// The program without a card: an error that fits on a screen.
#[test]
fn the_command_says_what_it_lacks() {
    let tune = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ironwarp"));
        program.arg("tune").args(arguments).env("CUDA_VISIBLE_DEVICES", "");
        let output = program.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = tune(&["--layers", "4,8,2"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("Error: device `cuda:0` is not usable"), "{text}");
    assert!(text.lines().count() < 25, "{text}");
    let (code, text) = tune(&["--layers", "4"]);
    assert!(code == Some(1) && text.contains("two widths"), "{text}");
    for wrong in [
        &["--layers", "4,x"][..],
        &["--layers", "4,2", "--batch", "0"],
        &[],
        &["a", "--layers", "4,2"],
    ] {
        assert_eq!(tune(wrong).0, Some(2), "{wrong:?}");
    }
}
