// Kernels with one mistake each; tests look for the line of it, which has the word after `// BUG`.

extern "C" __global__ void out_of_bounds(float *x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) x[i] = 1.f; // BUG out-of-bounds
}

extern "C" __global__ void misaligned(char *x) {
    *(float *)(x + threadIdx.x * 4 + 1) = 1.f; // BUG misaligned
}

extern "C" __global__ void shared_race(const float *x, float *out) {
    __shared__ float s[256];
    s[threadIdx.x] = x[threadIdx.x];
    out[threadIdx.x] = s[255 - threadIdx.x]; // BUG shared-race
}

extern "C" __global__ void global_race(int *x) {
    x[threadIdx.x] = blockIdx.x; // BUG global-race
}

extern "C" __global__ void uninitialised(const float *x, float *out) {
    out[threadIdx.x] = x[threadIdx.x]; // BUG uninitialised
}

extern "C" __global__ void divergent_barrier(int *x) {
    if (threadIdx.x < 16) {
        x[threadIdx.x] = 1;
        __syncthreads();
    } else {
        x[threadIdx.x] = 2;
        __syncthreads(); // BUG divergent-barrier
        x[threadIdx.x] = 3;
    }
}

extern "C" __global__ void deadlock(int *x) {
    if (threadIdx.x < 32) asm volatile("bar.sync 1, 64;"); // BUG deadlock
    x[threadIdx.x] = 1;
}

extern "C" __global__ void inactive_lane(int *x) {
    if (threadIdx.x < 8) x[threadIdx.x] = __shfl_sync(0xffu, x[threadIdx.x], 20); // BUG inactive-lane
}

extern "C" __global__ void asserts(const int *x) {
    if (x[threadIdx.x] >= 3) asm volatile("trap;"); // BUG trap
}

extern "C" __global__ void endless(volatile int *x) {
    while (*x == 0) {} // BUG timeout
}
