//! Every op, over its own cases: the fast CPU form against the definition, gradients against finite
//! differences, thread counts against each other, and the attributes through JSON.

mod common;

use common::exact::ExactCases;
use common::model::{Differentiator, SmallModel, run_reference};
use common::{bounds, inputs, sample};
use ironwarp::op::{CallTypes, Case, Registry, Target};
use ironwarp::tensor::TensorType;

fn run_cpu(case: &Case, threads: usize, inputs: &[Vec<f64>]) -> Vec<Vec<f32>> {
    SmallModel::of_case(case).run_cpu(threads, inputs)
}

fn name(case: &Case) -> String {
    let types: Vec<_> = case.inputs.iter().map(TensorType::to_string).collect();
    format!("{} on {} with {} rows", case.op.label(), types.join(", "), case.rows)
}

#[test]
fn fast_forms_agree_with_the_definitions() {
    let mut worst = (0.0, String::new());
    let all = Registry::standard().cases();
    let cases = all.len();
    for case in all {
        for seed in 0..2 {
            let inputs = inputs(&case, seed);
            let expected = run_reference(&*case.op, &case, &inputs);
            let bounds = bounds::bounds(&case, &inputs, &expected);
            let got = run_cpu(&case, 2, &inputs);
            for (j, ((got, expected), bounds)) in got.iter().zip(&expected).zip(&bounds).enumerate()
            {
                assert_eq!(got.len(), expected.len(), "{}", name(&case));
                for (i, ((g, e), b)) in got.iter().zip(expected).zip(bounds).enumerate() {
                    let error = (f64::from(*g) - e).abs();
                    assert!(
                        error <= *b,
                        "{}: output {j}, element {i}: got {g}, expected {e}, error {error:e}, \
                         bound {b:e}",
                        name(&case)
                    );
                    if *b > 0.0 && error / b > worst.0 {
                        worst = (error / b, name(&case));
                    }
                }
            }
        }
    }
    println!(
        "counted: {cases} cases on the CPU, twice, {:.2} of a bound at most: {}",
        worst.0, worst.1
    );
}

#[test]
fn whole_numbers_are_exact() {
    ExactCases::check("the CPU", |_| true, |exact| exact.model.run_cpu(2, &exact.inputs));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for case in Registry::standard().cases() {
        let inputs = inputs(&case, 0);
        let one: Vec<Vec<u32>> = bits(&run_cpu(&case, 1, &inputs));
        for threads in [2, 3, 8] {
            assert_eq!(one, bits(&run_cpu(&case, threads, &inputs)), "{}", name(&case));
        }
    }
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn gradients_agree_with_finite_differences() {
    const STEP: f64 = 1e-3;
    for case in Registry::standard().cases().iter().filter(|c| !c.outputs.is_empty()) {
        let inputs = inputs(case, 0);
        let mut differentiator = Differentiator::new(SmallModel::of_case(case), |j, i| {
            sample(900 + j as u32, i, (0.2, 1.0))
        });
        differentiator.loss(&inputs);
        let gradients: Vec<_> = case.wanted.iter().map(|&i| differentiator.gradient(i)).collect();
        // A random direction over all wanted inputs.
        let direction: Vec<Vec<f64>> = case
            .wanted
            .iter()
            .map(|&i| {
                let stream = 700 + i as u32;
                (0..inputs[i].len()).map(|e| sample(stream, e, (-1.0, 1.0))).collect()
            })
            .collect();
        let dot = |a: &[Vec<f64>], b: &[Vec<f64>]| -> f64 {
            a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| x * y).sum()
        };
        let length = dot(&direction, &direction).sqrt();
        let mut at = |scale: f64| {
            let mut moved = inputs.clone();
            for (n, &i) in case.wanted.iter().enumerate() {
                for (x, d) in moved[i].iter_mut().zip(&direction[n]) {
                    *x += scale * STEP * d / length;
                }
            }
            differentiator.loss(&moved)
        };
        let numeric = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP);
        let symbolic = dot(&gradients, &direction) / length;
        let scale = dot(&gradients, &gradients).sqrt().max(at(0.0).abs()).max(1.0);
        assert!(
            (numeric - symbolic).abs() <= bounds::FINITE_DIFFERENCES * scale,
            "{}: gradient {symbolic}, finite differences {numeric}",
            name(case)
        );
    }
}

#[test]
fn ops_come_back_from_their_attributes() {
    let registry = Registry::standard();
    for case in registry.cases() {
        let again = registry.make(case.op.name(), case.op.attributes()).expect("known attributes");
        assert_eq!(format!("{again:?}"), format!("{:?}", case.op));
        assert_eq!(again.attributes(), case.op.attributes());
    }
}

#[test]
fn launches_are_one_of_the_alternatives_which_have_names_of_their_own() {
    let mut several = 0;
    for case in Registry::standard().cases() {
        let outputs = case.op.outputs(&case.inputs).expect("the case's types fit");
        let types = CallTypes { inputs: case.inputs.clone(), outputs };
        for capability in [(7, 5), (9, 0)] {
            let target = Target { capability };
            let all = case.op.alternatives(&types, case.rows, &target);
            let launches = case.op.launches(&types, case.rows, &target);
            let same = all.iter().filter(|(_, each)| Some(each) == launches.as_ref()).count();
            assert_eq!(same, usize::from(!all.is_empty()), "{}", name(&case));
            let names: std::collections::BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), all.len(), "{}", name(&case));
            several += usize::from(all.len() > 1);
        }
    }
    assert!(several > 0, "matrix products have tiles");
}
