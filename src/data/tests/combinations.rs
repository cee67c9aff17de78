//! Neighbours, products and principal components: which columns, in which order, in the file.

use super::{features, message};
use crate::data::{Combination, Csv, Impute, Preprocessing, Recipe, Table};

/// Columns a, b and w beside a target that does not matter.
const TEXT: &str = "a,w,b,y\n1,u,2,0.5\n3,v,5,1.5\n-2,u,0.5,2.5\n0,v,1,3.5\n";

fn recipe() -> Recipe {
    Csv::new(TEXT.as_bytes()).target("y").unwrap()
}

fn read(text: &str) -> Table {
    Csv::new(text.as_bytes()).read().unwrap()
}

fn names(recipe: &Recipe) -> Vec<String> {
    recipe.build().unwrap().preprocessing().unwrap().feature_names()
}

#[test]
fn products_come_after_all_features() {
    let data = recipe().polynomial(&["b", "a"]).build().unwrap();
    let names = data.preprocessing().unwrap().feature_names();
    assert_eq!(names, ["a", "w=u", "w=v", "b", "a * a", "a * b", "b * b"]);
    assert_eq!(features(&data)[..14], [1., 1., 0., 2., 1., 2., 4., 3., 0., 1., 5., 9., 15., 25.]);
    let all = recipe().interactions(&[]).build().unwrap();
    assert_eq!(all.features(), 4 + 6);
    let row = features(&all.preprocessing().unwrap().apply(&read("w,b,a\nv,4,-1\n")).unwrap());
    assert_eq!(row, [-1., 0., 1., 4., 0., -1., -4., 0., 0., 4.]);
}

#[test]
fn components_replace_what_they_are_of() {
    let one = recipe().standardize().principal_components(&["a", "b"], Some(1));
    assert_eq!(names(&one), ["w=u", "w=v", "component 1 of a, b"]);
    // What was made of a and b alone is theirs.
    let then = recipe().polynomial(&["a", "b"]).whiten(&["a", "b"], None);
    assert_eq!(names(&then)[..3], ["w=u", "w=v", "component 1 of a to b * b"]);
    assert_eq!(names(&then).len(), 2 + 4);
    let first = recipe().whiten(&["a", "b"], None).polynomial(&["a", "b"]);
    assert_eq!(names(&first).len(), 4 + 3);
    // Whitened components have variance 1, divided by one less than the rows.
    let data = recipe().whiten(&["a", "b"], None).build().unwrap();
    for component in [2, 3] {
        let numbers: Vec<f32> = features(&data).chunks(4).map(|row| row[component]).collect();
        let square = numbers.iter().map(|x| x * x).sum::<f32>() / 3.0;
        let sum = numbers.iter().sum::<f32>();
        assert!((square - 1.0).abs() < 8.0 * f32::EPSILON && sum.abs() < 8.0 * f32::EPSILON);
    }
    // Directions do not depend on the unit.
    let of = |text: &str| {
        let recipe = Csv::new(text.as_bytes()).target("y").unwrap();
        features(&recipe.principal_components(&[], None).build().unwrap())
    };
    let text = "a,b,y\n1e-20,2e-20,0.5\n3e-20,5e-20,1.5\n-2e-20,1e-20,2.5\n";
    let (small, whole) = (of(text), of(&text.replace("e-20", "")));
    let near = |(x, y): (&f32, &f32)| (x * 1e20 - y).abs() < 32.0 * f32::EPSILON;
    assert!(small.iter().zip(&whole).all(near), "{small:?} {whole:?}");
    // Constant columns have no direction.
    let text = "a,b,y\n1,2,0.5\n1,2,1.5\n1,2,2.5\n";
    let flat = Csv::new(text.as_bytes()).target("y").unwrap().whiten(&[], None).build().unwrap();
    assert!(features(&flat).iter().all(|&x| x == 0.0));
}

/// Numbers are filled after they are scaled: b's range is ten times that of a.
#[test]
fn missing_numbers_come_from_rows_nearby() {
    let text = "a,b,y\n0,0,0.5\n1,100,1.5\n0.9,?,2.5\n0.4,?,3.5\n?,90,4.5\n?,?,5.5\n";
    let recipe = Csv::new(text.as_bytes()).missing_words(&["?"]).target("y").unwrap();
    let of = |count| recipe.clone().min_max().impute(Impute::Neighbours(count)).build().unwrap();
    let data = of(1);
    let mean_a = (0.0 + 1.0 + f64::from(0.9f32) + f64::from(0.4f32)) / 4.0;
    let mean_b = (0.0 + 1.0 + f64::from(0.9f32)) / 3.0;
    let expected = [0.0, 0.0, 1.0, 1.0, 0.9, 1.0, 0.4, 0.0, 1.0, 0.9, mean_a as f32, mean_b as f32];
    assert_eq!(features(&data), expected);
    // Two of three rows that have the number; more than there are is all of them.
    assert_eq!(features(&of(2))[5], 0.5);
    assert_eq!(features(&of(9))[8], 0.5);
    let new = Csv::new("b,a\n,0.1\n60,\n".as_bytes());
    let fitted = data.preprocessing().unwrap();
    let rows = features(&fitted.apply(&new.types_from(fitted).read().unwrap()).unwrap());
    assert_eq!(rows, [0.1, 0.0, 1.0, 0.6]);
    // With other combinations, and one column alone.
    let both = recipe.clone().impute(Impute::Neighbours(1)).interactions(&[]).build().unwrap();
    assert!(features(&both).iter().all(|x| x.is_finite()) && both.features() == 3);
    let mixed = recipe.impute(Impute::Mean).column("b", |c| c.impute(Impute::Neighbours(2)));
    assert_eq!(features(&mixed.build().unwrap())[5], 190.0f32 / 3.0, "no row is near");
}

#[test]
fn the_same_rows_are_filled_by_any_number_of_threads() {
    let cell = |i: usize, j: usize| match (i * 5 + j * 3) % 7 {
        0 => String::new(),
        _ => (((i * i * 37 + i * j * 11 + j) % 257) as f64 / 16.0).to_string(),
    };
    let row = |i| format!("{},{},{},{i}.5\n", cell(i, 0), cell(i, 1), cell(i, 2));
    let text = String::from("a,b,c,y\n") + &(0..1500).map(row).collect::<String>();
    let recipe = Csv::new(text.as_bytes()).target("y").unwrap().impute(Impute::Neighbours(5));
    let data = recipe.build().unwrap();
    // Row by row is one piece of work each.
    let fitted = data.preprocessing().unwrap();
    let table = Csv::new(text.as_bytes()).read().unwrap();
    let all = features(&data);
    for i in (0..1500).step_by(97) {
        let one = fitted.apply(&table.select(&[i]).unwrap()).unwrap();
        assert_eq!(features(&one), all[i * 3..][..3], "{i}");
    }
}

#[test]
fn many_donors_are_thinned_out() {
    let rows: String = (0..25_000).map(|i| format!("{i},{i}.5\n")).collect();
    let text = format!("a,y\n{rows},9\n");
    let recipe = Csv::new(text.as_bytes()).target("y").unwrap().impute(Impute::Neighbours(1));
    let data = recipe.build().unwrap();
    let [Combination::Neighbours(it)] = data.preprocessing().unwrap().combinations() else {
        panic!("one combination")
    };
    assert_eq!((it.donors.len(), it.donors[1], it.means[0]), (10_000, Some(2.0), 12_499.5));
}

#[test]
fn what_cannot_be_combined_is_refused() {
    let of = |change: fn(Recipe) -> Recipe| message(change(recipe()).build());
    let no_column = "`<memory>`, the table: there is no column `z`";
    assert!(of(|r| r.polynomial(&["z"])).starts_with(no_column));
    assert_eq!(
        of(|r| r.whiten(&["a", "y"], None)),
        "features are combined of inputs, and `y` is not one"
    );
    assert_eq!(
        of(|r| r.principal_components(&["a", "b"], Some(3))),
        "3 principal components are asked for; 4 training rows of 2 features have 1 to 2"
    );
    assert!(of(|r| r.principal_components(&[], Some(0))).starts_with("0 principal components"));
    assert_eq!(of(|r| r.impute(Impute::Neighbours(0))), "there is no mean of 0 neighbours");
    let again = of(|r| r.whiten(&["a", "b"], None).whiten(&["a"], None));
    assert!(again.contains("no feature is of `a` alone"), "{again}");
    let text = "a,b,y\n1e30,1,0.5\n1,2,1.5\n";
    let large = Csv::new(text.as_bytes()).target("y").unwrap().polynomial(&[]).build();
    assert_eq!(
        message(large),
        "`<memory>`, line 2, column `a * a`: the number is too large for single precision; scale \
         the columns"
    );
    let none = Csv::new("a,b,y\n,1,0.5\n,2,1.5\n".as_bytes()).target("y").unwrap();
    let none = message(none.impute(Impute::Neighbours(2)).build());
    assert!(none.contains("column `a`: no training row has a value"), "{none}");
    let one = Csv::new("a,b,y\n1,1,0.5\n".as_bytes()).target("y").unwrap();
    assert!(message(one.whiten(&[], None).build()).contains("two training rows"));
}

#[test]
fn combinations_travel_and_hostile_ones_are_refused() {
    let text = "a,b,y\n1,2,0.5\n3,,1.5\n-2,0.5,2.5\n0,1,3.5\n";
    let recipe = Csv::new(text.as_bytes()).target("y").unwrap().impute(Impute::Neighbours(1));
    let data = recipe.polynomial(&["a", "b"]).whiten(&["a", "b"], Some(2)).build().unwrap();
    let fitted = data.preprocessing().unwrap();
    let json = serde_json::to_string(fitted).unwrap();
    let back: Preprocessing = serde_json::from_str(&json).unwrap();
    assert_eq!(&back, fitted);
    let table = || Csv::new(text.as_bytes()).read().unwrap();
    assert_eq!(features(&back.apply(&table()).unwrap()), features(&data));
    for (old, new, why) in [
        ("\"features\":[0,1]", "\"features\":[1,0]", "ascending"),
        ("\"features\":[0,1]", "\"features\":[0,9]", "ascending"),
        ("\"features\":[0,1]", "\"features\":[]", "ascending"),
        ("\"features\":[0,1]", "\"features\":[0]", "numbers for each of their features"),
        ("\"count\":1", "\"count\":0", "one or more"),
        ("\"means\":[", "\"means\":[1e300,", "for each of their features"),
        ("\"donors\":[", "\"donors\":[1.0,", "for each of their features"),
        ("\"variances\":[", "\"variances\":[-1.0,", "for each of their features"),
        ("\"mean\":[", "\"mean\":[0.0,", "for each of their features"),
        (
            "{\"neighbours\":",
            "{\"products\":{\"features\":[0],\"squares\":true}},{\"neighbours\":",
            "before all other combinations",
        ),
    ] {
        assert!(json.contains(old), "{old} is not in {json}");
        let error = serde_json::from_str::<Preprocessing>(&json.replacen(old, new, 1)).unwrap_err();
        assert!(error.to_string().contains(why), "{new}: {error}");
    }
    // Neighbours fill numbers alone.
    let words = "{\"column\":\"a\",\"transform\":{\"hash\":{\"fill\":null,\"buckets\":1}}}";
    let number =
        "{\"column\":\"a\",\"transform\":{\"number\":{\"fill\":null,\"scaling\":\"none\"}}}";
    assert!(json.contains(number), "{json}");
    let error = serde_json::from_str::<Preprocessing>(&json.replacen(number, words, 1));
    assert!(error.unwrap_err().to_string().contains("neighbours fill numbers"));
}
