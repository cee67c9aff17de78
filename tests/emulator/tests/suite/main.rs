//! The emulator's own tests: right kernels give right values, wrong kernels and programs are found.

mod card;
mod checkers;
mod faults;
mod graphs;
mod kernels;
mod sanitizers;
mod values;
