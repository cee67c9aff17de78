//! The emulator's own tests: right kernels give right values, wrong kernels and programs are found.

mod card;
mod kernels;
mod values;
