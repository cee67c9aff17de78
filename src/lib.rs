//! Trains neural networks: **a model is a list of layers; a plan is a list of steps; an executor
//! walks the list.**
//!
//! ```
//! use ironwarp::prelude::*;
//!
//! let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv.gz");
//! let digits = Dataset::csv(path)?.no_header().target("64")?.classification().min_max();
//! let (train, test) = digits.split_stratified(0.8, 42)?;
//!
//! let model = Model::input(train.features()).dense(64).relu().dense(train.classes());
//! let mut trainer = Trainer::new(&model, Adam::new(5e-3)).device(Device::auto()?).build()?;
//! let history = trainer.fit(&train, Fit::epochs(3).batch(32).validate(&test))?;
//!
//! println!("{model}\n{history}");
//! assert!(trainer.evaluate(&test)?.metric("accuracy").unwrap() > 0.8);
//! # Ok::<(), ironwarp::Error>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | read and clean data | [`data`] |
//! | describe a model | [`model::Model`], [`layer`], [`loss`], [`optim`] |
//! | train, stop, resume, predict | [`train`] |
//! | write an op of your own | [`op`], then register it in an [`op::Registry`] |
//! | see what is computed | [`plan`], [`train::Trainer::describe_plan`] |
//!
//! | feature | brings |
//! |---|---|
//! | `cli` (default) | the program `ironwarp` |
//! | `npz` | [`data::npy`]: archives of NumPy's arrays; single arrays need no feature |
//! | `parquet` | `data::Parquet`: tables in Parquet files |
//! | `images` | `data::ImageFolder`: folders of PNG, JPEG and WebP images |
//! | `audio` | `data::WavFolder`, `data::LogMel`: folders of WAV files, log-mel spectrograms |

#[cfg(feature = "cli")]
pub mod bench;
pub mod cpu;
pub mod data;
pub mod error;
pub mod exec;
pub mod file;
pub mod init;
pub mod layer;
pub mod loss;
pub mod metric;
pub mod model;
pub mod op;
pub mod optim;
pub mod plan;
pub mod prelude;
pub mod random;
pub mod tensor;
pub mod train;

pub use error::{Error, Result};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
