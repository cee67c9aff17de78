//! Model files and checkpoints: what is in them, and when they are written.
//!
//! A model file holds the parameters by name and, as metadata, `{"kind": "model", "network": ..,
//! "preprocessing": .., "media": ..}`. A checkpoint adds optimizer states (`optimizer/<parameter>.<state>`), the
//! best parameters (`best/<parameter>`), and the trainer's counters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::state::State;
use super::trainer::Trainer;
use crate::error::{FileError, Result};
use crate::file::{TensorFile, check_target};
use crate::op::BufferId;

/// When checkpoints are written, and where.
///
/// `last.safetensors` is written after every epoch and when training is stopped between two;
/// `best.safetensors`, a model file, after every best epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    folder: PathBuf,
    every: Option<usize>,
}

impl Checkpoints {
    /// Checkpoints in this folder, which must exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Checkpoints { folder: folder.into(), every: None }
    }

    /// Also keeps `epoch-<n>.safetensors` after every so many epochs.
    pub fn every(self, epochs: usize) -> Self {
        Checkpoints { every: Some(epochs.max(1)), ..self }
    }

    /// Whether the folder can be written to, so that a run does not fail after its first epoch.
    pub(super) fn check(&self) -> Result<()> {
        Ok(check_target(self.folder.join("last.safetensors"))?)
    }

    pub(super) fn save_last(&self, trainer: &Trainer) -> Result<()> {
        save(trainer, &self.folder.join("last.safetensors"))
    }

    pub(super) fn after_epoch(&self, trainer: &Trainer, epoch: usize, best: bool) -> Result<()> {
        self.save_last(trainer)?;
        if best {
            save_model(trainer, &self.folder.join("best.safetensors"))?;
        }
        match self.every {
            Some(every) if epoch.is_multiple_of(every) => {
                save(trainer, &self.folder.join(format!("epoch-{epoch}.safetensors")))
            }
            _ => Ok(()),
        }
    }
}

fn metadata(trainer: &Trainer, kind: &str) -> Json {
    json!({
        "kind": kind,
        "network": trainer.session.network.to_json(),
        "preprocessing": trainer.preprocessing,
        "media": trainer.media,
    })
}

pub(super) fn save_model(trainer: &Trainer, path: &Path) -> Result<()> {
    let tensors = trainer.session.parameters()?.into_iter().collect();
    let file = TensorFile { tensors, metadata: Some(metadata(trainer, "model")) };
    Ok(file.write(path)?)
}

/// Optimizer states and their names in a checkpoint.
fn states(trainer: &Trainer) -> Vec<(String, BufferId)> {
    let mut all = Vec::new();
    for group in &trainer.session.lasting.groups {
        for p in &group.parameters {
            for (rule, &buffer) in group.rule.iter().flat_map(|r| &r.states).zip(&p.states) {
                all.push((format!("optimizer/{}.{}", p.name, rule.name), buffer));
            }
        }
    }
    all
}

fn optimizer(trainer: &Trainer) -> Json {
    json!({
        "name": trainer.optimizer.name(),
        "hyper_parameters": trainer.optimizer.hyper_parameters(),
        "average": trainer.average,
        "groups": trainer.groups,
        "clip": format!("{:?}", trainer.clip),
    })
}

pub(super) fn save(trainer: &Trainer, path: &Path) -> Result<()> {
    let mut tensors: BTreeMap<_, _> = trainer.session.parameters()?.into_iter().collect();
    for (name, buffer) in states(trainer) {
        tensors.insert(name, trainer.session.tensor(buffer)?);
    }
    if let Some(run) = &trainer.state.run {
        let best = run.best_parameters.iter();
        tensors.extend(best.map(|(name, t)| (format!("best/{name}"), t.clone())));
    }
    let mut metadata = metadata(trainer, "checkpoint");
    metadata["optimizer"] = optimizer(trainer);
    metadata["seed"] = json!(trainer.seed);
    metadata["state"] = json!(trainer.state);
    Ok(TensorFile { tensors, metadata: Some(metadata) }.write(path)?)
}

/// Where two values differ, by path.
fn differences(path: &str, its: &Json, own: &Json) -> Vec<String> {
    match own.as_object() {
        _ if its == own => vec![],
        Some(all) if its.is_object() => all
            .iter()
            .flat_map(|(k, own)| differences(&format!("{path}.{k}"), &its[k], own))
            .collect(),
        _ => vec![format!("its {path} is {its}, the trainer's is {own}")],
    }
}

pub(super) fn resume(trainer: &mut Trainer, path: &Path) -> Result<()> {
    let file = TensorFile::read(path)?;
    let name = path.display().to_string();
    let mismatch = |message: String| FileError::Mismatch { file: name.clone(), message };
    let metadata = file.metadata.unwrap_or(Json::Null);
    if metadata["kind"] != "checkpoint" {
        let text = "it is not a checkpoint; save one with `save_checkpoint` or `Checkpoints`";
        return Err(mismatch(text.into()).into());
    }
    for (what, own) in [
        ("network", trainer.session.network.to_json()),
        ("optimizer", optimizer(trainer)),
        ("seed", json!(trainer.seed)),
    ] {
        if metadata[what] != own {
            let text = match what {
                "network" => "it was made with another model".to_string(),
                _ => differences(what, &metadata[what], &own).join("; "),
            };
            return Err(mismatch(text).into());
        }
    }
    let mut state: State = serde_json::from_value(metadata["state"].clone())
        .map_err(|error| mismatch(format!("its state can't be read: {error}")))?;
    if state.memory.len() != trainer.session.lasting.groups.len() {
        return Err(mismatch("its parameter groups are others".into()).into());
    }
    let mut tensors = file.tensors;
    if let Some(run) = &mut state.run {
        let best: Vec<_> = tensors.keys().filter(|n| n.starts_with("best/")).cloned().collect();
        for name in best {
            if let Some(tensor) = tensors.remove(&name) {
                run.best_parameters.insert(name["best/".len()..].to_string(), tensor);
            }
        }
    }
    let preprocessing = serde_json::from_value(metadata["preprocessing"].clone())
        .map_err(|error| mismatch(format!("its preprocessing can't be read: {error}")))?;
    let media = serde_json::from_value(metadata["media"].clone())
        .map_err(|error| mismatch(format!("its settings of files can't be read: {error}")))?;
    let parameters = trainer.session.lasting.parameters();
    let mut places: Vec<_> = parameters.map(|p| (p.name.clone(), p.parameter)).collect();
    places.extend(states(trainer));
    trainer.session.restore(&places, &tensors).map_err(|error| match error {
        crate::Error::Train(error) => mismatch(error.to_string()).into(),
        other => other,
    })?;
    (trainer.preprocessing, trainer.media) = (preprocessing, media);
    trainer.state = state;
    Ok(())
}
