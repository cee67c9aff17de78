//! Small correct kernels that use what the project's own kernels use.

pub(crate) const ADD: &str = r#"
extern "C" __global__ void __launch_bounds__(256) add(const float* a, const float* b, float* c) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < 1000) c[i] = a[i] + b[i];
}"#;

/// Writes `a * a` into `c` and adds one to `a`, for replays.
pub(crate) const STEP: &str = r#"
extern "C" __global__ void step(float* a, float* c) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  c[i] = a[i] * a[i];
  a[i] += 1.0f;
}"#;

/// 64 x 64 matrices, tiles of 16 in static shared memory, vector loads.
pub(crate) const SGEMM: &str = r#"
#define N 64
#define TILE 16
extern "C" __global__ __launch_bounds__(TILE * TILE) void sgemm(const float* a, const float* b, float* c) {
  __shared__ __align__(16) float left[TILE][TILE];
  __shared__ float right[TILE][TILE];
  int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
  int row = blockIdx.x / (N / TILE) * TILE, column = blockIdx.x % (N / TILE) * TILE;
  float sum = 0.0f;
  for (int k = 0; k < N; k += TILE) {
    if (x % 4 == 0)
      *reinterpret_cast<float4*>(&left[y][x]) = *reinterpret_cast<const float4*>(&a[(row + y) * N + k + x]);
    right[y][x] = b[(k + y) * N + column + x];
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < TILE; i++) sum = fmaf(left[y][i], right[i][x], sum);
    __syncthreads();
  }
  c[(row + y) * N + column + x] = sum;
}"#;

/// Sums 256 values a block by shuffles and dynamic shared memory; the last block, found by an
/// integer ticket, adds the blocks' sums in their order.
pub(crate) const SUM: &str = r#"
template <int WIDTH> __device__ __forceinline__ float warp_sum(float x) {
  for (int by = WIDTH / 2; by > 0; by /= 2) x += __shfl_down_sync(0xffffffffu, x, by);
  return x;
}
extern "C" __global__ void __launch_bounds__(256) sum(const float* x, float* partial, unsigned* ticket, float* out) {
  extern __shared__ __align__(16) float warps[];
  __shared__ bool last;
  float mine = warp_sum<32>(x[blockIdx.x * 256 + threadIdx.x]);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = mine;
  __syncthreads();
  if (threadIdx.x == 0) {
    float all = 0.0f;
    for (int i = 0; i < 8; i++) all += warps[i];
    partial[blockIdx.x] = all;
    __threadfence();
    last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    float all = 0.0f;
    for (unsigned i = 0; i < gridDim.x; i++) all += partial[i];
    *out = all;
  }
}"#;
