// Affine maps of images by bilinear sampling: y[b, k, i, j] is what x[b, k] has at the place
//     column = a u + b v + c + (WIDTH - 1) / 2,   row = d u + e v + f + (HEIGHT - 1) / 2
// with u = j - (WIDTH - 1) / 2 and v = i - (HEIGHT - 1) / 2, and FILL beyond the edges.
//
// Shapes: x and y ROWS x CHANNELS x HEIGHT x WIDTH, a to f ROWS; f32, in the order of operations of
// src/op/warp.rs. The output is overwritten. Floor: 8 bytes an element.
//
// warp: a pixel of all channels a thread, grid-stride.

constexpr i32 H = HEIGHT, W = WIDTH;
constexpr index_t PLANE = (index_t)HEIGHT * WIDTH;

DEVICE float pixel(const float* plane, i32 y, i32 x) {
    return y >= 0 && y < H && x >= 0 && x < W ? plane[(index_t)y * WIDTH + x] : FILL;
}

// A position between -1 and the size; what is not a number stands outside too.
DEVICE float inside(float x, float size) { return x > -1.0f ? (x < size ? x : size) : -1.0f; }

extern "C" __global__ void __launch_bounds__(256)
    warp(const Live* live, const float* __restrict__ x, const float* __restrict__ a,
         const float* __restrict__ b, const float* __restrict__ c, const float* __restrict__ d,
         const float* __restrict__ e, const float* __restrict__ f, float* __restrict__ y) {
    const index_t count = SIZE(ROWS) * PLANE, threads = (index_t)gridDim.x * 256;
    const float middle_x = (float)(W - 1) * 0.5f, middle_y = (float)(H - 1) * 0.5f;
    for (index_t n = (index_t)blockIdx.x * 256 + threadIdx.x; n < count; n += threads) {
        const index_t row = n / PLANE, at = n % PLANE;
        const float u = (float)(at % WIDTH) - middle_x, v = (float)(at / WIDTH) - middle_y;
        const float column = inside(a[row] * u + b[row] * v + c[row] + middle_x, (float)W);
        const float line = inside(d[row] * u + e[row] * v + f[row] + middle_y, (float)H);
        const float left = floorf(column), top = floorf(line);
        const float s = column - left, t = line - top;
        const i32 i = (i32)top, j = (i32)left;
        for (index_t k = 0; k < CHANNELS; k++) {
            const float* plane = x + (row * CHANNELS + k) * PLANE;
            const float upper = (1.0f - s) * pixel(plane, i, j) + s * pixel(plane, i, j + 1);
            const float lower = (1.0f - s) * pixel(plane, i + 1, j) + s * pixel(plane, i + 1, j + 1);
            y[(row * CHANNELS + k) * PLANE + at] = (1.0f - t) * upper + t * lower;
        }
    }
}
