// Element-wise computation: y[i] = f(x[i], ...), operands broadcast as in NumPy.
//
// Shapes: outputs have COUNT elements; an operand has as many, or fewer with its index printed.
// Computes in f32. Outputs are overwritten, or read and then written where the op updates them.
// Floor: every operand of the output's shape read once, every output written once.
//
// pointwise: four elements a thread where all starts are multiples of four, grid-stride.

template <int W> DEVICE void elements(const Live* live, index_t i,
//@ parameters
) {
//@ body
}

extern "C" __global__ void __launch_bounds__(256) pointwise(const Live* live,
//@ parameters
) {
    const index_t count = SIZE(COUNT);
    const index_t threads = (index_t)gridDim.x * 256;
    const index_t first = (index_t)blockIdx.x * 256 + threadIdx.x;
    for (index_t j = first; j < count / 4; j += threads) elements<4>(live, 4 * j,
//@ names
    );
    if (first < count % 4) elements<1>(live, count / 4 * 4 + first,
//@ names
    );
}
