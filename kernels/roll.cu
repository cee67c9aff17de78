// Rows of the batch moved on, the last ones coming first: y[(b + SHIFT) mod ROWS, j] = x[b, j].
//
// Shapes: x and y ROWS x PIECES; a piece is four elements where a row has a multiple of four, else
// one. Nothing is computed: 32-bit elements keep their bits. The output is overwritten.
// Floor: 8 bytes an element.
//
// roll: a piece a thread, grid-stride.

#if VECTOR
typedef Vector4 Piece;
#else
typedef u32 Piece;
#endif

extern "C" __global__ void __launch_bounds__(256)
    roll(const Live* live, const Piece* __restrict__ x, Piece* __restrict__ y) {
    const index_t count = SIZE(ROWS) * PIECES, threads = (index_t)gridDim.x * 256;
    if (count == 0) return;
    const i32 rows = (i32)live->rows, rest = SHIFT % rows;
    const index_t turned = (index_t)(rest < 0 ? rest + rows : rest) * PIECES;
    for (index_t i = (index_t)blockIdx.x * 256 + threadIdx.x; i < count; i += threads)
        y[i] = x[i < turned ? i + (count - turned) : i - turned];
}
