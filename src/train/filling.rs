//! A thread that gathers the rows of bursts to come into memory that the device copies.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::rows::Rows;
use crate::error::{Result, TrainError};
use crate::exec::Part;

type Job = (Box<dyn Part>, Rows);

/// The thread. It ends when this is dropped, after the part at hand, or when all rows are filled.
pub(super) struct Filling<'scope> {
    jobs: Sender<Job>,
    filled: Receiver<(Job, Result<()>)>,
    to_come: Box<dyn Iterator<Item = Rows> + 'scope>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
    waited: Duration,
}

impl<'scope> Filling<'scope> {
    /// Begins to fill these parts with rows, in their order, by `fill`.
    pub(super) fn new(
        scope: &'scope Scope<'scope, '_>,
        mut fill: impl FnMut(&mut dyn Part, &Rows) -> Result<()> + Send + 'scope,
        to_come: impl Iterator<Item = Rows> + 'scope,
        parts: Vec<Box<dyn Part>>,
    ) -> Result<Self> {
        let (jobs, to_fill) = channel::<Job>();
        let (done, filled) = channel();
        let work = move || {
            for (mut part, rows) in to_fill {
                let result = fill(&mut *part, &rows);
                if done.send(((part, rows), result)).is_err() {
                    break;
                }
            }
        };
        let started = Builder::new().name("ironwarp filling".into()).spawn_scoped(scope, work);
        let thread = started.map_err(|error| {
            TrainError::State(format!("cannot start a thread that gathers rows: {error}"))
        })?;
        let (thread, to_come) = (Some(thread), Box::new(to_come));
        let mut filling = Filling { jobs, filled, to_come, thread, waited: Duration::ZERO };
        parts.into_iter().for_each(|part| filling.fill(part));
        Ok(filling)
    }

    /// Hands over a part to be filled with the next rows, if there are more.
    pub(super) fn fill(&mut self, part: Box<dyn Part>) {
        if let Some(rows) = self.to_come.next() {
            // If the thread is gone, `next` tells why.
            let _ = self.jobs.send((part, rows));
        }
    }

    /// Waits for the part of the next rows, which are those at these places.
    ///
    /// # Errors
    /// Those of filling it. If filling panicked, so does this.
    pub(super) fn next(&mut self, places: Range<usize>) -> Result<Box<dyn Part>> {
        let begun = Instant::now();
        let received = self.filled.recv();
        self.waited += begun.elapsed();
        let Ok(((part, rows), result)) = received else {
            let thread = self.thread.take().expect("invariant: a panic is met once");
            let panic = thread.join().expect_err("invariant: the thread waits for work");
            resume_unwind(panic);
        };
        result?;
        assert_eq!(rows.places(), places, "invariant: bursts are sent as they were foreseen");
        Ok(part)
    }

    /// How long somebody waited since this was asked for last.
    pub(super) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::DataError;
    use crate::exec::FeedMut;
    use crate::op::BufferId;
    use crate::train::rows::Order;

    struct Numbers(Vec<u32>);

    impl Part for Numbers {
        fn feed(&mut self, _: BufferId, rows: usize) -> FeedMut<'_> {
            self.0.resize(rows, 0);
            FeedMut::U32(&mut self.0)
        }
    }

    fn parts(count: usize) -> Vec<Box<dyn Part>> {
        (0..count).map(|_| Box::new(Numbers(vec![])) as Box<dyn Part>).collect()
    }

    /// Bursts of ten rows, in their order.
    fn tens(count: usize) -> impl Iterator<Item = Rows> {
        (0..count).map(|i| Rows::new(Order::Own, 10 * i..10 * (i + 1)))
    }

    fn fill(part: &mut dyn Part, rows: &Rows) -> Result<()> {
        if let FeedMut::U32(to) = part.feed(BufferId(0), rows.places().len()) {
            to.iter_mut().zip(rows.places()).for_each(|(to, row)| *to = row as u32);
        }
        Ok(())
    }

    #[test]
    fn parts_come_filled_in_order() {
        std::thread::scope(|scope| {
            let mut filling = Filling::new(scope, fill, tens(7), parts(3)).unwrap();
            for i in 0..7u32 {
                let part = filling.next(10 * i as usize..10 * (i as usize + 1)).unwrap();
                let numbers = (part as Box<dyn std::any::Any>).downcast::<Numbers>().unwrap();
                assert_eq!(numbers.0, (10 * i..10 * (i + 1)).collect::<Vec<_>>());
                filling.fill(numbers);
            }
        });
    }

    #[test]
    fn an_error_comes_in_its_turn_and_the_thread_ends() {
        std::thread::scope(|scope| {
            let refuse = |_: &mut dyn Part, rows: &Rows| match rows.places().start {
                10 => Err(DataError::Invalid("planted".into()).into()),
                _ => Ok(()),
            };
            let mut filling = Filling::new(scope, refuse, tens(9), parts(3)).unwrap();
            filling.next(0..10).unwrap();
            assert_eq!(filling.next(10..20).map(|_| ()).unwrap_err().to_string(), "planted");
        });
    }

    #[test]
    #[should_panic(expected = "planted")]
    fn a_panic_goes_on_where_the_part_is_waited_for() {
        std::thread::scope(|scope| {
            let panics = |_: &mut dyn Part, _: &Rows| panic!("planted");
            let mut filling = Filling::new(scope, panics, tens(9), parts(3)).unwrap();
            let _ = filling.next(0..10);
        });
    }

    #[test]
    fn who_does_not_wait_leaves_no_thread_at_work() {
        let filled = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let count = |_: &mut dyn Part, _: &Rows| {
                filled.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            drop(Filling::new(scope, count, tens(1000), parts(3)).unwrap());
        });
        // The scope has waited for the thread; no more was filled than there were parts.
        assert!(filled.load(Ordering::SeqCst) <= 3);
    }
}
