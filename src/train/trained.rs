//! A trained model: predictions from a file alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::Array2;
use serde_json::Value as Json;

use super::check::not_empty;
use super::session::{LoadedPlan, PlanRequest, Session, check_tensors};
use super::trainer::Trainer;
use crate::data::{Dataset, Media, Preprocessing, Table};
use crate::error::{DataError, FileError, Result};
use crate::exec::{Device, FeedMut};
use crate::file::TensorFile;
use crate::metric::predicted_classes;
use crate::model::Network;
use crate::op::{Live, Mode, Registry};
use crate::plan::Clip;
use crate::tensor::{DType, HostTensor};

/// A model that predicts. `Send + Sync`: threads may share it, one predicting at a time.
pub struct Trained {
    inner: Mutex<Inner>,
    preprocessing: Option<Preprocessing>,
    media: Option<Media>,
}

struct Inner {
    session: Session,
    /// Plans by capacity.
    plans: Vec<LoadedPlan>,
}

/// Rows that one plan predicts at once: one for latency, some for throughput.
const CAPACITIES: [usize; 3] = [1, 32, 1024];

impl Trained {
    /// Loads a model file or a checkpoint; the model's code is not needed.
    ///
    /// # Errors
    /// If the file is damaged, of a newer format, has no graph, or its tensors do not fit it.
    pub fn load(path: impl AsRef<Path>, device: Device) -> Result<Trained> {
        Trained::load_with(path, device, &Registry::standard())
    }

    /// Loads a model whose graph has a user's own ops.
    ///
    /// # Errors
    /// As [`Trained::load`], and if an op is not in the registry.
    pub fn load_with(path: impl AsRef<Path>, device: Device, ops: &Registry) -> Result<Trained> {
        let Content { network, preprocessing, media, tensors } = read(path.as_ref(), ops)?;
        let mut session = Session::frozen(network, &device)?;
        let parameters = session.lasting.parameters();
        let places: Vec<_> = parameters.map(|p| (p.name.clone(), p.parameter)).collect();
        session.restore(&places, &tensors)?;
        let inner = Mutex::new(Inner { session, plans: vec![] });
        Ok(Trained { inner, preprocessing, media })
    }

    pub(super) fn from_trainer(trainer: &Trainer) -> Result<Trained> {
        let network = trainer.session.network.clone();
        let mut session = Session::frozen(network, &trainer.device)?;
        for (name, tensor) in trainer.session.parameters()? {
            if let (Some(id), Some(x)) = (session.lasting.graph.find(&name), tensor.as_f32()) {
                session.executor.write(id, x)?;
            }
        }
        let (preprocessing, media) = (trainer.preprocessing.clone(), trainer.media.clone());
        let inner = Mutex::new(Inner { session, plans: vec![] });
        Ok(Trained { inner, preprocessing, media })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The preprocessing that was fitted on the training data.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// How the files of the training data became rows, where it was a folder of images or sounds.
    pub fn media(&self) -> Option<&Media> {
        self.media.as_ref()
    }

    /// A table of the model's layers.
    pub fn summary(&self) -> String {
        self.lock().session.network.summary().to_string()
    }

    /// The outputs for every row of `data`: logits for classes; numbers in the target's own units.
    /// Shape `[rows, outputs]`. Targets in the data are not looked at.
    ///
    /// # Errors
    /// If the inputs do not fit the model, or it has several outputs.
    pub fn predict(&self, data: &Dataset) -> Result<Array2<f32>> {
        not_empty(data)?;
        let mut outputs = Vec::new();
        let mut inner = self.lock();
        inner.one_output()?;
        let capacity = Trained::capacity(data.len());
        let index = inner.plan(capacity)?;
        let Inner { session, plans } = &mut *inner;
        let plan = &plans[index];
        session.forward_all(plan, data, 0, |session, _, rows| {
            outputs.extend(session.fetch(plan, plan.plan.outputs[0].1, rows)?);
            Ok(())
        })?;
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.inverse_transform_targets(&mut outputs)?;
        }
        let width = outputs.len() / data.len();
        Array2::from_shape_vec((data.len(), width), outputs)
            .map_err(|error| DataError::Invalid(error.to_string()).into())
    }

    /// The class of every row: the largest output.
    ///
    /// # Errors
    /// As [`Trained::predict`].
    pub fn predict_classes(&self, data: &Dataset) -> Result<Vec<u32>> {
        let outputs = self.predict(data)?;
        let width = outputs.ncols();
        Ok(predicted_classes(&outputs.into_raw_vec_and_offset().0, width)?)
    }

    /// The outputs for the raw rows of a table, which are preprocessed as the training data was.
    ///
    /// # Errors
    /// If the model has no preprocessing, or the table's columns do not fit it.
    pub fn predict_table(&self, table: &Table) -> Result<Array2<f32>> {
        let Some(preprocessing) = &self.preprocessing else {
            let text = "the model was trained on arrays and has no preprocessing for tables";
            return Err(DataError::Invalid(text.into()).into());
        };
        // Before memory is asked for: a file may claim more features than its model has.
        let (expected, found) = (self.lock().sizes()?.0, preprocessing.feature_count());
        if expected != found {
            let text =
                format!("the model takes {expected} features, its preprocessing makes {found}");
            return Err(DataError::Invalid(text).into());
        }
        self.predict(&preprocessing.apply(table)?)
    }

    /// The names of raw files and the outputs for them, which become rows as those of the training data
    /// did: of an image or a sound, or of those of a folder and of the folders in it.
    ///
    /// # Errors
    /// If the model was not trained on a folder of images or sounds, as [`Media::read`], and as
    /// [`Trained::predict`].
    pub fn predict_files(&self, path: impl AsRef<Path>) -> Result<(Vec<String>, Array2<f32>)> {
        let Some(media) = &self.media else {
            let text = "the model was not trained on a folder of images or sounds";
            return Err(DataError::Invalid(text.into()).into());
        };
        // Before memory is asked for: settings that claim much must fit a model that holds much.
        let (wanted, _) = self.lock().sizes()?;
        if media.elements() != Some(wanted) {
            let text = format!(
                "a row of the model's input has {wanted} elements, its settings of files make others: \
                 {:?}",
                media.files()
            );
            return Err(DataError::Invalid(text).into());
        }
        let (names, rows) = media.read(path)?;
        Ok((names, self.predict(&rows)?))
    }

    /// Rows of the plan that predicts so many rows, or as many of them as go at once.
    pub fn capacity(rows: usize) -> usize {
        let largest = CAPACITIES[CAPACITIES.len() - 1];
        CAPACITIES.into_iter().find(|&c| c >= rows).unwrap_or(largest)
    }

    /// The raw outputs for `rows` rows of the only input, into the caller's buffer. Allocates
    /// nothing once a call with as many rows has been made.
    ///
    /// # Errors
    /// If the model's only input is not floats, or a slice has not whole rows of the right size.
    pub fn predict_into(&self, input: &[f32], rows: usize, output: &mut [f32]) -> Result<()> {
        let mut inner = self.lock();
        let wanted = inner.sizes()?;
        let sizes = (wanted.0.checked_mul(rows), wanted.1.checked_mul(rows));
        if rows == 0 || sizes != (Some(input.len()), Some(output.len())) {
            return Err(DataError::Invalid(format!(
                "{rows} rows of {} inputs and {} outputs do not fit slices of {} and {}",
                wanted.0,
                wanted.1,
                input.len(),
                output.len()
            ))
            .into());
        }
        let capacity = Trained::capacity(rows);
        let index = inner.plan(capacity)?;
        let Inner { session, plans } = &mut *inner;
        let plan = &plans[index];
        let batches = input.chunks(wanted.0 * capacity).zip(output.chunks_mut(wanted.1 * capacity));
        for (x, y) in batches {
            let rows = x.len() / wanted.0;
            session.executor.feed(plan.id, plan.plan.feeds[0].1, rows, &mut |target| {
                if let FeedMut::F32(target) = target {
                    target.copy_from_slice(x);
                }
            })?;
            let live = Live { rows, seed: 0, step: 0 };
            session.executor.run(plan.id, plan.plan.forward.clone(), &live)?;
            session.executor.fetch(plan.id, plan.plan.outputs[0].1, rows, y)?;
        }
        Ok(())
    }
}

/// A model with all that its file holds.
pub(super) struct Content {
    pub(super) network: Network,
    pub(super) preprocessing: Option<Preprocessing>,
    media: Option<Media>,
    tensors: BTreeMap<String, HostTensor>,
}

/// Reads a model file or a checkpoint and checks that its tensors fit its graph.
pub(super) fn read(path: &Path, ops: &Registry) -> Result<Content> {
    let file = TensorFile::read(path)?;
    let name = path.display().to_string();
    let mut metadata = file.metadata.unwrap_or(Json::Null);
    if metadata["network"].is_null() {
        let message = "it holds weights but no model; it was not saved by `Trainer::save`";
        return Err(FileError::Mismatch { file: name, message: message.into() }.into());
    }
    let network = Network::from_json(metadata["network"].take(), ops)?;
    let unread = |what: &str, error: serde_json::Error| FileError::Mismatch {
        file: name.clone(),
        message: format!("its {what} can't be read: {error}"),
    };
    let preprocessing = serde_json::from_value(metadata["preprocessing"].take())
        .map_err(|error| unread("preprocessing", error))?;
    let media = serde_json::from_value(metadata["media"].take())
        .map_err(|error| unread("settings of files", error))?;
    // Before memory is asked for: a file that claims much must hold much.
    let wanted = network.parameters().iter().map(|p| (&p.name, network.shape(p)));
    check_tensors(wanted, &file.tensors)
        .map_err(|error| FileError::Mismatch { file: name, message: error.to_string() })?;
    Ok(Content { network, preprocessing, media, tensors: file.tensors })
}

impl Inner {
    fn one_output(&self) -> Result<(), DataError> {
        match self.session.network.outputs().len() {
            1 => Ok(()),
            n => Err(DataError::Invalid(format!("`predict` is for one output, the model has {n}"))),
        }
    }

    /// Elements per row of the only input and the only output.
    fn sizes(&self) -> Result<(usize, usize), DataError> {
        self.one_output()?;
        let network = &self.session.network;
        match network.inputs() {
            [(_, id)] if network.ty(*id).dtype == DType::F32 => {
                let output = network.ty(network.outputs()[0].1).shape.elements(1);
                Ok((network.ty(*id).shape.elements(1), output))
            }
            _ => Err(DataError::Invalid("`predict_into` is for one input of floats".into())),
        }
    }

    fn plan(&mut self, capacity: usize) -> Result<usize> {
        let found = self.plans.iter().position(|p| p.plan.capacity == capacity);
        if let Some(index) = found {
            return Ok(index);
        }
        let graph = self.session.network.graph().clone();
        let plan = self.session.load(PlanRequest {
            graph: &graph,
            losses: vec![],
            mode: Mode::Evaluation,
            capacity,
            accumulate: false,
            clip: Clip::None,
        })?;
        self.plans.push(plan);
        Ok(self.plans.len() - 1)
    }
}
