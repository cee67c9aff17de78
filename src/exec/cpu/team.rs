//! A team of threads that walks the steps of a plan together.
//!
//! One [`Team::run`] per training step wakes the team; inside it the members meet at a
//! [`Worker::barrier`] between plan steps and share the tasks of one step by
//! [`Worker::for_each_task`]. Nothing allocates after [`Team::new`].
//!
//! Three gates do all the waiting: `start` opens when there is a job, `phase` when all members have
//! met, `done` when the last worker has left the job. Waiting spins first, since the next phase is
//! usually microseconds away, then yields, then sleeps, so that more threads than processors, or a
//! busy machine, cost time but never a collapse.
//!
//! A panic in one member would leave the others waiting for it. So it opens the phase gate with
//! `aborted` set: whoever is at a barrier, or comes to one, unwinds too, quietly, and the caller
//! resumes the first panic.

#![allow(unsafe_code)]

use std::any::Any;
use std::hint::spin_loop;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::DeviceError;

/// What every member runs once.
type Job<'a> = &'a (dyn Fn(&Worker<'_>) + Sync);

/// Persistent threads that run one closure together, the calling thread being one of them.
///
/// The number of threads never decides what is computed, only who computes it.
#[derive(Debug)]
pub struct Team {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Team {
    /// Starts a team of `threads` members: the caller and `threads - 1` new threads, asleep.
    ///
    /// # Errors
    /// If the system refuses to start a thread.
    pub fn new(threads: NonZeroUsize) -> Result<Self, DeviceError> {
        let members = threads.get();
        let shared = Arc::new(Shared::new(members));
        let mut team = Team { shared, threads: Vec::with_capacity(members - 1) };
        for index in 1..members {
            let shared = Arc::clone(&team.shared);
            let thread = thread::Builder::new()
                .name(format!("ironwarp-{index}"))
                .spawn(move || work(&shared, index))
                .map_err(|source| DeviceError::Unusable {
                    device: "cpu".into(),
                    message: format!(
                        "thread {index} of {members} did not start ({source}); use fewer threads"
                    ),
                })?;
            team.threads.push(thread);
        }
        Ok(team)
    }

    /// Number of members, the caller included.
    pub fn threads(&self) -> usize {
        self.shared.members
    }

    /// Runs `job` once on every member, on the caller as member 0, and returns when all are done.
    ///
    /// Every member must come to the same barriers in the same order (`for_each_task` is one),
    /// or the team waits for ever.
    ///
    /// # Panics
    /// If a member panics: the first panic is resumed here once all members have stopped. The team
    /// can be used again.
    pub fn run(&mut self, job: &(dyn Fn(&Worker<'_>) + Sync)) {
        let shared = &*self.shared;
        shared.reset();
        let done = shared.done.turn();
        // The lifetime of the job is dropped here, and kept by waiting for `done` below.
        shared.job.store(ptr::from_ref(&job).cast_mut().cast(), Ordering::Relaxed);
        shared.start.open();
        shared.take_part(job, 0);
        if shared.members > 1 {
            shared.done.wait(done, shared.patience);
        }
        let panic = lock(&shared.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Runs `job` on the caller as the only member, and wakes nobody.
    pub fn run_alone(&mut self, job: &dyn Fn(&Worker<'_>)) {
        job(&Worker { shared: &self.shared, index: 0, members: 1 });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.job.store(ptr::null_mut(), Ordering::Relaxed);
        self.shared.start.open();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs, so it ends well.
            let _ = thread.join();
        }
    }
}

/// The life of a worker thread: wait for a job, do it, say so.
fn work(shared: &Shared, index: usize) {
    let mut turn = 0u32;
    loop {
        shared.start.wait(turn, shared.patience);
        turn = turn.wrapping_add(1);
        let job = shared.job.load(Ordering::Relaxed);
        if job.is_null() {
            return;
        }
        // SAFETY: `run` stored a pointer to its own argument before it opened `start`, and stays
        // in its frame until `done` opens, which needs the decrement below.
        let job: Job<'_> = unsafe { *job };
        shared.take_part(job, index);
        if shared.working.fetch_sub(1, Ordering::AcqRel) == 1 {
            shared.done.open();
        }
    }
}

/// One member of a team, as its job sees it.
#[derive(Debug)]
pub struct Worker<'a> {
    shared: &'a Shared,
    index: usize,
    members: usize,
}

impl Worker<'_> {
    /// Which member this is: 0 is the caller of [`Team::run`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of members.
    pub fn threads(&self) -> usize {
        self.members
    }

    /// Waits until every member is here. What they wrote before is visible to all after.
    pub fn barrier(&self) {
        let shared = self.shared;
        if self.members == 1 {
            return;
        }
        // The order matters: whoever reads the turn that an abort began, also sees `aborted`.
        let turn = shared.phase.turn();
        shared.check_aborted();
        if shared.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == shared.members {
            shared.forget_phase();
            shared.phase.open();
        } else {
            shared.phase.wait(turn, shared.patience);
        }
        shared.check_aborted();
    }

    /// Runs `task(0)` to `task(tasks - 1)` and meets all members at a barrier. Each member has a part
    /// of its own, the same whenever there are as many tasks, so that what it wrote is still in its
    /// cache; who has ended its part helps the others. A single task is run by member 0.
    pub fn for_each_task(&self, tasks: usize, task: impl Fn(usize)) {
        let (members, claimed) = (self.members, &self.shared.claimed);
        if members == 1 {
            return (0..tasks).for_each(task);
        }
        if tasks <= members {
            // Nobody has more than one, so there is nothing to claim.
            (self.index..tasks).take(1).for_each(task);
            return self.barrier();
        }
        for owner in (self.index..members).chain(0..self.index) {
            let (first, end) = (tasks * owner / members, tasks * (owner + 1) / members);
            let claim = || first + claimed[owner].0.fetch_add(1, Ordering::Relaxed);
            let mut next = claim();
            while next < end {
                task(next);
                next = claim();
            }
        }
        self.barrier();
    }
}

/// What unwinds a member because another one has panicked.
struct Aborted;

#[derive(Debug)]
struct Shared {
    members: usize,
    patience: Patience,
    /// Points into the frame of the current `run`; null asks the workers to end.
    job: AtomicPtr<Job<'static>>,
    start: Gate,
    phase: Gate,
    done: Gate,
    /// Workers that have not left the current job.
    working: AtomicUsize,
    /// Members that are at the current barrier.
    arrived: Line<AtomicUsize>,
    /// Tasks of the current phase that were claimed of each member's part.
    claimed: Box<[Line<AtomicUsize>]>,
    aborted: AtomicBool,
    /// The first panic of the current job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Shared {
    fn new(members: usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Shared {
            members,
            patience: if members <= processors { SPIN } else { YIELD },
            job: AtomicPtr::new(ptr::null_mut()),
            start: Gate::default(),
            phase: Gate::default(),
            done: Gate::default(),
            working: AtomicUsize::new(0),
            arrived: Line::default(),
            claimed: (0..members).map(|_| Line::default()).collect(),
            aborted: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// Ready for a job; no worker is in one.
    fn reset(&self) {
        self.working.store(self.members - 1, Ordering::Relaxed);
        self.aborted.store(false, Ordering::Relaxed);
        self.forget_phase();
    }

    /// Nobody is at a barrier and nothing is claimed.
    fn forget_phase(&self) {
        self.arrived.0.store(0, Ordering::Relaxed);
        self.claimed.iter().for_each(|claimed| claimed.0.store(0, Ordering::Relaxed));
    }

    /// Runs the job as one member and keeps its panic, if it is the first.
    fn take_part(&self, job: Job<'_>, index: usize) {
        let worker = Worker { shared: self, index, members: self.members };
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(&worker))) else { return };
        if !panic.is::<Aborted>() {
            lock(&self.panic).get_or_insert(panic);
            self.aborted.store(true, Ordering::Release);
            self.phase.open();
        }
    }

    fn check_aborted(&self) {
        if self.aborted.load(Ordering::Acquire) {
            // Not a panic of its own, so no message: the first one has been printed.
            resume_unwind(Box::new(Aborted));
        }
    }
}

/// How long to spin and then to yield, in rounds, before sleeping.
#[derive(Clone, Copy, Debug)]
struct Patience {
    spins: u32,
    yields: u32,
}

/// Every member can have a processor: some ten microseconds of spinning.
const SPIN: Patience = Patience { spins: 200, yields: 100 };
/// More members than processors: whoever is waited for needs the processor.
const YIELD: Patience = Patience { spins: 0, yields: 20 };

/// A counter of turns that threads wait on.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Gate {
    turn: AtomicU32,
    sleepers: AtomicU32,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Gate {
    /// The current turn. What was written before it was opened is visible.
    fn turn(&self) -> u32 {
        self.turn.load(Ordering::Acquire)
    }

    /// Begins the next turn: all who wait go on.
    fn open(&self) {
        // Sequentially consistent with `sleep`: either the sleeper is seen here, or it sees the
        // new turn there.
        self.turn.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.lock));
            self.wake.notify_all();
        }
    }

    /// Returns when the turn is no longer `turn`.
    fn wait(&self, turn: u32, patience: Patience) {
        for _ in 0..patience.spins {
            if self.turn() != turn {
                return;
            }
            spin_loop();
        }
        for _ in 0..patience.yields {
            if self.turn() != turn {
                return;
            }
            thread::yield_now();
        }
        self.sleep(turn);
    }

    #[cold]
    fn sleep(&self, turn: u32) {
        let mut guard = lock(&self.lock);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.turn.load(Ordering::SeqCst) == turn {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Alone on its cache line (and on the one that is fetched along with it).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
