//! Work shared by several threads, results in order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::DataError;

/// `work(index)` for each index below `count`, on as many threads as the machine has cores. The
/// error is that of the lowest index that has one: indices are handed out in order, and those
/// below it are always worked on to their end.
pub(super) fn in_order<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, DataError> + Sync,
) -> Result<Vec<T>, DataError> {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let done = Mutex::new(Vec::with_capacity(count));
    let run = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count || index > failed.load(Ordering::Relaxed) {
            return;
        }
        let result = work(index);
        if result.is_err() {
            failed.fetch_min(index, Ordering::Relaxed);
        }
        done.lock().expect("invariant: no reader panics").push((index, result));
    };
    // The system is asked only where there is something to share.
    let cores = || thread::available_parallelism().map_or(1, |cores| cores.get());
    let threads = if count > 1 { cores().min(count) } else { 1 };
    thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    let mut results = done.into_inner().expect("invariant: no reader panics");
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
