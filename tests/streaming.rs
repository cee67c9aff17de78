//! Training on data that stays in files: the same bits as in memory where the order is the same, each
//! row once an epoch where it is not, and files that are cut.

#[path = "common/training.rs"]
mod training;

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;

use ironwarp::data::npy;
use ironwarp::prelude::*;
use training::{bits, cpu, files, quiet};

const ROWS: usize = 203;
const WIDTH: usize = 5;
const BATCH: usize = 7;
/// Bytes of a row: five numbers and a label.
const ROW: usize = 4 * (WIDTH + 1);

/// An NPY file.
fn write(path: &Path, letters: &str, sizes: &str, elements: impl IntoIterator<Item = [u8; 4]>) {
    let header = format!("{{'descr': '{letters}', 'fortran_order': False, 'shape': {sizes}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(elements.into_iter().flatten());
    std::fs::write(path, bytes).expect("a file");
}

/// Rows of numbers and a label, in two files.
fn write_rows(folder: &Path) {
    let x = training::numbers(ROWS * WIDTH, 1);
    let labels = x.chunks(WIDTH).map(|r| u32::from(r[0] * r[1] > 0.1).to_be_bytes());
    write(&folder.join("y.npy"), ">i4", &format!("({ROWS},)"), labels);
    let x = x.iter().map(|x| x.to_le_bytes());
    write(&folder.join("x.npy"), "<f4", &format!("({ROWS}, {WIDTH})"), x);
}

fn held(folder: &Path) -> Dataset {
    Dataset::npy(folder.join("x.npy"), folder.join("y.npy")).expect("sound files")
}

/// With so many rows in memory, half of them in each window.
fn streamed(folder: &Path, rows: usize) -> Dataset {
    let data = Dataset::stream_npy(folder.join("x.npy"), folder.join("y.npy"));
    data.expect("sound files").with_memory(rows * ROW)
}

fn begin() -> Trainer {
    let model = Model::input(WIDTH).dense(6).tanh().dropout(0.1).dense(2);
    let builder = Trainer::new(&model, Adam::new(0.02));
    builder.device(cpu(1)).seed(9).build().expect("a trainer")
}

/// What training on some data ends with.
fn trained(data: &Dataset, fit: Fit<'_>) -> (Vec<(String, Vec<u32>)>, Vec<u64>) {
    let mut trainer = begin();
    let history = trainer.fit(data, fit).expect("training");
    (bits(&trainer), history.epochs.iter().map(|e| e.loss.to_bits()).collect())
}

#[test]
fn data_that_fits_gives_the_bits_of_data_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    write_rows(folder.path());
    let (own, data) = (held(folder.path()), streamed(folder.path(), ROWS));
    assert_eq!((data.windows(), data.is_streamed()), (None, true));
    assert_eq!(data.fingerprint().expect("reads"), own.fingerprint().expect("reads"));
    let part = |data: &Dataset| data.rows(20..90).fingerprint().expect("reads");
    assert_eq!(part(&data), part(&own));
    let fit = || quiet(3, BATCH).validate(&own.rows(..40));
    assert_eq!(trained(&data, fit()), trained(&own, fit()));
    // Evaluation and prediction read rows of files as of memory.
    let mut trainer = begin();
    assert_eq!(
        trainer.evaluate(&streamed(folder.path(), 8)).expect("evaluates"),
        trainer.evaluate(&own).expect("evaluates")
    );
}

#[test]
fn in_the_datas_own_order_windows_of_any_size_give_the_bits_of_data_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    write_rows(folder.path());
    let weights = || (0..ROWS).map(|i| 0.5 + i as f32 / 64.0).collect::<Vec<_>>();
    let own = held(folder.path()).with_weights(weights()).expect("weights");
    let fit = || quiet(2, BATCH).accumulate(2).shuffle(false);
    let expected = trained(&own, fit());
    for rows in [1, 2, 9, 26, 130, ROWS - 1] {
        let data = streamed(folder.path(), rows).with_weights(weights()).expect("weights");
        assert!(data.windows().is_some(), "{rows} rows");
        assert_eq!(trained(&data, fit()), expected, "{rows} rows in memory");
    }
    let (own, data) = (own.rows(11..190), streamed(folder.path(), 60).rows(11..190));
    let data = data.with_weights(weights()[11..190].to_vec()).expect("weights");
    assert_eq!(trained(&data, fit()), trained(&own, fit()), "a range of rows");
    let augmented = || fit().augment(Augment::new().flip_horizontal(0.5).noise(0.2));
    assert_eq!(trained(&data, augmented()), trained(&own, augmented()), "augmented rows");
    assert_ne!(trained(&data, augmented()), trained(&data, fit()));
}

/// And rows shuffled in windows train otherwise than rows shuffled all together.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    write_rows(folder.path());
    for rows in [3, 40, 130] {
        let data = streamed(folder.path(), rows);
        let expected = trained(&data, quiet(3, BATCH).loading_threads(1));
        for threads in [2, 5] {
            let again = trained(&data, quiet(3, BATCH).loading_threads(threads));
            assert_eq!(again, expected, "{rows} rows in memory, {threads} threads");
        }
        assert_ne!(expected, trained(&held(folder.path()), quiet(3, BATCH)));
    }
}

#[test]
fn a_streamed_run_is_resumed_in_the_middle_of_an_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    write_rows(folder.path());
    let data = streamed(folder.path(), 40);
    let fit = || quiet(2, BATCH).accumulate(2);
    let mut straight = begin();
    straight.fit(&data, fit()).expect("training");
    let expected = files(&straight, folder.path());
    let path = folder.path().join("interrupted");
    let mut interrupted = begin();
    for step in 1..straight.steps() {
        interrupted.fit(&data, fit().step_limit(1)).expect("a step");
        interrupted.save_checkpoint(&path).expect("a checkpoint");
        let mut resumed = begin();
        resumed.resume(&path).expect("the checkpoint fits");
        resumed.fit(&data, fit()).expect("training");
        assert!(files(&resumed, folder.path()) == expected, "interrupted after step {step}");
    }
    let mut resumed = begin();
    resumed.resume(&path).expect("the checkpoint fits");
    let other = resumed.fit(&streamed(folder.path(), 60), fit()).expect_err("other windows");
    assert!(other.to_string().contains("windows was Some("), "{other}");
}

#[test]
fn a_file_that_is_cut_is_an_error_with_row_and_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    write_rows(folder.path());
    let path = folder.path().join("x.npy");
    let whole = std::fs::metadata(&path).expect("a file").len();
    let data = streamed(folder.path(), 40);
    let file = OpenOptions::new().write(true).open(&path).expect("a file");
    file.set_len(whole - 402).expect("cut");
    // Row 182 lacks its last two bytes.
    let expected = format!("`{}`, row 182, byte ", path.display());
    let fit = quiet(1, BATCH).shuffle(false).loading_threads(1);
    let error = begin().fit(&data, fit).expect_err("cut").to_string();
    assert!(error.starts_with(&expected), "{error}");
    let lengths = format!("the file has {} bytes, it had {whole} when it was opened", whole - 402);
    assert!(error.contains(&lengths), "{error}");
    let error = begin().evaluate(&data).expect_err("cut").to_string();
    assert!(error.starts_with(&expected), "{error}");
    let error = npy::open(&path).expect_err("cut").to_string();
    assert!(error.contains("are more than the"), "{error}");
}

#[test]
fn what_no_window_can_be_made_of_is_refused_when_it_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.npy");
    let opened = |letters, values: [u32; 3]| {
        write(&path, letters, "(3,)", values.map(u32::to_le_bytes));
        let array = npy::open(&path).expect("a sound header");
        array.target("y").expect_err("refused").to_string()
    };
    let error = opened("<f4", [0, 0, 0x7fc0_0000]);
    assert!(error.starts_with("column `y`, row 2: NaN is not a finite number"), "{error}");
    let error = opened("<i4", [5, u32::MAX, 5]);
    assert!(error.contains("column `y`, row 1: -1 is not an index"), "{error}");
    write(&path, "<i4", "(3,)", [1, 2, 3].map(u32::to_le_bytes));
    let x = npy::open(&path).expect("opens").numbers("x").expect("numbers");
    let y = npy::open(&path).expect("opens").indices("y").expect("indices");
    let data = Dataset::new(vec![x], vec![y]).expect("data");
    assert_eq!(data.classes(), 4);
    // The file was written anew while it was open: a label above all that were there.
    write(&path, "<i4", "(3,)", [1, 9, 3].map(u32::to_le_bytes));
    let error = begin_of(1, 4).fit(&data, quiet(1, 1)).expect_err("changed").to_string();
    assert!(error.contains("9, where no index was above 3"), "{error}");
    assert!(error.contains(", row 1, byte "), "{error}");
}

fn begin_of(width: usize, classes: usize) -> Trainer {
    let model = Model::input(width).dense(classes);
    Trainer::new(&model, Adam::new(0.02)).device(cpu(1)).build().expect("a trainer")
}

const FOLDER: &str = "IRONWARP_TEST_STREAMED_MEMORY";
/// Bytes of the file, and what may be held of it.
const LARGE: usize = 192 << 20;
const MEMORY: usize = 16 << 20;

/// The largest resident size of this process, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// A child of the test below. Without a parent it does nothing.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let data = Dataset::stream_npy(folder.join("x.npy"), folder.join("y.npy"));
    let data = data.expect("sound files").with_memory(MEMORY);
    let mut trainer = begin_of(1024, 2);
    let before = peak();
    trainer.fit(&data, quiet(1, 256)).expect("training");
    std::fs::write(folder.join("peak"), format!("{before} {}", peak())).expect("a file");
}

#[test]
fn memory_stays_within_what_may_be_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = LARGE / 4096;
    let row: Vec<[u8; 4]> = (0..1024).map(|i| (i as f32 / 1024.0).to_le_bytes()).collect();
    let x = (0..rows).flat_map(|_| row.iter().copied());
    write(&folder.path().join("x.npy"), "<f4", &format!("({rows}, 1024)"), x);
    let y = (0..rows as u32).map(|i| (i % 2).to_le_bytes());
    write(&folder.path().join("y.npy"), "<u4", &format!("({rows},)"), y);
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program);
    let child = child.args(["--exact", "child", "--quiet"]).env(FOLDER, folder.path());
    assert!(child.status().expect("a child").success());
    let peaks = std::fs::read_to_string(folder.path().join("peak")).expect("two numbers");
    let (before, after) = peaks.split_once(' ').expect("two numbers");
    let (before, after): (usize, usize) =
        (before.parse().expect("a number"), after.parse().expect("a number"));
    println!("peak {before} bytes before training, {after} after");
    // Beside the windows: one batch, the plan, buffers of the threads that read.
    let beside = 24 << 20;
    assert!(after - before <= MEMORY + beside, "{before} bytes, then {after}");
}

/// Rows are drawn from files that fit as from memory, and not from windows.
#[test]
fn rows_are_drawn_from_files_that_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    write_rows(folder.path());
    let fit = || quiet(3, BATCH).sample_balanced();
    let expected = trained(&held(folder.path()), fit());
    assert_eq!(trained(&streamed(folder.path(), ROWS), fit()), expected);
    let error = begin().fit(&streamed(folder.path(), 60), fit()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("cannot be drawn from all; raise `with_memory`"), "{error}");
}
