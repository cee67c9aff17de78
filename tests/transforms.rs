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
