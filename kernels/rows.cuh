// Rows of WIDTH elements, each taken by a team of TEAM threads: a part of a warp, a warp, or a block.
//
// Elements come in groups of VECTOR; a thread's group k starts at element (k TEAM + lane) VECTOR. The
// first HELD groups of a row stay in registers, KEEP elements of all its arrays at most; later ones
// are read again when they are needed again, which the second-level cache serves as a rule.

constexpr int VECTOR = WIDTH % 4 == 0 ? 4 : 1;
constexpr int SPAN = TEAM * VECTOR;
constexpr int GROUPS = (WIDTH + SPAN - 1) / SPAN;
constexpr int THREADS = TEAM < 128 ? 128 : TEAM;
constexpr int WARPS = TEAM < 32 ? 1 : TEAM / 32;
// Blocks that a multiprocessor's registers must do for where N arrays are held; 0 leaves it to the
// compiler, which may spill for a third block of 512 threads.
template <int N> constexpr int BLOCKS = TEAM < 512 ? 0 : GROUPS * VECTOR * N <= 16 ? 2 : 1;

// The threads that share a row. All teams of a block take the same number of turns, so that all its
// threads meet in sums: a team without a row works on the last one and writes nothing.
struct Team {
    float (*partial)[WARPS];
    index_t rows, turn;
    u32 sums;

    DEVICE Team(float (*shared)[WARPS], index_t count)
        : partial(shared), rows(count), turn((index_t)blockIdx.x * (THREADS / TEAM)), sums(0) {}

    DEVICE bool goes_on() const { return turn < rows; }
    DEVICE void next() { turn += (index_t)gridDim.x * (THREADS / TEAM); }
    DEVICE u32 lane() const { return threadIdx.x % TEAM; }
    DEVICE bool has_row() const { return turn + threadIdx.x / TEAM < rows; }
    DEVICE index_t row() const {
        const index_t own = turn + threadIdx.x / TEAM;
        return own < rows ? own : rows - 1;
    }
    // Whether this thread writes the values that a row has one of.
    DEVICE bool leads() const { return lane() == 0 && has_row(); }

    // Two places for partial results, in turn: nobody writes to one that others still read.
    DEVICE float sum(float x) {
        if constexpr (TEAM <= 32) return warp_sum<TEAM>(x);
        return block_sum<WARPS>(x, partial[sums++ & 1]);
    }
    DEVICE float max(float x) {
        if constexpr (TEAM <= 32) return warp_max<TEAM>(x);
        return block_max<WARPS>(x, partial[sums++ & 1]);
    }
};

// A thread's groups of the same row of N arrays.
template <int N> struct Row {
    static constexpr int MOST = KEEP / (N * VECTOR);
    static constexpr int HELD = GROUPS < MOST ? GROUPS : MOST;

    const float* start[N];
    u32 lane;
    float held[HELD][N][VECTOR];

    DEVICE static bool present(int k, u32 i) { return (k + 1) * SPAN <= WIDTH || i < WIDTH; }

    DEVICE void fetch(float (&v)[N][VECTOR], u32 i) const {
#pragma unroll
        for (int n = 0; n < N; n++) load<VECTOR>(v[n], start[n], i);
    }

    DEVICE Row(const Team& team, const float* const (&arrays)[N]) : lane(team.lane()) {
#pragma unroll
        for (int n = 0; n < N; n++) start[n] = arrays[n] + team.row() * WIDTH;
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            const u32 i = (k * TEAM + lane) * VECTOR;
            if (present(k, i)) fetch(held[k], i);
        }
    }

    // Calls f(group, first element, k) for every group in order, k being its number if it is kept and
    // -1 if not. What f changes in a kept group lasts; others come as they are in memory each time.
    template <class F> DEVICE void each(F f) {
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            const u32 i = (k * TEAM + lane) * VECTOR;
            if (present(k, i)) f(held[k], i, k);
        }
        for (u32 i = (HELD * TEAM + lane) * VECTOR; i < WIDTH; i += SPAN) {
            float v[N][VECTOR];
            fetch(v, i);
            f(v, i, -1);
        }
    }
};
