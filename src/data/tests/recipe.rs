use super::{features, message, targets};
use crate::data::{Csv, Dataset, Impute, Recipe, Scaling, Task, Transform};

fn recipe(text: &'static str, target: &str) -> Recipe {
    Csv::new(text.as_bytes()).target(target).unwrap()
}

/// A table of one column x, made features by a recipe, beside a target that does not matter.
fn column(cells: &str, change: impl Fn(Recipe) -> Recipe) -> Result<Vec<f32>, String> {
    let rows: String = cells.split(' ').enumerate().map(|(i, x)| format!("{x},{i}.5\n")).collect();
    let text = format!("x,y\n{rows}");
    let recipe = Csv::new(text.as_bytes()).missing_words(&["?"]).target("y").unwrap();
    change(recipe).build().map(|data| features(&data)).map_err(|error| error.to_string())
}

#[test]
fn numbers_are_scaled_as_scikit_learn_does() {
    // StandardScaler on [1, 2, 3, 4]: mean 2.5, deviation sqrt(1.25).
    let deviation = 1.25f64.sqrt();
    let expected: Vec<f32> =
        [-1.5, -0.5, 0.5, 1.5].iter().map(|x| (x / deviation) as f32).collect();
    assert_eq!(column("1 2 3 4", Recipe::standardize).unwrap(), expected);
    assert_eq!(column("1 2 3 5", Recipe::min_max).unwrap(), [0.0, 0.25, 0.5, 1.0]);
    assert_eq!(column("1 2 3 5", |r| r).unwrap(), [1.0, 2.0, 3.0, 5.0]);
    // Constant columns give 0, also where the mean of equal numbers is not that number.
    for constant in ["7 7 7", "0.1 0.1 0.1 0.1 0.1 0.1", "1e300 1e300 1e300"] {
        for change in [Recipe::standardize, Recipe::min_max] {
            assert!(column(constant, change).unwrap().iter().all(|&x| x == 0.0), "{constant}");
        }
    }
    // Numbers that differ by less than rounding errors count as constant: the deviation is 1e-16.
    let near = column("1 1.0000000000000002 1", Recipe::standardize).unwrap();
    assert!(near.iter().all(|x| x.abs() < 1e-15), "{near:?}");
}

#[test]
fn missing_numbers_are_imputed_before_they_are_scaled() {
    let impute = |how: Impute| move |recipe: Recipe| recipe.impute(how.clone());
    assert_eq!(column("1 ? 2 6", impute(Impute::Mean)).unwrap(), [1.0, 3.0, 2.0, 6.0]);
    assert_eq!(column("1 ? 2 6", impute(Impute::Median)).unwrap(), [1.0, 2.0, 2.0, 6.0]);
    assert_eq!(column("1 ? 2 6 7", impute(Impute::Median)).unwrap()[1], 4.0);
    assert_eq!(column("9 4 ? 4 9 1", impute(Impute::MostFrequent)).unwrap()[2], 4.0);
    assert_eq!(column("9 ? 4", impute(Impute::Constant(-1.0))).unwrap(), [9.0, -1.0, 4.0]);
    let both = column("0 ? 2", |r| r.impute(Impute::Constant(10.0)).min_max()).unwrap();
    assert_eq!(both, [0.0, 1.0, 0.2]);
}

#[test]
fn categories_are_encoded() {
    assert_eq!(column("b a c", |r| r).unwrap(), [0., 1., 0., 1., 0., 0., 0., 0., 1.]);
    assert_eq!(column("b a c a", Recipe::ordinal).unwrap(), [1.0, 0.0, 2.0, 0.0]);
    let frequent = |r: Recipe| r.ordinal().impute(Impute::MostFrequent);
    assert_eq!(column("b c ? a b", frequent).unwrap(), [1.0, 2.0, 1.0, 0.0, 1.0]);
    assert_eq!(column("b a ?", frequent).unwrap(), [1.0, 0.0, 0.0]);
    let word = |r: Recipe| r.impute(Impute::Word("none".into()));
    assert_eq!(column("a ?", word).unwrap(), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn kinds_and_exceptions_have_their_own_settings() {
    let text = "id,size,age,city,y\n7,1,10,B,0.5\n8,3,,A,1.5\n9,5,30,,2.5\n";
    let data = recipe(text, "y")
        .ignore(&["id"])
        .min_max()
        .impute(Impute::MostFrequent)
        .impute(Impute::Mean)
        .column("age", |c| c.unscaled())
        .column("city", |c| c.ordinal().impute(Impute::Word("Z".into())))
        .build()
        .unwrap();
    assert_eq!(features(&data), [0.0, 10.0, 1.0, 0.5, 20.0, 0.0, 1.0, 30.0, 2.0]);
    let names = data.preprocessing().unwrap().feature_names();
    assert_eq!(names, ["size", "age", "city"]);
}

#[test]
fn statistics_come_from_the_training_rows_alone() {
    let text = "x,c,y\n1,a,0.5\n2,b,1.5\n3,c,2.5\n4,d,3.5\n5,e,4.5\n6,f,5.5\n";
    let recipe = recipe(text, "y").min_max();
    let check = |train: &Dataset, valid: &Dataset| {
        let preprocessing = train.preprocessing().unwrap();
        let raw: Vec<f64> = targets(train).iter().map(|&y| f64::from(y) + 0.5).collect();
        let min = raw.iter().copied().fold(f64::INFINITY, f64::min);
        let max = raw.iter().copied().fold(0.0, f64::max);
        let Transform::Number { scaling, .. } = &preprocessing.inputs()[0].transform else {
            panic!("x is a number")
        };
        assert_eq!(*scaling, Scaling::MinMax { min, max });
        let Transform::OneHot { categories, .. } = &preprocessing.inputs()[1].transform else {
            panic!("c is a category")
        };
        assert_eq!(categories.len(), train.len());
        // The validation rows' categories are new: their features are all 0.
        let width = valid.features();
        assert!(features(valid).chunks(width).all(|row| row[1..].iter().all(|&x| x == 0.0)));
        assert_eq!(valid.preprocessing(), train.preprocessing());
    };
    let (train, test) = recipe.split(0.5, 3).unwrap();
    check(&train, &test);
    let mut validated = Vec::new();
    for fold in recipe.k_fold(3, 3).unwrap() {
        let (train, valid) = fold.unwrap();
        check(&train, &valid);
        validated.extend(targets(&valid));
    }
    validated.sort_by(f32::total_cmp);
    assert_eq!(validated, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]);
}

#[test]
fn the_task_follows_from_the_target() {
    let task = |cells: &str, change: fn(Recipe) -> Recipe| {
        let rows: String = cells.split(' ').map(|y| format!("1,{y}\n")).collect();
        let text = format!("x,y\n{rows}");
        let data = change(Csv::new(text.as_bytes()).target("y").unwrap()).build().unwrap();
        (data.task(), data.class_names().to_vec(), targets(&data))
    };
    let classes = |classes| Task::Classification { classes };
    let regression = Task::Regression { outputs: 1 };
    let words = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<Vec<String>>();
    let unchanged = |r| r;

    let (kind, names, labels) = task("no yes no", unchanged);
    assert_eq!((kind, names, labels), (classes(2), words(&["no", "yes"]), vec![0.0, 1.0, 0.0]));
    assert_eq!(task("2 0 1 0 1 2", unchanged).1, words(&["0", "1", "2"]));
    assert_eq!(task("0.0 1.0 1.0 0.0", unchanged).0, classes(2));
    // Not from 0, with a gap, not whole, each only once: numbers.
    for cells in ["1 2 1 2", "0 2 0 2", "0 0.5 1 0", "0 1 2 3", "-1 0 1 0 1 0"] {
        assert_eq!(task(cells, unchanged).0, regression, "{cells}");
    }
    let (kind, names, labels) = task("10 -1 2.5 10", Recipe::classification);
    assert_eq!((kind, names), (classes(3), words(&["-1", "2.5", "10"])));
    assert_eq!(labels, [2.0, 0.0, 1.0, 2.0]);
    assert_eq!(task("0 1 0 1", Recipe::regression).0, regression);
}

#[test]
fn several_targets_are_numbers_side_by_side() {
    let text = "x,a,b\n1,10,0\n2,20,4\n";
    let recipe = Csv::new(text.as_bytes()).targets(&["b", "a"]).unwrap().standardize_target();
    let data = recipe.build().unwrap();
    assert_eq!(data.task(), Task::Regression { outputs: 2 });
    assert_eq!(targets(&data), [-1.0, -1.0, 1.0, 1.0]);
    let mut predictions = [0.0, 0.0, 1.0, -1.0];
    data.preprocessing().unwrap().inverse_transform_targets(&mut predictions).unwrap();
    assert_eq!(predictions, [2.0, 15.0, 4.0, 10.0]);
    assert_eq!(
        message(data.preprocessing().unwrap().inverse_transform_targets(&mut [0.0; 3])),
        "3 predictions do not make whole rows of 2 targets"
    );
}

#[test]
fn rows_with_missing_cells_can_be_dropped() {
    let text = "a,b,note,y\n1,2,,0.5\n,3,n,1.5\n4,,n,2.5\n5,6,n,\n7,8,n,4.5\n";
    let dropped = recipe(text, "y").ignore(&["note"]).drop_missing().build().unwrap();
    assert_eq!(targets(&dropped), [0.5, 4.5]);
    let filled = recipe(text, "y").ignore(&["note"]).drop_missing().impute(Impute::Mean);
    assert_eq!(targets(&filled.build().unwrap()), [0.5, 1.5, 2.5, 4.5]);
    let none = recipe("a,y\n,1.5\n2,\n", "y").drop_missing();
    assert_eq!(message(none.build()), "`<memory>`, the table: there are no rows left");
}

#[test]
fn recipes_that_do_not_fit_are_refused() {
    let text = "a,c,y\n1,u,0.5\n,v,1.5\n3,u,2.5\n";
    let build = |change: fn(Recipe) -> Recipe| message(change(recipe(text, "y")).build());
    assert_eq!(
        build(|r| r),
        "`<memory>`, line 3, column `a`: the cell is missing, as 1 of 3 are; say \
         `impute(Impute::Median)` or `drop_missing()`"
    );
    let no_column = "there is no column `z`; the columns are `a`, `c`, `y`";
    assert_eq!(build(|r| r.ignore(&["z"])), format!("`<memory>`, the table: {no_column}"));
    assert_eq!(build(|r| r.column("z", |c| c)), format!("`<memory>`, the table: {no_column}"));
    assert_eq!(
        message(Csv::new(text.as_bytes()).target("z")),
        format!("`<memory>`, the table: {no_column}")
    );
    assert_eq!(
        build(|r| r.column("y", |c| c.min_max())),
        "`column(\"y\")` is for inputs, and `y` is not one"
    );
    assert_eq!(build(|r| r.ignore(&["y"])), "the target `y` cannot be ignored");
    assert_eq!(
        build(|r| r.ignore(&["a", "c"])),
        "`<memory>`, the table: there is no input column left"
    );
    assert_eq!(
        message(recipe(text, "c").regression().build()),
        "`<memory>`, column `c`: a regression needs a target of numbers; these are categories"
    );
    assert_eq!(
        message(recipe(text, "a").build()),
        "`<memory>`, line 3, column `a`: the target is missing; say `drop_missing()` to leave it \
         out"
    );
    assert_eq!(
        message(Csv::new(text.as_bytes()).targets(&["y", "y"])),
        "target `y` is named twice"
    );
    assert_eq!(
        message(Csv::new(text.as_bytes()).targets(&[])),
        "at least one target column must be named"
    );
    let several = Csv::new(text.as_bytes()).targets(&["c", "y"]).unwrap().classification();
    assert_eq!(
        message(several.build()),
        "a classification has one target column; there are several"
    );
    assert_eq!(
        message(recipe("a,y\n1,no\n2,no\n", "y").build()),
        "`<memory>`, column `y`: a classification needs two classes, there are 1"
    );
    assert_eq!(
        message(recipe("a,y\n1,0.5\n2,1.5\n", "y").split_stratified(0.5, 1)),
        "a stratified split needs a target of classes; the target is a number"
    );
}

#[test]
fn numbers_beyond_the_ranges_are_refused() {
    assert_eq!(
        column("1 1e39", |r| r).unwrap_err(),
        "`<memory>`, line 3, column `x`: 1e39 is too large for single precision; scale the column"
    );
    assert_eq!(
        column("1e308 -1e308 1e308", Recipe::standardize).unwrap_err(),
        "`<memory>`, column `x`: the range of the numbers is too large for double precision"
    );
    assert_eq!(
        column("1e200 2e200", Recipe::standardize).unwrap_err(),
        "`<memory>`, column `x`: the variance of the numbers is too large for double precision"
    );
    assert_eq!(
        column("? ?", |r| r.impute(Impute::Mean)).unwrap_err(),
        "`<memory>`, column `x`: no training row has a value; ignore the column"
    );
}
