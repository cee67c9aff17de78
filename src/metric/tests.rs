use super::*;

/// Equal but for a few roundings.
fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 8.0 * f64::EPSILON, "{got}, not {expected}");
}

fn all_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).for_each(|(&g, &e)| close(g, e));
}

const SCORES: [f32; 12] = [
    0.1, 0.7, 0.2, // 1
    0.5, 0.3, 0.5, // 0, tied with 2
    -1.0, -3.0, -2.0, // 0
    2.0, 3.0, 4.0, // 2
];

#[test]
fn accuracy_counts_the_largest_score() {
    close(accuracy(&SCORES, 3, &[1, 2, 0, 1], None).unwrap(), 0.5);
    close(accuracy(&SCORES, 3, &[1, 2, 0, 1], Some(&[1.0, 2.0, 4.0, 1.0])).unwrap(), 5.0 / 8.0);
    close(accuracy(&[-1.0, 0.5, 0.0], 1, &[0, 1, 1], None).unwrap(), 2.0 / 3.0);
    assert_eq!(predicted_classes(&SCORES, 3).unwrap(), [1, 0, 0, 2]);
    let nan = f32::NAN;
    assert_eq!(predicted_classes(&[nan, -5.0, nan, nan], 2).unwrap(), [1, 0]);
}

#[test]
fn top_k_counts_the_rank_of_the_label() {
    let labels = [0, 2, 1, 1];
    close(top_k_accuracy(&SCORES, 3, &labels, 1, None).unwrap(), 0.0);
    close(top_k_accuracy(&SCORES, 3, &labels, 2, None).unwrap(), 0.5);
    close(top_k_accuracy(&SCORES, 3, &labels, 3, None).unwrap(), 1.0);
    close(top_k_accuracy(&SCORES, 3, &labels, 9, None).unwrap(), 1.0);
    close(top_k_accuracy(&SCORES, 3, &labels, 2, Some(&[3.0, 1.0, 0.0, 0.0])).unwrap(), 0.25);
    close(top_k_accuracy(&[f32::NAN, 1.0], 2, &[0], 2, None).unwrap(), 0.0);
}

/// Labels 0 0 1 1 1 3, predicted 0 1 1 1 3 1; class 2 does not occur, class 3 is always missed.
fn matrix() -> ConfusionMatrix {
    ConfusionMatrix::new(&[0, 1, 1, 1, 3, 1], &[0, 0, 1, 1, 1, 3], 4, None).unwrap()
}

#[test]
fn precision_recall_and_f1_follow_from_the_confusion_matrix() {
    let m = matrix();
    assert_eq!((m.count(0, 1), m.count(1, 1), m.count(3, 1), m.count(1, 3)), (1.0, 2.0, 1.0, 1.0));
    all_close(&m.support(), &[2.0, 3.0, 0.0, 1.0]);
    all_close(&m.precision(), &[1.0, 0.5, 0.0, 0.0]);
    all_close(&m.recall(), &[0.5, 2.0 / 3.0, 0.0, 0.0]);
    all_close(&m.f1(), &[2.0 / 3.0, 4.0 / 7.0, 0.0, 0.0]);
    close(m.accuracy(), 0.5);
    // The absent class 2 is no part of the mean.
    close(m.average(Average::Macro, &m.precision()), 0.5);
    close(m.average(Average::Weighted, &m.precision()), 3.5 / 6.0);
    close(m.average(Average::Weighted, &m.recall()), 0.5);
    close(m.average(Average::Macro, &m.f1()), (2.0 / 3.0 + 4.0 / 7.0) / 3.0);
}

#[test]
fn weights_scale_the_counts() {
    let weights = [0.5, 0.25, 2.0];
    let m = ConfusionMatrix::new(&[0, 1, 1], &[0, 0, 1], 2, Some(&weights)).unwrap();
    assert_eq!((m.count(0, 0), m.count(0, 1), m.count(1, 1)), (0.5, 0.25, 2.0));
    all_close(&m.precision(), &[1.0, 2.0 / 2.25]);
    all_close(&m.recall(), &[0.5 / 0.75, 1.0]);
    assert_eq!(
        m.to_string(),
        "label |    0    1\n------+----------\n    0 | 0.50 0.25\n    1 |    0    2"
    );
}

#[test]
fn tables_look_like_scikit_learns() {
    assert_eq!(
        matrix().to_string(),
        "label | 0 1 2 3\n\
         ------+--------\n\
         \x20   0 | 1 1 0 0\n\
         \x20   1 | 0 2 0 1\n\
         \x20   2 | 0 0 0 0\n\
         \x20   3 | 0 1 0 0"
    );
    // The example of scikit-learn's documentation.
    let m = ConfusionMatrix::new(&[0, 0, 2, 2, 1], &[0, 1, 2, 2, 2], 3, None).unwrap();
    let names = ["class 0", "class 1", "class 2"].map(String::from);
    assert_eq!(
        m.report(Some(&names)).unwrap().to_string(),
        "              precision    recall  f1-score   support\n\
         \n\
         \x20    class 0       0.50      1.00      0.67         1\n\
         \x20    class 1       0.00      0.00      0.00         1\n\
         \x20    class 2       1.00      0.67      0.80         3\n\
         \n\
         \x20   accuracy                           0.60         5\n\
         \x20  macro avg       0.50      0.56      0.49         5\n\
         weighted avg       0.70      0.60      0.61         5"
    );
    let report = matrix().report(None).unwrap();
    let listed: Vec<&str> = report.classes.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(listed, ["0", "1", "3"]);
    assert!(m.report(Some(&names[..2])).is_err());
}

#[test]
fn roc_auc_counts_ties_half() {
    close(roc_auc(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1], None).unwrap(), 0.75);
    close(roc_auc(&[1.0, 2.0], &[0, 1], None).unwrap(), 1.0);
    close(roc_auc(&[1.0, 2.0], &[1, 0], None).unwrap(), 0.0);
    close(roc_auc(&[3.0; 4], &[0, 1, 1, 0], None).unwrap(), 0.5);
    close(roc_auc(&[0.0, -0.0], &[0, 1], None).unwrap(), 0.5);
    // Positives 0.5, 0.9 against negatives 0.5, 0.2, 0.9: 1/2 + 1 + 0, then 1 + 1 + 1/2, of 6.
    let scores = [0.5, 0.5, 0.9, 0.2, 0.9];
    let labels = [1, 0, 1, 0, 0];
    close(roc_auc(&scores, &labels, None).unwrap(), 4.0 / 6.0);
    // Weights 2 and 1 on the positives; 1, 3 and 1 on the negatives.
    let weights = [2.0, 1.0, 1.0, 3.0, 1.0];
    let expected = (2.0 * 3.5 + 1.0 * 4.5) / 15.0;
    close(roc_auc(&scores, &labels, Some(&weights)).unwrap(), expected);
}

#[test]
fn roc_auc_of_several_classes_is_the_mean_of_each_against_the_rest() {
    let p = [0.8, 0.1, 0.1, 0.3, 0.4, 0.3, 0.4, 0.4, 0.2, 0.1, 0.3, 0.6];
    let labels = [0, 1, 0, 2];
    // Class 0: 0.8, 0.4 over 0.3, 0.1: 1. Class 1: 0.4 over 0.1, 0.4, 0.3: 2.5 / 3. Class 2: 1.
    let expected = (1.0 + 2.5 / 3.0 + 1.0) / 3.0;
    close(roc_auc_one_vs_rest(&p, 3, &labels, None).unwrap(), expected);
    // Of logits it is the softmax that is compared, not the logits: 8 in row 1 is less than 1 in row 2.
    let logits = [5.0, 4.0, 4.0, 8.0, 9.0, 8.0, 1.0, 1.0, 0.0, -9.0, -8.0, -7.0];
    // Odds of class 0 are e / 2 and e / (e + 1) where it is right, else at most 1 / (e + 1); those
    // of classes 1 and 2 are the largest where they are right.
    close(Metric::RocAuc.evaluate(&logits, 3, Targets::Classes(&labels), None).unwrap(), 1.0);
    let two = [1.0, 0.0, 5.0, 6.0, 0.0, 0.5];
    close(Metric::RocAuc.evaluate(&two, 2, Targets::Classes(&[1, 1, 0]), None).unwrap(), 0.5);
}

#[test]
fn regression_metrics_match_hand_computation() {
    let (p, t) = ([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0]);
    close(mean_absolute_error(&p, &t, None).unwrap(), 0.5);
    close(root_mean_squared_error(&p, &t, None).unwrap(), 0.375f64.sqrt());
    // Squares 1.5 in all; about the mean 2.875 the targets have 29.1875.
    close(r2(&p, &t, None).unwrap(), 1.0 - 1.5 / 29.1875);
    let w = [1.0, 1.0, 0.0, 2.0];
    close(mean_absolute_error(&p, &t, Some(&w)).unwrap(), 0.75);
    close(root_mean_squared_error(&p, &t, Some(&w)).unwrap(), (2.5f64 / 4.0).sqrt());
    // Mean 16.5 / 4; squares 1.265625 + 21.390625 + 2 * 8.265625.
    close(r2(&p, &t, Some(&w)).unwrap(), 1.0 - 2.5 / 39.1875);
    close(r2(&[1.0, 1.0], &[1.0, 1.0], None).unwrap(), 1.0);
    close(r2(&[1.0, 2.0], &[0.1, 0.1], None).unwrap(), 0.0);
    assert!(r2(&[1.0], &[1.0], None).is_err());
}

#[test]
fn wrong_input_is_refused_with_its_place() {
    let message = |result: Result<f64, DataError>| result.unwrap_err().to_string();
    assert_eq!(message(accuracy(&[], 3, &[], None)), "accuracy: there are no rows");
    assert_eq!(
        message(accuracy(&SCORES, 3, &[0; 5], None)),
        "accuracy: 12 predicted values in rows of 3 do not match 5 targets"
    );
    assert_eq!(
        message(accuracy(&SCORES, 3, &[0, 1, 3, 0], None)),
        "accuracy: class 3 in row 2 is out of range; there are 3 classes, from 0"
    );
    for weights in [&[1.0; 3][..], &[1.0, -1.0, 1.0, 1.0], &[f32::NAN; 4], &[0.0; 4]] {
        assert!(mean_absolute_error(&[0.0; 4], &[0.0; 4], Some(weights)).is_err());
    }
    assert!(top_k_accuracy(&SCORES, 3, &[0; 4], 0, None).is_err());
    assert!(roc_auc(&[0.1, 0.2], &[1, 1], None).is_err());
    assert!(roc_auc(&[0.1, f32::NAN], &[0, 1], None).is_err());
    assert!(roc_auc(&[0.1, 0.2], &[0, 2], None).is_err());
    assert!(ConfusionMatrix::new(&[2], &[0], 2, None).is_err());
    assert!(ConfusionMatrix::from_scores(&[1.0], 0, &[0], None).is_err());
    assert!(predicted_classes(&[1.0; 3], 2).is_err());
    assert!(Metric::R2.evaluate(&SCORES, 3, Targets::Classes(&[0; 4]), None).is_err());
    assert!(Metric::Accuracy.evaluate(&[1.0], 1, Targets::Numbers(&[1.0]), None).is_err());
}

#[test]
fn metrics_go_by_their_names() {
    let mut all: Vec<Metric> = Metric::NAMED.iter().map(|(_, metric)| *metric).collect();
    all.push(Metric::TopKAccuracy(5));
    for metric in all {
        assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        let json = serde_json::to_string(&metric).unwrap();
        assert_eq!(json, format!("\"{metric}\""));
        assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
    }
    assert!("top_0_accuracy".parse::<Metric>().is_err());
    assert!("nonsense".parse::<Metric>().unwrap_err().to_string().contains("r2, top_5_accuracy"));
    assert!(Metric::R2.larger_is_better() && !Metric::MeanAbsoluteError.larger_is_better());
}

#[test]
fn a_metric_evaluates_as_its_function() {
    let labels = [1, 2, 0, 1];
    let of = |metric: Metric| metric.evaluate(&SCORES, 3, Targets::Classes(&labels), None).unwrap();
    close(of(Metric::Accuracy), 0.5);
    close(of(Metric::TopKAccuracy(2)), 1.0);
    // Labels 1 2 0 1 predicted 1 0 0 2: precision 1/2, 1, 0; recall 1, 1/2, 0.
    close(of(Metric::Precision(Average::Macro)), 0.5);
    close(of(Metric::Precision(Average::Weighted)), 0.625);
    close(of(Metric::Recall(Average::Macro)), 0.5);
    close(of(Metric::F1(Average::Weighted)), (2.0 / 3.0 + 2.0 * 2.0 / 3.0) / 4.0);
    let numbers = Targets::Numbers(&[1.0, 2.0]);
    close(Metric::MeanAbsoluteError.evaluate(&[2.0, 2.0], 1, numbers, None).unwrap(), 0.5);
    close(Metric::R2.evaluate(&[1.0, 2.0], 1, numbers, None).unwrap(), 1.0);
    close(Metric::RootMeanSquaredError.evaluate(&[2.0, 1.0], 1, numbers, None).unwrap(), 1.0);
}
