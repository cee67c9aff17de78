use super::*;

/// The definition: one accumulator, k ascending, fused.
fn naive(product: &Gemm, a: &[f32], b: &[f32], c: &mut [f32]) {
    let Gemm { m, n, k, transpose_a, transpose_b, accumulate } = *product;
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
