use ndarray::{Array1, Array2, Array3, arr0, array, s};

use super::{features, message, targets};
use crate::data::{Column, ColumnId, Dataset, Task};

fn small() -> Dataset {
    let x = Column::numbers("x", &[2], vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]);
    let y = Column::indices("y", &[], vec![2, 0, 1, 2]);
    Dataset::new(vec![x], vec![y]).unwrap()
}

#[test]
fn columns_of_several_inputs_and_targets_keep_their_shapes() {
    let image = Column::numbers("image", &[2, 2], (0..12u8).map(f32::from).collect());
    let token = Column::indices("token", &[3], vec![7, 8, 9, 1, 2, 3, 4, 5, 6]);
    let price = Column::numbers("price", &[], vec![1.0, 2.0, 3.0]);
    let kind = Column::labels("kind", vec![1, 0, 1], vec!["flat".into(), "house".into()]);
    let data = Dataset::new(vec![image, token], vec![price, kind]).unwrap();

    assert_eq!((data.len(), data.features()), (3, 4));
    assert_eq!(data.task(), Task::Regression { outputs: 1 });
    assert_eq!(data.inputs()[1].row_shape, [3]);
    assert_eq!(data.targets()[1].categories, ["flat", "house"]);
    let mut tokens = [0; 6];
    data.gather_u32(ColumnId::Input(1), &[2, 0], &mut tokens).unwrap();
    assert_eq!(tokens, [4, 5, 6, 7, 8, 9]);
    let mut as_floats = [0.0; 3];
    data.gather_f32(ColumnId::Input(1), &[1], &mut as_floats).unwrap();
    assert_eq!(as_floats, [1.0, 2.0, 3.0]);
    let mut kinds = [0; 3];
    data.gather_u32(ColumnId::Target(1), &[0, 1, 2], &mut kinds).unwrap();
    assert_eq!(kinds, [1, 0, 1]);
}

#[test]
fn subsets_of_subsets_name_the_same_rows() {
    let data = small().with_weights(vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let picked = data.select(&[3, 1, 1]).unwrap();
    assert_eq!(features(&picked), [3.0, 3.5, 1.0, 1.5, 1.0, 1.5]);
    assert_eq!(picked.weights(), Some(&[4.0, 2.0, 2.0][..]));
    let nested = picked.rows(1..).select(&[1, 0]).unwrap().rows(..=0);
    assert_eq!((features(&nested), targets(&nested)), (vec![1.0, 1.5], vec![0.0]));
    assert_eq!(nested.weights(), Some(&[2.0][..]));
    // The classes stay those of the whole.
    assert_eq!(nested.class_names(), ["0", "1", "2"]);
}

#[test]
fn ranges_are_cut_to_the_rows() {
    let data = small();
    assert_eq!(data.rows(2..100).len(), 2);
    assert_eq!(data.rows(9..12).len(), 0);
    assert!(data.rows(4..).is_empty());
    #[expect(clippy::reversed_empty_ranges, reason = "a user may write one")]
    let backwards = data.rows(3..1);
    assert!(backwards.is_empty());
    assert_eq!(data.rows(..=usize::MAX).len(), 4);
}

#[test]
fn bad_columns_are_refused_with_their_place() {
    let x = || Column::numbers("x", &[2], vec![0.0; 6]);
    let cases: Vec<(Vec<Column>, Vec<Column>, &str)> = vec![
        (vec![], vec![], "a dataset needs at least one input column"),
        (vec![Column::numbers("x", &[2], vec![])], vec![], "column `x` has no rows"),
        (
            vec![x()],
            vec![Column::indices("y", &[], vec![0, 1])],
            "column `y` has 2 rows, column `x` has 3",
        ),
        (
            vec![Column::numbers("x", &[4], vec![0.0; 6])],
            vec![],
            "column `x`: 6 elements do not make whole rows of sizes [4]",
        ),
        (
            vec![Column::numbers("x", &[0], vec![])],
            vec![],
            "column `x`: 0 elements do not make whole rows of sizes [0]",
        ),
        (
            vec![Column::numbers("x", &[usize::MAX, 2], vec![0.0; 6])],
            vec![],
            "column `x`: 6 elements do not make whole rows of sizes [18446744073709551615, 2]",
        ),
        (
            vec![Column::numbers("x", &[2], vec![0.0, 0.0, 0.0, f32::NAN])],
            vec![],
            "column `x`, row 1: NaN is not a finite number; impute or remove such rows first",
        ),
        (
            vec![x()],
            vec![Column::numbers("y", &[], vec![0.0, 1.0, f32::NEG_INFINITY])],
            "column `y`, row 2: -inf is not a finite number; impute or remove such rows first",
        ),
        (vec![x(), x()], vec![], "two input columns are named `x`"),
        (
            vec![x()],
            vec![Column::labels("y", vec![0, 2, 1], vec!["a".into(), "b".into()])],
            "column `y`, row 1: label 2 has no name, there are 2 classes",
        ),
        (
            vec![x()],
            vec![Column::indices("y", &[], vec![0, u32::MAX, 1])],
            "column `y`, row 1: label 4294967295 is too large; number the classes from 0",
        ),
    ];
    for (inputs, outputs, expected) in cases {
        assert_eq!(message(Dataset::new(inputs, outputs)), expected);
    }
}

#[test]
fn gathering_checks_everything() {
    let data = small();
    let gather =
        |column, rows: &[usize], size| message(data.gather_f32(column, rows, &mut vec![0.0; size]));
    assert_eq!(gather(ColumnId::Input(1), &[0], 2), "there is no input 1, only 1");
    assert_eq!(gather(ColumnId::Target(3), &[0], 2), "there is no target 3, only 1");
    assert_eq!(gather(ColumnId::Input(0), &[0, 4], 4), "there is no row 4, the dataset has 4 rows");
    assert_eq!(
        gather(ColumnId::Input(0), &[0, 1], 3),
        "column `x`: 2 rows need a buffer of 4 elements, it has 3"
    );
    assert_eq!(
        message(data.gather_u32(ColumnId::Input(0), &[0], &mut [0; 2])),
        "column `x` holds numbers where indices are asked for"
    );
    assert_eq!(message(data.select(&[0, 9])), "there is no row 9, the dataset has 4 rows");
}

#[test]
fn arrays_of_any_rank_layout_and_element_become_columns() {
    let x = Array3::from_shape_fn((3, 2, 2), |(i, j, k)| (i * 4 + j * 2 + k) as f64);
    let data = Dataset::from_arrays(&x, Array1::from(vec![3i64, 0, 1])).unwrap();
    assert_eq!(data.inputs()[0].row_shape, [2, 2]);
    assert_eq!(data.class_names(), ["0", "1", "2", "3"]);
    assert_eq!(features(&data), (0..12u8).map(f32::from).collect::<Vec<_>>());

    // A transposed view is read in its logical order.
    let columns = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let data = Dataset::from_arrays(columns.t(), columns.slice(s![0, ..])).unwrap();
    assert_eq!(features(&data), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(
        (targets(&data), data.task()),
        (vec![1.0, 2.0, 3.0], Task::Regression { outputs: 1 })
    );

    let data = Dataset::from_arrays(vec![1.0f32, 2.0], Array2::<f32>::zeros((2, 5))).unwrap();
    assert_eq!((data.features(), data.task().outputs()), (1, 5));
    assert_eq!((data.classes(), data.class_names().len()), (0, 0));

    let labels = vec!["b".to_string(), "a".to_string(), "b".to_string()];
    let data = Dataset::from_arrays(&[1.0f32, 2.0, 3.0][..], &labels).unwrap();
    assert_eq!(
        (data.class_names(), targets(&data)),
        (&["a".into(), "b".into()][..], vec![1.0, 0.0, 1.0])
    );
}

#[test]
fn bad_arrays_are_refused() {
    let x = array![[1.0f32], [2.0]];
    assert_eq!(
        message(Dataset::from_arrays(&x, [0i32, -1])),
        "column `y`, row 1: -1 is not an index from 0 to 4294967295"
    );
    assert_eq!(
        message(Dataset::from_arrays(arr0(1.0f32), [0u32])),
        "column `x`: an array without axes has no rows"
    );
    assert_eq!(
        message(Dataset::from_arrays(x.mapv(|x| f64::from(x) * 1e300), [0u32, 1])),
        "column `x`, row 0: inf is not a finite number; impute or remove such rows first"
    );
    assert_eq!(
        message(Dataset::from_arrays(Array2::<f32>::zeros((0, 3)), Vec::<u32>::new())),
        "column `x` has no rows"
    );
}

#[test]
fn class_weights_are_those_of_scikit_learn_and_multiply() {
    // compute_class_weight("balanced", classes=[0, 1, 2], y=[2, 0, 1, 2]) = [4/3, 4/3, 2/3].
    let data = small();
    let weights = data.balanced_class_weights().unwrap();
    assert_eq!(weights, [4.0 / 3.0, 4.0 / 3.0, 2.0 / 3.0]);
    let data = data.with_weights(vec![1.0, 1.0, 3.0, 1.0]).unwrap();
    let data = data.with_class_weights(&[10.0, 20.0, 0.5]).unwrap();
    assert_eq!(data.weights(), Some(&[0.5, 10.0, 60.0, 0.5][..]));
    // A class without rows counts for nothing.
    let part = data.select(&[0, 1]).unwrap();
    assert_eq!(part.balanced_class_weights().unwrap(), [1.0, 0.0, 1.0]);
}

#[test]
fn bad_weights_are_refused() {
    let set = |weights: &[f32]| message(small().with_weights(weights.to_vec()));
    assert_eq!(set(&[1.0]), "1 weights for 4 rows");
    assert_eq!(set(&[1.0, 1.0, -0.5, 1.0]), "row 2: weight -0.5 is not a finite number from 0");
    assert_eq!(set(&[1.0, f32::NAN, 1.0, 1.0]), "row 1: weight NaN is not a finite number from 0");
    assert_eq!(set(&[0.0; 4]), "all weights are 0");
    assert_eq!(message(small().with_class_weights(&[1.0])), "1 class weights for 3 classes");
    let regression = Dataset::from_arrays([1.0f32], [1.0f32]).unwrap();
    assert_eq!(
        message(regression.balanced_class_weights()),
        "this needs a first target of one class label per row"
    );
}

#[test]
fn the_fingerprint_sees_content_and_order_and_nothing_else() {
    let data = small();
    let same = data.fingerprint().unwrap();
    assert_eq!(small().fingerprint().unwrap(), same);
    assert_eq!(data.select(&[0, 1, 2, 3]).unwrap().fingerprint().unwrap(), same);
    let other_value = Column::numbers("x", &[2], vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.25]);
    let label = |name: &str| Column::indices(name, &[], vec![2, 0, 1, 2]);
    let mut different = vec![
        data.rows(..3).fingerprint().unwrap(),
        data.select(&[1, 0, 2, 3]).unwrap().fingerprint().unwrap(),
        small().with_weights(vec![1.0, 1.0, 1.0, 2.0]).unwrap().fingerprint().unwrap(),
        Dataset::new(vec![other_value], vec![label("y")]).unwrap().fingerprint().unwrap(),
        Dataset::new(data.inputs().to_vec(), vec![label("z")]).unwrap().fingerprint().unwrap(),
        Dataset::new(data.inputs().to_vec(), vec![]).unwrap().fingerprint().unwrap(),
    ];
    different.push(same);
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 7);
}
