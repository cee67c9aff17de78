//! Measured choices: they change no bit, are remembered by later runs, and can be lost, damaged or
//! forced without harm.

use std::path::{Path, PathBuf};
use std::process::Command;

use emulator::Settings;
use ironwarp::prelude::*;
use ironwarp::train::Tuning;
use ndarray::{Array1, Array2};

/// Tells a child what to do.
const WORK: &str = "IRONWARP_TEST_TUNE";

fn cuda() -> Device {
    Device::cuda(0).expect("a device")
}

fn data() -> Dataset {
    let x = Array2::from_shape_fn((20, 4), |(i, j)| ((i * 7 + j * 13) % 23) as f32 / 11.0 - 1.0);
    let y: Array1<u32> = x.outer_iter().map(|r| u32::from(r[0] + r[1] > 0.0)).collect();
    Dataset::from_arrays(x, y).expect("sound data")
}

fn fit<'a>(work: &str, data: &Dataset) -> Fit<'a> {
    let fit = Fit::epochs(2).batch(8).validate(data).progress(Progress::Silent);
    fit.tune(work.contains("tuned"))
}

fn trainer() -> Trainer {
    let model = Model::input(4).dense(8).relu().dense(2);
    Trainer::new(&model, Adam::new(0.01)).device(cuda()).seed(3).build().expect("builds")
}

/// Trains as told, prints the plan, then the weights' bits.
fn train(work: &str) {
    let (data, mut trainer) = (data(), trainer());
    if work.contains("later") {
        // Plans are loaded, data held and steps taken before anything is measured.
        trainer.fit(&data, fit("", &data).step_limit(3)).expect("trains");
    }
    let history = trainer.fit(&data, fit(work, &data)).expect("trains");
    println!("{}", trainer.describe_plan(&data, &fit("", &data)).expect("a plan"));
    let names: Vec<_> = trainer.network().parameters().iter().map(|p| p.name.clone()).collect();
    let weights = names.iter().flat_map(|name| trainer.parameter(name).expect("a parameter"));
    let losses = history.epochs.iter().map(|epoch| epoch.loss.to_bits());
    let bits: Vec<_> = weights.map(f32::to_bits).collect();
    println!("RESULT {bits:x?} {:x?}", losses.collect::<Vec<_>>());
}

/// A child of the tests below; without a parent it does nothing.
#[test]
fn child() {
    let Ok(work) = std::env::var(WORK) else { return };
    let session = emulator::session().expect("the parent had one");
    match work.as_str() {
        "table" => {
            let model = Model::input(4).dense(8).relu().dense(2);
            let tuning = Tuning::of(&model, false, 8, &cuda()).expect("measures");
            println!("{tuning}\n{}", serde_json::to_string(&tuning).expect("plain data"));
        }
        "memory" => {
            let (data, mut trainer) = (data(), trainer());
            let fit = || fit("", &data).step_limit(1);
            trainer.fit(&data, fit()).expect("trains");
            trainer.describe_plan(&data, &fit()).expect("a plan");
            let before = session.counts();
            let tuning = trainer.tune(&data, &fit()).expect("measures");
            let now = session.counts();
            assert_eq!(tuning.steps.len(), 5);
            // The table, graphs and events of a burst are made again when they are needed.
            assert!(now.device_bytes <= before.device_bytes, "{before:?} and {now:?}");
            assert!(now.graphs <= before.graphs && now.events <= before.events);
            drop(trainer);
            assert!(session.counts().nothing_lives(), "{:?}", session.counts());
        }
        "file" => {
            let (data, folder) = (data(), tempfile::tempdir().expect("a folder"));
            let path = folder.path().join("model.safetensors");
            let mut trainer = trainer();
            trainer.fit(&data, fit("", &data).step_limit(1)).expect("trains");
            trainer.save(&path).expect("saves");
            let tuning = Tuning::of_file(&path, false, 8, &cuda()).expect("measures");
            assert_eq!(tuning.steps.len(), 5);
            let plan = self::trainer().describe_plan(&data, &fit("", &data)).expect("a plan");
            println!("{plan}");
        }
        _ => {
            if work.contains("foreign") {
                session.configure(Settings { capability: 80, ..session.settings() });
            }
            train(&work);
        }
    }
}

/// Runs a child with this cache and returns what it printed.
fn run(work: &str, cache: &Path) -> String {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "child", "--nocapture"]).env(WORK, work).env("IRONWARP_CACHE", cache);
    let output = child.output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn result(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("RESULT")).expect("a child tells its result")
}

/// Who chose the form of each step that has several.
fn origins(text: &str) -> Vec<&str> {
    let notes = text.lines().filter(|line| line.contains("-> matmul, "));
    notes.filter_map(|note| Some(note.split_once('(')?.1.split_once(')')?.0)).collect()
}

fn choices(cache: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(cache).expect("a folder").flatten().map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "choice")).collect()
}

#[test]
fn a_measured_choice_changes_no_bit_and_is_used_by_later_runs_until_it_is_lost() {
    if emulator::session().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("kernels");
    let plain = run("plain", &cache);
    let products = vec!["estimated"; 5];
    assert_eq!(origins(&plain), products, "{plain}");
    assert_eq!(choices(&cache), Vec::<PathBuf>::new());

    let tuned = run("tuned", &cache);
    assert_eq!(result(&tuned), result(&plain));
    assert_eq!(origins(&tuned), ["measured"; 5], "{tuned}");
    // Validation has two more products.
    assert_eq!(choices(&cache).len(), 7);

    let later = run("plain", &cache);
    assert_eq!(result(&later), result(&plain));
    assert_eq!(origins(&later), ["remembered"; 5], "{later}");

    // Any form may be named: it is run, and the bits stay.
    for tile in ["8x128", "128x128"] {
        for path in choices(&cache) {
            let text = std::fs::read_to_string(&path).expect("a text");
            let mut choice: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            choice["chosen"] = tile.into();
            std::fs::write(&path, choice.to_string()).expect("written");
        }
        let forced = run("plain", &cache);
        assert_eq!(result(&forced), result(&plain), "{tile}");
        assert_eq!(forced.matches(&format!("{tile} (remembered)")).count(), 5, "{forced}");
    }

    for path in choices(&cache) {
        std::fs::write(&path, "{\"card\": ").expect("written");
    }
    let damaged = run("plain", &cache);
    assert_eq!((result(&damaged), origins(&damaged)), (result(&plain), products));
    let again = run("tuned", &cache);
    assert_eq!((result(&again), origins(&again)), (result(&plain), vec!["measured"; 5]));
}

#[test]
fn a_plan_in_use_may_be_tuned_and_the_cache_may_be_off() {
    if emulator::session().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let off = Path::new("off");
    let (plain, tuned) = (run("later plain", off), run("later tuned", off));
    assert_eq!(result(&plain), result(&tuned));
    assert_eq!((origins(&plain), origins(&tuned)), (vec!["estimated"; 5], vec!["measured"; 5]));
    let cache = folder.path().join("kernels");
    assert_eq!(result(&run("later tuned", &cache)), result(&plain));
    assert_eq!(origins(&run("later plain", &cache)), ["remembered"; 5]);
}

#[test]
fn emulated_what_another_card_measured_is_not_used() {
    if emulator::session().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("kernels");
    run("tuned", &cache);
    assert_eq!(origins(&run("foreign", &cache)), ["estimated"; 5]);
}

#[test]
fn emulated_a_measurement_leaves_nothing_on_the_device() {
    if emulator::session().is_some() {
        run("memory", Path::new("off"));
    }
}

#[test]
fn the_table_shows_each_product_and_the_times_of_all_tiles() {
    if emulator::session().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let text = run("table", &folder.path().join("kernels"));
    for part in ["batches of 8", "dense_1", "[B, 4] [8, 4] [8] -> [B, 8]", "Later runs", "gain"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = text.lines().find(|line| line.starts_with('{')).expect("an object");
    let tuning: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let steps = tuning["steps"].as_array().expect("a list");
    assert_eq!(steps.len(), 5);
    for step in steps {
        let times = step["microseconds"].as_array().expect("a list");
        let time = |form: &serde_json::Value| {
            let found = times.iter().find(|pair| pair[0] == *form).expect("it was measured");
            found[1].as_f64().expect("a number")
        };
        let least = times.iter().map(|pair| time(&pair[0])).fold(f64::INFINITY, f64::min);
        assert_eq!(time(&step["fastest"]), least, "{step}");
        assert!(time(&step["estimated"]) >= least && times.len() > 1, "{step}");
    }
    assert!(run("table", Path::new("off")).contains("Nothing is remembered"));
}

#[test]
fn a_saved_model_is_measured_as_its_training_runs() {
    if emulator::session().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let text = run("file", &folder.path().join("kernels"));
    assert_eq!(origins(&text), ["remembered"; 5], "{text}");
}

#[test]
fn the_cpu_has_nothing_to_choose() {
    let data = data();
    let run = |work: &str| {
        let model = Model::input(4).dense(8).relu().dense(2);
        let trainer = Trainer::new(&model, Adam::new(0.01)).device(Device::cpu()).seed(3);
        let mut trainer = trainer.build().expect("builds");
        trainer.fit(&data, fit(work, &data)).expect("trains");
        let plan = trainer.training_plan(&data, &fit(work, &data)).expect("a plan").to_string();
        assert_eq!(trainer.describe_plan(&data, &fit(work, &data)).expect("a plan"), plan);
        trainer.parameter("dense_1.weight").expect("a parameter")
    };
    assert_eq!(run("tuned"), run("plain"));
}
