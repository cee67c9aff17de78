//! A CSV file written to arrays, a piece at a time, against the same file in memory.

use std::fmt::Write;

use super::{features, message, targets};
use crate::data::{Csv, Dataset, Preprocessing};

/// Rows of some 300 bytes, so that there are pieces: a number, a word, text of no use and a class.
fn text(rows: usize) -> String {
    let mut text = String::from("x,word,text,y\n");
    for row in 0..rows {
        let x = if row % 7 == 3 { String::new() } else { (row * 31 % 1009).to_string() };
        let word = ["a", "b", "c", "rare"][(row * 11 % 97).min(3)];
        let long = if row < rows / 2 { format!("{row:0>300}") } else { format!("{row:_>300}") };
        writeln!(text, "{x},{word},{long},{}", ["no", "yes"][row % 3 % 2]).unwrap();
    }
    text
}

fn fitted(text: &str, rows: usize) -> Dataset {
    let recipe = Csv::new(text.as_bytes()).head(rows).target("y").unwrap();
    recipe.ignore(&["text"]).impute(crate::data::Impute::Mean).standardize().build().unwrap()
}

fn spilled(text: &str, known: &Preprocessing, folder: &std::path::Path) -> Dataset {
    Csv::new(text.as_bytes()).spill(known, folder).unwrap()
}

#[test]
fn spilled_rows_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let rows = 250_000;
    let text = text(rows);
    assert!(text.len() > 2 * (32 << 20), "there are pieces");
    let some = fitted(&text, 1000);
    let known = some.preprocessing().unwrap();
    let all = spilled(&text, known, folder.path());
    assert!(all.is_streamed() && all.preprocessing() == Some(known));
    assert_eq!((all.len(), all.features(), all.class_names()), (rows, 5, some.class_names()));
    let held = Csv::new(text.as_bytes()).read().unwrap();
    let held = known.apply(&held).unwrap();
    assert_eq!(features(&all), features(&held));
    assert_eq!(targets(&all), targets(&held));
    assert_eq!(all.fingerprint().unwrap(), held.fingerprint().unwrap());
    assert_eq!(features(&all.rows(..1000)), features(&some));
}

#[test]
fn what_cannot_be_spilled_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let some = fitted(&text(100), 50);
    let known = some.preprocessing().unwrap();
    let said = |text: &str, folder: &std::path::Path| {
        message(Csv::new(text.as_bytes()).spill(known, folder))
    };
    let text = text(100) + "1,a,t,maybe\n";
    let class = said(&text, folder.path());
    assert!(class.contains("`<memory>`, line 102, column `y`"), "{class}");
    let without = said("x,word\n1,a\n", folder.path());
    assert!(without.contains("the header: it lacks the target, `y`"), "{without}");
    assert!(said("x,word,y\n", folder.path()).contains("there are no rows"));
    let nowhere = said("x,word,y\n1,a,no\n", &folder.path().join("none"));
    assert!(nowhere.contains("cannot write") && nowhere.contains("x.npy"), "{nowhere}");
    // A part of an array is not taken for the whole.
    std::fs::write(folder.path().join("x.npy"), [0; 128]).unwrap();
    assert!(message(crate::data::npy::read(folder.path().join("x.npy"))).contains("the header"));
}
