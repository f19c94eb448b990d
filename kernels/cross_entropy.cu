// Cross-entropy over tiles of the vocabulary (src/ops/cross_entropy): products are cuBLAS's; between them a
// block a row takes the logits of a tile into the running maximum and sum, and turns them into exp(z - max),
// in place.
//
// Logits are in f32: they are sums. What the next product takes, exp(z - max), is stored in the type of
// activations.

#include "common.cuh"

struct Running { float largest, sum, target; };

// Tile of entries first to first + count - 1, in rows of `stride`. `rescale[row]` is what sums made with the
// old maximum have to be multiplied by.
template <typename T>
__device__ void absorb(const float *logits, T *exponentials, const u32 *targets, Running *running,
                       float *rescale, u32 first, int count, int stride) {
    __shared__ float shared[32];
    size_t row = blockIdx.x;
    const float *z = logits + row * stride;
    T *e = exponentials + row * stride;
    Running before = {-INF, 0.f, 0.f};
    if (first > 0) before = running[row];
    float largest = before.largest;
    for (int i = threadIdx.x; i < count; i += blockDim.x) largest = fmaxf(largest, z[i]);
    largest = block_max(largest, shared);
    float sum = 0.f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        float v = expf(z[i] - largest);
        sum += v;
        e[i] = from_float<T>(v);
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) {
        float fade = expf(before.largest - largest);
        u32 target = targets[row] - first;
        Running now = {largest, before.sum * fade + sum, target < (u32)count ? z[target] : before.target};
        running[row] = now;
        rescale[row] = fade;
    }
}

// d_h *= rescale, a block a row.
extern "C" __global__ void cross_entropy_rescale(float *d_h, const float *rescale, int columns) {
    float factor = rescale[blockIdx.x];
    float *row = d_h + (size_t)blockIdx.x * columns;
    if (factor != 1.f)
        for (int i = threadIdx.x * 4; i < columns; i += blockDim.x * 4) {
            float4 v = load4(row + i);
            store4(row + i, make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor));
        }
}

// out = scale (d_h / sum - W[target]), a block a row.
template <typename T>
__device__ void finish(const float *d_h, const T *target_rows, const Running *running, float scale, T *out,
                       int columns) {
    size_t row = (size_t)blockIdx.x * columns;
    float factor = scale / running[blockIdx.x].sum;
    for (int i = threadIdx.x * 4; i < columns; i += blockDim.x * 4) {
        float4 v = load4(d_h + row + i), w = load4(target_rows + row + i);
        store4(out + row + i, make_float4(v.x * factor - scale * w.x, v.y * factor - scale * w.y,
                                          v.z * factor - scale * w.z, v.w * factor - scale * w.w));
    }
}

// The sum of all negative log-likelihoods, in f64 and in the order of the rows within a thread's share, by
// one block of 256 threads.
extern "C" __global__ void cross_entropy_total(const Running *running, double *total, int rows) {
    __shared__ double shared[256];
    double sum = 0.0;
    for (int i = threadIdx.x; i < rows; i += 256) {
        Running r = running[i];
        sum += (double)r.largest + log((double)r.sum) - (double)r.target;
    }
    shared[threadIdx.x] = sum;
    for (int step = 128; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
    }
    if (threadIdx.x == 0) *total = shared[0];
}

#define KERNEL(T, name)                                                                                     \
    extern "C" __global__ void cross_entropy_absorb_##name(                                                 \
        const float *logits, T *exponentials, const u32 *targets, Running *running, float *rescale,         \
        u32 first, int count, int stride) {                                                                 \
        absorb(logits, exponentials, targets, running, rescale, first, count, stride);                      \
    }                                                                                                       \
    extern "C" __global__ void cross_entropy_finish_##name(                                                 \
        const float *d_h, const T *target_rows, const Running *running, float scale, T *out, int columns) { \
        finish(d_h, target_rows, running, scale, out, columns);                                             \
    }
FOR_ACTIVATIONS(KERNEL)
