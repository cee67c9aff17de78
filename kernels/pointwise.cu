// Element-wise computation: y[i] = f(x[i], ...), operands broadcast as in NumPy.
//
// Shapes: outputs have COUNT elements; an operand has as many, or fewer with its index printed.
// Outputs may be cut into ranges, with operands that have one element for each: the scalars of groups
// of parameters. Computes in f32. Outputs are overwritten, or read and then written where the op updates
// them. Floor: every operand of the output's shape read once, every output written once: 28 bytes a
// parameter for Adam, and 32 with a norm to clip by, for which a reduction reads the gradients before.
//
// pointwise: four elements a thread, grid-stride. Four blocks of a multiprocessor are enough to hide
//            the loads; aiming at more of them, the compiler spills registers of long expressions.

// The range that element i is in: the number of those that end before it. Groups of W elements never
// lie in two.
DEVICE int range_of(index_t i) {
    int range = 0;
//@ ends
    return range;
}

template <int W> DEVICE void elements(const Live* live, index_t i,
//@ parameters
) {
//@ body
}

extern "C" __global__ void __launch_bounds__(256, 4) pointwise(const Live* live,
//@ parameters
) {
    const index_t count = SIZE(COUNT);
    const index_t threads = (index_t)gridDim.x * 256;
    const index_t first = (index_t)blockIdx.x * 256 + threadIdx.x;
    for (index_t j = first; 4 * j + 3 < count; j += threads) elements<4>(live, 4 * j,
//@ names
    );
    for (index_t j = count / 4 * 4 + first; j < count; j += threads) elements<1>(live, j,
//@ names
    );
}
