// RMS normalisation (src/ops/rms_norm): a warp a row, four columns a lane at a time, 16 rows a block; columns
// are a multiple of 4.
//
// Least traffic: forward reads x and writes out, and behind a branch reads that too and writes the sum;
// backward reads x and d_out, and reads (with beta 1) and writes d_x. A row is read twice in a kernel, the
// second time from the cache that the first has filled, and so are the weights by all rows of a block but
// one. Warps do not wait for each other.

#include "common.cuh"

constexpr int ROWS = 16;

// The row of this warp.
__device__ __forceinline__ u32 warp_row() { return blockIdx.x * ROWS + threadIdx.x / 32; }

// Behind a branch, what is normalised is x + branch, rounded, which goes to `stream`.
template <bool IS_BEHIND_BRANCH, typename T>
__device__ void forward(const T *x, const T *branch, T *stream, const float *weight, float eps, T *out,
                        float *rstd, u32 rows, int columns) {
    u32 row = warp_row(), lane = threadIdx.x % 32;
    if (row >= rows) return;
    size_t first = (size_t)row * columns;
    x += first, out += first;
    if (IS_BEHIND_BRANCH) branch += first, stream += first;
    float sum = 0.f;
    for (int i = lane * 4; i < columns; i += 128) {
        float4 v = load4(x + i);
        if (IS_BEHIND_BRANCH) {
            float4 b = load4(branch + i);
            v = round4<T>(make_float4(v.x + b.x, v.y + b.y, v.z + b.z, v.w + b.w));
            store4(stream + i, v);
        }
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    float r = 1.f / sqrtf(warp_sum(sum) / columns + eps);
    if (lane == 0) rstd[row] = r;
    for (int i = lane * 4; i < columns; i += 128) {
        float4 v = load4((IS_BEHIND_BRANCH ? stream : x) + i), w = load4(weight + i);
        store4(out + i, make_float4(v.x * r * w.x, v.y * r * w.y, v.z * r * w.z, v.w * r * w.w));
    }
}

template <typename T>
__device__ void backward(const T *x, const float *weight, const float *rstd, const T *d_out, float beta,
                         T *d_x, u32 rows, int columns) {
    u32 row = warp_row(), lane = threadIdx.x % 32;
    if (row >= rows) return;
    size_t first = (size_t)row * columns;
    x += first, d_out += first, d_x += first;
    float r = rstd[row], sum = 0.f;
    for (int i = lane * 4; i < columns; i += 128) {
        float4 v = load4(x + i), w = load4(weight + i), d = load4(d_out + i);
        sum += w.x * d.x * v.x + w.y * d.y * v.y + w.z * d.z * v.z + w.w * d.w * v.w;
    }
    float mean = warp_sum(sum) * r / columns;
    for (int i = lane * 4; i < columns; i += 128) {
        float4 v = load4(x + i), w = load4(weight + i), d = load4(d_out + i),
               g = make_float4(0.f, 0.f, 0.f, 0.f);
        if (beta != 0.f) g = load4(d_x + i);
        g.x = beta * g.x + r * (w.x * d.x - v.x * r * mean);
        g.y = beta * g.y + r * (w.y * d.y - v.y * r * mean);
        g.z = beta * g.z + r * (w.z * d.z - v.z * r * mean);
        g.w = beta * g.w + r * (w.w * d.w - v.w * r * mean);
        store4(d_x + i, g);
    }
}

#define KERNEL(T, name)                                                                              \
    extern "C" __global__ void __launch_bounds__(32 * ROWS) rms_norm_forward_##name(                 \
        const T *x, const float *weight, float eps, T *out, float *rstd, u32 rows, int columns) {    \
        forward<false, T>(x, nullptr, nullptr, weight, eps, out, rstd, rows, columns);               \
    }                                                                                                \
    extern "C" __global__ void __launch_bounds__(32 * ROWS)                                          \
        rms_norm_forward_behind_##name(const T *x, const T *branch, T *stream, const float *weight,  \
                                       float eps, T *out, float *rstd, u32 rows, int columns) {      \
        forward<true>(x, branch, stream, weight, eps, out, rstd, rows, columns);                     \
    }                                                                                                \
    extern "C" __global__ void __launch_bounds__(32 * ROWS)                                          \
        rms_norm_backward_##name(const T *x, const float *weight, const float *rstd, const T *d_out, \
                                 float beta, T *d_x, u32 rows, int columns) {                        \
        backward(x, weight, rstd, d_out, beta, d_x, rows, columns);                                  \
    }
FOR_ACTIVATIONS(KERNEL)
