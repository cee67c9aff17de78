//! Samples and what is said of them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Quantiles of some samples, in the samples' unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub best: f64,
    /// The lower quartile.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// The upper quartile.
    pub upper: f64,
    /// The 95th percentile; of fewer than 20 samples it is the largest.
    pub p95: f64,
    /// How many there were.
    pub samples: usize,
}

impl Spread {
    /// Of at least one sample.
    pub fn of(mut samples: Vec<f64>) -> Spread {
        samples.sort_by(f64::total_cmp);
        Spread {
            best: samples[0],
            lower: quantile(&samples, 0.25),
            median: quantile(&samples, 0.5),
            upper: quantile(&samples, 0.75),
            p95: samples[(samples.len() * 95).div_ceil(100).min(samples.len()) - 1],
            samples: samples.len(),
        }
    }

    /// The same with something taken off every sample, of which a tenth stays at least: what is no
    /// longer than its overhead can't be told from it.
    pub fn less(&self, seconds: f64) -> Spread {
        let off = |sample: f64| (sample - seconds).max(0.1 * sample);
        Spread {
            best: off(self.best),
            lower: off(self.lower),
            median: off(self.median),
            upper: off(self.upper),
            p95: off(self.p95),
            samples: self.samples,
        }
    }

    /// The distance of the quartiles.
    pub fn width(&self) -> f64 {
        self.upper - self.lower
    }
}

/// Between neighbours where it falls between them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// Seconds of one call.
pub fn seconds<E>(run: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed().as_secs_f64())
}

/// How long a measurement warms up and goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Before anything counts.
    pub warm_up: Duration,
    /// Afterwards, more or less.
    pub measure: Duration,
    /// At least so many samples, however long they take.
    pub samples: usize,
}

impl Budget {
    /// A twentieth of a second: for the many parts of a roofline or a plan.
    pub const TINY: Budget = Budget {
        warm_up: Duration::from_millis(8),
        measure: Duration::from_millis(30),
        samples: 5,
    };

    /// A fifth of a second.
    pub const SHORT: Budget = Budget {
        warm_up: Duration::from_millis(50),
        measure: Duration::from_millis(150),
        samples: 3,
    };

    /// Half a second a workload.
    pub const QUICK: Budget = Budget {
        warm_up: Duration::from_millis(150),
        measure: Duration::from_millis(400),
        samples: 5,
    };

    /// Four seconds a workload.
    pub const FULL: Budget = Budget {
        warm_up: Duration::from_millis(700),
        measure: Duration::from_millis(3300),
        samples: 9,
    };

    /// Samples that fit if one takes so many seconds.
    pub fn samples_of(&self, seconds: f64) -> usize {
        let fit = (self.measure.as_secs_f64() / seconds.max(1e-9)) as usize;
        fit.clamp(self.samples, 400)
    }

    /// Seconds per call, of samples that each repeat `run` for about a millisecond: `run` is given
    /// the number of repetitions.
    pub fn per_call<E>(&self, mut run: impl FnMut(usize) -> Result<(), E>) -> Result<Spread, E> {
        let started = Instant::now();
        let mut repeat = 1;
        let mut once = seconds(|| run(repeat))?;
        while started.elapsed() < self.warm_up || once < 5e-4 {
            if once < 1e-3 {
                repeat = (repeat as f64 * (1e-3 / once.max(1e-7)).clamp(1.5, 100.0)) as usize + 1;
            }
            once = seconds(|| run(repeat))?;
        }
        let count = self.samples_of(once);
        let sample = |_| Ok(seconds(|| run(repeat))? / repeat as f64);
        Ok(Spread::of((0..count).map(sample).collect::<Result<_, E>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_samples() {
        let spread = Spread::of((1..=101).rev().map(f64::from).collect());
        assert_eq!((spread.lower, spread.median, spread.upper), (26.0, 51.0, 76.0));
        assert_eq!((spread.p95, spread.samples, spread.width()), (96.0, 101, 50.0));
        let few = Spread::of(vec![3.0, 1.0]);
        assert_eq!((few.lower, few.median, few.upper, few.p95), (1.5, 2.0, 2.5, 3.0));
        let one = Spread::of(vec![4.0]);
        assert_eq!((one.lower, one.upper, one.p95), (4.0, 4.0, 4.0));
    }

    #[test]
    fn a_tenth_stays_whatever_is_taken_off() {
        let spread = Spread::of(vec![1.0, 2.0, 3.0]).less(1.5);
        assert_eq!((spread.best, spread.median, spread.p95), (0.1, 0.5, 1.5));
    }

    #[test]
    fn short_calls_are_repeated() {
        let mut most = 0;
        let run = |repeat| {
            most = most.max(repeat);
            std::thread::sleep(Duration::from_micros(20) * repeat as u32);
            Ok::<(), ()>(())
        };
        let spread = Budget::SHORT.per_call(run).expect("sleeping does not fail");
        assert!(spread.median >= 20e-6 && most > 1, "{spread:?}, {most} at once");
    }
}
