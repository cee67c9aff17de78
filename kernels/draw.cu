// Random numbers of rows: y_k[b, j] is made of the number of (seed, STREAM + k, epoch, rows[b] * W + j),
// W being WIDTH rounded up to a multiple of four. NORMAL numbers are made of two by Box and Muller:
// sqrt(-2 ln(1 - u)) cos(2 pi v) and the same with the sine.
//
// Shapes: ROWS numbers of rows, one epoch; every output ROWS x WIDTH, f32. Outputs are overwritten.
// Floor: 4 bytes an element; Philox's ten rounds are some 30 operations an element.
//
// draw: four elements of each output a thread, grid-stride.

constexpr index_t BLOCKS = (WIDTH + 3) / 4;

// A block of four numbers, as far as they are in the row: elements from `at` on.
DEVICE void draw_block(u64 seed, u32 stream, u64 step, u64 block, float* y, index_t at) {
    const Words4 words = random_words(seed, stream, step, block);
    float x[4];
#pragma unroll
    for (int k = 0; k < 4; k++) x[k] = fraction(words.w[k]);
#if NORMAL
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
        const float radius = sqrtf(-2.0f * math::log(1.0f - x[k]));
        const float angle = 6.28318530717958648f * x[k + 1];
        x[k] = radius * math::cos(angle), x[k + 1] = radius * math::sin(angle);
    }
#endif
    const u32 left = WIDTH - (u32)(at % WIDTH);
#pragma unroll
    for (u32 k = 0; k < 4; k++)
        if (k < left) y[at + k] = x[k];
}

extern "C" __global__ void __launch_bounds__(256)
    draw(const Live* live, const u32* __restrict__ rows, const float* __restrict__ epoch
//@ parameters
) {
    const index_t count = SIZE(ROWS) * BLOCKS, threads = (index_t)gridDim.x * 256;
    const u64 step = (u64)epoch[0];
    for (index_t i = (index_t)blockIdx.x * 256 + threadIdx.x; i < count; i += threads) {
        const index_t row = i / BLOCKS, at = row * WIDTH + i % BLOCKS * 4;
        const u64 block = (u64)rows[row] * BLOCKS + i % BLOCKS;
//@ body
    }
}
