// y = x from back to front, both f32 [64]; overwrites.
// The planted fault: no barrier stands between the writes to shared memory and other threads' reads.
//   race: one block of 64 threads
extern "C" __global__ void __launch_bounds__(64) race(const float* x, float* y, u32*) {
  __shared__ float turned[64];
  turned[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = turned[63 - threadIdx.x];
}
