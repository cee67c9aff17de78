use proptest::prelude::*;

use super::{message, targets};
use crate::data::{Column, Csv, Dataset, Recipe, SplitBy};

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

/// Rows that know their number, and a column `group` of these words.
fn grouped(groups: &[u8]) -> Recipe {
    let rows: String = (0..groups.len()).map(|i| format!("0,g{},{i}\n", groups[i])).collect();
    let text = format!("x,group,y\n{rows}");
    Csv::new(text.as_bytes()).target("y").unwrap().regression().group_by("group")
}

#[test]
fn a_split_by_time_ends_with_the_latest_rows() {
    let text = "x,day,y\n1,2024-03-01,0.5\n2,2023-12-31,1.5\n3,2024-01-15,2.5\n4,2024-03-01,3.5\n";
    let recipe = Csv::new(text.as_bytes()).target("y").unwrap().ignore(&["day"]);
    let (first, second) = recipe.split_by_time("day", 0.5).unwrap();
    assert_eq!((targets(&first), targets(&second)), (vec![1.5, 2.5], vec![0.5, 3.5]));
    let (a, b) = first.split_in_order(0.5).unwrap();
    assert_eq!((targets(&a), targets(&b)), (vec![1.5], vec![2.5]));
    let numbers = Csv::new("t,y\n9,0.5\n-1,1.5\n10,2.5\n".as_bytes()).target("y").unwrap();
    let (first, second) = numbers.split_by_time("t", 0.6).unwrap();
    assert_eq!((targets(&first), targets(&second)), (vec![1.5, 0.5], vec![2.5]));
    assert!(message(numbers.split_by_time("z", 0.5)).contains("there is no column `z`"));
    assert!(message(numbers.split_by_time("t", 1.0)).contains("between 0 and 1"));
}

/// Rows of a word that its targets encode, and of a number that is not scaled: the row's.
fn encoded(target: impl Fn(usize) -> String) -> Recipe {
    let row = |i: usize| format!("w{},{},g{},{i},{}\n", i * i % 7, i * 13 % 60, i % 11, target(i));
    let text: String = (0..60).map(row).collect();
    let recipe = Csv::new(format!("w,t,g,row,y\n{text}").as_bytes()).target("y").unwrap();
    recipe.group_by("g").ignore(&["t"]).target_encode(3)
}

fn rows_of(data: &Dataset) -> Vec<usize> {
    super::features(data).chunks(data.features()).map(|row| row[row.len() - 1] as usize).collect()
}

#[test]
fn three_parts_are_two_splits() {
    let recipe = encoded(|i| format!("c{}", i % 3));
    let both = |two: &dyn Fn(&Dataset) -> (Dataset, Dataset), (rest, test): (Dataset, Dataset)| {
        let (train, validation) = two(&rest);
        [train, validation, test].map(|part| (rows_of(&part), part.groups().unwrap().to_vec()))
    };
    let three = |by| {
        let parts = recipe.split_three(by, 0.25, 0.2, 5).unwrap();
        parts.map(|part| (rows_of(&part), part.groups().unwrap().to_vec()))
    };
    assert_eq!(
        three(SplitBy::Chance),
        both(&|rest| rest.split(0.75, 5).unwrap(), recipe.split(0.8, 5).unwrap())
    );
    assert_eq!(
        three(SplitBy::Classes),
        both(
            &|rest| rest.split_stratified(0.75, 5).unwrap(),
            recipe.split_stratified(0.8, 5).unwrap()
        )
    );
    assert_eq!(
        three(SplitBy::Groups),
        both(&|rest| rest.split_grouped(0.75, 5).unwrap(), recipe.split_grouped(0.8, 5).unwrap())
    );
    assert_eq!(
        three(SplitBy::GroupsAndClasses),
        both(
            &|rest| rest.split_stratified_grouped(0.75, 5).unwrap(),
            recipe.split_stratified_grouped(0.8, 5).unwrap()
        )
    );
    assert_eq!(
        three(SplitBy::Time("t")),
        both(&|rest| rest.split_in_order(0.75).unwrap(), recipe.split_by_time("t", 0.8).unwrap())
    );
}

/// What stands in the rows of the other two parts changes nothing of what is fitted.
#[test]
fn three_parts_are_fitted_on_the_training_rows() {
    let number = |i: usize| (i * 37 % 101) as f64 / 8.0;
    for by in [SplitBy::Chance, SplitBy::Groups, SplitBy::Time("t")] {
        let [train, validation, test] =
            encoded(|i| number(i).to_string()).split_three(by, 0.25, 0.2, 5).unwrap();
        let mut all = [&train, &validation, &test].map(rows_of).concat();
        all.sort_unstable();
        assert_eq!(all, (0..60).collect::<Vec<_>>(), "{by:?}");
        let seen = rows_of(&train);
        let other = |i| if seen.contains(&i) { number(i) } else { 1000.0 + i as f64 };
        let [again, ..] = encoded(|i| other(i).to_string()).split_three(by, 0.25, 0.2, 5).unwrap();
        assert_eq!(super::features(&again), super::features(&train), "{by:?}");
        assert_eq!(again.preprocessing(), train.preprocessing(), "{by:?}");
        // The others are encoded as new rows are, by the means of all training rows.
        assert_eq!(validation.preprocessing(), train.preprocessing(), "{by:?}");
    }
    let bad = encoded(|i| number(i).to_string()).split_three(SplitBy::Chance, 1.0, 0.2, 5);
    assert_eq!(message(bad), "the fraction of a split must be between 0 and 1, it is 0");
}

#[test]
fn what_cannot_be_grouped_or_ordered_is_refused() {
    let text = "g,x,y\na,1,0.5\n,2,1.5\na,3,2.5\nb,4,3.5\n";
    let recipe = Csv::new(text.as_bytes()).target("y").unwrap();
    let cell = "`<memory>`, line 3, column `g`: the cell is missing, and a split by this column \
                needs every one; say `drop_missing()` to leave the row out";
    assert_eq!(message(recipe.clone().group_by("g").split_grouped(0.5, 0)), cell);
    assert_eq!(message(recipe.split_by_time("g", 0.5)), cell);
    let dropped = recipe.clone().group_by("g").drop_missing();
    assert_eq!(dropped.build().unwrap().groups(), Some(&[0, 0, 1][..]));
    let none = "the rows have no groups; name them with `group_by` or `with_groups`";
    let filled = recipe.ignore(&["g"]);
    assert_eq!(message(filled.split_grouped(0.5, 0)), none);
    assert_eq!(message(filled.k_fold_grouped(2, 0).map(|_| ())), none);
    assert_eq!(message(numbered(3).split_grouped(0.5, 0)), none);
    assert_eq!(
        message(grouped(&[1, 1, 1]).split_grouped(0.5, 0)),
        "a split by groups needs two of them, there is 1"
    );
    assert_eq!(
        message(dropped.k_fold_grouped(3, 0).map(|_| ())),
        "the number of folds must be from 2 to the 2 groups, it is 3"
    );
    assert_eq!(message(numbered(3).with_groups(vec![1, 2])), "2 groups for 3 rows");
    assert_eq!(message(dropped.ignore(&["y"]).build()), "the target `y` cannot be ignored");
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
    #[test]
    fn no_group_is_in_two_parts(
        groups in prop::collection::vec(0u8..9, 4..60),
        fraction in 0.1f64..0.9,
        seed: u64,
    ) {
        let distinct = groups.iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assume!(distinct >= 3);
        let largest = (0..9).map(|g| groups.iter().filter(|&&x| x == g).count()).max().unwrap();
        let recipe = grouped(&groups);
        let apart = |a: &Dataset, b: &Dataset| {
            let of = |data: &Dataset| -> Vec<u8> {
                targets(data).iter().map(|&y| groups[y as usize]).collect()
            };
            let (a, b) = (of(a), of(b));
            !a.is_empty() && !b.is_empty() && a.iter().all(|group| !b.contains(group))
        };
        let (a, b) = recipe.split_grouped(fraction, seed).unwrap();
        prop_assert!(is_partition(&[&a, &b], groups.len()) && apart(&a, &b));
        prop_assert!((a.len() as f64 - groups.len() as f64 * fraction).abs() <= largest as f64);
        prop_assert_eq!(targets(&a), targets(&recipe.split_grouped(fraction, seed).unwrap().0));
        // The parts know their groups.
        let larger = if a.len() > b.len() { a } else { b };
        if let Ok((c, d)) = larger.split_grouped(0.5, seed) {
            prop_assert!(apart(&c, &d) && c.len() + d.len() == larger.len());
        }
        let folds: Vec<_> =
            recipe.k_fold_grouped(3, seed).unwrap().map(Result::unwrap).collect();
        prop_assert!(folds.iter().all(|(train, valid)| apart(train, valid)));
        let validated: Vec<&Dataset> = folds.iter().map(|(_, valid)| valid).collect();
        prop_assert!(is_partition(&validated, groups.len()));
        let sizes: Vec<usize> = validated.iter().map(|part| part.len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= largest);
    }
}

/// Rows of a class and a group each.
fn classed_groups(rows: &[(u32, u32)]) -> Dataset {
    let x = (0..rows.len()).map(|row| row as f32).collect();
    let classes = rows.iter().map(|&(class, _)| class).collect();
    let columns = (Column::numbers("x", &[], x), Column::indices("y", &[], classes));
    let data = Dataset::new(vec![columns.0], vec![columns.1]).unwrap();
    data.with_groups(rows.iter().map(|&(_, group)| group).collect()).unwrap()
}

#[test]
fn groups_stay_whole_and_classes_spread() {
    // Of 40 groups of ten, every fourth has a rare class: half of its rows.
    let rare = |row: u32| u32::from((row / 10).is_multiple_of(4) && row.is_multiple_of(2));
    let rows: Vec<(u32, u32)> = (0..400).map(|row| (rare(row), row / 10)).collect();
    let data = classed_groups(&rows);
    for seed in 0..5 {
        let (first, second) = data.split_stratified_grouped(0.8, seed).unwrap();
        assert_eq!((first.len(), count(&first, 1)), (320, 40));
        assert_eq!((second.len(), count(&second, 1)), (80, 10));
        for (train, valid) in data.k_fold_stratified_grouped(5, seed).unwrap() {
            assert_eq!((train.len(), valid.len(), count(&valid, 1)), (320, 80, 10));
        }
    }
    let of = |data: Dataset| data.groups().unwrap().to_vec();
    let split = |seed| of(data.split_stratified_grouped(0.8, seed).unwrap().1);
    assert!(split(1) == split(1) && split(1) != split(2));
    let text: String = rows.iter().map(|(c, g)| format!("1,c{c},g{g}\n")).collect();
    let text = format!("x,y,g\n{text}");
    let recipe = Csv::new(text.as_bytes()).target("y").unwrap().group_by("g");
    let (_, second) = recipe.split_stratified_grouped(0.8, 1).unwrap();
    assert_eq!((second.len(), count(&second, 1)), (80, 10));
    let folds: Vec<_> =
        recipe.k_fold_stratified_grouped(5, 1).unwrap().map(|fold| fold.unwrap().1).collect();
    assert!(folds.len() == 5 && folds.iter().all(|valid| count(valid, 1) == 10));
    let none = "the rows have no groups; name them with `group_by` or `with_groups`";
    let plain = labelled(&[0, 1, 0, 1]);
    assert_eq!(message(plain.split_stratified_grouped(0.5, 0)), none);
    let two = plain.clone().with_groups(vec![0, 0, 1, 1]).unwrap();
    assert!(message(two.k_fold_stratified_grouped(3, 0).map(|_| ())).contains("the 2 groups"));
    assert!(message(two.split_stratified_grouped(1.0, 0)).contains("between 0 and 1"));
    let one = plain.with_groups(vec![7; 4]).unwrap();
    assert!(message(one.split_stratified_grouped(0.5, 0)).contains("needs two of them"));
    assert_eq!(
        message(grouped(&[1, 2]).split_stratified_grouped(0.5, 0)),
        "a stratified split needs a target of classes; the target is a number"
    );
}

proptest! {
    #[test]
    fn stratified_groups_are_a_partition(
        rows in prop::collection::vec((0u32..3, 0u32..7), 6..60),
        fraction in 0.02f64..0.98,
        seed: u64,
    ) {
        let distinct = |data: &Dataset| {
            data.groups().unwrap().iter().copied().collect::<std::collections::BTreeSet<_>>()
        };
        let data = classed_groups(&rows);
        let groups = distinct(&data).len();
        prop_assume!(groups >= 2);
        let (a, b) = data.split_stratified_grouped(fraction, seed).unwrap();
        prop_assert!(!a.is_empty() && !b.is_empty() && a.len() + b.len() == rows.len());
        prop_assert!(distinct(&a).is_disjoint(&distinct(&b)));
        let mut sizes = 0;
        for (train, valid) in data.k_fold_stratified_grouped(groups, seed).unwrap() {
            prop_assert!(distinct(&train).is_disjoint(&distinct(&valid)));
            prop_assert_eq!(distinct(&valid).len(), 1);
            sizes += valid.len();
        }
        prop_assert_eq!(sizes, rows.len());
    }
}
