//! What most programs need: `use ironwarp::prelude::*;`.

pub use crate::data::Dataset;
pub use crate::exec::Device;
pub use crate::init::Init;
pub use crate::layer::activation::Activation;
pub use crate::layer::{
    Dense, Dropout, Embedding, Flatten, Layer, LayerNorm, Reshape, Residual, RmsNorm, Value,
};
pub use crate::loss::{CrossEntropy, Loss, MeanSquaredError};
pub use crate::metric::Metric;
pub use crate::model::Model;
pub use crate::optim::schedule::Schedule;
pub use crate::optim::{Adam, AdamW, GradientDescent, Optimizer, Sgd};
pub use crate::train::{
    Augment, Callback, Checkpoints, EarlyStopping, Fit, Flow, History, ParameterGroup, Progress,
    Trained, Trainer,
};
