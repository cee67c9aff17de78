use proptest::prelude::*;

use super::{message, targets};
use crate::data::{Column, Dataset};

/// Rows that know their number: the target is the row.
fn numbered(rows: usize) -> Dataset {
    let numbers: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    Dataset::from_arrays(numbers.clone(), numbers).unwrap()
}

/// One row per label, and a weight that is the row's number plus one.
fn labelled(labels: &[u32]) -> Dataset {
    let rows = labels.len();
    let x = Column::numbers("x", &[], vec![0.0; rows]);
    let y = Column::indices("y", &[], labels.to_vec());
    let weights = (0..rows).map(|row| row as f32 + 1.0).collect();
    Dataset::new(vec![x], vec![y]).unwrap().with_weights(weights).unwrap()
}

fn count(data: &Dataset, class: u32) -> usize {
    targets(data).iter().filter(|&&label| label == class as f32).count()
}

fn is_partition(parts: &[&Dataset], rows: usize) -> bool {
    let mut all: Vec<f32> = parts.iter().flat_map(|part| targets(part)).collect();
    all.sort_by(f32::total_cmp);
    all == (0..rows).map(|row| row as f32).collect::<Vec<_>>()
}

#[test]
fn the_seed_fixes_the_split() {
    let data = numbered(1000);
    let (a, _) = data.split(0.8, 42).unwrap();
    let (b, _) = data.split(0.8, 42).unwrap();
    let (c, _) = data.split(0.8, 43).unwrap();
    assert_eq!(targets(&a), targets(&b));
    assert_ne!(targets(&a), targets(&c));
    assert_ne!(targets(&a), (0..800u16).map(f32::from).collect::<Vec<_>>());
}

#[test]
fn fractions_are_rounded_and_no_part_is_empty() {
    let sizes = |rows, fraction| {
        let (a, b) = numbered(rows).split(fraction, 1).unwrap();
        (a.len(), b.len())
    };
    // 0.29 * 100 is 28.999999999999996 in floating point.
    assert_eq!(sizes(100, 0.29), (29, 71));
    assert_eq!(sizes(1797, 0.8), (1438, 359));
    assert_eq!(sizes(2, 0.99), (1, 1));
    assert_eq!(sizes(3, 0.001), (1, 2));
}

#[test]
fn bad_splits_are_refused() {
    let data = numbered(5);
    for fraction in [0.0, 1.0, -0.5, 80.0, f64::NAN] {
        assert_eq!(
            message(data.split(fraction, 0)),
            format!("the fraction of a split must be between 0 and 1, it is {fraction}")
        );
    }
    assert_eq!(message(numbered(1).split(0.5, 0)), "1 row cannot be split into two parts");
    let folds = |k| message(data.k_fold(k, 0).map(|_| ()));
    assert_eq!(folds(1), "the number of folds must be from 2 to the 5 rows, it is 1");
    assert_eq!(folds(6), "the number of folds must be from 2 to the 5 rows, it is 6");
    assert_eq!(
        message(data.split_stratified(0.5, 0)),
        "this needs a first target of one class label per row"
    );
}

#[test]
fn every_row_is_as_likely_in_every_place() {
    // Where row 0 of 8 lands, over 8000 seeds: chi-square with 7 degrees of freedom is below
    // 24.3 with probability 0.999.
    let mut counts = [0u32; 8];
    for seed in 0..8000 {
        let folds = numbered(8).k_fold(8, seed).unwrap();
        let place = folds.map(|(_, valid)| targets(&valid)[0]).position(|row| row == 0.0);
        counts[place.unwrap()] += 1;
    }
    let chi: f64 = counts.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 24.3, "{chi}: {counts:?}");
}

proptest! {
    #[test]
    fn a_split_is_a_partition(rows in 2usize..300, fraction in 0.01f64..0.99, seed: u64) {
        let (a, b) = numbered(rows).split(fraction, seed).unwrap();
        prop_assert!(is_partition(&[&a, &b], rows));
    }

    #[test]
    fn folds_are_a_partition(rows in 2usize..100, k in 2usize..20, seed: u64) {
        let k = k.min(rows);
        let folds: Vec<_> = numbered(rows).k_fold(k, seed).unwrap().collect();
        prop_assert_eq!(folds.len(), k);
        for (train, valid) in &folds {
            prop_assert!(is_partition(&[train, valid], rows));
            prop_assert!(valid.len() == rows / k || valid.len() == rows.div_ceil(k));
        }
        let validated: Vec<&Dataset> = folds.iter().map(|(_, valid)| valid).collect();
        prop_assert!(is_partition(&validated, rows));
    }

    #[test]
    fn a_stratified_split_keeps_proportions(
        labels in prop::collection::vec(0u32..6, 2..200),
        fraction in 0.05f64..0.95,
        seed: u64,
    ) {
        let data = labelled(&labels);
        let (a, b) = data.split_stratified(fraction, seed).unwrap();
        let expected = (labels.len() as f64 * fraction).round() as usize;
        prop_assert_eq!(a.len(), expected.clamp(1, labels.len() - 1));
        prop_assert_eq!(a.len() + b.len(), labels.len());
        for class in 0..6 {
            let share = count(&data, class) as f64 * fraction;
            prop_assert!((count(&a, class) as f64 - share).abs() <= 1.0);
        }
        let total: f32 = a.weights().unwrap().iter().chain(b.weights().unwrap()).sum();
        prop_assert_eq!(total, data.weights().unwrap().iter().sum::<f32>());
    }

    #[test]
    fn stratified_folds_spread_each_class_evenly(
        labels in prop::collection::vec(0u32..4, 6..100),
        k in 2usize..6,
        seed: u64,
    ) {
        let data = labelled(&labels);
        for (train, valid) in data.k_fold_stratified(k, seed).unwrap() {
            prop_assert_eq!(train.len() + valid.len(), data.len());
            for class in 0..4 {
                let all = count(&data, class);
                let here = count(&valid, class);
                prop_assert!(here == all / k || here == all.div_ceil(k));
            }
        }
    }
}
