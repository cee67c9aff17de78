//! What the team costs: an empty phase, a run that finds the team awake, and one that wakes it.
//!
//! `cargo bench --bench team`; medians in microseconds.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use ironwarp::exec::cpu::team::Team;

fn main() {
    println!("{:>7} {:>12} {:>12} {:>12}", "threads", "phase us", "run us", "wake us");
    for threads in [1, 2, 3, 8] {
        let threads = NonZeroUsize::new(threads).expect("invariant: not zero");
        let mut team = Team::new(threads).expect("threads start");
        let phases = 2_000;
        let phase = median(51, || {
            let start = Instant::now();
            team.run(&|worker| {
                (0..phases).for_each(|_| worker.for_each_task(threads.get(), |_| ()))
            });
            start.elapsed() / phases
        });
        let run = median(2_001, || {
            let start = Instant::now();
            team.run(&|_| ());
            start.elapsed()
        });
        let wake = median(101, || {
            std::thread::sleep(Duration::from_millis(5));
            let start = Instant::now();
            team.run(&|_| ());
            start.elapsed()
        });
        let [phase, run, wake] = [phase, run, wake].map(|time| time.as_secs_f64() * 1e6);
        println!("{threads:>7} {phase:>12.3} {run:>12.3} {wake:>12.3}");
    }
}

/// The median of `count` (odd) measurements.
fn median(count: usize, mut measure: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..count).map(|_| measure()).collect();
    times.sort_unstable();
    times[count / 2]
}
