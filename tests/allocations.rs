//! Once warm, neither a training step nor a prediction into a buffer allocates.
#![allow(unsafe_code)]

#[path = "common/training.rs"]
mod training;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ironwarp::prelude::*;
use ironwarp::train::StepReport;
use training::{cpu, quiet, two_classes};

/// Allocations of the whole process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::SeqCst);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The count after every step.
struct Watch(Vec<usize>);

impl Callback for Watch {
    fn on_step(&mut self, _report: &StepReport) -> anyhow::Result<Flow> {
        self.0.push(COUNT.load(Ordering::SeqCst));
        Ok(Flow::Continue)
    }
}

/// One test, since a second one would allocate beside it.
#[test]
fn nothing_allocates_once_warm() {
    let data = two_classes(512, 6);
    let model = Model::input(6).dense(40).relu().dense(2);
    let builder = Trainer::new(&model, Adam::new(1e-3)).device(cpu(2)).clip_norm(1.0);
    let mut trainer = builder.average(0.99).build().expect("a trainer");
    let mut watch = Watch(Vec::with_capacity(64));
    let fit = quiet(1, 16).accumulate(2).callback(&mut watch);
    trainer.fit(&data, fit).expect("training");
    let per_step: Vec<_> = watch.0.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Between the first two stands the making of the list of callbacks' states.
    assert_eq!(per_step[1..], [0; 14], "allocations in each training step");

    let trained = trainer.trained().expect("a model");
    let input = training::numbers(1100 * 6, 5);
    let mut output = vec![0.0; 1100 * 2];
    for rows in [1, 31, 33, 1100] {
        let (x, y) = (&input[..rows * 6], &mut output[..rows * 2]);
        trained.predict_into(x, rows, y).expect("a prediction");
        let before = COUNT.load(Ordering::SeqCst);
        trained.predict_into(x, rows, y).expect("a prediction");
        assert_eq!(COUNT.load(Ordering::SeqCst) - before, 0, "a prediction of {rows} rows");
    }
}
