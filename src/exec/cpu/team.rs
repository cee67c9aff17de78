//! A team of threads that walks the steps of a plan together.
//!
//! One [`Team::run`] per training step wakes the team; inside it the members meet at a
//! [`Worker::barrier`] between plan steps and share the tasks of one step by
//! [`Worker::for_each_task`]. Nothing allocates after [`Team::new`].
//!
//! What a meeting costs is the way of cache lines from core to core, 40 ns or, between sockets, half a
//! microsecond each. So every member has a seat, a line that it alone writes in a quiet run and that
//! says how many meetings it came to; a meeting is one write and a look at the other seats. Who waits
//! spins at first, since the next phase is usually microseconds away, or yields, if there are more
//! members than processors; then it sleeps, so that a busy machine costs time but never a collapse.
//!
//! A panic in one member would leave the others waiting for it. So it sets `aborted`: whoever waits,
//! or comes to a barrier, unwinds too, quietly, and the caller resumes the first panic.

#![allow(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
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
        self.shared.seats.len()
    }

    /// Runs `job` once on every member, on the caller as member 0, and returns when all are done.
    ///
    /// Every member must come to the same barriers in the same order (`for_each_task` is one, and
    /// of five shares of work without a barrier the last), or the team waits for ever.
    ///
    /// # Panics
    /// If a member panics: the first panic is resumed here once all members have stopped. The team
    /// can be used again.
    pub fn run(&mut self, job: &(dyn Fn(&Worker<'_>) + Sync)) {
        let shared = &*self.shared;
        // The lifetime of the job is dropped here, and kept by waiting for all to leave below.
        let turn = shared.begin(ptr::from_ref(&job).cast_mut().cast());
        shared.take_part(job, 0);
        for seat in &shared.seats[1..] {
            shared.wait(|| seat.left.load(Ordering::SeqCst) == turn);
        }
        if shared.aborted.load(Ordering::Relaxed) {
            shared.forget();
            let panic = lock(&shared.panic).take();
            resume_unwind(panic.expect("invariant: who aborts a job leaves its panic"));
        }
    }

    /// Runs `job` on the caller as the only member, and wakes nobody.
    pub fn run_alone(&mut self, job: &dyn Fn(&Worker<'_>)) {
        job(&Worker::new(&self.shared, 0, 1));
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.begin(ptr::null_mut());
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
        shared.wait(|| shared.start.turn.load(Ordering::SeqCst) != turn);
        turn = turn.wrapping_add(1);
        let job = shared.start.job.load(Ordering::Relaxed);
        if job.is_null() {
            return;
        }
        // SAFETY: `run` stored a pointer to its own argument before it began the turn, and stays in
        // its frame until this member's seat says that it left.
        let job: Job<'_> = unsafe { *job };
        shared.take_part(job, index);
        shared.seats[index].left.store(turn, Ordering::SeqCst);
        shared.wake(|| shared.seats[1..].iter().all(|s| s.left.load(Ordering::SeqCst) == turn));
    }
}

/// One member of a team, as its job sees it.
#[derive(Debug)]
pub struct Worker<'a> {
    shared: &'a Shared,
    index: usize,
    members: usize,
    /// Meetings that this member came to.
    meetings: Cell<u32>,
    /// Shares of work since the last one.
    shares: Cell<usize>,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared, index: usize, members: usize) -> Self {
        let meetings = Cell::new(shared.seats[index].meetings.load(Ordering::Relaxed));
        Worker { shared, index, members, meetings, shares: Cell::new(0) }
    }

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
        let meeting = self.arrive();
        shared.wake(|| shared.seats.iter().all(|seat| seat.is_at(meeting)));
        for seat in &shared.seats {
            shared.wait(|| seat.is_at(meeting) || shared.aborted.load(Ordering::SeqCst));
        }
        if shared.aborted.load(Ordering::SeqCst) {
            // Not a panic of its own, so no message: the first one has been printed.
            resume_unwind(Box::new(Aborted));
        }
    }

    /// Comes to the next meeting; its number.
    fn arrive(&self) -> u32 {
        let meeting = self.meetings.get().wrapping_add(1);
        self.meetings.set(meeting);
        self.shares.set(0);
        // All have come to the last meeting, so nobody is at the tasks before it: their counts are
        // ready for those after this one.
        let claimed = self.claimed(self.index, meeting);
        for count in claimed.iter().filter(|count| count.load(Ordering::Relaxed) != 0) {
            count.store(0, Ordering::Relaxed);
        }
        self.shared.seats[self.index].meetings.store(meeting, Ordering::SeqCst);
        meeting
    }

    /// Runs `task(0)` to `task(tasks - 1)` with the others and meets them at a barrier.
    pub fn for_each_task(&self, tasks: usize, task: impl Fn(usize)) {
        self.share(tasks, task);
        self.barrier();
    }

    /// Runs `task(0)` to `task(tasks - 1)` with the others, who may still be at it when this returns.
    /// Each member has a part of its own, the same whenever there are as many tasks, so that what it
    /// wrote is still in its cache; who has ended its part helps the others. A single task is run by
    /// member 0.
    pub fn share(&self, tasks: usize, task: impl Fn(usize)) {
        let members = self.members;
        if members == 1 {
            return (0..tasks).for_each(task);
        }
        if tasks <= members {
            // Nobody has more than one, so there is nothing to claim.
            return (self.index..tasks).take(1).for_each(task);
        }
        if self.shares.get() == SHARES {
            self.barrier();
        }
        let (meeting, share) = (self.meetings.get(), self.shares.get());
        self.shares.set(share + 1);
        for owner in (self.index..members).chain(0..self.index) {
            let (first, end) = (tasks * owner / members, tasks * (owner + 1) / members);
            let claimed = &self.claimed(owner, meeting)[share];
            // Who is at the next meeting has left nothing; a look takes a line from who has.
            if owner != self.index
                && (self.shared.seats[owner].is_at(meeting.wrapping_add(1))
                    || claimed.load(Ordering::Relaxed) >= end - first)
            {
                continue;
            }
            let claim = || first + claimed.fetch_add(1, Ordering::Relaxed);
            let mut next = claim();
            while next < end {
                task(next);
                next = claim();
            }
        }
    }

    /// How many tasks of a member's part were claimed since a meeting, for each share of work. Two rows
    /// take turns, so that each is zeroed by its owner while nobody looks at it.
    fn claimed(&self, owner: usize, meeting: u32) -> &[AtomicUsize; SHARES] {
        &self.shared.claimed[owner].0[meeting as usize % 2]
    }
}

/// What unwinds a member because another one has panicked.
struct Aborted;

#[derive(Debug)]
struct Shared {
    seats: Box<[Seat]>,
    claimed: Box<[Claimed]>,
    start: Start,
    patience: Patience,
    aborted: AtomicBool,
    /// Members that sleep.
    sleepers: AtomicU32,
    bed: Mutex<()>,
    bell: Condvar,
    /// The first panic of the current job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What a member tells the others. Alone on its cache line, and on the one that is fetched with it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Seat {
    /// Meetings that it came to. No two members are more than one apart.
    meetings: AtomicU32,
    /// The last job that it left.
    left: AtomicU32,
}

impl Seat {
    /// Whether the member has come to a meeting.
    fn is_at(&self, meeting: u32) -> bool {
        self.meetings.load(Ordering::SeqCst).wrapping_sub(meeting) <= u32::MAX / 2
    }
}

/// Tasks of a member's part that were claimed since even and since odd meetings.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Claimed([[AtomicUsize; SHARES]; 2]);

/// Shares of work between two meetings; a further one makes the members meet.
const SHARES: usize = 4;

/// Where the workers look for jobs.
#[derive(Debug)]
#[repr(align(128))]
struct Start {
    /// Jobs that were begun.
    turn: AtomicU32,
    /// Points into the frame of the current `run`; null asks the workers to end.
    job: AtomicPtr<Job<'static>>,
}

impl Shared {
    fn new(members: usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Shared {
            seats: (0..members).map(|_| Seat::default()).collect(),
            claimed: (0..members).map(|_| Claimed::default()).collect(),
            start: Start { turn: AtomicU32::new(0), job: AtomicPtr::new(ptr::null_mut()) },
            patience: if members <= processors { SPIN } else { YIELD },
            aborted: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            bed: Mutex::new(()),
            bell: Condvar::new(),
            panic: Mutex::new(None),
        }
    }

    /// Gives the workers a job; its number. No worker is in one.
    fn begin(&self, job: *mut Job<'static>) -> u32 {
        let turn = self.start.turn.load(Ordering::Relaxed).wrapping_add(1);
        self.start.job.store(job, Ordering::Relaxed);
        self.start.turn.store(turn, Ordering::SeqCst);
        self.wake(|| true);
        turn
    }

    /// As after `new`, for the next job; no worker is in one.
    fn forget(&self) {
        self.aborted.store(false, Ordering::Relaxed);
        self.seats.iter().for_each(|seat| seat.meetings.store(0, Ordering::Relaxed));
        let counts = self.claimed.iter().flat_map(|claimed| claimed.0.as_flattened());
        counts.for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Runs the job as one member and keeps its panic, if it is the first.
    fn take_part(&self, job: Job<'_>, index: usize) {
        let worker = Worker::new(self, index, self.seats.len());
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(&worker))) else {
            // To leave is to come to a last meeting, for which nobody waits but the caller of `run`: the
            // next job must not find the counts of this one.
            worker.arrive();
            return;
        };
        if !panic.is::<Aborted>() {
            lock(&self.panic).get_or_insert(panic);
            self.aborted.store(true, Ordering::SeqCst);
            self.wake(|| true);
        }
    }

    /// Returns when `ready`, which others make true and then `wake`.
    fn wait(&self, ready: impl Fn() -> bool) {
        for _ in 0..self.patience.spins {
            if ready() {
                return;
            }
            spin_loop();
        }
        for _ in 0..self.patience.yields {
            if ready() {
                return;
            }
            thread::yield_now();
        }
        self.sleep(&ready);
    }

    #[cold]
    fn sleep(&self, ready: &dyn Fn() -> bool) {
        let mut guard = lock(&self.bed);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !ready() {
            guard = self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Wakes those who sleep, after a write that somebody may wait for; if there is a reason to.
    ///
    /// All is sequentially consistent: either the sleeper is seen here, or it sees the write there.
    fn wake(&self, reason: impl Fn() -> bool) {
        if self.sleepers.load(Ordering::SeqCst) > 0 && reason() {
            drop(lock(&self.bed));
            self.bell.notify_all();
        }
    }
}

/// How long to spin and then to yield, in rounds, before sleeping.
#[derive(Clone, Copy, Debug)]
struct Patience {
    spins: u32,
    yields: u32,
}

/// Every member can have a processor: some tens of microseconds of spinning. Who yields may get the
/// processor back after milliseconds, if another program wants it too; who sleeps, as soon as it is
/// woken.
const SPIN: Patience = Patience { spins: 2000, yields: 0 };
/// More members than processors: whoever is waited for needs the processor.
const YIELD: Patience = Patience { spins: 0, yields: 20 };

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
