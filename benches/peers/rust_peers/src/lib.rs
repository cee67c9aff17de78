//! What the peers written in Rust share, as `peer.py` is for those in Python: the workloads, the data,
//! the clock and the answer. A peer is a program that is called as `PROGRAM FORM WORKLOAD FOLDER DEVICE
//! SECONDS` and prints one JSON object.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

/// Rates of Adam's moments, as everywhere.
pub const BETAS: (f64, f64) = (0.9, 0.999);
/// Adam's epsilon.
pub const EPSILON: f64 = 1e-8;
/// AdamW's, on every parameter.
pub const WEIGHT_DECAY: f64 = 0.01;

/// An optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Gradient descent.
    Sgd,
    /// Adam.
    Adam,
    /// AdamW.
    AdamW,
}

impl Rule {
    /// Its learning rate.
    pub fn learning_rate(self) -> f64 {
        if self == Rule::Sgd { 0.01 } else { 1e-3 }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Dense layers are trained, on classes with cross-entropy and ReLU, or on numbers with the mean
    /// squared error and GELU (tanh).
    Training {
        /// Whether the targets are classes.
        classes: bool,
    },
    /// Dense layers with ReLU predict.
    Prediction,
    /// The optimizer alone.
    Update,
}

/// Numbers and their shape.
#[derive(Clone, Debug)]
pub struct Array {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Row after row.
    pub values: Vec<f32>,
}

/// A workload with its data and initial weights.
pub struct Task {
    /// What is done.
    pub kind: Kind,
    /// The optimizer.
    pub rule: Rule,
    /// Rows of a step.
    pub batch: usize,
    /// Steps in one pass over the data.
    pub steps: usize,
    /// Inputs.
    pub x: Array,
    /// Targets that are numbers.
    pub numbers: Array,
    /// Targets that are classes.
    pub labels: Vec<u32>,
    /// Weights, [outputs, inputs], and biases.
    pub layers: Vec<[Array; 2]>,
    /// Of the optimizer alone: parameters and their gradients.
    pub tensors: Vec<[Vec<f32>; 2]>,
    /// First losses, or outputs.
    wanted: Vec<f32>,
}

/// A framework at work.
pub trait Peer {
    /// So many steps, waited for.
    fn run(&mut self, count: usize) -> Result<()>;
    /// The last step's loss; of a prediction its outputs; of the optimizer alone all parameters.
    fn results(&self) -> Result<Vec<f32>>;
}

impl Task {
    fn read(name: &str, folder: &Path) -> Result<Task> {
        let classes = |classes| Kind::Training { classes };
        let (kind, layers, rule, batch) = match name {
            "W1" => (classes(false), 1, Rule::Sgd, 100),
            "W2" => (classes(true), 2, Rule::Adam, 32),
            "W3" => (classes(true), 3, Rule::Adam, 128),
            "W4" => (classes(false), 3, Rule::AdamW, 512),
            "W7" => (Kind::Update, 0, Rule::Adam, 1),
            "W8b1" => (Kind::Prediction, 3, Rule::Adam, 1),
            "W8b256" => (Kind::Prediction, 3, Rule::Adam, 256),
            "W9" => (classes(true), 3, Rule::Adam, 17),
            "W10" => (classes(true), 8, Rule::Adam, 96),
            "W11" => (classes(false), 5, Rule::AdamW, 96),
            _ => bail!("there is no workload {name}"),
        };
        let empty = || Array { shape: vec![0], values: vec![] };
        let mut task = Task {
            kind,
            rule,
            batch,
            steps: 1,
            x: empty(),
            numbers: empty(),
            labels: vec![],
            layers: vec![],
            tensors: vec![],
            wanted: vec![],
        };
        if kind == Kind::Update {
            let tensor = |i: u64| [uniform(2 * i), uniform(2 * i + 1)];
            task.tensors = (0..20).map(tensor).collect();
            return Ok(task);
        }
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let file = SafeTensors::deserialize(&bytes)?;
        let layer = |i: usize| -> Result<[Array; 2]> {
            let part = |part: &str| floats(&file, &format!("dense_{}.{part}", i + 1));
            Ok([part("weight")?, part("bias")?])
        };
        task.layers = (0..layers).map(layer).collect::<Result<_>>()?;
        task.x = floats(&file, "x")?;
        task.steps = task.x.shape[0] / batch;
        match kind {
            Kind::Training { classes: true } => {
                let view = file.tensor("y")?;
                ensure!(view.dtype() == Dtype::U32, "labels are unsigned integers");
                let (words, _) = view.data().as_chunks();
                task.labels = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
            }
            Kind::Training { classes: false } => task.numbers = floats(&file, "y")?,
            _ => {}
        }
        let wanted = if kind == Kind::Prediction { "outputs" } else { "losses" };
        task.wanted = floats(&file, wanted)?.values;
        Ok(task)
    }

    /// First row of the step of this number, counted from 0.
    pub fn first_row(&self, step: usize) -> usize {
        step % self.steps * self.batch
    }

    /// How far the results are from ours, as a part of the largest.
    fn difference(&self, peer: &mut impl Peer) -> Result<f32> {
        let mut got = vec![];
        if let Kind::Training { .. } = self.kind {
            for _ in &self.wanted {
                peer.run(1)?;
                got.extend(peer.results()?);
            }
            return farthest(&got, &self.wanted);
        }
        peer.run(1)?;
        got.extend(peer.results()?);
        if self.kind == Kind::Prediction {
            return farthest(&got, &self.wanted);
        }
        // Adam's first step: its moments are the gradient and its square. What changes is what matters.
        let (rate, epsilon) = (self.rule.learning_rate() as f32, EPSILON as f32);
        let change = |g: &f32| -rate * g / (g.abs() + epsilon);
        let wanted: Vec<f32> =
            self.tensors.iter().flat_map(|[_, g]| g.iter().map(change)).collect();
        let before = self.tensors.iter().flat_map(|[p, _]| p);
        let got: Vec<f32> = got.iter().zip(before).map(|(new, old)| new - old).collect();
        farthest(&got, &wanted)
    }
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Result<Array> {
    let view = file.tensor(name).with_context(|| name.to_string())?;
    ensure!(view.dtype() == Dtype::F32, "{name} is not of floats");
    let (words, _) = view.data().as_chunks();
    let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    Ok(Array { shape: view.shape().to_vec(), values })
}

/// A million numbers in -1..1, by Marsaglia's xorshift with 64 bits.
fn uniform(stream: u64) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ (stream + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..1_000_000).map(|_| next()).collect()
}

fn farthest(got: &[f32], wanted: &[f32]) -> Result<f32> {
    ensure!(got.len() == wanted.len(), "{} results, {} wanted", got.len(), wanted.len());
    let largest = wanted.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    let pairs = got.iter().zip(wanted).map(|(got, wanted)| (got - wanted).abs());
    // A result that is no number is infinitely far.
    let far = pairs.map(|x| if x.is_finite() { x } else { f32::INFINITY });
    Ok(far.fold(0.0, f32::max) / largest)
}

/// Seconds per step of samples of 20 ms at least, after a warm-up.
fn measure(peer: &mut impl Peer, budget: f64) -> Result<Vec<f64>> {
    let mut once = |count: usize| -> Result<f64> {
        let started = Instant::now();
        peer.run(count)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let (mut count, started) = (1, Instant::now());
    loop {
        let took = once(count)?;
        if took < 0.02 {
            count = (count as f64 * (0.025 / took.max(1e-6)).min(100.0)) as usize + 1;
        } else if started.elapsed().as_secs_f64() > 0.2 * budget {
            break;
        }
    }
    let (mut samples, started) = (vec![], Instant::now());
    while samples.len() < 5 || started.elapsed().as_secs_f64() < budget {
        samples.push(once(count)? / count as f64);
    }
    Ok(samples)
}

/// Answers the command line with the peer that `make` builds for a form and a task.
pub fn answer<P: Peer>(version: &str, make: impl FnOnce(&str, &Task) -> Result<P>) -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [form, name, folder, device, budget] = &arguments[..] else {
        bail!("expected FORM WORKLOAD FOLDER DEVICE SECONDS");
    };
    ensure!(device == "cpu", "this program was built for the CPU");
    let task = Task::read(name, Path::new(folder))?;
    let started = Instant::now();
    let mut peer = make(form, &task)?;
    let difference = task.difference(&mut peer)?;
    let first_seconds = started.elapsed().as_secs_f64();
    if difference > 1e-3 {
        let problem = format!("results differ from ours by {difference:.1e}");
        println!("{}", json!({"version": version, "problem": problem}));
        return Ok(());
    }
    let mut samples = measure(&mut peer, budget.parse()?)?;
    samples.sort_by(f64::total_cmp);
    let median = samples[samples.len() / 2];
    let answer = json!({
        "version": version,
        "first_seconds": first_seconds,
        "seconds_per_step": median,
        "peak_bytes": peak_bytes()?,
    });
    println!("{answer}");
    Ok(())
}

/// The largest resident size of this process so far.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(1024 * kilobytes.context("a line VmHWM")?.parse::<u64>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_farthest_counts_beside_the_largest() {
        assert_eq!(farthest(&[1.0, 4.5], &[1.0, 4.0]).expect("as many"), 0.125);
        assert_eq!(farthest(&[f32::NAN], &[1.0]).expect("as many"), f32::INFINITY);
        assert!(farthest(&[1.0], &[]).is_err());
    }

    #[test]
    fn numbers_fill_their_range() {
        let x = uniform(3);
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        assert!(x.iter().all(|x| (-1.0..1.0).contains(x)) && mean.abs() < 0.01, "{mean}");
        assert!(x[..8] != uniform(4)[..8]);
    }
}
