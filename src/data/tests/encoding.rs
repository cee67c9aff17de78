//! Encoding by the target: who sees whose target, scaling, rare and missing words, files.

use super::{features, message};
use crate::data::{Csv, Dataset, Impute, Preprocessing, Recipe, Transform};

/// Rows of a few words and their numbers, and a target: a number, or one of some classes.
fn recipe(rows: usize, classes: Option<usize>) -> Recipe {
    let mut text = String::from("w,row,y\n");
    for i in 0..rows {
        let y = (i * 37 % 101) as f64 / 8.0 + (i % 5) as f64;
        let y = classes.map_or(y.to_string(), |classes| format!("c{}", i * i / 3 % classes));
        text.push_str(&format!("w{},{i},{y}\n", (i * i + i / 3) % 5));
    }
    Csv::new(text.as_bytes()).target("y").unwrap().target_encode(9)
}

/// The encodings of fitted words, whatever their number.
fn encoded(data: &Dataset) -> &Transform {
    &data.preprocessing().unwrap().inputs()[0].transform
}

/// Each fold's rows are encoded as new rows are by what was fitted on the other folds.
#[test]
fn no_row_sees_its_own_target() {
    for (classes, width) in [(None, 1), (Some(2), 1), (Some(3), 3)] {
        let recipe = recipe(43, classes);
        let all = features(&recipe.build().unwrap());
        let folds: Vec<_> = match classes {
            None => recipe.k_fold(5, 9).unwrap().map(Result::unwrap).collect(),
            Some(_) => recipe.k_fold_stratified(5, 9).unwrap().map(Result::unwrap).collect(),
        };
        let mut seen = 0;
        for (_, part) in &folds {
            for row in features(part).chunks(width + 1) {
                let own = &all[row[width] as usize * (width + 1)..][..width + 1];
                assert_eq!(own, row, "{classes:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 43);
    }
}

/// A word of its own for each row tells nothing, though by itself it tells all.
#[test]
fn words_of_one_row_are_worth_the_mean_of_the_others() {
    let rows: String = (0..20).map(|i| format!("w{i},{}\n", f64::from(i) + 0.5)).collect();
    let recipe = Csv::new(format!("w,y\n{rows}").as_bytes()).target("y").unwrap();
    let data = recipe.target_encode(1).build().unwrap();
    let mut found = features(&data);
    found.sort_by(f32::total_cmp);
    found.dedup();
    assert!(found.len() <= 5, "one number for each fold: {found:?}");
    let new = Csv::new("w\nw0\nw19\n".as_bytes()).read().unwrap();
    let new = features(&data.preprocessing().unwrap().apply(&new).unwrap());
    assert_eq!(new, [0.5, 19.5], "their variance is 0, which is certain");
}

/// With a word for each group, a row may learn nothing of its word from the rest of its group.
#[test]
fn no_row_sees_the_targets_of_its_group() {
    for classes in [false, true] {
        let row = |i: usize| match classes {
            false => format!("w{0},g{0},{1}\n", i % 10, (i % 10 * 7) as f64 + i as f64 / 100.0),
            true => format!("w{0},g{0},c{1}\n", i % 10, i / 10 % 2),
        };
        let text = String::from("w,g,y\n") + &(0..60).map(row).collect::<String>();
        let recipe = Csv::new(text.as_bytes()).target("y").unwrap().target_encode(3);
        let distinct = |recipe: Recipe| {
            let mut found = features(&recipe.build().unwrap());
            found.sort_by(f32::total_cmp);
            found.dedup();
            found.len()
        };
        let grouped = distinct(recipe.clone().group_by("g"));
        assert!(grouped <= 5, "one number for each fold, of words unknown to it: {grouped}");
        assert!(distinct(recipe.ignore(&["g"])) > 5);
    }
}

#[test]
fn encodings_are_scaled_and_keyed() {
    let of = |recipe: Recipe| features(&recipe.build().unwrap());
    let base = of(recipe(43, None));
    assert_eq!(base, of(recipe(43, None)));
    assert_ne!(base, of(recipe(43, None).target_encode(10)), "other folds");
    let scaled: Vec<f32> = of(recipe(43, None).min_max()).chunks(2).map(|row| row[0]).collect();
    assert!(scaled.contains(&0.0) && scaled.contains(&1.0));
    assert!(scaled.iter().all(|x| (0.0..=1.0).contains(x)));
}

#[test]
fn rare_and_missing_words_have_a_number_too() {
    let text = "w,y\na,1.5\na,2\na,4\nb,7\nc,9\n,8\na,3\n";
    let recipe = Csv::new(text.as_bytes()).target("y").unwrap().target_encode(0);
    let missing = message(recipe.build());
    assert!(missing.contains("line 7, column `w`: the cell is missing"), "{missing}");
    let data = recipe.join_rare(0.25).impute(Impute::Word("none".into())).build().unwrap();
    let Transform::Target { categories, encodings, .. } = encoded(&data) else { panic!() };
    assert_eq!((categories.len(), encodings[0].means.len()), (1, 2));
    assert!(encodings[0].means[1] > 6.0, "b, c and none: {:?}", encodings[0].means);
}

#[test]
fn encodings_travel_and_hostile_ones_are_refused() {
    let fitted = recipe(43, Some(3)).standardize().build().unwrap();
    let fitted = fitted.preprocessing().unwrap();
    let names = ["w, mean of c0", "w, mean of c1", "w, mean of c2", "row"];
    assert_eq!(fitted.feature_names(), names);
    let json = serde_json::to_string(fitted).unwrap();
    assert_eq!(&serde_json::from_str::<Preprocessing>(&json).unwrap(), fitted);
    for (old, new, why) in [
        ("\"means\":[", "\"means\":[1.0,", "one mean for each category"),
        ("\"means\":[", "\"means\":[1e999,", "number out of range"),
        ("\"categories\":[", "\"categories\":[\"w1\",", "listed twice"),
        ("\"deviation\":", "\"deviation\":-", "positive width"),
    ] {
        assert!(json.contains(old), "{old} is not in {json}");
        let error = serde_json::from_str::<Preprocessing>(&json.replacen(old, new, 1)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(message(recipe(1, None).build()).contains("needs two training rows"));
}
