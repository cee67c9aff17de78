//! Work shared by several threads, results in order.

use std::cell::LazyCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
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

/// What happens to a stream of items on the calling thread, before and after they are worked on.
pub(super) trait Stages {
    /// What is worked on.
    type Item;
    /// What comes of it.
    type Result;

    /// The next item, if there is one now.
    fn next(&mut self) -> Option<Self::Item>;

    /// Takes what came of an item; of the items in their order.
    fn take(&mut self, result: Self::Result);
}

/// Items that wait for a thread, and results that wait for those before them.
struct Pending<I, R> {
    items: VecDeque<(usize, I)>,
    results: BTreeMap<usize, thread::Result<R>>,
    closed: bool,
}

/// Works on all items, on as many threads as the machine has cores: this one, which also works when
/// there is nothing else to do, and others from the second item on. Results are taken in order and
/// are the same for any number of threads; at most two items a thread are on their way.
pub(super) fn pipeline<S: Stages>(stages: &mut S, work: impl Fn(S::Item) -> S::Result + Sync)
where
    S::Item: Send,
    S::Result: Send,
{
    // The system is asked only where there is something to share.
    let cores = LazyCell::new(|| thread::available_parallelism().map_or(1, |cores| cores.get()));
    let pending = Pending { items: VecDeque::new(), results: BTreeMap::new(), closed: false };
    let (pending, changed) = (Mutex::new(pending), Condvar::new());
    let lock = || pending.lock().expect("invariant: nobody panics with the lock");
    let wait = |guard| changed.wait(guard).expect("invariant: nobody panics with the lock");
    let finish = |(index, item)| {
        let result = catch_unwind(AssertUnwindSafe(|| work(item)));
        lock().results.insert(index, result);
        changed.notify_all();
    };
    let worker = || {
        let mut guard = lock();
        while !guard.closed {
            guard = match guard.items.pop_front() {
                None => wait(guard),
                Some(item) => {
                    drop(guard);
                    finish(item);
                    lock()
                }
            };
        }
    };
    thread::scope(|scope| {
        // The others must end, however this thread leaves: a reader's `next` may panic, too.
        let _closing = Closing(|| {
            lock().closed = true;
            changed.notify_all();
        });
        let (mut given, mut taken, mut more) = (0, 0, true);
        while more || taken < given {
            let mut guard = lock();
            if let Some(result) = guard.results.remove(&taken) {
                drop(guard);
                taken += 1;
                stages.take(result.unwrap_or_else(|panic| resume_unwind(panic)));
            } else if more && (given - taken < 2 || given - taken < 2 * *cores) {
                drop(guard);
                let item = stages.next();
                more = item.is_some();
                if let Some(item) = item {
                    lock().items.push_back((given, item));
                    changed.notify_all();
                    if given > 0 && given < *cores {
                        // Without a further thread it takes longer, no more.
                        let _ = thread::Builder::new().spawn_scoped(scope, worker);
                    }
                    given += 1;
                }
            } else if let Some(item) = guard.items.pop_front() {
                drop(guard);
                finish(item);
            } else {
                drop(wait(guard));
            }
        }
    });
}

/// Does something when it goes out of scope.
struct Closing<F: Fn()>(F);

impl<F: Fn()> Drop for Closing<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Squares {
        left: u64,
        taken: Vec<u64>,
    }

    impl Stages for Squares {
        type Item = u64;
        type Result = u64;

        fn next(&mut self) -> Option<u64> {
            self.left = self.left.checked_sub(1)?;
            Some(self.left)
        }

        fn take(&mut self, result: u64) {
            self.taken.push(result);
        }
    }

    #[test]
    fn results_come_in_order() {
        for count in [0, 1, 2, 5, 300] {
            let mut squares = Squares { left: count, taken: Vec::new() };
            pipeline(&mut squares, |item| {
                // The first take longest.
                thread::sleep(std::time::Duration::from_micros(item % 7 * 50));
                item * item
            });
            let expected: Vec<u64> = (0..count).rev().map(|item| item * item).collect();
            assert_eq!(squares.taken, expected);
        }
    }

    #[test]
    fn a_panic_comes_through_and_nobody_waits() {
        let result = catch_unwind(|| {
            let mut squares = Squares { left: 50, taken: Vec::new() };
            pipeline(&mut squares, |item| if item == 30 { panic!("at 30") } else { item });
        });
        assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"at 30"));
    }

    #[test]
    fn a_panic_of_the_reader_comes_through_too() {
        struct Failing(u64);
        impl Stages for Failing {
            type Item = u64;
            type Result = u64;
            fn next(&mut self) -> Option<u64> {
                self.0 += 1;
                assert!(self.0 < 10, "no more");
                Some(self.0)
            }
            fn take(&mut self, _: u64) {}
        }
        let result = catch_unwind(|| pipeline(&mut Failing(0), |item| item));
        assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"no more"));
    }
}
