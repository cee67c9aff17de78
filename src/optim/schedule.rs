//! Learning rates that change while training.
//!
//! A [`Schedule`] is a formula of the step, so it needs no state and can be evaluated ahead;
//! [`Plateau`] answers to a metric and is a state machine. Formulas and defaults are those of
//! `torch.optim.lr_scheduler`, counted in optimizer steps, except where Keras is named.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A learning rate as a function of the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// The base rate throughout.
    #[default]
    Constant,
    /// The base rate times `factor` once for every full `every` steps.
    Step {
        /// Steps from one fall to the next, at least 1.
        every: u64,
        /// What the rate is multiplied with; PyTorch's default is 0.1.
        factor: f64,
    },
    /// The base rate times `factor` once for every milestone that is reached.
    MultiStep {
        /// Steps at which the rate falls, in any order.
        milestones: Vec<u64>,
        /// What the rate is multiplied with; PyTorch's default is 0.1.
        factor: f64,
    },
    /// base * factor^(step / every), without jumps (Keras `ExponentialDecay`; PyTorch's
    /// `ExponentialLR` is `every` = 1).
    Exponential {
        /// Steps over which the rate is multiplied with `factor`, at least 1.
        every: u64,
        /// What the rate is multiplied with over `every` steps.
        factor: f64,
    },
    /// end + (base - end) * (1 - step / total)^power (Keras `PolynomialDecay`; PyTorch's
    /// `PolynomialLR` has `end` = 0).
    Polynomial {
        /// Rate at the end.
        end: f64,
        /// Exponent; 1 is a straight line.
        power: f64,
    },
    /// minimum + (base - minimum) * (1 + cos(pi step / total)) / 2.
    Cosine {
        /// Rate at the end.
        minimum: f64,
    },
    /// Up from base / `initial_divisor` to the base rate, then down to 1 / `final_divisor` of the
    /// initial rate at the last step, both along half a cosine. The base rate is the peak.
    OneCycle {
        /// Share of the steps that go up; PyTorch's default is 0.3.
        rise: f64,
        /// Base rate over initial rate; PyTorch's default is 25.
        initial_divisor: f64,
        /// Initial rate over final rate; PyTorch's default is 1e4.
        final_divisor: f64,
    },
    /// A straight line from `start_factor` * base to base over the first `steps`, then another
    /// schedule over the steps that are left (`LinearLR`, then by `SequentialLR`).
    Warmup {
        /// Number of steps below the base rate.
        steps: u64,
        /// Share of the base rate at step 0; PyTorch's default is 1 / 3.
        start_factor: f64,
        /// What follows.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// [`OneCycle`](Self::OneCycle) with PyTorch's defaults.
    pub fn one_cycle() -> Self {
        Schedule::OneCycle { rise: 0.3, initial_divisor: 25.0, final_divisor: 1e4 }
    }

    /// This schedule after `steps` steps of linear warm-up from 1 / `steps` of the base rate, so
    /// that the first step does move.
    pub fn with_warmup(self, steps: u64) -> Self {
        let start_factor = 1.0 / steps.max(1) as f64;
        Schedule::Warmup { steps, start_factor, then: Box::new(self) }
    }

    /// The rate for a step, counted from 0, of a run of `total_steps`. Past the end of a run the
    /// schedules that have an end stay there.
    pub fn learning_rate(&self, base: f64, step: u64, total_steps: u64) -> f64 {
        let done = (step as f64 / total_steps.max(1) as f64).min(1.0);
        match self {
            Schedule::Constant => base,
            Schedule::Step { every, factor } => base * factor.powf((step / (*every).max(1)) as f64),
            Schedule::MultiStep { milestones, factor } => {
                base * factor.powf(milestones.iter().filter(|&&m| m <= step).count() as f64)
            }
            Schedule::Exponential { every, factor } => {
                base * factor.powf(step as f64 / (*every).max(1) as f64)
            }
            Schedule::Polynomial { end, power } => end + (base - end) * (1.0 - done).powf(*power),
            Schedule::Cosine { minimum } => half_cosine(base, *minimum, done),
            Schedule::OneCycle { rise, initial_divisor, final_divisor } => {
                let initial = base / initial_divisor;
                let top = rise * total_steps as f64 - 1.0;
                let end = total_steps as f64 - 1.0;
                let step = step as f64;
                if step < top {
                    half_cosine(initial, base, step / top)
                } else {
                    // No steps at all to go up: start from the top.
                    let top = top.max(0.0);
                    let down = if end > top { (step - top) / (end - top) } else { 1.0 };
                    half_cosine(base, initial / final_divisor, down.min(1.0))
                }
            }
            Schedule::Warmup { steps, start_factor, .. } if step < *steps => {
                base * (start_factor + (1.0 - start_factor) * step as f64 / *steps as f64)
            }
            Schedule::Warmup { steps, then, .. } => {
                then.learning_rate(base, step - steps, total_steps.saturating_sub(*steps))
            }
        }
    }

    /// Says what is wrong with the numbers, if anything.
    pub fn check(&self) -> Result<(), String> {
        let positive = |name: &str, value: f64| {
            if value > 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(format!("learning-rate schedule: `{name}` is {value}; it must be above zero"))
        };
        let not_negative = |name: &str, value: f64| {
            if value >= 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(format!("learning-rate schedule: `{name}` is {value}; it must not be negative"))
        };
        match self {
            Schedule::Constant => Ok(()),
            Schedule::Step { every, factor } | Schedule::Exponential { every, factor } => {
                positive("every", *every as f64)?;
                positive("factor", *factor)
            }
            Schedule::MultiStep { factor, .. } => positive("factor", *factor),
            Schedule::Polynomial { end, power } => {
                not_negative("end", *end)?;
                positive("power", *power)
            }
            Schedule::Cosine { minimum } => not_negative("minimum", *minimum),
            Schedule::OneCycle { rise, initial_divisor, final_divisor } => {
                if !(0.0..=1.0).contains(rise) {
                    return Err(format!("learning-rate schedule: `rise` is {rise}, not in 0..=1"));
                }
                positive("initial_divisor", *initial_divisor)?;
                positive("final_divisor", *final_divisor)
            }
            Schedule::Warmup { start_factor, then, .. } => {
                not_negative("start_factor", *start_factor)?;
                then.check()
            }
        }
    }
}

/// From `start` to `end` along half a cosine, for `done` in 0..=1.
fn half_cosine(start: f64, end: f64, done: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * done).cos()) / 2.0
}

/// Lowers the learning rate when a metric has stopped improving (`ReduceLROnPlateau`, threshold
/// relative).
///
/// ```
/// use ironwarp::optim::schedule::Plateau;
///
/// let mut plateau = Plateau { factor: 0.5, patience: 1, ..Plateau::default() };
/// let scales = [1.0, 0.9, 0.9, 0.9, 0.9].map(|loss| plateau.observe(loss));
/// assert_eq!(scales, [1.0, 1.0, 1.0, 0.5, 0.5]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// What the rate is multiplied with; 0.1 by default.
    pub factor: f64,
    /// Observations without improvement that are let pass; the next one lowers the rate. 10 by
    /// default.
    pub patience: u64,
    /// Share by which a metric must beat the best one to count; 1e-4 by default.
    pub threshold: f64,
    /// Observations after a fall that are not counted against the metric; 0 by default.
    pub cooldown: u64,
    /// Smallest scale, as a share of the rate that is scaled; 0 by default.
    pub minimum: f64,
    /// Whether the metric is one that should grow, such as an accuracy; false by default.
    pub larger_is_better: bool,
    /// Where it stands.
    #[serde(default)]
    pub state: PlateauState,
}

/// What a [`Plateau`] remembers; its default is the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    scale: f64,
    best: Option<f64>,
    bad: u64,
    cooling: u64,
}

impl Default for PlateauState {
    fn default() -> Self {
        PlateauState { scale: 1.0, best: None, bad: 0, cooling: 0 }
    }
}

impl Default for Plateau {
    fn default() -> Self {
        Plateau {
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
            minimum: 0.0,
            larger_is_better: false,
            state: PlateauState::default(),
        }
    }
}

impl Plateau {
    /// Takes note of a metric and says what the learning rate is to be multiplied with from now
    /// on. A metric that is not a number is no improvement.
    pub fn observe(&mut self, metric: f64) -> f64 {
        let better = match self.state.best {
            _ if metric.is_nan() => false,
            None => true,
            Some(best) if self.larger_is_better => metric > best * (1.0 + self.threshold),
            Some(best) => metric < best * (1.0 - self.threshold),
        };
        let state = &mut self.state;
        if better && metric.is_finite() {
            state.best = Some(metric);
            state.bad = 0;
        } else {
            state.bad += 1;
        }
        if state.cooling > 0 {
            state.cooling -= 1;
            state.bad = 0;
        }
        if state.bad > self.patience {
            // A minimum above the present scale never raises it.
            state.scale = (state.scale * self.factor).max(self.minimum.min(state.scale));
            state.cooling = self.cooldown;
            state.bad = 0;
        }
        state.scale
    }

    /// The factor in force.
    pub fn scale(&self) -> f64 {
        self.state.scale
    }

    /// Says what is wrong with the numbers, if anything.
    pub fn check(&self) -> Result<(), String> {
        if !(self.factor > 0.0 && self.factor < 1.0) {
            return Err(format!("plateau: `factor` is {}; it must be in 0..1", self.factor));
        }
        if !(self.threshold >= 0.0 && self.threshold.is_finite()) {
            return Err(format!("plateau: `threshold` is {}, not 0 or more", self.threshold));
        }
        if !(0.0..=1.0).contains(&self.minimum) {
            return Err(format!("plateau: `minimum` is {}, not in 0..=1", self.minimum));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
