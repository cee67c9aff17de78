//! Transforms of tables are scikit-learn's; `tests/fixtures/tables/make.py` made those.

mod common;

use std::collections::BTreeMap;

use common::bounds;
use ironwarp::data::{ColumnId, Dataset, Distribution, Recipe, Table, TableColumn};

/// The numbers of `make.py`.
fn numbers(count: i64) -> Vec<f64> {
    let number = |i: i64| {
        let x = ((i * i * 31 + i * 7919) % 1021 - 510) as f64 / 16.0;
        if i % 7 == 0 { 3.0 } else { x * x.abs() }
    };
    (0..count).map(number).collect()
}

fn table(x: &[f64]) -> Table {
    let column = |name| TableColumn::numbers(name, x.iter().map(|&x| Some(x)));
    Table::new(vec![column("x"), column("y")]).unwrap()
}

fn features(data: &Dataset) -> Vec<f32> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut out = vec![0.0; data.len() * data.features()];
    data.gather_f32(ColumnId::Input(0), &rows, &mut out).unwrap();
    out
}

#[test]
fn quantile_transforms_are_those_of_scikit_learn() {
    let text = include_str!("fixtures/tables/quantiles.json");
    let cases: BTreeMap<String, Vec<f64>> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 6);
    for (name, expected) in cases {
        let (distribution, count) = name.split_once(' ').unwrap();
        let distribution = match distribution {
            "uniform" => Distribution::Uniform,
            _ => Distribution::Normal,
        };
        let x = numbers(count.parse().unwrap());
        let recipe: Recipe = table(&x).target("y").unwrap().regression().quantile(distribution);
        let data = recipe.build().unwrap();
        let new = [&x[..x.len().min(50)], &[-1e6, 0.1, 2.99, 3.01, 1e6]].concat();
        let found = features(&data.preprocessing().unwrap().apply(&table(&new)).unwrap());
        assert_eq!(found.len(), expected.len(), "{name}");
        for ((found, expected), x) in found.iter().zip(expected).zip(new) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= bounds::quantiles(expected), "{name}: {found} for {expected}, {x}");
        }
    }
}

#[test]
fn words_are_encoded_by_the_target_as_in_scikit_learn() {
    let text = include_str!("fixtures/tables/target_encoding.json");
    let cases: BTreeMap<String, Vec<f64>> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 3);
    let words = |numbers: &mut dyn Iterator<Item = usize>| {
        TableColumn::categories("w", numbers.map(|w| Some(format!("w{w}"))))
    };
    let class = |i: usize| (i * i + i / 7) % 3;
    for (name, expected) in cases {
        let y = match name.as_str() {
            "regression" => {
                let number = |i: usize| ((i * 37 % 101) as f64 - 50.0) / 8.0;
                TableColumn::numbers("y", (0..60).map(|i| Some(number(i))))
            }
            "binary" => {
                let word = |i| ["no", "yes"][usize::from(class(i) == 1)];
                TableColumn::categories("y", (0..60).map(|i| Some(word(i))))
            }
            _ => TableColumn::categories("y", (0..60).map(|i| Some(format!("c{}", class(i))))),
        };
        let known = words(&mut (0..60).map(|i| (i * i * 7 + 3 * i) % 11));
        let recipe: Recipe = Table::new(vec![known, y]).unwrap().target("y").unwrap();
        let data = recipe.target_encode(7).build().unwrap();
        let new = Table::new(vec![words(&mut (0..12))]).unwrap();
        let found = features(&data.preprocessing().unwrap().apply(&new).unwrap());
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            let error = (f64::from(*found) - expected).abs();
            // Sums of 60 targets of at most 6.25, in another order, and of their squares.
            assert!(error <= bounds::table(expected, 2 * 60, 6.25), "{name}: {found}, {expected}");
        }
    }
}
