//! Machines that can't train, each in a process of its own since a process looks at its cards once:
//! what they lack is said in one typed error. And one whose NVRTC is older than its card, which trains
//! by PTX.

use std::process::Command;

use emulator::Settings;
use ironwarp::error::DeviceError;
use ironwarp::exec::doctor::Diagnosis;
use ironwarp::prelude::*;
use ironwarp::train::Trial;

/// Names a child's machine.
const MACHINE: &str = "IRONWARP_TEST_MACHINE";

/// Machines, and what is said of those that can't train.
fn machines() -> [(&'static str, Settings, Option<&'static str>); 7] {
    let sound = Settings::default();
    [
        ("sound", sound, None),
        (
            "no card",
            Settings { devices: 0, ..sound },
            Some("the driver does not start: no CUDA-capable device is detected"),
        ),
        (
            "old card",
            Settings { capability: 70, ..sound },
            Some("the card has compute capability 7.0, and 7.5 is needed"),
        ),
        (
            "old driver",
            Settings { driver_version: 11080, ..sound },
            Some("it is of CUDA 11.8, and 12.0 is needed; update it"),
        ),
        (
            "NVRTC newer than the driver",
            Settings { driver_version: 12080, nvrtc_version: 13000, ..sound },
            Some("NVRTC 13.0 is newer than the driver, of CUDA 12.8"),
        ),
        (
            "NVRTC older than the card",
            Settings { capability: 130, nvrtc_version: 13000, ..sound },
            None,
        ),
        (
            "NVRTC older than the card, the driver older still",
            Settings { capability: 130, nvrtc_version: 13010, ..sound },
            Some("NVRTC 13.1 does not know compute capability 13.0, and the driver, of CUDA 13.0"),
        ),
    ]
}

/// A child of the test below; without a parent it does nothing.
#[test]
fn child() {
    let Ok(name) = std::env::var(MACHINE) else { return };
    let session = emulator::session().expect("the parent had one");
    let machine = machines().into_iter().find(|(machine, ..)| *machine == name);
    let (_, settings, expected) = machine.expect("the parent names one");
    session.configure(settings);
    let device = Device::cuda(0);
    let page = Diagnosis::of_this_machine();
    assert_eq!(page.is_ready(), expected.is_none(), "{page}");
    match (device, expected) {
        (Ok(device), None) => {
            let trial = Trial::of(&device).expect("trains");
            assert!(trial.is_within(), "{trial:?}");
        }
        (Err(DeviceError::Unusable { device, message }), Some(text)) => {
            assert_eq!(device, "cuda:0");
            assert!(message.contains(text) && message.contains("`ironwarp doctor`"), "{message}");
            assert!(page.to_string().contains(text), "{page}");
            let auto = Device::auto().expect("there is a CPU");
            assert!(auto.is_cpu() && auto.reason().contains(text), "{}", auto.reason());
        }
        (device, _) => panic!("{name}: {device:?}"),
    }
    assert!(session.counts().nothing_lives(), "{:?}", session.counts());
}

#[test]
fn emulated_each_machine_is_told_what_it_lacks() {
    if emulator::session().is_none() {
        return;
    }
    let program = std::env::current_exe().expect("this program");
    for (name, ..) in machines() {
        let mut child = Command::new(&program);
        let output = child.args(["--exact", "child", "--nocapture"]).env(MACHINE, name).output();
        let output = output.expect("a child");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {text}");
    }
}

/// Names the NVRTC that a child is to find.
const WANTED: &str = "IRONWARP_TEST_NVRTC";

/// A child of the test below; without a parent it does nothing.
#[test]
fn child_with_two() {
    let Ok(wanted) = std::env::var(WANTED) else { return };
    let session = emulator::session().expect("the parent had one");
    session.configure(Settings { driver_version: 12080, ..session.settings() });
    let found = Diagnosis::of_this_machine().nvrtc.path.expect("there are two");
    assert_eq!(found, std::path::Path::new(&wanted));
}

/// A toolkit of CUDA 13 before a package of CUDA 12, which a driver of CUDA 12 needs.
#[test]
fn emulated_a_name_of_any_version_comes_after_the_version_that_fits() {
    let Some(_session) = emulator::session() else { return };
    let stand_in = Diagnosis::of_this_machine().nvrtc.path.expect("the emulator's");
    let folder = tempfile::tempdir().expect("a folder");
    let [toolkit, package] = ["toolkit", "package"].map(|name| folder.path().join(name));
    let files = [
        toolkit.join("libnvrtc.so"),
        toolkit.join("libnvrtc.so.13"),
        package.join("libnvrtc.so.12"),
    ];
    for file in &files {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&stand_in, file).expect("a copy");
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "child_with_two", "--nocapture"]).env(WANTED, &files[2]);
    child.env("IRONWARP_CUDA_PATH", std::env::join_paths([&toolkit, &package]).expect("paths"));
    let output = child.output().expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
