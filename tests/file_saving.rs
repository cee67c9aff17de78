//! Saving: full disks, unwritable folders, killed processes, links, locks.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ironwarp::error::FileError;
use ironwarp::file::{RunLock, TensorFile, check_target, write_atomically};
use ironwarp::tensor::HostTensor;
use serde_json::json;

/// A file whose elements and metadata all tell the same number.
fn numbered(number: u32, elements: usize) -> TensorFile {
    let tensor = HostTensor::f32(vec![elements], vec![number as f32; elements]).unwrap();
    TensorFile { tensors: [("w".into(), tensor)].into(), metadata: Some(json!(number)) }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn kind_of(error: &FileError) -> ErrorKind {
    match error {
        FileError::Io { source, .. } => source.kind(),
        other => panic!("not an I/O error: {other}"),
    }
}

/// The message and what the system said.
fn text_of(error: &FileError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

/// This test binary, to run one of its tests in another process, which knows by the variable that
/// it is the other one.
fn this_test_elsewhere(program: &str, name: &str, variable: &str, value: &Path) -> Command {
    let mut command = Command::new(program);
    command.env(variable, value);
    if program == "unshare" {
        command.arg("--map-root-user").arg("--mount").arg(std::env::current_exe().unwrap());
    }
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command
}

#[test]
fn a_file_is_written_replaced_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("größe 1.safetensors");
    for number in [1, 2] {
        numbered(number, 1000).write(&path).unwrap();
        assert_eq!(TensorFile::read(&path).unwrap(), numbered(number, 1000));
        assert_eq!(fs::read(&path).unwrap(), numbered(number, 1000).to_bytes().unwrap());
    }
    check_target(&path).unwrap();
    assert_eq!(names_in(folder.path()), ["größe 1.safetensors"]);
}

#[test]
fn reading_takes_at_most_twice_the_size_of_the_file() {
    const READER: &str = "IRONWARP_TEST_READER";
    const ELEMENTS: usize = 8 << 20;
    let name = "reading_takes_at_most_twice_the_size_of_the_file";
    if let Some(path) = std::env::var_os(READER) {
        let peak = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
        };
        let before = peak();
        let file = TensorFile::read(path).unwrap();
        // One MiB is for what the process does beside.
        let (taken, most) = (peak() - before, 2 * 4 * ELEMENTS + (1 << 20));
        assert!(taken <= most, "{taken} bytes taken, at most {most} expected");
        return assert_eq!(file, numbered(1, ELEMENTS));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    numbered(1, ELEMENTS).write(&path).unwrap();
    let program = std::env::current_exe().unwrap();
    let output =
        this_test_elsewhere(program.to_str().unwrap(), name, READER, &path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn permissions_are_the_usual_ones_or_those_of_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, path) = (folder.path().join("plain"), folder.path().join("model"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::write(&plain, b"").unwrap();
    write_atomically(&path, b"1").unwrap();
    assert_eq!(mode(&path), mode(&plain));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    write_atomically(&path, b"2").unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn unusable_targets_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"content").unwrap();
    let cases = [
        (folder.path().join("missing/model"), ErrorKind::NotFound, "create the folder"),
        (file.join("model"), ErrorKind::NotADirectory, "is not a folder"),
        (folder.path().to_path_buf(), ErrorKind::InvalidInput, "name a file"),
        (PathBuf::from("/"), ErrorKind::InvalidInput, "names no file"),
        (PathBuf::from(""), ErrorKind::InvalidInput, "names no file"),
        (folder.path().join(".."), ErrorKind::InvalidInput, "names no file"),
        (folder.path().join("n".repeat(300)), ErrorKind::InvalidFilename, "shorter"),
    ];
    for (path, kind, advice) in cases {
        for error in [check_target(&path).unwrap_err(), numbered(1, 1).write(&path).unwrap_err()] {
            assert_eq!(kind_of(&error), kind, "{}", text_of(&error));
            assert!(text_of(&error).contains(advice), "{}", text_of(&error));
        }
    }
    assert_eq!(names_in(folder.path()), ["file"]);
    assert_eq!(fs::read(&file).unwrap(), b"content");
}

#[test]
fn a_device_is_neither_replaced_nor_read() {
    let error = write_atomically("/dev/full", b"content").unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::InvalidInput);
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    // Endless, so reading it to the end would take all memory.
    let error = TensorFile::read("/dev/zero").unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::InvalidInput);
}

#[test]
fn a_folder_that_the_system_protects_is_refused() {
    // Not even root may create files there.
    let error = numbered(1, 1).write("/sys/model.safetensors").unwrap_err();
    let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    assert!(kinds.contains(&kind_of(&error)), "{}", text_of(&error));
    assert!(text_of(&error).contains("make it writable"), "{}", text_of(&error));
    RunLock::acquire("/sys").unwrap_err();
}

#[test]
fn a_full_disk_and_a_read_only_one_keep_the_old_file() {
    const INSIDE: &str = "IRONWARP_TEST_SMALL_DISK";
    let name = "a_full_disk_and_a_read_only_one_keep_the_old_file";
    if let Some(folder) = std::env::var_os(INSIDE) {
        return with_a_small_disk(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let can = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this system does not let the test mount a small disk of its own");
        return;
    }
    let output = this_test_elsewhere("unshare", name, INSIDE, folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn with_a_small_disk(folder: &Path) {
    let mount = |options: &str| {
        let arguments = ["-t", "tmpfs", "-o", options, "tmpfs"];
        assert!(Command::new("mount").args(arguments).arg(folder).status().unwrap().success());
    };
    mount("size=64k");
    let path = folder.join("model.safetensors");
    numbered(1, 5_000).write(&path).unwrap();
    for number in 2..5 {
        let error = numbered(number, 50_000).write(&path).unwrap_err();
        assert_eq!(kind_of(&error), ErrorKind::StorageFull, "{}", text_of(&error));
        assert!(text_of(&error).contains("the old file is kept"), "{}", text_of(&error));
        assert_eq!(TensorFile::read(&path).unwrap(), numbered(1, 5_000));
        assert_eq!(names_in(folder), ["model.safetensors"]);
    }
    numbered(5, 5_000).write(&path).unwrap();

    mount("remount,ro");
    check_target(&path).unwrap_err();
    let error = numbered(6, 10).write(&path).unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::ReadOnlyFilesystem, "{}", text_of(&error));
    assert_eq!(TensorFile::read(&path).unwrap(), numbered(5, 5_000));
}

#[test]
fn a_link_is_replaced_and_what_it_points_to_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (precious, link) = (folder.path().join("precious"), folder.path().join("link"));
    fs::write(&precious, b"precious").unwrap();
    symlink(&precious, &link).unwrap();
    write_atomically(&link, b"new").unwrap();
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read(&link).unwrap(), b"new");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());

    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("nowhere"), &dangling).unwrap();
    write_atomically(&dangling, b"new").unwrap();
    assert_eq!(names_in(folder.path()), ["dangling", "link", "precious"]);
}

#[test]
fn leftovers_of_the_dead_are_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let kept =
        [".m.tmp", ".m.123456.tmp.bak", ".m.1234567.tmp", ".other.123456.tmp", "m.123456.tmp"];
    for name in kept.into_iter().chain([".m.123456.tmp", ".m.live00.tmp"]) {
        fs::write(folder.path().join(name), b"partial").unwrap();
    }
    let live = fs::File::open(folder.path().join(".m.live00.tmp")).unwrap();
    live.lock().unwrap();
    write_atomically(folder.path().join("m"), b"content").unwrap();
    let mut expected: Vec<_> = kept.into_iter().chain([".m.live00.tmp", "m"]).collect();
    expected.sort_unstable();
    assert_eq!(names_in(folder.path()), expected);
}

#[test]
fn many_threads_save_to_one_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    numbered(number, 3000).write(path).expect("savers do not disturb each other");
                    let read = TensorFile::read(path).expect("the file is always whole");
                    let found = read.metadata.as_ref().and_then(|value| value.as_u64()).unwrap();
                    assert_eq!(read, numbered(found as u32, 3000));
                }
            });
        }
    });
    assert_eq!(names_in(folder.path()), ["model"]);
}

#[test]
fn a_process_killed_while_saving_leaves_a_whole_file() {
    const SAVER: &str = "IRONWARP_TEST_SAVER";
    const ELEMENTS: usize = 200_000;
    let name = "a_process_killed_while_saving_leaves_a_whole_file";
    if let Some(path) = std::env::var_os(SAVER) {
        let number = |file: TensorFile| file.metadata.unwrap().as_u64().unwrap() as u32;
        let start = TensorFile::read(&path).map_or(0, number);
        for next in start + 1.. {
            numbered(next, ELEMENTS).write(&path).unwrap();
            println!("\nsaved");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let program = std::env::current_exe().unwrap();
    let (mut last, mut torn) = (0, 0);
    for round in 0..50u64 {
        let mut command =
            this_test_elsewhere(program.to_str().unwrap(), name, SAVER, path.as_path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "saved"), "the saver saves");
        // Delays of 0 to 9,973 microseconds, in a scattered order.
        let delay = Duration::from_micros(round * 7919 % 9974);
        let start = Instant::now();
        while start.elapsed() < delay {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let file = TensorFile::read(&path).expect("the file is whole");
        let found = file.metadata.as_ref().unwrap().as_u64().unwrap();
        assert!(found > last, "save {last} was there before, now it is {found}");
        assert_eq!(file, numbered(found as u32, ELEMENTS));
        last = found;
        let leftovers = names_in(folder.path()).len() - 1;
        assert!(leftovers <= 1, "older leftovers are removed");
        torn += leftovers;
    }
    println!("{torn} of 50 kills came while a file was being written; {last} saves in all");
    numbered(0, 1).write(&path).unwrap();
    assert_eq!(names_in(folder.path()), ["model"]);
}

#[test]
fn a_folder_has_one_trainer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let lock = RunLock::acquire(folder.path()).unwrap();
    let error = RunLock::acquire(folder.path()).unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::WouldBlock);
    let owner = format!("process {}", std::process::id());
    assert!(text_of(&error).contains(&owner), "{}", text_of(&error));
    let other = tempfile::tempdir().unwrap();
    RunLock::acquire(other.path()).expect("another folder has another lock");
    drop(lock);
    RunLock::acquire(folder.path()).expect("the lock was given back");
}

#[test]
fn the_lock_of_a_killed_trainer_is_free() {
    const TRAINER: &str = "IRONWARP_TEST_TRAINER";
    let name = "the_lock_of_a_killed_trainer_is_free";
    if let Some(folder) = std::env::var_os(TRAINER) {
        let _lock = RunLock::acquire(folder).unwrap();
        println!("\nlocked");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut command = this_test_elsewhere(program.to_str().unwrap(), name, TRAINER, folder.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "locked"), "the trainer locks");
    let error = RunLock::acquire(folder.path()).unwrap_err();
    let owner = format!("process {}", child.id());
    assert!(text_of(&error).contains(&owner), "{}", text_of(&error));
    child.kill().unwrap();
    child.wait().unwrap();
    RunLock::acquire(folder.path()).expect("the dead hold no lock");
}

#[test]
fn a_lock_file_that_is_a_link_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, b"precious").unwrap();
    symlink(&precious, folder.path().join("run.lock")).unwrap();
    let error = RunLock::acquire(folder.path()).unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    let error = RunLock::acquire(folder.path().join("missing")).unwrap_err();
    assert!(text_of(&error).contains("create the folder"), "{}", text_of(&error));
}
