//! Numbers by their rank among the training rows; conventions are scikit-learn's
//! `QuantileTransformer`.

use serde::{Deserialize, Serialize};

use super::super::recipe::Distribution;
use super::statistics::{quantile, sorted};

/// Most quantiles that are kept.
const MOST: usize = 1000;

/// How near to an end a number counts as the end, and how far from 0 and 1 shares are cut before
/// the normal distribution.
const EDGE: f64 = 1e-7;

/// Quantiles of the training rows at even steps, from the smallest to the largest number. A number
/// becomes its share of the way through them, and that, if asked for, the number of which a standard
/// normal distribution has this share below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// In ascending order, two or more.
    pub values: Vec<f64>,
    /// What the training rows are distributed like afterwards.
    pub distribution: Distribution,
}

impl Quantiles {
    /// Of at least one number: as many quantiles as numbers, at least 2 and at most 1000.
    pub(super) fn fit(numbers: &[f64], distribution: Distribution) -> Quantiles {
        let sorted = sorted(numbers);
        let steps = sorted.len().clamp(2, MOST) - 1;
        let at = |step: usize| quantile(&sorted, step as f64 / steps as f64);
        let mut values: Vec<f64> = (0..=steps).map(at).collect();
        // Rounding may put one below the one before.
        (1..values.len()).for_each(|i| values[i] = values[i].max(values[i - 1]));
        Quantiles { values, distribution }
    }

    /// A finite number's place in the distribution.
    pub(super) fn apply(&self, x: f64) -> f64 {
        let last = self.values.len() - 1;
        let edge = if self.distribution == Distribution::Normal { EDGE } else { 0.0 };
        let share = if x - edge <= self.values[0] && (edge == 0.0 || x - edge < self.values[0]) {
            0.0
        } else if x + edge >= self.values[last] && (edge == 0.0 || x + edge > self.values[last]) {
            1.0
        } else {
            // Equal quantiles: the middle of the places below and above them.
            let below = self.values.partition_point(|&value| value < x);
            let above = self.values.partition_point(|&value| value <= x);
            let place = match above > below {
                true => (below + above - 1) as f64 / 2.0,
                false => {
                    let (low, high) = (self.values[below - 1], self.values[below]);
                    (below - 1) as f64 + (x / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
                }
            };
            place / last as f64
        };
        match self.distribution {
            Distribution::Uniform => share,
            Distribution::Normal => normal(share.clamp(EDGE, 1.0 - EDGE)),
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let finite = self.values.iter().all(|value| value.is_finite());
        if finite && self.values.len() >= 2 && self.values.is_sorted() {
            return Ok(());
        }
        Err("the quantiles are not two or more finite numbers in order")
    }
}

/// The number that a standard normal one is below with this probability, between 0 and 1: algorithm
/// AS 241 (PPND16) of Wichura, Applied Statistics 37 (1988), right to 1e-16.
#[rustfmt::skip]
fn normal(p: f64) -> f64 {
    let ratio = |r: f64, above: [f64; 8], below: [f64; 8]| {
        let polynomial = |terms: [f64; 8]| terms.iter().rev().fold(0.0, |sum, term| sum * r + term);
        polynomial(above) / polynomial(below)
    };
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(
            0.180625 - q * q,
            [3.3871328727963665, 133.14166789178438, 1971.5909503065513,
             13731.69376550946, 45921.95393154987, 67265.7709270087,
             33430.57558358813, 2509.0809287301227],
            [1.0, 42.31333070160091, 687.1870074920579, 5394.196021424751,
             21213.794301586597, 39307.89580009271, 28729.085735721943,
             5226.495278852854],
        );
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let size = match r <= 5.0 {
        true => ratio(
            r - 1.6,
            [1.4234371107496835, 4.630337846156546, 5.769497221460691,
             3.6478483247632045, 1.2704582524523684, 0.2417807251774506,
             0.022723844989269184, 0.0007745450142783414],
            [1.0, 2.053191626637759, 1.6763848301838038, 0.6897673349851,
             0.14810397642748008, 0.015198666563616457, 0.0005475938084995345,
             1.0507500716444169e-09],
        ),
        false => ratio(
            r - 5.0,
            [6.657904643501103, 5.463784911164114, 1.7848265399172913,
             0.29656057182850487, 0.026532189526576124, 0.0012426609473880784,
             2.7115555687434876e-05, 2.0103343992922881e-07],
            [1.0, 0.599832206555888, 0.1369298809227358, 0.014875361290850615,
             0.0007868691311456133, 1.8463183175100548e-05, 1.421511758316446e-07,
             2.0442631033899397e-15],
        ),
    };
    size.copysign(q)
}
