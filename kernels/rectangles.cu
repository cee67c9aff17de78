// A mask of rectangles: y[b, i, j] is 1 where top[b] <= i < bottom[b] and left[b] <= j < right[b] for
// one of a row's rectangles, else 0.
//
// Shapes: four numbers of each rectangle for each of ROWS rows; y ROWS x HEIGHT x WIDTH, f32. Nothing
// is summed. The output is overwritten. Floor: 4 bytes an element.
//
// rectangles: an element a thread, grid-stride.

extern "C" __global__ void __launch_bounds__(256) rectangles(const Live* live
//@ parameters
, float* __restrict__ y) {
    constexpr index_t plane = (index_t)HEIGHT * WIDTH;
    const index_t count = SIZE(ROWS) * plane, threads = (index_t)gridDim.x * 256;
    for (index_t n = (index_t)blockIdx.x * 256 + threadIdx.x; n < count; n += threads) {
        const index_t row = n / plane, at = n % plane;
        const float i = (float)(at / WIDTH), j = (float)(at % WIDTH);
        bool inside = false;
//@ body
        y[n] = inside ? 1.0f : 0.0f;
    }
}
