//! Initial values of parameters.
//!
//! Values are drawn on the host, in `f64` rounded once, from the words of `(seed, stream, step 0)`
//! (see [`crate::random`]), so they do not depend on device, threads or order of creation.
//!
//! Formulas and fans are PyTorch's (`torch.nn.init`): of a shape `[out, in, k...]`, fan-in is
//! `in * k...` and fan-out `out * k...`; of fewer than two dimensions both are the number of
//! elements. The normal forms are not truncated.

mod orthogonal;

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use self::orthogonal::orthogonal;
use crate::random::{PhiloxRng, fill_uniform};

/// A recipe for the initial values of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Uniform between two bounds.
    Uniform {
        /// Lower bound.
        low: f32,
        /// Upper bound.
        high: f32,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f32,
        /// Standard deviation, at least zero.
        standard_deviation: f32,
    },
    /// Normal, given that the value lies between two bounds.
    TruncatedNormal {
        /// Mean before truncation.
        mean: f32,
        /// Standard deviation before truncation, above zero.
        standard_deviation: f32,
        /// Lower bound of the value itself; PyTorch's default is -2.
        low: f32,
        /// Upper bound of the value itself; PyTorch's default is 2.
        high: f32,
    },
    /// Uniform in ±sqrt(6 / (fan-in + fan-out)) (Glorot and Bengio, 2010).
    GlorotUniform,
    /// Normal with variance 2 / (fan-in + fan-out).
    GlorotNormal,
    /// Uniform in ±sqrt(6 / fan-in), for ReLU (He et al., 2015).
    HeUniform,
    /// Normal with variance 2 / fan-in.
    HeNormal,
    /// Uniform in ±sqrt(3 / fan-in), for SELU (LeCun et al., 1998).
    LecunUniform,
    /// Normal with variance 1 / fan-in.
    LecunNormal,
    /// `gain` times a random matrix, uniform among those whose rows (or columns, if they are
    /// fewer) are orthonormal; dimensions after the first are taken as one (Saxe et al., 2013).
    Orthogonal {
        /// Factor on the matrix.
        gain: f32,
    },
    /// Uniform in ±1 / sqrt(fan-in): weights of PyTorch's dense and convolution layers.
    DenseDefault,
    /// Uniform in ±1 / sqrt(fan-in) of the weights beside it: biases of the same layers.
    DenseBiasDefault {
        /// Fan-in of the weights.
        fan_in: usize,
    },
}

impl Init {
    /// All zeros.
    pub const ZEROS: Init = Init::Constant(0.0);
    /// All ones.
    pub const ONES: Init = Init::Constant(1.0);

    /// Says what is wrong with the recipe's numbers, if anything.
    pub fn check(&self) -> Result<(), String> {
        let (numbers, ordered, deviation) = match *self {
            Init::Constant(value) => (vec![value], None, 1.0),
            Init::Orthogonal { gain } => (vec![gain], None, 1.0),
            Init::Uniform { low, high } => (vec![low, high], Some((low, high)), 1.0),
            Init::Normal { mean, standard_deviation } => {
                (vec![mean, standard_deviation], None, standard_deviation)
            }
            Init::TruncatedNormal { mean, standard_deviation, low, high } => {
                if standard_deviation == 0.0 {
                    return Err(format!("{self:?}: the standard deviation must be above zero"));
                }
                (vec![mean, standard_deviation, low, high], Some((low, high)), standard_deviation)
            }
            _ => (vec![], None, 1.0),
        };
        if numbers.iter().any(|n| !n.is_finite()) {
            return Err(format!("{self:?}: all numbers must be finite"));
        }
        if ordered.is_some_and(|(low, high)| low > high) {
            return Err(format!("{self:?}: the lower bound is above the upper; exchange them"));
        }
        if deviation < 0.0 {
            return Err(format!("{self:?}: the standard deviation is negative"));
        }
        Ok(())
    }

    /// Values for a parameter of this shape, in row-major order.
    ///
    /// A recipe that [`check`](Self::check) refuses gives values that are not useful.
    pub fn sample(&self, shape: &[usize], seed: u64, stream: u32) -> Vec<f32> {
        let count = shape.iter().product();
        let (fan_in, fan_out) = fans(shape);
        let both = fan_in + fan_out;
        let uniform = |bound: f64| uniform(count, -bound, bound, seed, stream);
        let normal = |variance: f64| normal(count, 0.0, variance.sqrt(), seed, stream);
        match *self {
            Init::Constant(value) => vec![value; count],
            Init::Uniform { low, high } => {
                self::uniform(count, low.into(), high.into(), seed, stream)
            }
            Init::Normal { mean, standard_deviation } => {
                self::normal(count, mean.into(), standard_deviation.into(), seed, stream)
            }
            Init::TruncatedNormal { mean, standard_deviation, low, high } => {
                let scaled = |bound: f32| f64::from(bound - mean) / f64::from(standard_deviation);
                let mut rng = PhiloxRng::new(seed, stream, 0);
                let mut draw = || truncated_normal(&mut rng, scaled(low), scaled(high));
                let value = |x: f64| (x * f64::from(standard_deviation) + f64::from(mean)) as f32;
                (0..count).map(|_| value(draw()).clamp(low.min(high), high.max(low))).collect()
            }
            Init::GlorotUniform => uniform((6.0 / both).sqrt()),
            Init::GlorotNormal => normal(2.0 / both),
            Init::HeUniform => uniform((6.0 / fan_in).sqrt()),
            Init::HeNormal => normal(2.0 / fan_in),
            Init::LecunUniform => uniform((3.0 / fan_in).sqrt()),
            Init::LecunNormal => normal(1.0 / fan_in),
            Init::DenseDefault => uniform(1.0 / fan_in.sqrt()),
            Init::DenseBiasDefault { fan_in } => uniform(1.0 / (fan_in.max(1) as f64).sqrt()),
            Init::Orthogonal { gain } => orthogonal(shape, gain.into(), seed, stream),
        }
    }
}

/// Fan-in and fan-out of a shape, at least one each.
fn fans(shape: &[usize]) -> (f64, f64) {
    let product = |sizes: &[usize]| sizes.iter().product::<usize>().max(1) as f64;
    match shape {
        [out, input, kernel @ ..] => {
            (product(&[*input]) * product(kernel), product(&[*out]) * product(kernel))
        }
        _ => (product(shape), product(shape)),
    }
}

fn uniform(count: usize, low: f64, high: f64, seed: u64, stream: u32) -> Vec<f32> {
    let mut values = vec![0.0; count];
    fill_uniform(seed, stream, 0, 0, &mut values);
    for value in &mut values {
        *value = (low + (high - low) * f64::from(*value)) as f32;
    }
    values
}

fn standard_normal(rng: &mut PhiloxRng) -> f64 {
    StandardNormal.sample(rng)
}

fn normal(count: usize, mean: f64, deviation: f64, seed: u64, stream: u32) -> Vec<f32> {
    let mut rng = PhiloxRng::new(seed, stream, 0);
    (0..count).map(|_| (mean + deviation * standard_normal(&mut rng)) as f32).collect()
}

/// A standard normal number between two bounds, by rejection from a uniform one.
fn truncated_normal(rng: &mut PhiloxRng, low: f64, high: f64) -> f64 {
    // Where the density is largest, and how far from there it has fallen by e^-37 or more: beyond,
    // nothing would ever be drawn. The share accepted is so at least 1 in 40, whatever the bounds.
    let peak = 0.0f64.max(low).min(high);
    let reach = (37.0 / peak.abs()).min(9.0);
    let (low, high) = (low.max(peak - reach), high.min(peak + reach));
    loop {
        let x = low + (high - low) * rng.random::<f64>();
        if rng.random::<f64>() <= ((peak - x) * (peak + x) / 2.0).exp() {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [120, 70, 9];
    const COUNT: f64 = 120.0 * 70.0 * 9.0;

    /// Mean, variance, and mean fourth power about the mean.
    fn moments(values: &[f32]) -> (f64, f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let about = |p: i32| values.iter().map(|&v| (f64::from(v) - mean).powi(p)).sum::<f64>() / n;
        (mean, about(2), about(4))
    }

    /// Mean and variance are those named, within five standard errors: sqrt(s^2 / n) for the mean,
    /// sqrt((m4 - s^4) / n) for the variance.
    fn check_moments(init: Init, mean: f64, variance: f64) -> Vec<f32> {
        let values = init.sample(&SHAPE, 11, 3);
        assert_eq!(values.len() as f64, COUNT);
        let (m, s2, m4) = moments(&values);
        assert!((m - mean).abs() < 5.0 * (variance / COUNT).sqrt(), "{init:?}: mean {m}");
        let error = 5.0 * ((m4 - s2 * s2) / COUNT).sqrt();
        assert!((s2 - variance).abs() < error, "{init:?}: variance {s2}, not {variance}");
        values
    }

    #[test]
    fn uniform_recipes_have_their_bounds_and_moments() {
        let (fan_in, fan_out) = (70.0 * 9.0, 120.0 * 9.0);
        let cases = [
            (Init::GlorotUniform, 6.0 / (fan_in + fan_out)),
            (Init::HeUniform, 6.0 / fan_in),
            (Init::LecunUniform, 3.0 / fan_in),
            (Init::DenseDefault, 1.0 / fan_in),
            (Init::DenseBiasDefault { fan_in: 25 }, 1.0 / 25.0),
        ];
        for (init, bound_squared) in cases {
            let bound = f64::sqrt(bound_squared);
            let values = check_moments(init, 0.0, bound_squared / 3.0);
            let largest = values.iter().fold(0f32, |a, v| a.max(v.abs()));
            assert!(largest <= bound as f32);
            // That none of n values reaches 1 - 20 / n of the bound has probability e^-20.
            assert!(f64::from(largest) > bound * (1.0 - 20.0 / COUNT));
        }
        check_moments(Init::Uniform { low: -1.0, high: 3.0 }, 1.0, 16.0 / 12.0);
    }

    #[test]
    fn normal_recipes_have_their_moments() {
        let (fan_in, fan_out) = (70.0 * 9.0, 120.0 * 9.0);
        check_moments(Init::GlorotNormal, 0.0, 2.0 / (fan_in + fan_out));
        check_moments(Init::HeNormal, 0.0, 2.0 / fan_in);
        check_moments(Init::LecunNormal, 0.0, 1.0 / fan_in);
        let values =
            check_moments(Init::Normal { mean: -1.5, standard_deviation: 0.5 }, -1.5, 0.25);
        // The fourth moment is 3 s^4, with variance (105 - 9) s^8 / n.
        let (_, _, m4) = moments(&values);
        assert!((m4 - 3.0 * 0.0625).abs() < 5.0 * (96.0 / COUNT).sqrt() * 0.0625);
    }

    #[test]
    fn truncated_normal_keeps_its_bounds_and_moments() {
        let truncated =
            |low, high| Init::TruncatedNormal { mean: 0.0, standard_deviation: 1.0, low, high };
        // Variance 1 - 2 * 2 phi(2) / (2 Phi(2) - 1), phi(2) = 0.0539909665, Phi(2) = 0.9772498681.
        let values =
            check_moments(truncated(-2.0, 2.0), 0.0, 1.0 - 0.215_963_866 / 0.954_499_736_2);
        assert!(values.iter().all(|v| v.abs() <= 2.0));
        // Half normal: mean sqrt(2 / pi), variance 1 - 2 / pi.
        let share = std::f64::consts::FRAC_2_PI;
        check_moments(truncated(0.0, 1e30), share.sqrt(), 1.0 - share);
        // Far out at a the excess is close to exponential: mean 1 / a - 2 / a^3 up to 10 / a^5,
        // standard deviation below 1 / a; five standard errors of 10,000 draws.
        let mean = moments(&truncated(20.0, f32::MAX).sample(&[10_000], 1, 1)).0;
        assert!((mean - 20.0 - 0.05 + 2.0 / 8000.0).abs() < 5.0 * 0.05 / 100.0, "{mean}");
        assert_eq!(truncated(3.0, 3.0).sample(&[2], 1, 1), [3.0, 3.0]);
    }

    #[test]
    fn orthogonal_rows_or_columns_are_orthonormal() {
        for shape in [&[30usize, 50][..], &[50, 30], &[8, 3, 3, 3], &[7, 7], &[5], &[1, 1]] {
            let values = Init::Orthogonal { gain: 1.0 }.sample(shape, 5, 2);
            let rows = shape[0];
            let columns = values.len() / rows;
            let (count, length) = (rows.min(columns), rows.max(columns));
            let at = |vector: usize, i: usize| {
                let place =
                    if rows <= columns { vector * columns + i } else { i * columns + vector };
                f64::from(values[place])
            };
            for a in 0..count {
                for b in 0..count {
                    let product: f64 = (0..length).map(|i| at(a, i) * at(b, i)).sum();
                    // Rounding to f32 changes each factor by at most 2^-24 of itself, and the sum
                    // of |a_i b_i| is at most one.
                    let wanted = if a == b { 1.0 } else { 0.0 };
                    assert!((product - wanted).abs() < 2.0 * 2f64.powi(-24) * 1.01, "{shape:?}");
                }
            }
            let doubled = Init::Orthogonal { gain: 2.0 }.sample(shape, 5, 2);
            assert!(values.iter().zip(&doubled).all(|(v, d)| 2.0 * v == *d));
        }
    }

    #[test]
    fn orthogonal_matrices_favour_no_sign() {
        // The entry of a 1 x 1 matrix is +1 or -1 with equal odds: five standard errors of 1000.
        let ups = (0..1000)
            .filter(|&seed| Init::Orthogonal { gain: 1.0 }.sample(&[1, 1], seed, 0)[0] > 0.0)
            .count();
        assert!(ups.abs_diff(500) < 80, "{ups}");
    }

    #[test]
    fn fans_follow_the_layout_of_the_weights() {
        assert_eq!(fans(&[5, 3]), (3.0, 5.0));
        assert_eq!(fans(&[8, 4, 3, 3]), (36.0, 72.0));
        assert_eq!(fans(&[6]), (6.0, 6.0));
        assert_eq!(fans(&[]), (1.0, 1.0));
    }

    #[test]
    fn the_same_key_gives_the_same_bits_and_another_stream_others() {
        for init in [Init::DenseDefault, Init::HeNormal, Init::Orthogonal { gain: 1.0 }] {
            assert_eq!(init.sample(&[9, 4], 1, 2), init.sample(&[9, 4], 1, 2));
            assert_ne!(init.sample(&[9, 4], 1, 2), init.sample(&[9, 4], 1, 3));
            assert_ne!(init.sample(&[9, 4], 1, 2), init.sample(&[9, 4], 2, 2));
            assert!(init.sample(&[0, 4], 1, 2).is_empty());
        }
        assert_eq!(Init::ONES.sample(&[2], 1, 2), [1.0, 1.0]);
    }

    #[test]
    fn recipes_are_checked_and_survive_json() {
        let bad = [
            Init::Constant(f32::NAN),
            Init::Uniform { low: 1.0, high: 0.0 },
            Init::Normal { mean: 0.0, standard_deviation: -1.0 },
            Init::TruncatedNormal { mean: 0.0, standard_deviation: 0.0, low: -1.0, high: 1.0 },
            Init::TruncatedNormal { mean: 0.0, standard_deviation: 1.0, low: 1.0, high: -1.0 },
        ];
        for init in bad {
            assert!(init.check().is_err(), "{init:?}");
        }
        for init in [Init::Uniform { low: -1.0, high: 1.0 }, Init::HeNormal, Init::ZEROS] {
            assert_eq!(init.check(), Ok(()));
            let json = serde_json::to_string(&init).expect("serialisable");
            assert_eq!(serde_json::from_str::<Init>(&json).expect(&json), init);
        }
        let bias = Init::DenseBiasDefault { fan_in: 3 };
        let json = serde_json::to_string(&bias).expect("serialisable");
        assert_eq!(json, r#"{"dense_bias_default":{"fan_in":3}}"#);
    }
}
