// Kernels of the simulator's own tests: sums, tiles, divergence, atomics.

extern "C" __global__ void add(const float *a, const float *b, float *c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
}

extern "C" __global__ void block_sum(const float *x, float *out, int n) {
    __shared__ float part[32];
    float sum = 0.f;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
    for (int step = 16; step; step >>= 1) sum += __shfl_xor_sync(~0u, sum, step);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0.f;
        for (int step = 16; step; step >>= 1) sum += __shfl_xor_sync(~0u, sum, step);
        if (threadIdx.x == 0) out[blockIdx.x] = sum;
    }
}

#define TILE 16
extern "C" __global__ void matmul(const float *a, const float *b, float *c, int m, int n, int k) {
    __shared__ float left[TILE][TILE], right[TILE][TILE];
    int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0.f;
    for (int from = 0; from < k; from += TILE) {
        int i = from + threadIdx.x, j = from + threadIdx.y;
        left[threadIdx.y][threadIdx.x] = row < m && i < k ? a[row * k + i] : 0.f;
        right[threadIdx.y][threadIdx.x] = j < k && column < n ? b[j * n + column] : 0.f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TILE; i++) sum += left[threadIdx.y][i] * right[i][threadIdx.x];
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column] = sum;
}

extern "C" __global__ void collatz(const unsigned *in, unsigned *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned value = in[i], steps = 0;
    while (value != 1) {
        if (value & 1) value = 3 * value + 1;
        else value >>= 1;
        steps++;
    }
    out[i] = steps;
}

extern "C" __global__ void histogram(const unsigned *in, unsigned *bins, int n) {
    __shared__ unsigned own[64];
    if (threadIdx.x < 64) own[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        atomicAdd(&own[in[i] % 64], 1u);
    __syncthreads();
    if (threadIdx.x < 64) atomicAdd(&bins[threadIdx.x], own[threadIdx.x]);
}

__device__ __noinline__ float helper(float x, int n) {
    float sum = 0.f;
    for (int i = 0; i < n; i++) sum += sinf(x * i);
    return sum;
}

extern "C" __global__ void calls(float *x, int n) {
    x[threadIdx.x] = helper(x[threadIdx.x], n) + helper(x[threadIdx.x] + 1.f, n);
}

extern "C" __global__ void reversed(float *x, int n) {
    extern __shared__ float dynamic[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) dynamic[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = dynamic[n - 1 - i] * 2.f;
}

extern "C" __global__ void says(const int *x) {
    if (x[threadIdx.x] < 0)
        printf("x[%d] = %d, %.2f, %s\n", threadIdx.x, x[threadIdx.x], x[threadIdx.x] * 0.5, "negative");
}
