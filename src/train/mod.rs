//! Training: a trainer owns the executor and walks epochs.

mod augment;
mod burst;
mod callback;
mod check;
mod checkpoint;
mod describe;
mod evaluation;
mod filling;
mod fit;
mod group;
mod guard;
mod history;
mod interrupt;
mod number;
mod options;
mod progress;
mod rows;
mod run;
mod session;
mod state;
mod trained;
mod trainer;
mod trial;
mod tuning;

pub use augment::Augment;
pub use callback::{Callback, EarlyStopping, Flow, StepReport};
pub use checkpoint::Checkpoints;
pub use evaluation::Evaluation;
pub use group::ParameterGroup;
pub use history::{EpochRecord, History, Stop};
pub use options::Fit;
pub use progress::Progress;
pub use trained::Trained;
pub use trainer::{Trainer, TrainerBuilder};
pub use trial::Trial;
pub use tuning::{TunedStep, Tuning};
