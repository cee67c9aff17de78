// Bands: y[r, c] = x_k[r, first_k + c - begin_k] where column c lies in band k, or 0 where that band
// is one of zeros. The twin of src/op/bands.rs, for concatenate, slice, pad and reshape.
//
// Shapes: y is OUTER rows of WIDTH pieces, of which a launch fills columns FIRST .. FIRST + SPAN; a
// piece is four elements where all bands begin and end at multiples of four, else one. Nothing is
// computed: 32-bit elements keep their bits. The output is overwritten.
// Floor: 8 bytes an element, 4 where it is zero.
//
// bands: a piece a thread, grid-stride.

#if VECTOR
typedef Vector4 Piece;
#else
typedef u32 Piece;
#endif

extern "C" __global__ void __launch_bounds__(256, 4) bands(const Live* live,
//@ parameters
, Piece* __restrict__ y) {
    const index_t count = SIZE(OUTER) * SPAN, threads = (index_t)gridDim.x * 256;
#pragma unroll 4
    for (index_t i = (index_t)blockIdx.x * 256 + threadIdx.x; i < count; i += threads) {
        const index_t row = i / SPAN, column = FIRST + i % SPAN;
        Piece piece = {};
//@ body
        y[row * WIDTH + column] = piece;
    }
}
