//! Which of an op's alternatives a step runs: what was measured here, else what the disk remembers
//! of earlier runs, else what the op estimates.
//!
//! A choice holds for a card's name and compute capability, the versions of NVRTC and this crate,
//! and all that the alternatives ask for: kernel text, constants, grids, so shape and epilogue too.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Card;
use super::cache::{Cache, Key};
use super::compile::Compiler;
use crate::op::launch::{Launch, Launches};

/// Who chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The op, by an estimate.
    Estimated,
    /// A measurement of this run.
    Measured,
    /// A measurement of an earlier run.
    Remembered,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Estimated => "estimated",
            Origin::Measured => "measured",
            Origin::Remembered => "remembered",
        })
    }
}

/// An op's alternatives for one step.
pub(super) type Alternatives = [(String, Launches)];

/// The file of one choice.
#[derive(Serialize, Deserialize)]
struct Record {
    /// What it holds for.
    card: String,
    /// The step, for readers.
    step: String,
    /// Name of the alternative.
    chosen: String,
    /// Median time of each alternative, for readers.
    microseconds: Vec<(String, f64)>,
}

/// All choices for one card.
pub(super) struct Choices {
    card: String,
    disk: Option<Cache>,
    measured: HashMap<u128, String>,
}

impl Choices {
    /// What is remembered for this card and compiler in the compiler's cache.
    pub(super) fn new(card: &Card, compiler: &Compiler) -> Choices {
        let (Card { name, capability: (major, minor), .. }, nvrtc) = (card, compiler.version());
        let versions = format!("NVRTC {}.{}, ironwarp {}", nvrtc.0, nvrtc.1, crate_version());
        Choices {
            card: format!("{name}, compute capability {major}.{minor}, {versions}"),
            disk: compiler.cache().cloned(),
            measured: HashMap::new(),
        }
    }

    /// What a choice among these alternatives is kept under.
    pub(super) fn key(&self, alternatives: &Alternatives) -> u128 {
        let mut key = Key::default();
        key.part(&self.card);
        for (name, launches) in alternatives {
            key.part(name);
            for launch in &launches.list {
                let Launch { kernel, entry, grid, threads, shared, arguments } = launch;
                key.part(kernel.source());
                let constants = kernel.constants();
                let rest = (constants, entry, grid, threads, shared, arguments);
                key.part(format!("{rest:?}"));
            }
        }
        key.finish()
    }

    /// The choice under a key, as an index into the alternatives.
    pub(super) fn find(&self, key: u128, alternatives: &Alternatives) -> Option<(usize, Origin)> {
        let index = |chosen: &str| alternatives.iter().position(|(name, _)| name == chosen);
        if let Some(chosen) = self.measured.get(&key) {
            return Some((index(chosen)?, Origin::Measured));
        }
        let text = self.disk.as_ref()?.choice(key)?;
        let record: Record = serde_json::from_str(&text).ok()?;
        let index = (record.card == self.card).then(|| index(&record.chosen))?;
        Some((index?, Origin::Remembered))
    }

    /// Keeps what was measured; whether the disk took it too.
    pub(super) fn keep(
        &mut self,
        key: u128,
        step: &str,
        times: &[(String, f64)],
        chosen: &str,
    ) -> bool {
        self.measured.insert(key, chosen.into());
        let record = Record {
            card: self.card.clone(),
            step: step.into(),
            chosen: chosen.into(),
            microseconds: times.to_vec(),
        };
        let text = serde_json::to_string_pretty(&record);
        let (Some(disk), Ok(text)) = (&self.disk, text) else { return false };
        disk.keep_choice(key, &text).is_ok()
    }
}

fn crate_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[cfg(test)]
#[path = "choices/tests.rs"]
mod tests;
