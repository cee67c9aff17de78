//! Robust scaling, clipping, logarithms, rare words, hashes, duplicates: fitted values worked out
//! by hand, and what is refused.

use super::{features, message};
use crate::data::{Csv, Distribution, Preprocessing, Recipe};

fn recipe(text: &str) -> Recipe {
    Csv::new(text.as_bytes()).target("y").unwrap()
}

/// A table of one column x, made features by a recipe, beside a target that does not matter.
fn column(cells: &str, change: impl Fn(Recipe) -> Recipe) -> Vec<f32> {
    let rows: String = cells.split(' ').enumerate().map(|(i, x)| format!("{x},{i}.5\n")).collect();
    features(&change(recipe(&format!("x,y\n{rows}"))).build().unwrap())
}

#[test]
fn robust_scaling_is_by_median_and_quartiles() {
    // Of 1, 2, 3, 4, 100: the median is 3, the quartiles 2 and 4.
    assert_eq!(column("1 2 3 4 100", Recipe::robust), [-1.0, -0.5, 0.0, 0.5, 48.5]);
    // Of 1, 2, 3, 5: quartiles at places 0.75 and 2.25, which are 1.75 and 3.5; the median 2.5.
    let expected = [1.0f64, 2.0, 3.0, 5.0].map(|x| ((x - 2.5) / 1.75) as f32);
    assert_eq!(column("1 2 3 5", Recipe::robust), expected);
    // Quartiles that are equal scale by 1.
    assert_eq!(column("7 7 7 7 9", Recipe::robust), [0.0, 0.0, 0.0, 0.0, 2.0]);
}

#[test]
fn outliers_are_taken_for_the_quantile() {
    let clipped = |r: Recipe| r.clip_quantiles(0.25, 0.75);
    assert_eq!(column("1 2 3 4 100", clipped), [2.0, 2.0, 3.0, 4.0, 4.0]);
    // Scaling is fitted on what is left.
    assert_eq!(column("1 2 3 4 100", |r| clipped(r).min_max()), [0.0, 0.0, 0.5, 1.0, 1.0]);
    for (low, high) in [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.1), (f64::NAN, 1.0)] {
        let text = message(recipe("x,y\n1,2\n3,4\n").clip_quantiles(low, high).build());
        assert!(text.contains("two shares in order"), "{text}");
    }
}

#[test]
fn ranks_are_stored_and_hostile_ones_refused() {
    let uniform = |r: Recipe| r.quantile(Distribution::Uniform);
    assert_eq!(column("5 1 2 2 100", uniform), [0.75, 0.0, 0.375, 0.375, 1.0]);
    assert_eq!(column("7 7", uniform), [0.0, 0.0]);
    let data = uniform(recipe("x,y\n1,1\n3,2\n4,3\n")).regression().build().unwrap();
    let fitted = data.preprocessing().unwrap();
    let json = serde_json::to_string(fitted).unwrap();
    let back = serde_json::from_str::<Preprocessing>(&json).unwrap();
    assert_eq!(&back, fitted);
    let new = Csv::new("x\n-9\n2\n9\n".as_bytes()).read().unwrap();
    assert_eq!(features(&back.apply(&new).unwrap()), [0.0, 0.25, 1.0]);
    for values in ["[]", "[1.0]", "[3.0,1.0]", "[1.0,null]"] {
        let wrong = json.replacen("[1.0,3.0,4.0]", values, 1);
        assert!(wrong != json && serde_json::from_str::<Preprocessing>(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn logarithms_keep_the_sign() {
    let e = std::f64::consts::E;
    let cells = format!("0 {} {}", e - 1.0, 1.0 - e);
    let found = column(&cells, Recipe::log);
    assert_eq!(found, [0.0, 1.0, -1.0]);
    assert!(column("-0 1", Recipe::log)[0] == 0.0);
}

#[test]
fn rare_words_are_one_category_with_unknown_ones() {
    let text = "x,y\na,1\na,2\na,3\nb,4\nb,5\nc,6\nd,7\n";
    let data = recipe(text).regression().join_rare(0.25).build().unwrap();
    let preprocessing = data.preprocessing().unwrap();
    assert_eq!(preprocessing.feature_names(), ["x=a", "x=b", "x, other"]);
    assert_eq!(features(&data)[9..], [0., 1., 0., 0., 1., 0., 0., 0., 1., 0., 0., 1.]);
    let new = Csv::new("x\nzebra\nb\n".as_bytes()).read().unwrap();
    assert_eq!(features(&preprocessing.apply(&new).unwrap()), [0., 0., 1., 0., 1., 0.]);
    let ordinal = recipe(text).regression().join_rare(0.25).ordinal().build().unwrap();
    assert_eq!(features(&ordinal), [0., 0., 0., 1., 1., 2., 2.]);
    for share in [1.0, -0.1, f64::NAN] {
        let text = message(recipe(text).join_rare(share).build());
        assert!(text.contains("the share of rare words"), "{text}");
    }
}

#[test]
fn a_word_has_its_bucket_whether_known_or_not() {
    let data = recipe("x,y\nred,1\nblue,2\nred,3\n").regression().hash(8).build().unwrap();
    let rows: Vec<f32> = features(&data);
    assert!(rows.chunks(8).all(|row| row.iter().sum::<f32>() == 1.0));
    assert_eq!(rows[..8], rows[16..]);
    assert_ne!(rows[..8], rows[8..16], "XXH3-64 of the two, modulo 8: 5 and 0");
    let new = Csv::new("x\nblue\ngreen\n".as_bytes()).read().unwrap();
    let again = features(&data.preprocessing().unwrap().apply(&new).unwrap());
    assert_eq!(again[..8], rows[8..16]);
    assert_eq!(again[8..].iter().sum::<f32>(), 1.0);
    for buckets in [0, (1 << 20) + 1] {
        let text = message(recipe("x,y\na,1\nb,2\n").regression().hash(buckets).build());
        assert!(text.contains("1 to 1048576 buckets"), "{text}");
    }
}

#[test]
fn rows_that_come_again_are_left_out() {
    let text = "id,x,y\n1,a,5\n2,b,6\n3,a,5\n4,a,7\n";
    let all = |r: Recipe| r.ignore(&["id"]).regression();
    assert_eq!(all(recipe(text)).build().unwrap().len(), 4);
    assert_eq!(all(recipe(text)).drop_duplicates().build().unwrap().len(), 3);
    assert_eq!(recipe(text).regression().drop_duplicates().build().unwrap().len(), 4);
}

#[test]
fn fitted_settings_travel_and_hostile_ones_are_refused() {
    let data = recipe("w,x,y\na,1,1\na,2,2\nb,3,3\n").regression().robust().log();
    let data = data.clip_quantiles(0.1, 0.9).join_rare(0.5).build().unwrap();
    let fitted = data.preprocessing().unwrap();
    let json = serde_json::to_string(fitted).unwrap();
    assert_eq!(&serde_json::from_str::<Preprocessing>(&json).unwrap(), fitted);
    for (old, new, why) in [
        ("\"clip\":[1.2", "\"clip\":[9.0", "two finite numbers in order"),
        ("\"range\":", "\"range\":-1.0,\"range_\":", "unknown field"),
        ("\"categories\":[\"a\"]", "\"categories\":[\"a\",\"a\"]", "listed twice"),
    ] {
        assert!(json.contains(old), "{old} is not in {json}");
        let error = serde_json::from_str::<Preprocessing>(&json.replacen(old, new, 1)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    // What was written before there were clips, logarithms and joined words.
    let old = r#"{"inputs":[{"column":"x","transform":{"number":{"fill":null,"scaling":"none"}}},
        {"column":"w","transform":{"one_hot":{"fill":null,"categories":["a"]}}}],
        "target":{"numbers":[{"column":"y","scaling":"none"}]},"ignored":[]}"#;
    assert_eq!(serde_json::from_str::<Preprocessing>(old).unwrap().feature_names(), ["x", "w=a"]);
}
