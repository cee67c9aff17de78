//! Settings of `ironwarp train`, each from its flag to the model: the run's file has its line, makes the
//! same model again, and wrong values are refused.

use std::fs;

use tempfile::TempDir;

#[path = "common/program.rs"]
mod program;
use program::{each_makes_its_own, failed, flats, json, said, train};

/// A nested column that is ignored is not read, and at prediction passed over.
#[test]
#[cfg(feature = "parquet")]
fn a_nested_column_is_ignored() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let nested = "tests/fixtures/parquet/nested_rows.parquet";
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(nested);
    let data = data.to_str().unwrap();
    let arguments = ["train", data, "-t", "y", "--task", "regression", "--epochs", "2"];
    let (code, text) = failed(folder, &arguments);
    let why = "column `tags`: it is nested";
    assert!(code == Some(3) && text.contains(why) && text.contains("`--ignore`"), "{text}");
    said(folder, &[&arguments[..], &["--ignore", "tags"]].concat());
    let settings = fs::read_to_string(folder.join("y.toml")).unwrap();
    assert!(settings.contains("ignore = [\"tags\"]"), "{settings}");
    said(folder, &["train", "--config", "y.toml", "--out", "again.safetensors"]);
    // There are fewer rows than a batch has by default.
    assert!(settings.contains("batch = 27\n"), "{settings}");
    let output = program::ironwarp(folder, &["predict", "y.safetensors", data]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1 + 40);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("Passed over, unknown to the model: tags"), "{told}");
    let (code, text) = failed(folder, &[&arguments[..], &["--ignore", "tags,tag"]].concat());
    assert!(code == Some(3) && text.contains("no column `tag`"), "{text}");
}

/// Rows that stay in files: what is done to columns follows from the first ones alone.
#[test]
fn a_table_is_spilled() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    let spill = ["-t", "rent", "--head", "300", "--spill", "rows", "--memory", "1", "--json"];
    let result = json(folder, &train(&spill));
    let count = |name: &str| result[name].as_u64().unwrap();
    let rows = ["train_rows", "validation_rows", "test_rows"].map(count);
    assert_eq!(rows, [408, 72, 120]);
    assert_eq!(result["report"]["rows"], 300);
    let [rmse, constant] = ["test_rmse", "baseline_constant"].map(|n| result[n].as_f64().unwrap());
    assert!(rmse < constant / 4.0, "{result:#}");
    // 128 bytes of header, 600 rows of 6 features.
    assert_eq!(fs::metadata(folder.join("rows/x.npy")).unwrap().len(), 128 + 600 * 6 * 4);
    let settings = fs::read_to_string(folder.join("rent.toml")).unwrap();
    for line in ["head = 300", "spill = \"rows\"", "memory = 1"] {
        assert!(settings.lines().any(|found| found == line), "{line}: {settings}");
    }
    let model = fs::read(folder.join("rent.safetensors")).unwrap();
    said(folder, &["train", "--config", "rent.toml", "--out", "again.safetensors"]);
    assert_eq!(fs::read(folder.join("again.safetensors")).unwrap(), model);
    let told = said(folder, &["predict", "rent.safetensors", "flats.csv", "--head", "7"]);
    assert_eq!(told.lines().count(), 1 + 7);

    // Of the first rows alone.
    let result = json(folder, &train(&["-t", "rent", "--head", "300", "--json"]));
    assert_eq!(result["test_rows"], 60);
    for (more, why) in [
        (&["--spill", "rows"][..], "--spill needs --head ROWS"),
        (&["--spill", "rows", "--head", "300", "--group-by", "street"], "leave --group-by away"),
        (&["--spill", "rows", "--head", "300", "--split-by-time", "rooms"], "--split-by-time away"),
        (&["--spill", "rows", "--head", "300", "--drop-duplicates"], "leave --drop-duplicates"),
        (&["--spill", "rows", "--head", "300", "--encoding", "target"], "encoded by the target"),
    ] {
        let (code, text) = failed(folder, &[&["train", "flats.csv", "-t", "rent"], more].concat());
        assert!([Some(2), Some(3)].contains(&code) && text.contains(why), "{more:?}: {text}");
    }
}

/// Arguments of a training that takes a moment and is long enough to differ.
fn base<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["flats.csv", "--epochs", "3", "--hidden", "8", "--batch", "64"], more].concat()
}

#[test]
fn each_optimizer_and_activation() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    let optimizers: [(&[&str], &str); 13] = [
        (&["--optimizer", "adam"], "optimizer = \"adam\""),
        (&["--optimizer", "ams-grad"], "optimizer = \"ams-grad\""),
        (&["--optimizer", "n-adam"], "optimizer = \"n-adam\""),
        (&["--optimizer", "r-adam"], "optimizer = \"r-adam\""),
        (&["--optimizer", "sgd"], "momentum = 0.9"),
        (&["--optimizer", "sgd", "--momentum", "0.5"], "momentum = 0.5"),
        (&["--optimizer", "rms-prop"], "momentum = 0.0"),
        (&["--optimizer", "adagrad"], "learning-rate = 0.01"),
        (&["--optimizer", "adadelta"], "learning-rate = 1.0"),
        (&["--optimizer", "lion"], "learning-rate = 0.0002"),
        (&["--weight-decay", "0.3"], "weight-decay = 0.3"),
        (&["--learning-rate", "0.003"], "learning-rate = 0.003"),
        (&["--batch", "64"], "batch = 64"),
    ];
    let arguments = ["flats.csv", "--epochs", "3", "--hidden", "8", "-t", "rent"];
    each_makes_its_own(folder, &arguments, "rent", &optimizers);
    let names = [
        "leaky-relu",
        "elu",
        "selu",
        "gelu",
        "gelu-tanh",
        "silu",
        "mish",
        "hard-swish",
        "softplus",
        "tanh",
        "sigmoid",
    ];
    let lines = names.map(|name| format!("activation = \"{name}\""));
    let flags = names.map(|name| ["--activation", name]);
    let flags: Vec<(&[&str], &str)> =
        flags.iter().zip(&lines).map(|(flag, line)| (&flag[..], line.as_str())).collect();
    each_makes_its_own(folder, &base(&["-t", "rent"]), "rent", &flags);
}

#[test]
fn rate_loss_and_gradients() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    let flags: [(&[&str], &str); 9] = [
        (&["--schedule", "linear"], "schedule = \"linear\""),
        (&["--schedule", "cosine"], "schedule = \"cosine\""),
        (&["--schedule", "one-cycle"], "schedule = \"one-cycle\""),
        (&["--warmup", "5"], "warmup = 5"),
        (&["--clip-norm", "0.1"], "clip-norm = 0.1"),
        (&["--accumulate", "2"], "accumulate = 2"),
        (&["--loss", "mean-absolute-error"], "loss = \"mean-absolute-error\""),
        (&["--loss", "huber"], "loss = \"huber\""),
        (&["--loss", "log-cosh"], "loss = \"log-cosh\""),
    ];
    each_makes_its_own(folder, &base(&["-t", "rent"]), "rent", &flags);
    let settings = fs::read_to_string(folder.join("rent.toml")).unwrap();
    assert!(settings.contains("schedule = \"plateau\""), "{settings}");
    let classes: [(&[&str], &str); 3] = [
        (&["--label-smoothing", "0.1"], "label-smoothing = 0.1"),
        (&["--balanced"], "balanced = true"),
        (&["--balanced-sampling"], "balanced-sampling = true"),
    ];
    let row =
        |i: u32| format!("{},{}\n", i % 17, if i.is_multiple_of(6) { "rare" } else { "common" });
    let rows: String = (0..300).map(row).collect();
    fs::write(folder.join("kinds.csv"), format!("x,kind\n{rows}")).unwrap();
    let arguments = ["kinds.csv", "-t", "kind", "--epochs", "3", "--hidden", "8"];
    each_makes_its_own(folder, &arguments, "kind", &classes);
    let settings = fs::read_to_string(folder.join("kind.toml")).unwrap();
    assert!(settings.contains("loss = \"cross-entropy\""), "{settings}");

    // A high rate makes the loss stand still, and plateau then lowers it.
    let long = ["flats.csv", "-t", "rent", "--hidden", "8", "--epochs", "40", "--patience", "9"];
    let long = [&long[..], &["--learning-rate", "0.3", "--batch", "32"]].concat();
    let constant: (&[&str], &str) = (&["--schedule", "constant"], "schedule = \"constant\"");
    each_makes_its_own(folder, &long, "rent", &[constant]);
}

#[test]
fn wrong_settings_are_refused_with_those_that_exist() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    fs::write(folder.join("typo.toml"), "optimizer = \"adamw\"\n").unwrap();
    for (arguments, why) in [
        (&["--optimizer", "adamw"][..], "[possible values: adam, adam-w, ams-grad, n-adam"),
        (&["--schedule", "step"], "[possible values: plateau, constant, linear"),
        (&["--loss", "mse"], "[possible values: cross-entropy, mean-squared-error"),
        (&["--activation", "swish"], "[possible values: relu, leaky-relu"),
        (&["--config", "typo.toml"], "expected one of `adam`, `adam-w`, `ams-grad`"),
        (&["--loss", "cross-entropy"], "cross-entropy is not for"),
        (&["-t", "district", "--loss", "huber"], "whose loss is cross-entropy"),
        (&["--label-smoothing", "0.1"], "--label-smoothing is for classes"),
        (&["--momentum", "0.9"], "--momentum is for the optimizers sgd and rms-prop"),
        (&["--clip-norm", "0"], "clipping limit must be above 0"),
        (&["--accumulate", "0"], "accumul"),
        (&["--label-smoothing", "2", "-t", "district"], "must be 0 or more and below 1"),
    ] {
        let target = if arguments.contains(&"-t") { &[][..] } else { &["-t", "rent"] };
        let (code, text) = failed(folder, &[&["train", "flats.csv"], target, arguments].concat());
        assert!(code == Some(2) && text.contains(why), "{arguments:?}: {code:?} {text}");
    }
}
