//! Predicts California house prices from a CSV file (`--data`) with empty cells and a text column,
//! by a network and by ordinary least squares on the same split.

mod common;

use ironwarp::data::{ColumnId, Impute};
use ironwarp::prelude::*;

/// Features of all rows, a one after them, and targets in dollars.
fn matrix(data: &Dataset) -> ironwarp::Result<(Vec<Vec<f64>>, Vec<f64>)> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut x = vec![0.0; data.len() * data.features()];
    let mut y = vec![0.0; data.len()];
    data.gather_f32(ColumnId::Input(0), &rows, &mut x)?;
    data.gather_f32(ColumnId::Target(0), &rows, &mut y)?;
    if let Some(preprocessing) = data.preprocessing() {
        preprocessing.inverse_transform_targets(&mut y)?;
    }
    let with_one = |row: &[f32]| row.iter().map(|&x| f64::from(x)).chain([1.0]).collect();
    Ok((x.chunks(data.features()).map(with_one).collect(), y.into_iter().map(f64::from).collect()))
}

/// Least-squares weights: the normal equations by Gauss-Jordan elimination. The sum of one-hot
/// columns equals the constant one, so pivots of rounding errors alone are passed over.
fn least_squares(x: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let n = x[0].len();
    let mut a = vec![vec![0.0; n + 1]; n];
    for (row, y) in x.iter().zip(y) {
        for i in 0..n {
            (0..n).for_each(|j| a[i][j] += row[i] * row[j]);
            a[i][n] += row[i] * y;
        }
    }
    let tiny = a.iter().flat_map(|row| &row[..n]).fold(0.0_f64, |m, v| m.max(v.abs())) * 1e-9;
    for i in 0..n {
        if a[i][i].abs() < tiny {
            a[i].fill(0.0);
            continue;
        }
        let pivot: Vec<f64> = a[i].iter().map(|v| v / a[i][i]).collect();
        for row in &mut a {
            let factor = row[i];
            row.iter_mut().zip(&pivot).for_each(|(v, p)| *v -= factor * p);
        }
        a[i] = pivot;
    }
    a.iter().map(|row| row[n]).collect()
}

fn main() -> anyhow::Result<()> {
    let mut arguments = common::arguments();
    let file = arguments.data("the CSV file of California housing")?;
    let recipe = Dataset::csv(file)?.target("median_house_value")?.impute(Impute::Median);
    let recipe = recipe.standardize().one_hot().regression().standardize_target();
    let (train, test) = recipe.split(0.8, arguments.seed)?;

    let device = arguments.device()?;
    let model = Model::input(train.features()).dense(64).relu().dense(64).relu().dense(1);
    arguments.say(&model);
    let mut trainer =
        Trainer::new(&model, Adam::new(3e-3)).device(device).seed(arguments.seed).build()?;
    let fit = Fit::epochs(arguments.amount(60, 2)).batch(64).validate(&test);
    let fit = fit.schedule(Schedule::Cosine { minimum: 0.0 }).stop_on_interrupt();
    let history = trainer.fit(&train, fit)?;
    arguments.say(&history);

    let ((x, y), (test_x, test_y)) = (matrix(&train)?, matrix(&test)?);
    let weights = least_squares(&x, &y);
    let dot = |row: &Vec<f64>| row.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>();
    let squares = test_x.iter().zip(&test_y).map(|(x, y)| (dot(x) - y).powi(2));
    let least_squares_rmse = (squares.sum::<f64>() / test_y.len() as f64).sqrt();
    arguments.report("test_rmse", trainer.evaluate(&test)?.metric("root_mean_squared_error"));
    arguments.report("least_squares_rmse", least_squares_rmse);
    arguments.report("rows_per_second", common::rows_per_second(&history));
    arguments.finish()
}
