//! Transforms of tables are scikit-learn's; `tests/fixtures/tables/make.py` made those.

mod common;

use std::collections::BTreeMap;

use common::bounds;
use ironwarp::data::{
    Column, ColumnId, Combination, Dataset, Distribution, Impute, Recipe, Table, TableColumn,
};

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

/// The matrix of `make.py`.
fn matrix(rows: i64, columns: i64) -> Vec<Vec<f64>> {
    let own =
        |i: i64, j: i64| ((i * i * 37 + i * (j + 3) * 101 + j * 17) % 257 - 128) as f64 / 32.0;
    let cell = |i, j| own(i, j) + (j + 1) as f64 * own(i, 0) / 4.0;
    (0..rows).map(|i| (0..columns).map(|j| cell(i, j)).collect()).collect()
}

/// A table of columns c0, c1, ... beside y; NaN is missing.
fn columns(rows: &[Vec<f64>]) -> Table {
    let column = |j: usize| {
        let cells = rows.iter().map(move |row| Some(row[j]).filter(|x| !x.is_nan()));
        TableColumn::numbers(format!("c{j}"), cells)
    };
    let y = TableColumn::numbers("y", (0..rows.len()).map(|i| Some(i as f64 + 0.5)));
    Table::new((0..rows[0].len()).map(column).chain([y]).collect()).unwrap()
}

#[test]
fn products_are_the_polynomial_features_of_scikit_learn() {
    let text = include_str!("fixtures/tables/polynomial.json");
    let cases: BTreeMap<String, Vec<f64>> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 2);
    for (name, expected) in cases {
        let recipe: Recipe = columns(&matrix(4, 3)).target("y").unwrap();
        let recipe = match name.as_str() {
            "squares" => recipe.polynomial(&[]),
            _ => recipe.interactions(&[]),
        };
        // Products of numbers of so few digits are exact.
        let found: Vec<f64> =
            features(&recipe.build().unwrap()).into_iter().map(f64::from).collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// Components are right to roundings of sums over 200 rows, times the largest eigenvalue over the
/// least distance of two, 156 over 0.33.
const PRINCIPAL: usize = 200 * 512;

#[derive(serde::Deserialize)]
struct Fitted {
    mean: Vec<f64>,
    components: Vec<f64>,
    variances: Vec<f64>,
    transformed: Vec<f64>,
}

#[test]
fn principal_components_are_those_of_scikit_learn() {
    let text = include_str!("fixtures/tables/pca.json");
    let cases: BTreeMap<String, Fitted> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 4);
    for (name, expected) in cases {
        let (shape, whiten) = name.split_once(' ').unwrap();
        let (rows, width, count) = if shape == "tall" { (200, 5, 3) } else { (6, 8, 4) };
        let table = columns(&matrix(rows, width));
        let recipe: Recipe = table.clone().target("y").unwrap();
        let recipe = match whiten {
            "True" => recipe.whiten(&[], Some(count)),
            _ => recipe.principal_components(&[], Some(count)),
        };
        let data = recipe.build().unwrap();
        let [Combination::Principal(found)] = data.preprocessing().unwrap().combinations() else {
            panic!("one combination")
        };
        let near = |found: &[f64], expected: &[f64], size: f64| {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs();
                assert!(
                    error <= bounds::table(0.0, PRINCIPAL, size),
                    "{name}: {found} for {expected}"
                );
            }
        };
        near(&found.mean, &expected.mean, 16.0);
        near(&found.components.concat(), &expected.components, 1.0);
        near(&found.variances, &expected.variances, 256.0);
        let features = features(&data);
        for (found, expected) in features.iter().zip(expected.transformed) {
            let error = (f64::from(*found) - expected).abs();
            let bound = bounds::table(expected, PRINCIPAL, 32.0);
            assert!(error <= bound, "{name}: {found} for {expected}");
        }
    }
}

#[test]
fn missing_numbers_are_those_of_scikit_learn() {
    let text = include_str!("fixtures/tables/neighbours.json");
    let cases: BTreeMap<String, Vec<f64>> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 3);
    let mut rows = matrix(40, 4);
    for (i, row) in rows.iter_mut().enumerate() {
        for (j, x) in row.iter_mut().enumerate() {
            if i == 11 || (i * 5 + j * 3) % 7 == 0 {
                *x = f64::NAN;
            }
        }
    }
    for (count, expected) in cases {
        let recipe: Recipe = columns(&rows[..30]).target("y").unwrap();
        let data = recipe.impute(Impute::Neighbours(count.parse().unwrap())).build().unwrap();
        let found = features(&data.preprocessing().unwrap().apply(&columns(&rows)).unwrap());
        assert_eq!(found.len(), expected.len(), "{count}");
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= bounds::table(expected, 30, 16.0), "{count}, {place}: {found}");
        }
    }
}

#[test]
fn folds_of_groups_are_those_of_scikit_learn() {
    let text = include_str!("fixtures/tables/grouped_folds.json");
    let cases: BTreeMap<usize, Vec<usize>> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 3);
    let count = |group: u32, class: u32| {
        (group * group * 13 + class * 7 * group + 3 * class) % 13 + group % 3
    };
    let rows =
        (0..13).flat_map(|g| (0..3).flat_map(move |c| (0..count(g, c)).map(move |_| (g, c))));
    let (groups, classes): (Vec<u32>, Vec<u32>) = rows.unzip();
    let x = groups.iter().map(|&group| group as f32).collect();
    let data =
        Dataset::new(vec![Column::numbers("x", &[], x)], vec![Column::indices("y", &[], classes)]);
    let data = data.unwrap().with_groups(groups).unwrap();
    for (count, expected) in cases {
        for seed in 0..3 {
            let mut found = vec![usize::MAX; 13];
            for (fold, (_, valid)) in
                data.k_fold_stratified_grouped(count, seed).unwrap().enumerate()
            {
                features(&valid).iter().for_each(|&group| found[group as usize] = fold);
            }
            assert_eq!(found, expected, "{count} folds");
        }
    }
}
