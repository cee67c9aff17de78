//! Principal components; conventions are scikit-learn's `PCA`.

use serde::{Deserialize, Serialize};

/// Most features that components are of: fitting takes time with their cube.
pub(super) const MOST: usize = 512;

/// Rounds of rotations; matrices of [`MOST`] rows need about ten.
const SWEEPS: usize = 60;

/// The directions in which the training rows vary most, at right angles to each other. Components
/// are a row's coordinates along them, from the rows' mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalComponents {
    /// The features that they are of, ascending.
    pub features: Vec<usize>,
    /// The mean of each of these.
    pub mean: Vec<f64>,
    /// The directions, of length 1, that of the largest variance first; the largest number of each
    /// is positive.
    pub components: Vec<Vec<f64>>,
    /// The variance along each, divided by one less than the rows.
    pub variances: Vec<f64>,
    /// Whether components are divided by their deviations, so that each has variance 1.
    pub whiten: bool,
}

impl PrincipalComponents {
    /// Fits so many components of some features of at least two rows.
    pub(super) fn fit(
        rows: &[f32],
        width: usize,
        features: Vec<usize>,
        count: usize,
        whiten: bool,
    ) -> PrincipalComponents {
        let size = features.len();
        let number = (rows.len() / width) as f64;
        let mut mean = vec![0.0; size];
        for row in rows.chunks_exact(width) {
            mean.iter_mut().zip(&features).for_each(|(sum, &i)| *sum += f64::from(row[i]));
        }
        mean.iter_mut().for_each(|sum| *sum /= number);
        let mut covariance = vec![0.0; size * size];
        let mut centred = vec![0.0; size];
        for row in rows.chunks_exact(width) {
            for ((x, &i), mean) in centred.iter_mut().zip(&features).zip(&mean) {
                *x = f64::from(row[i]) - mean;
            }
            for (i, x) in centred.iter().enumerate() {
                let sums = covariance[i * size + i..(i + 1) * size].iter_mut();
                sums.zip(&centred[i..]).for_each(|(sum, y)| *sum += x * y);
            }
        }
        for i in 0..size {
            for j in i..size {
                covariance[i * size + j] /= number - 1.0;
                covariance[j * size + i] = covariance[i * size + j];
            }
        }
        let (mut components, mut variances) = (Vec::new(), Vec::new());
        for (variance, direction) in eigen(covariance, size).into_iter().take(count) {
            variances.push(variance.max(0.0));
            components.push(direction);
        }
        PrincipalComponents { features, mean, components, variances, whiten }
    }

    /// The components of a row of all features.
    pub(super) fn project(&self, row: &[f32]) -> impl Iterator<Item = f64> {
        let centred = self.features.iter().zip(&self.mean);
        let centred: Vec<f64> = centred.map(|(&i, mean)| f64::from(row[i]) - mean).collect();
        self.components.iter().zip(&self.variances).map(move |(direction, variance)| {
            let along = direction.iter().zip(&centred).map(|(x, y)| x * y).sum::<f64>();
            // A direction without variance is noise, which is not to be blown up beyond measure.
            if self.whiten { along / variance.sqrt().max(f64::EPSILON) } else { along }
        })
    }

    /// What stands in the places of other features.
    pub(super) fn others<'a, T>(&'a self, all: &'a [T]) -> impl Iterator<Item = &'a T> {
        let own = |place: &usize| self.features.binary_search(place).is_ok();
        all.iter().enumerate().filter(move |(place, _)| !own(place)).map(|(_, x)| x)
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let size = self.features.len();
        let whole = self.mean.len() == size
            && self.components.iter().all(|direction| direction.len() == size)
            && self.components.len() <= size
            && self.variances.len() == self.components.len();
        let mut numbers = self.mean.iter().chain(self.components.iter().flatten());
        if !whole || !numbers.all(|x| x.is_finite()) {
            return Err("principal components are not finite numbers for each of their features");
        }
        match self.variances.iter().all(|variance| variance.is_finite() && *variance >= 0.0) {
            true => Ok(()),
            false => Err("a variance is not a finite number from 0"),
        }
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix, the largest value first: by Jacobi's
/// rotations (Golub and Van Loan, Matrix Computations, 8.5), which find small values as well as
/// large ones.
fn eigen(mut matrix: Vec<f64>, size: usize) -> Vec<(f64, Vec<f64>)> {
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    // Beside the largest, an element below this is a rounding of a rounding.
    let trace: f64 = (0..size).map(|i| matrix[i * size + i].abs()).sum();
    let least = trace * f64::EPSILON * f64::EPSILON;
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..size {
            for q in p + 1..size {
                turned |= rotate(&mut matrix, &mut vectors, (p, q), least);
            }
        }
        if !turned {
            break;
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> =
        vectors.into_iter().enumerate().map(|(i, v)| (matrix[i * size + i], v)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, vector) in &mut pairs {
        let largest =
            vector.iter().fold(0.0f64, |most, &x| if x.abs() > most.abs() { x } else { most });
        if largest < 0.0 {
            vector.iter_mut().for_each(|x| *x = -*x);
        }
    }
    pairs
}

/// Turns the plane of two axes so that their element is 0; says whether that was needed.
fn rotate(a: &mut [f64], vectors: &mut [Vec<f64>], (p, q): (usize, usize), least: f64) -> bool {
    let size = vectors.len();
    let (pp, qq, pq) = (a[p * size + p], a[q * size + q], a[p * size + q]);
    if pq.abs() <= least.max(f64::EPSILON * (pp * qq).abs().sqrt()) {
        return false;
    }
    let slope = (qq - pp) / (2.0 * pq);
    let tangent = slope.signum() / (slope.abs() + slope.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |x: &mut f64, y: &mut f64| {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    };
    for k in 0..size {
        let (mut x, mut y) = (a[k * size + p], a[k * size + q]);
        turn(&mut x, &mut y);
        (a[k * size + p], a[k * size + q]) = (x, y);
    }
    let (above, below) = a.split_at_mut(q * size);
    above[p * size..][..size].iter_mut().zip(below).for_each(|(x, y)| turn(x, y));
    let (above, below) = vectors.split_at_mut(q);
    above[p].iter_mut().zip(&mut below[0]).for_each(|(x, y)| turn(x, y));
    true
}
