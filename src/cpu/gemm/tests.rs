#![allow(unsafe_code)]

use super::*;

/// The definition: one accumulator, k ascending, fused.
fn naive(product: &Gemm, a: &[f32], b: &[f32], c: &mut [f32]) {
    let Gemm { m, n, k, transpose_a, transpose_b, accumulate, .. } = *product;
    for i in 0..m {
        for j in 0..n {
            let mut sum = if accumulate { c[i * n + j] } else { 0.0 };
            for p in 0..k {
                let x = if transpose_a { a[p * m + i] } else { a[i * k + p] };
                let y = if transpose_b { b[j * k + p] } else { b[p * n + j] };
                sum = x.mul_add(y, sum);
            }
            c[i * n + j] = sum;
        }
    }
}

/// Values whose sums round, in [-1, 1).
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

fn forms(m: usize, n: usize, k: usize) -> impl Iterator<Item = Gemm> {
    (0..8).map(move |bits| Gemm {
        m,
        n,
        k,
        transpose_a: bits & 1 > 0,
        transpose_b: bits & 2 > 0,
        accumulate: bits & 4 > 0,
        // More tiles, and no other bits.
        epilogue: if bits & 1 > 0 { 1000 } else { 0 },
    })
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn all_instruction_sets_give_the_bits_of_the_naive_loop() {
    let sizes = [
        [1, 1, 1],
        [1, 40, 7],
        [2, 3, 0],
        [17, 33, 65],
        [13, 10, 300],
        [64, 16, 4],
        [5, 129, 9],
        [31, 200, 515],
        [200, 100, 40],
    ];
    for [m, n, k] in sizes {
        for product in forms(m, n, k) {
            let (a, b) = (noise(m * k, 1), noise(k * n, 2));
            let mut expected = noise(m * n, 3);
            let before = expected.clone();
            naive(&product, &a, &b, &mut expected);
            for kernels in Kernels::available() {
                let mut c = before.clone();
                let mut tile = TileMut::new(&mut c, m, n, n);
                for task in 0..product.tasks() {
                    let (rows, columns) = product.tile(task);
                    let part = tile.part(rows, columns);
                    product.compute_with(kernels, task, &a, &b, part, &mut |_, _, _| ());
                }
                assert!(bits(&c) == bits(&expected), "{}: {product:?}", kernels.name);
            }
        }
    }
}

#[test]
fn tiles_cover_c_once_and_the_epilogue_sees_each_element_once() {
    for [m, n, k] in [[1, 5000, 300], [700, 33, 65], [130, 520, 200], [1030, 300, 9], [3, 3, 3]] {
        let product = Gemm { m, n, k, transpose_b: true, ..Gemm::default() };
        let (a, b) = (noise(m * k, 4), noise(n * k, 5));
        let mut expected = vec![0.0; m * n];
        naive(&product, &a, &b, &mut expected);
        for kernels in Kernels::available() {
            // C lies in a wider matrix whose other columns stay as they are.
            let mut c = vec![7.0; m * (n + 3)];
            let mut seen = vec![0.0; m * n];
            let mut matrix = TileMut::new(&mut c, m, n, n + 3);
            for task in 0..product.tasks() {
                let (rows, columns) = product.tile(task);
                let part = matrix.part(rows, columns);
                product.compute_with(kernels, task, &a, &b, part, &mut |row, column, mut block| {
                    for i in 0..block.rows() {
                        let places = &mut seen[(row + i) * n + column..];
                        for (x, place) in block.row_mut(i).iter_mut().zip(places) {
                            *place += *x;
                            *x = -*x;
                        }
                    }
                });
            }
            assert!(bits(&seen) == bits(&expected), "{}: {product:?}", kernels.name);
            for (row, expected) in c.chunks(n + 3).zip(expected.chunks(n)) {
                assert!(row[..n].iter().zip(expected).all(|(x, y)| *x == -*y), "{product:?}");
                assert_eq!(row[n..], [7.0; 3]);
            }
        }
    }
}

#[test]
fn blocks_of_k_rows_and_columns_leave_no_trace() {
    // Scattered operands, several blocks of k, several tiles each way.
    for product in forms(300, 150, 1100).chain(forms(1040, 140, 70)) {
        let Gemm { m, n, k, .. } = product;
        let (a, b) = (noise(m * k, 6), noise(k * n, 7));
        let (mut c, mut expected) = (noise(m * n, 8), noise(m * n, 8));
        naive(&product, &a, &b, &mut expected);
        product.run(&a, &b, &mut c);
        assert!(bits(&c) == bits(&expected), "{product:?}");
    }
}

#[test]
fn rows_in_use_are_a_smaller_product() {
    let full = Gemm { m: 300, n: 200, k: 80, transpose_b: true, ..Gemm::default() };
    let (a, b) = (noise(300 * 80, 9), noise(200 * 80, 10));
    let (mut all, mut some) = (vec![0.0; 300 * 200], vec![0.0; 300 * 200]);
    full.run(&a, &b, &mut all);
    Gemm { m: 37, ..full }.run(&a, &b, &mut some);
    assert_eq!(bits(&some[..37 * 200]), bits(&all[..37 * 200]));
    assert!(some[37 * 200..].iter().all(|&x| x == 0.0));
}

#[test]
fn any_team_gives_the_same_bits() {
    let product = Gemm { m: 200, n: 500, k: 150, transpose_a: true, ..Gemm::default() };
    let (a, b) = (noise(200 * 150, 11), noise(500 * 150, 12));
    assert!(product.tasks() >= 8);
    let mut expected = vec![0.0; 200 * 500];
    product.run(&a, &b, &mut expected);
    let mut c = vec![0.0; 200 * 500];
    let mut tiles = Vec::new();
    let mut rest = TileMut::new(&mut c, 200, 500, 500);
    for task in 0..product.tasks() {
        // This shape has one row of tiles, so that it can be split from the left.
        let (rows, columns) = product.tile(task);
        assert_eq!(rows, 0..200);
        let (tile, right) = rest.split_columns(columns.len());
        tiles.push((task, tile));
        rest = right;
    }
    std::thread::scope(|scope| {
        for (task, tile) in tiles {
            let (a, b) = (&a, &b);
            scope.spawn(move || product.compute(task, a, b, tile, &mut |_, _, _| ()));
        }
    });
    assert!(bits(&c) == bits(&expected));
}

#[test]
fn close_to_the_gemm_crate() {
    for product in forms(65, 47, 333) {
        let Gemm { m, n, k, transpose_a, transpose_b, accumulate, .. } = product;
        let (a, b) = (noise(m * k, 13), noise(k * n, 14));
        let (mut own, mut other) = (noise(m * n, 15), noise(m * n, 15));
        product.run(&a, &b, &mut own);
        let a_strides = if transpose_a { (m, 1) } else { (1, k) };
        let b_strides = if transpose_b { (1, k) } else { (n, 1) };
        // SAFETY: sizes and strides are those of the matrices.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                other.as_mut_ptr(),
                1,
                n as isize,
                accumulate,
                a.as_ptr(),
                a_strides.0 as isize,
                a_strides.1 as isize,
                b.as_ptr(),
                b_strides.1 as isize,
                b_strides.0 as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        // Each side is off by at most k + 1 roundings of sums of at most k + 1 terms below 1.
        let terms = (k + 1) as f32;
        let bound = 2.0 * terms * terms * f32::EPSILON / 2.0;
        let off = own.iter().zip(&other).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(off <= bound, "{product:?}: {off} > {bound}");
    }
}

#[test]
fn empty_products() {
    let mut c = [5.0; 6];
    let product = Gemm { m: 2, n: 3, k: 0, ..Gemm::default() };
    Gemm { accumulate: true, ..product }.run(&[], &[], &mut c);
    assert_eq!(c, [5.0; 6]);
    product.run(&[], &[], &mut c);
    assert_eq!(c, [0.0; 6]);
    for (m, n) in [(0, 3), (2, 0), (0, 0)] {
        let product = Gemm { m, n, k: 4, ..Gemm::default() };
        assert_eq!(product.tasks(), 0);
        product.run(&[0.0; 8], &[0.0; 12], &mut []);
    }
}

#[test]
#[should_panic(expected = "B has only 11 elements")]
fn too_short_operands_are_refused() {
    let product = Gemm { m: 2, n: 3, k: 4, ..Gemm::default() };
    product.run(&[0.0; 8], &[0.0; 11], &mut [0.0; 6]);
}

#[test]
fn tasks_are_few_for_little_work_and_enough_for_much() {
    let tasks = |m, n, k| Gemm { m, n, k, ..Gemm::default() }.tasks();
    let narrow = [(32, 10, 128), (32, 128, 10), (17, 33, 65), (1, 512, 256), (32, 128, 64)];
    let small = [(32, 128, 128), (128, 10, 512), (10, 512, 128), (17, 301, 100), (301, 100, 17)];
    for (m, n, k) in narrow.into_iter().chain(small) {
        assert_eq!(tasks(m, n, k), 1, "{m}, {n}, {k}");
    }
    for (m, n, k) in [(32, 128, 256), (128, 20, 512), (20, 512, 128), (1, 512, 784)] {
        let tasks = tasks(m, n, k);
        assert!((2..=5).contains(&tasks), "{m}, {n}, {k}: {tasks}");
    }
    for (m, n, k) in [(128, 512, 784), (512, 784, 128), (512, 2048, 1024), (4096, 64, 576)] {
        let tasks = tasks(m, n, k);
        assert!((8..=64).contains(&tasks), "{m}, {n}, {k}: {tasks}");
    }
}
