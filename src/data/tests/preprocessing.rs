use proptest::prelude::*;

use super::{features, message, targets};
use crate::data::{Csv, Dataset, Impute, Preprocessing, Table, TableColumn, Task, Transform};

const TEXT: &str = "age,city,kind,y\n20,Bonn,1,0.5\n40,Ulm,2,1.5\n,Bonn,2,2.5\n60,,1,3.5\n";

fn fitted() -> Dataset {
    Csv::new(TEXT.as_bytes())
        .categories(&["kind"])
        .target("y")
        .unwrap()
        .standardize()
        .standardize_target()
        .impute(Impute::MostFrequent)
        .impute(Impute::Median)
        .column("kind", |c| c.ordinal())
        .build()
        .unwrap()
}

fn table(columns: Vec<TableColumn>) -> Table {
    Table::new(columns).unwrap()
}

#[test]
fn json_brings_back_the_same_preprocessing() {
    let data = fitted();
    let preprocessing = data.preprocessing().unwrap();
    let json = serde_json::to_string(preprocessing).unwrap();
    let back: Preprocessing = serde_json::from_str(&json).unwrap();
    assert_eq!(&back, preprocessing);
    assert_eq!(serde_json::to_string(&back).unwrap(), json);

    let again = Csv::new(TEXT.as_bytes()).types_from(&back).read().unwrap();
    let again = back.apply(&again).unwrap();
    assert_eq!((features(&again), targets(&again)), (features(&data), targets(&data)));
    assert_eq!(again.fingerprint().unwrap(), data.fingerprint().unwrap());
}

#[test]
fn raw_rows_become_the_same_features() {
    let data = fitted();
    let preprocessing = data.preprocessing().unwrap();
    // Other order of columns, no target, and a file so short that `kind` looks like a number.
    let text = "kind,age,city\n2,40,Ulm\n9,,Rome\n";
    let rows = Csv::new(text.as_bytes()).types_from(preprocessing).read().unwrap();
    let rows = preprocessing.apply(&rows).unwrap();
    assert_eq!((rows.task(), rows.targets().len()), (Task::Unlabelled, 0));
    let width = data.features();
    assert_eq!(features(&rows)[..width], features(&data)[width..2 * width]);
    // The median age is the mean one; an unseen city is all 0; an unseen kind the place after
    // the last.
    assert_eq!(features(&rows)[width..], [0.0, 0.0, 0.0, 2.0]);

    let same = table(vec![
        TableColumn::numbers("age", [Some(40.0)]),
        TableColumn::categories("city", [Some("Ulm")]),
        TableColumn::categories("kind", [Some("2")]),
    ]);
    let same = preprocessing.apply(&same).unwrap();
    assert_eq!(features(&same)[..], features(&data)[width..2 * width]);
}

#[test]
fn rows_of_other_columns_are_refused() {
    let data = fitted();
    let preprocessing = data.preprocessing().unwrap();
    let apply = |text: &'static str| {
        message(preprocessing.apply(&Csv::new(text.as_bytes()).read().unwrap()))
    };
    let those = "`<memory>`, the table: the columns are not those of the preprocessing";
    assert_eq!(apply("age\n1\n"), format!("{those}: it lacks `city`, `kind`"));
    assert_eq!(
        apply("age,City,kind,y,z\n1,a,b,1,2\n"),
        format!("{those}: it lacks `city`; it was not fitted on `City`, `z`")
    );
    assert_eq!(
        apply("age,city,kind\nold,Ulm,a\n"),
        "`<memory>`, line 2, column `age`: `old` is a category where a number is expected"
    );
    assert_eq!(
        apply("age,city,kind\n1,Ulm,1\n"),
        "`<memory>`, line 2, column `kind`: 1 is a number where a category is expected; read the \
         file with `types_from` the preprocessing"
    );
}

#[test]
fn unknown_classes_and_missing_cells_are_refused() {
    let data = Csv::new("x,c\n1,a\n2,b\n".as_bytes()).target("c").unwrap().build().unwrap();
    let apply = |text: &'static str| {
        let preprocessing = data.preprocessing().unwrap();
        let table = Csv::new(text.as_bytes()).types_from(preprocessing).read().unwrap();
        message(preprocessing.apply(&table))
    };
    assert_eq!(
        apply("c,x\na,1\nz,2\n"),
        "`<memory>`, line 3, column `c`: class `z` is not known; the classes are `a`, `b`"
    );
    assert_eq!(
        apply("c,x\na,1\nb,\n"),
        "`<memory>`, line 3, column `x`: the cell is missing, as 1 of 2 are; say \
         `impute(Impute::Median)` or `drop_missing()`"
    );
}

#[test]
fn tables_in_memory_are_checked() {
    let numbers = |name: &str, cells: &[f64]| {
        TableColumn::numbers(name, cells.iter().map(|&x| Some(x)).collect::<Vec<_>>())
    };
    let new = |columns| message(Table::new(columns));
    assert_eq!(new(vec![]), "`<memory>`, the table: there are no rows");
    assert_eq!(new(vec![numbers("a", &[])]), "`<memory>`, the table: there are no rows");
    assert_eq!(
        new(vec![numbers("a", &[1.0]), numbers("b", &[1.0, 2.0])]),
        "`<memory>`, the table: column `b` has 2 rows, column `a` has 1"
    );
    for bad in [f64::NAN, f64::INFINITY] {
        assert_eq!(
            new(vec![numbers("a", &[1.0, bad])]),
            "`<memory>`, row 1, column `a`: the number is not finite"
        );
    }
    let one = table(vec![numbers("a", &[1.0])]);
    assert_eq!(
        message(one.select(&[1])),
        "`<memory>`, the table: there is no row 1, the table has 1 rows"
    );
}

#[test]
fn a_file_cannot_smuggle_in_nonsense() {
    let number = r#"{"number":{"fill":null,"scaling":"none"}}"#;
    let json = |inputs: &str, target: &str| {
        let text = format!(r#"{{"inputs":[{inputs}],"target":{target},"ignored":[]}}"#);
        match serde_json::from_str::<Preprocessing>(&text) {
            Ok(_) => "accepted".into(),
            Err(error) => error.to_string(),
        }
    };
    let input = |transform: &str| format!(r#"{{"column":"x","transform":{transform}}}"#);
    let target = r#"{"numbers":[{"column":"y","scaling":"none"}]}"#;
    assert_eq!(json(&input(number), target), "accepted");
    let cases = [
        (String::new(), target, "preprocessing without inputs"),
        (input(number), r#"{"numbers":[]}"#, "preprocessing without targets"),
        (
            format!("{},{}", input(number), input(number)),
            target,
            "preprocessing of column `x`: named twice",
        ),
        (
            input(r#"{"one_hot":{"fill":null,"categories":[]}}"#),
            target,
            "preprocessing of column `x`: there are no categories",
        ),
        (
            input(r#"{"ordinal":{"fill":null,"categories":["a","a"]}}"#),
            target,
            "preprocessing of column `x`: a category is listed twice",
        ),
        (
            input(r#"{"number":{"fill":null,"scaling":{"standard":{"mean":0,"deviation":-1}}}}"#),
            target,
            "preprocessing of column `x`: the scaling is not of finite numbers with a positive \
             width",
        ),
        (
            input(r#"{"number":{"fill":null,"scaling":{"min_max":{"min":-1e308,"max":1e308}}}}"#),
            target,
            "preprocessing of column `x`: the scaling is not of finite numbers with a positive \
             width",
        ),
        (
            input(number),
            r#"{"classes":{"column":"x","classes":["a","b"]}}"#,
            "preprocessing of column `x`: named twice",
        ),
    ];
    for (inputs, target, expected) in cases {
        let text = json(&inputs, target);
        assert!(text.starts_with(expected), "{text}");
    }
    assert!(json(&input(r#"{"shell":"rm"}"#), target).starts_with("unknown variant `shell`"));
}

/// Finite numbers of widely different sizes, far from overflow.
fn numbers() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-1.0f64..1.0, -20i32..20), 2..60)
        .prop_map(|parts| parts.into_iter().map(|(x, power)| x * 10f64.powi(power)).collect())
}

fn single_column(numbers: &[f64]) -> Table {
    let rows = || numbers.iter().map(|&x| Some(x));
    table(vec![TableColumn::numbers("x", rows()), TableColumn::numbers("y", rows())])
}

proptest! {
    #[test]
    fn standardised_numbers_have_mean_0_and_deviation_1(numbers in numbers()) {
        let data = single_column(&numbers).target("y").unwrap().regression().standardize();
        let features = features(&data.build().unwrap());
        let n = features.len() as f64;
        let mean = features.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let square = features.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
        // Each feature is at most sqrt(n) < 8 and rounded to single precision once: 8 * 2^-24
        // each, twice that relatively in the square; double precision adds less than that.
        prop_assert!(mean.abs() < 8.0 * 2f64.powi(-24) * 2.0, "mean {mean}");
        let constant = features.iter().all(|&x| x == 0.0);
        prop_assert!(constant || (square - 1.0).abs() < 2f64.powi(-22), "square {square}");
    }

    #[test]
    fn min_max_fills_the_unit_interval(numbers in numbers()) {
        let data = single_column(&numbers).target("y").unwrap().regression().min_max();
        let features = features(&data.build().unwrap());
        prop_assert!(features.iter().all(|x| (0.0..=1.0).contains(x)));
        prop_assert!(features.contains(&0.0));
        let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(min == max || features.contains(&1.0));
    }

    #[test]
    fn one_hot_rows_have_a_single_1_at_their_word(words in prop::collection::vec("[a-e]", 1..40)) {
        let cells = words.iter().map(|word| Some(word.as_str()));
        let y = words.iter().map(|_| Some(1.0));
        let columns = vec![TableColumn::categories("c", cells), TableColumn::numbers("y", y)];
        let data = table(columns).target("y").unwrap().build().unwrap();
        let Transform::OneHot { categories, .. } =
            &data.preprocessing().unwrap().inputs()[0].transform
        else {
            panic!("c is a category")
        };
        prop_assert!(categories.is_sorted());
        for (row, word) in features(&data).chunks(categories.len()).zip(&words) {
            prop_assert_eq!(row.iter().sum::<f32>(), 1.0);
            let place = row.iter().position(|&x| x == 1.0).unwrap();
            prop_assert_eq!(&categories[place], word);
        }
    }

    #[test]
    fn statistics_survive_json_bit_for_bit(numbers in numbers()) {
        let recipe = single_column(&numbers).target("y").unwrap().regression();
        let recipe = recipe.standardize().standardize_target().impute(Impute::Mean);
        let data = recipe.build().unwrap();
        let json = serde_json::to_string(data.preprocessing().unwrap()).unwrap();
        let back: Preprocessing = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&back, data.preprocessing().unwrap());
    }

    #[test]
    fn predictions_come_back_to_the_units_of_the_target(numbers in numbers()) {
        let recipe = single_column(&numbers).target("y").unwrap().regression().standardize_target();
        let data = recipe.build().unwrap();
        let mut back = targets(&data);
        data.preprocessing().unwrap().inverse_transform_targets(&mut back).unwrap();
        let largest = numbers.iter().fold(0.0f64, |a, x| a.max(x.abs()));
        for (&back, &number) in back.iter().zip(&numbers) {
            // (x - mean) / deviation is rounded to single precision at at most 2 * largest before
            // the division is undone, and the result once more.
            let bound = 3.0 * largest * 2f64.powi(-24) + f64::from(f32::MIN_POSITIVE);
            prop_assert!((f64::from(back) - number).abs() <= bound, "{back} {number}");
        }
    }
}
