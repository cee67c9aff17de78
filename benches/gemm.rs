//! The matrix product beside the `gemm` crate, on the shapes of small and large networks.
//!
//! `cargo bench --bench gemm [shape filter]`. Both take turns; printed are the medians of their
//! GFLOP/s and the median of the ratio of neighbours. With two threads the `gemm` crate computes
//! halves of C on the same team.

#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use gemm::Parallelism;
use ironwarp::cpu::gemm::{Gemm, instruction_set};
use ironwarp::cpu::tile::TileMut;
use ironwarp::exec::cpu::team::Team;

const ROUNDS: usize = 41;
/// m, n, k, and how A and B are stored: n as the formula says, t transposed.
const SHAPES: [(usize, usize, usize, &str); 22] = [
    (128, 512, 784, "nt"),
    (128, 512, 512, "nt"),
    (128, 10, 512, "nt"),
    (128, 512, 512, "nn"),
    (128, 512, 10, "nn"),
    (512, 784, 128, "tn"),
    (512, 512, 128, "tn"),
    (10, 512, 128, "tn"),
    (256, 512, 784, "nt"),
    (32, 128, 64, "nt"),
    (32, 10, 128, "nt"),
    (32, 128, 10, "nn"),
    (128, 64, 32, "tn"),
    (10, 128, 32, "tn"),
    (512, 2048, 1024, "nt"),
    (512, 1024, 2048, "nn"),
    (2048, 1024, 512, "tn"),
    (1, 512, 784, "nt"),
    (1, 512, 512, "nn"),
    (17, 33, 65, "nt"),
    (17, 33, 65, "tt"),
    (4096, 64, 576, "nt"),
];

#[derive(Clone, Copy)]
struct Pointer(*mut f32);
// SAFETY: the threads write disjoint parts of what it points to.
unsafe impl Sync for Pointer {}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    println!("instruction set: {}", instruction_set());
    println!("{:>20} {:>8} {:>8} {:>8} {:>6}", "shape", "threads", "ironwarp", "gemm", "ratio");
    let mut teams =
        [1, 2].map(|n| Team::new(NonZeroUsize::new(n).expect("not zero")).expect("threads start"));
    for (m, n, k, form) in SHAPES {
        let name = format!("{m},{n},{k} {form}");
        if !name.contains(&filter) {
            continue;
        }
        let (transpose_a, transpose_b) = (form.starts_with('t'), form.ends_with('t'));
        let product = Gemm { m, n, k, transpose_a, transpose_b, ..Gemm::default() };
        for team in &mut teams {
            compare(&name, team, &product);
        }
    }
}

fn compare(name: &str, team: &mut Team, product: &Gemm) {
    let Gemm { m, n, k, .. } = *product;
    let value = |i: usize| (i % 251) as f32 / 251.0 - 0.5;
    let a: Vec<f32> = (0..m * k).map(value).collect();
    let b: Vec<f32> = (0..k * n).map(value).collect();
    let mut c = vec![0.0; m * n];
    let work = 2.0 * (m * n * k) as f64;
    // A round of half a millisecond at least, so that waking the team does not count.
    let repeat = (5e7 / work) as usize + 1;
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let own = time(team, repeat, |worker, c| own(worker, product, &a, &b, c), &mut c);
        let other = time(team, repeat, |worker, c| other(worker, product, &a, &b, c), &mut c);
        let [own, other] = [own, other].map(|t| work * repeat as f64 / t.as_secs_f64() / 1e9);
        [own, other, own / other].into_iter().zip(&mut rates).for_each(|(x, xs)| xs.push(x));
    }
    let [own, other, ratio] = rates.map(|mut xs| {
        xs.sort_by(f64::total_cmp);
        xs[ROUNDS / 2]
    });
    println!("{name:>20} {:>8} {own:>8.1} {other:>8.1} {ratio:>6.2}", team.threads());
}

type Worker<'a> = ironwarp::exec::cpu::team::Worker<'a>;

fn time(
    team: &mut Team,
    repeat: usize,
    run: impl Fn(&Worker<'_>, Pointer) + Sync,
    c: &mut [f32],
) -> Duration {
    let c = Pointer(c.as_mut_ptr());
    let c = &c;
    team.run(&|worker| run(worker, *c));
    let start = Instant::now();
    team.run(&|worker| (0..repeat).for_each(|_| run(worker, *c)));
    start.elapsed()
}

fn own(worker: &Worker<'_>, product: &Gemm, a: &[f32], b: &[f32], c: Pointer) {
    worker.for_each_task(product.tasks(), |task| {
        let (rows, columns) = product.tile(task);
        // SAFETY: the tiles are disjoint parts of C.
        let tile = unsafe {
            let start = c.0.add(rows.start * product.n + columns.start);
            TileMut::from_raw(start, rows.len(), columns.len(), product.n)
        };
        product.compute(task, a, b, tile, &mut |_, _, _| ());
    });
}

fn other(worker: &Worker<'_>, product: &Gemm, a: &[f32], b: &[f32], c: Pointer) {
    let Gemm { m, n, k, transpose_a, transpose_b, .. } = *product;
    let parts = worker.threads();
    // By rows or by columns, whichever are more.
    let (rows, columns) = if m > n { (m / parts, n) } else { (m, n.div_ceil(parts)) };
    let parts = if m * n == 0 { 0 } else { m.div_ceil(rows) * n.div_ceil(columns) };
    worker.for_each_task(parts, |part| {
        let (row, column) = if m > n { (part * rows, 0) } else { (0, part * columns) };
        let (a_row, a_k) = if transpose_a { (1, m) } else { (k, 1) };
        let (b_k, b_column) = if transpose_b { (1, k) } else { (n, 1) };
        // SAFETY: the parts of C are disjoint, all strides are those of the matrices.
        unsafe {
            gemm::gemm(
                rows.min(m - row),
                columns.min(n - column),
                k,
                c.0.add(row * n + column),
                1,
                n as isize,
                false,
                a.as_ptr().add(row * a_row),
                a_k as isize,
                a_row as isize,
                b.as_ptr().add(column * b_column),
                b_column as isize,
                b_k as isize,
                0.0f32,
                1.0f32,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    });
}
