//! The harness behind `ironwarp bench`: fixed workloads on the CPU and on every GPU, beside what the
//! device reaches in the same run. `docs/benchmarks.md` tells the method.
//!
//! A [`workload::Workload`] is run as a user runs it ([`job`]), after [`run::check`] has compared its
//! plan with the definitions; a [`probe::Probe`] takes the plan apart.

pub mod alone;
mod chart;
pub mod compare;
mod energy;
pub mod export;
pub mod html;
pub mod job;
pub mod limit;
mod machine;
pub mod measure;
pub mod probe;
pub mod report;
pub mod run;
mod sweep;
pub mod text;
pub mod workload;

pub use machine::Machine;
