use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

fn team(threads: usize) -> Team {
    Team::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

fn counters(n: usize) -> Vec<AtomicUsize> {
    (0..n).map(|_| AtomicUsize::new(0)).collect()
}

#[test]
fn every_member_runs_the_job_once() {
    for threads in [1, 2, 3, 8] {
        let mut team = team(threads);
        let seen = counters(threads);
        for _ in 0..10 {
            team.run(&|worker| {
                assert_eq!(worker.threads(), threads);
                seen[worker.index()].fetch_add(1, Relaxed);
            });
        }
        assert!(seen.iter().all(|n| n.load(Relaxed) == 10), "{threads}: {seen:?}");
    }
}

#[test]
fn every_task_runs_once_and_is_visible_in_the_next_phase() {
    for threads in [1, 2, 3, 8] {
        let mut team = team(threads);
        for tasks in [0, 1, 2, 3, 7, 8, 9, 100] {
            let done = counters(tasks);
            let right = AtomicUsize::new(0);
            team.run(&|worker| {
                for round in 1..=5 {
                    worker.for_each_task(tasks, |task| {
                        done[task].fetch_add(1, Relaxed);
                    });
                    if done.iter().all(|n| n.load(Relaxed) == round) {
                        right.fetch_add(1, Relaxed);
                    }
                    worker.barrier();
                }
            });
            assert_eq!(right.load(Relaxed), 5 * threads, "{threads} threads, {tasks} tasks");
        }
    }
}

#[test]
fn work_is_shared_without_meetings_and_visible_after_one() {
    for threads in [1, 2, 3, 8] {
        // More shares than there are counts between two meetings.
        let sizes = [9, 2, 100, 1, 0, 17, 64, 5, 33];
        let done = sizes.map(counters);
        let right = AtomicUsize::new(0);
        team(threads).run(&|worker| {
            for round in 1..=50 {
                for (tasks, done) in sizes.into_iter().zip(&done) {
                    worker.share(tasks, |task| {
                        done[task].fetch_add(1, Relaxed);
                    });
                }
                worker.barrier();
                if done.iter().flatten().all(|n| n.load(Relaxed) == round) {
                    right.fetch_add(1, Relaxed);
                }
                worker.barrier();
            }
        });
        assert_eq!(right.load(Relaxed), 50 * threads, "{threads} threads");
    }
}

#[test]
fn jobs_that_end_without_a_meeting_leave_nothing_to_the_next() {
    for threads in [2, 3, 8] {
        let mut team = team(threads);
        // Of several jobs the first shares are as large as the last of another.
        for sizes in [[16, 16, 41], [16, 16, 14], [16, 16, 3], [41, 9, 16], [100, 100, 100]] {
            for shares in [1, 3] {
                let done = sizes.map(counters);
                for run in 1..=20 {
                    team.run(&|worker| {
                        for (tasks, done) in sizes.into_iter().zip(&done).take(shares) {
                            worker.share(tasks, |task| {
                                done[task].fetch_add(1, Relaxed);
                            });
                        }
                    });
                    let done = done[..shares].iter().flatten();
                    let wrong = done.filter(|n| n.load(Relaxed) != run).count();
                    assert_eq!(wrong, 0, "{threads} threads, {sizes:?}, run {run}");
                }
            }
        }
    }
}

#[test]
fn a_single_task_belongs_to_the_caller() {
    let caller = thread::current().id();
    team(3).run(&|worker| {
        worker.for_each_task(1, |_| assert_eq!(thread::current().id(), caller));
    });
}

#[test]
fn alone_the_caller_runs_all_tasks_and_meets_nobody() {
    let caller = thread::current().id();
    let order = Mutex::new(vec![]);
    team(3).run_alone(&|worker| {
        assert_eq!((worker.threads(), thread::current().id()), (1, caller));
        worker.for_each_task(5, |task| lock(&order).push(task));
        worker.barrier();
    });
    assert_eq!(*lock(&order), [0, 1, 2, 3, 4]);
}

#[test]
fn plain_writes_pass_a_barrier() {
    // Each phase turns a ring of cells by one place: cell i takes what its neighbour had. Relaxed
    // reads and writes of atomics are ordered by the barrier alone.
    for threads in [2, 3, 8] {
        let rings = [counters(16), counters(16)];
        (0..16).for_each(|i| rings[0][i].store(i, Relaxed));
        let phases = 20_000;
        team(threads).run(&|worker| {
            for phase in 0..phases {
                let (from, to) = (&rings[phase % 2], &rings[(phase + 1) % 2]);
                worker.for_each_task(16, |i| {
                    to[i].store(from[(i + 1) % 16].load(Relaxed), Relaxed);
                });
            }
        });
        let ring: Vec<usize> = rings[0].iter().map(|cell| cell.load(Relaxed)).collect();
        let expected: Vec<usize> = (0..16).map(|i| (i + phases) % 16).collect();
        assert_eq!(ring, expected, "{threads} threads");
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_goes_on() {
    for threads in [1, 2, 8] {
        let mut team = team(threads);
        for culprit in [0, threads - 1] {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                team.run(&|worker| {
                    for round in 0..100 {
                        worker.for_each_task(threads, |task| {
                            assert!((round, task) != (50, culprit), "task {task} failed");
                        });
                    }
                });
            }))
            .unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&format!("task {culprit} failed")));
            let ran = AtomicUsize::new(0);
            team.run(&|worker| {
                worker.for_each_task(20, |_| {
                    ran.fetch_add(1, Relaxed);
                });
            });
            assert_eq!(ran.load(Relaxed), 20);
        }
    }
}

#[test]
fn panics_of_all_members_at_once_are_one_panic() {
    let mut team = team(3);
    for _ in 0..100 {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            team.run(&|worker| {
                worker.barrier();
                // Not `panic!`: a hundred messages would bury the output.
                resume_unwind(Box::new(worker.index()));
            });
        }))
        .unwrap_err();
        assert!(panic.downcast_ref::<usize>().is_some_and(|&index| index < 3));
    }
}

#[test]
fn members_that_slept_wake_up() {
    let mut team = team(3);
    let met = AtomicUsize::new(0);
    for _ in 0..3 {
        // Longer than anyone spins or yields: the others sleep at the start, or at the barrier.
        thread::sleep(std::time::Duration::from_millis(20));
        team.run(&|worker| {
            if worker.index() == 0 {
                thread::sleep(std::time::Duration::from_millis(20));
            }
            worker.barrier();
            met.fetch_add(1, Relaxed);
        });
    }
    assert_eq!(met.load(Relaxed), 9);
}

#[test]
fn two_teams_work_at_the_same_time() {
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut team = team(2);
                for _ in 0..200 {
                    team.run(&|worker| {
                        worker.for_each_task(10, |task| {
                            sum.fetch_add(task, Relaxed);
                        });
                    });
                }
            });
        }
    });
    assert_eq!(sum.load(Relaxed), 2 * 200 * 45);
}
