//! `ironwarp train`, `predict` and `inspect`, as a user runs them.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[path = "common/program.rs"]
mod program;
use program::{SHORT, failed, flats, ironwarp, json, said, train};

#[test]
fn from_a_table_to_predictions() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    let text = said(folder, &train(&["--target", "rent"]));
    for part in [
        "Ignored: street (has a word for most rows)",
        "rooms          number",
        "Rows: 408 for training, 72",
        "6 features",
        "linear model",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let result =
        json(folder, &train(&["--target", "rent", "--json", "--out", "again.safetensors"]));
    let [rmse, constant] = ["test_rmse", "baseline_constant"].map(|n| result[n].as_f64().unwrap());
    assert!(rmse < constant / 4.0, "{result:#}");
    assert!(result["baseline_linear"].is_f64() && result["task"] == "regression", "{result:#}");
    let model = fs::read(folder.join("rent.safetensors")).unwrap();
    assert_eq!(fs::read(folder.join("again.safetensors")).unwrap(), model, "not the same bits");

    // The settings that were written make the same model again.
    said(folder, &["train", "--config", "rent.toml", "--out", "third.safetensors"]);
    assert_eq!(fs::read(folder.join("third.safetensors")).unwrap(), model);

    // Columns in another order, one unknown, the target and an ignored one not there.
    let new = "district,unknown,\"sunny, or not\",rooms\nwest,1,yes,5\neast,2,\"no, never\",1\n";
    fs::write(folder.join("new.csv"), new).unwrap();
    let told = said(folder, &["predict", "rent.safetensors", "new.csv"]);
    let lines: Vec<&str> = told.lines().collect();
    let rents: Vec<f64> = lines[1..].iter().map(|line| line.parse().unwrap()).collect();
    assert!(lines[0] == "rent" && rents.len() == 2, "{told}");
    assert!((rents[0] - 150.0).abs() < 30.0 && (rents[1] - 11.0).abs() < 30.0, "{told}");
    said(folder, &["predict", "rent.safetensors", "new.csv", "--out", "rents.csv"]);
    assert_eq!(fs::read_to_string(folder.join("rents.csv")).unwrap(), told);

    let inside = json(folder, &["inspect", "rent.safetensors", "--json"]);
    assert_eq!((&inside["kind"], &inside["parameters"]), (&"model".into(), &(7 * 16 + 17).into()));
    let text = said(folder, &["inspect", "rent.safetensors"]);
    assert!(text.contains("3 features, east if missing: east, north, west"), "{text}");
}

#[test]
fn words_are_classes() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    let result = json(folder, &train(&["--target", "district", "--json", "--balanced"]));
    assert_eq!(result["task"], "classification");
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.9, "{result:#}");
    let told = said(folder, &["predict", "district.safetensors", "flats.csv", "--probabilities"]);
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("district,district=east,district=north,district=west"));
    let sums = lines.map(|line| line.split(',').skip(1).map(|x| x.parse::<f64>().unwrap()).sum());
    let sums: Vec<f64> = sums.collect();
    assert!(sums.len() == 600 && sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{told}");
    let weighted = fs::read(folder.join("district.safetensors")).unwrap();
    let drawn = json(folder, &train(&["--target", "district", "--json", "--balanced-sampling"]));
    assert!(drawn["test_accuracy"].as_f64().unwrap() > 0.9, "{drawn:#}");
    assert!(fs::read(folder.join("district.safetensors")).unwrap() != weighted);
    let rows = json(folder, &["predict", "district.safetensors", "flats.csv", "--json"]);
    assert!(rows[599]["district"].is_string() && rows[599]["probability"].is_f64(), "{rows}");
}

/// Each step of preparation that a flag asks for goes into the model's file, and raw cells through
/// it when the model predicts.
#[test]
fn what_flags_ask_for_is_in_the_file() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    for (flags, seen) in [
        (&["--encoding", "target"][..], &["mean of the target for"][..]),
        (&["--missing", "neighbours", "--neighbours", "3"], &["of 1 features from 3 of 408 rows"]),
        (&["--polynomial", "all"], &["squares and products of 6 features"]),
        (
            &["--interactions", "rooms,district", "--pca", "all", "--whiten"],
            &["products of 4 features", "12 principal components of 12 features, whitened"],
        ),
        (&["--pca", "district,rooms", "--pca-components", "3"], &["3 principal components of 4"]),
    ] {
        let result = json(folder, &train(&[&["--target", "rent", "--json"], flags].concat()));
        let [rmse, constant] =
            ["test_rmse", "baseline_constant"].map(|n| result[n].as_f64().unwrap());
        assert!(rmse < constant / 2.0, "{flags:?}: {result:#}");
        let told = said(folder, &["inspect", "rent.safetensors"]);
        assert!(seen.iter().all(|part| told.contains(part)), "{flags:?}: {told}");
        let rents = said(folder, &["predict", "rent.safetensors", "flats.csv"]);
        let rents = rents.lines().skip(1).map(|line| line.parse::<f64>().unwrap());
        assert!(rents.clone().count() == 600 && rents.clone().all(f64::is_finite), "{flags:?}");
        // Rents are 10 to 151: those of the west, two rooms more, are above those of the east.
        let rents: Vec<f64> = rents.collect();
        assert!(rents[1] > rents[0] + 40.0, "{flags:?}: {:?}", &rents[..6]);
    }
}

/// Two years of days, of which weekends sell more: in a model, in its file, and in new rows.
#[test]
fn dates_are_split() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut text = String::from("day,sold\n");
    let (mut month, mut date, lengths) = (1, 1, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
    for row in 0..730 {
        // 2022 began on a Saturday.
        let weekend = row % 7 < 2;
        let (year, sold) = (2022 + row / 365, if weekend { 90 } else { 40 } + row % 3);
        writeln!(text, "{year}-{month:02}-{date:02},{sold}").unwrap();
        (month, date) = if date < lengths[month - 1] { (month, date + 1) } else { (month + 1, 1) };
        month = (month - 1) % 12 + 1;
    }
    fs::write(folder.join("flats.csv"), text).unwrap();
    let result = json(folder, &train(&["--target", "sold", "--json", "--cyclic-dates"]));
    assert_eq!(result["report"]["columns"][0]["kind"], "date");
    let rmse = result["test_rmse"].as_f64().unwrap();
    assert!(rmse < result["baseline_constant"].as_f64().unwrap() / 2.0, "{result:#}");
    let told = said(folder, &["inspect", "sold.safetensors"]);
    assert!(told.contains("day.weekday sine") && !told.contains("hour"), "{told}");
    fs::write(folder.join("new.csv"), "day\n2024-03-02\n2024-03-05\n").unwrap();
    let sold = said(folder, &["predict", "sold.safetensors", "new.csv"]);
    let sold: Vec<f64> = sold.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert!(sold[0] > sold[1] + 20.0, "{sold:?}");

    // No day is above 12: somebody must say that the day comes first.
    let row = |i| format!("{}.{}.2024,{},{i}\n", i % 12 + 1, i / 12 + 1, i % 7);
    let rows: String = (0..100).map(row).collect();
    fs::write(folder.join("flats.csv"), format!("day,x,sold\n{rows}")).unwrap();
    let kind = |flags: &[&'static str]| {
        let result = json(folder, &train(&[&["-t", "sold", "--json"], flags].concat()));
        result["report"]["columns"][0]["kind"].as_str().unwrap().to_string()
    };
    assert_eq!(kind(&[]), "category");
    assert_eq!(kind(&["--dates", "day"]), "date");
    fs::write(folder.join("new.csv"), "x,day\n3,1.2.2024\n").unwrap();
    let sold = said(folder, &["predict", "sold.safetensors", "new.csv"]);
    assert!(sold.lines().nth(1).is_some_and(|line| line.parse::<f64>().is_ok()), "{sold}");
}

/// Of 600 rows the test has the last fifth by time, or whole groups.
#[test]
fn rows_are_split_by_time_or_groups() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut text = String::from("when,who,x,y\n");
    for row in 0..600 {
        let when = row * 7 % 600;
        writeln!(text, "{when},w{},{},{}", row % 12, row % 5, row % 5 + when / 480 * 1000).unwrap();
    }
    fs::write(folder.join("flats.csv"), text).unwrap();
    // Only rows of the test have large targets, so that the best constant is far off by time alone.
    let arguments = ["--target", "y", "--task", "regression", "--json", "--ignore", "when,who"];
    let by = |more: &[&'static str]| json(folder, &train(&[&arguments[..], more].concat()));
    let (random, time) = (by(&[]), by(&["--split-by-time", "when"]));
    let constant = |result: &Value| result["baseline_constant"].as_f64().unwrap();
    assert!(constant(&random) < 600.0 && constant(&time) > 900.0, "{random:#} {time:#}");
    let groups = by(&["--group-by", "who"]);
    let test = groups["test_rows"].as_u64().unwrap();
    assert!(test % 50 == 0 && test > 0, "{groups:#}");
    fs::write(folder.join("flats.csv"), classes_of_groups()).unwrap();
    let grouped = json(folder, &train(&["--target", "kind", "--json", "--group-by", "who"]));
    assert_eq!(grouped["test_rows"], 40, "{grouped:#}");
    let both = train(&["-t", "y", "--split-by-time", "when", "--group-by", "who"]);
    assert!(failed(folder, &both).1.contains("cannot be used with"));
}

/// Ten groups of 20 rows, in five of which a fifth is of a rare kind: the test has two groups, one
/// of these.
fn classes_of_groups() -> String {
    let mut text = String::from("who,x,kind\n");
    for row in 0..200 {
        let kind = if row % 20 < 4 && row / 20 < 5 { "rare" } else { "common" };
        writeln!(text, "w{},{},{kind}", row / 20, row % 20).unwrap();
    }
    text
}

#[test]
fn codes_tell_what_went_wrong() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    fs::write(folder.join("bad.csv"), "a,b\n1,2\n3\n").unwrap();
    fs::write(folder.join("semicolons.csv"), "a;b\n1;2\n").unwrap();
    fs::write(folder.join("bad.toml"), "target = \"rent\"\nepoch = 3\n").unwrap();
    fs::write(folder.join("no.safetensors"), "no model").unwrap();
    for (code, arguments, why) in [
        (2, &["train", "flats.csv", "--epochs", "many"][..], "invalid value 'many'"),
        (2, &["train", "flats.csv"], "name the column to predict with --target"),
        (2, &["train", "--config", "bad.toml"], "unknown field `epoch`"),
        (2, &["train", "flats.csv", "-t", "rent", "--test", "1.5"], "--test is 1.5"),
        (2, &["train", "flats.csv", "-t", "rent", "--epochs", "0"], "epochs must be at least 1"),
        (
            2,
            &["train", "flats.csv", "-t", "rent", "--balanced-sampling"],
            "balanced sampling: this needs",
        ),
        (2, &["train", "flats.csv", "-t", "rent", "--learning-rate", "-1"], "learning"),
        (2, &["train", "flats.csv", "-t", "rent", "--whiten"], "--pca"),
        (3, &["train", "semicolons.csv", "-t", "b"], "if `;` stands between fields, say so"),
        (3, &["train", "flats.csv", "-t", "rent", "--ignore", "foo"], "no column `foo`"),
        (3, &["train", "flats.csv", "-t", "rent", "--pca", "foo"], "no column `foo`"),
        (3, &["train", "none.csv", "-t", "rent"], "none.csv"),
        (3, &["train", "bad.csv", "-t", "b"], "`bad.csv`, line 3: 1 fields, but the header has 2"),
        (3, &["train", "flats.csv", "-t", "cost"], "there is no column `cost`"),
        (3, &["train", "flats.csv", "-t", "rent", "-o", "none/x"], "none"),
        (4, &["train", "flats.csv", "-t", "rent", "--device", "cuda:0"], "`cuda:0` is not usable"),
        (3, &["predict", "no.safetensors", "flats.csv"], "no.safetensors"),
        (3, &["inspect", "none.safetensors"], "none.safetensors"),
    ] {
        let (found, text) = failed(folder, arguments);
        assert!(found == Some(code) && text.contains(why), "{arguments:?}: {found:?}\n{text}");
    }
    // What can be known to be wrong is refused before the table is reported.
    for wrong in [["--epochs", "0"], ["--ignore", "foo"], ["--out", "none/x"]] {
        let arguments = [&["train", "flats.csv", "-t", "rent"][..], &wrong].concat();
        let said = ironwarp(folder, &arguments).output().expect("it runs").stdout;
        assert!(said.is_empty(), "{wrong:?}: {}", String::from_utf8_lossy(&said));
    }
}

/// A Parquet file is known by its name, or by its first bytes.
#[test]
fn a_parquet_file_trains_as_the_csv_file_does() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    for (from, to) in [("table.csv", "a.csv"), ("deltas.parquet", "a.parquet")] {
        fs::copy(fixtures.join(from), folder.join(to)).unwrap();
    }
    fs::copy(fixtures.join("snappy.parquet"), folder.join("b.data")).unwrap();
    let learn = |data| {
        let model = format!("{data}.safetensors");
        let columns = "text,day,hour,minute,moment,instant,nothing";
        let arguments = ["train", data, "-t", "amount", "--out", &model, "--ignore", columns];
        (ironwarp(folder, &[&arguments[..], &SHORT].concat()).output().expect("it runs"), model)
    };
    if cfg!(feature = "parquet") {
        let model = |data| {
            let (output, model) = learn(data);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            fs::read(folder.join(model)).unwrap()
        };
        let csv = model("a.csv");
        assert!(model("a.parquet") == csv && model("b.data") == csv, "not the same bits");
        let told = |data| said(folder, &["predict", "a.csv.safetensors", data]);
        assert_eq!(told("a.csv"), told("a.parquet"));
        let (code, text) =
            failed(folder, &["predict", "a.csv.safetensors", "b.data", "--no-header"]);
        assert!(code == Some(2) && text.contains("this is a Parquet file"), "{text}");
    } else {
        for data in ["a.parquet", "b.data"] {
            let output = learn(data).0;
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.code() == Some(2) && text.contains("--features parquet"),
                "{text}"
            );
        }
    }
}

/// Ctrl-C ends the training; what was learned is tested and saved.
#[test]
fn an_interrupt_saves_what_there_is() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    flats(folder);
    let mut arguments = train(&["--target", "rent", "--json"]);
    arguments.extend(["--patience", "3000"]);
    let epochs = arguments.iter().position(|text| *text == "40").unwrap();
    arguments[epochs] = "3000";
    let mut program = ironwarp(folder, &arguments);
    let mut running = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("Epoch"));
    let number = running.id().to_string();
    assert!(Command::new("kill").args(["-INT", &number]).status().unwrap().success());
    lines.for_each(drop);
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).expect("the result all the same");
    assert_eq!(result["stop"], "Interrupt");
    assert!(folder.join("rent.safetensors").exists());
}

#[test]
fn shells_are_helped() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = said(folder.path(), &["completions", shell]);
        assert!(script.contains("predict") && script.contains("weight-decay"), "{shell}");
    }
}
