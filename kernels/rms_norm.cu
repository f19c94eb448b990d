// RMS normalisation (src/ops/rms_norm): one block a row, four columns a thread at a time; columns are a multiple of 4.
//
// Least traffic: forward reads x and writes out; backward reads x and d_out, and reads (with beta 1) and writes d_x. The row is read
// twice in a kernel, the second time from the cache that the first has filled.

#include "common.cuh"

template <typename T>
__device__ void forward(const T *x, const float *weight, float eps, T *out, float *rstd, int columns) {
    __shared__ float shared[32];
    x += (size_t)blockIdx.x * columns;
    out += (size_t)blockIdx.x * columns;
    float sum = 0.f;
    for (int i = threadIdx.x * 4; i < columns; i += blockDim.x * 4) {
        float4 v = load4(x + i);
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    float r = 1.f / sqrtf(block_sum(sum, shared) / columns + eps);
    if (threadIdx.x == 0) rstd[blockIdx.x] = r;
    for (int i = threadIdx.x * 4; i < columns; i += blockDim.x * 4) {
        float4 v = load4(x + i), w = load4(weight + i);
        store4(out + i, make_float4(v.x * r * w.x, v.y * r * w.y, v.z * r * w.z, v.w * r * w.w));
    }
}

template <typename T>
__device__ void backward(const T *x, const float *weight, const float *rstd, const T *d_out, float beta, T *d_x, int columns) {
    __shared__ float shared[32];
    size_t row = (size_t)blockIdx.x * columns;
    x += row, d_out += row, d_x += row;
    float r = rstd[blockIdx.x], sum = 0.f;
    for (int i = threadIdx.x * 4; i < columns; i += blockDim.x * 4) {
        float4 v = load4(x + i), w = load4(weight + i), d = load4(d_out + i);
        sum += w.x * d.x * v.x + w.y * d.y * v.y + w.z * d.z * v.z + w.w * d.w * v.w;
    }
    float mean = block_sum(sum, shared) * r / columns;
    for (int i = threadIdx.x * 4; i < columns; i += blockDim.x * 4) {
        float4 v = load4(x + i), w = load4(weight + i), d = load4(d_out + i), g = make_float4(0.f, 0.f, 0.f, 0.f);
        if (beta != 0.f) g = load4(d_x + i);
        g.x = beta * g.x + r * (w.x * d.x - v.x * r * mean);
        g.y = beta * g.y + r * (w.y * d.y - v.y * r * mean);
        g.z = beta * g.z + r * (w.z * d.z - v.z * r * mean);
        g.w = beta * g.w + r * (w.w * d.w - v.w * r * mean);
        store4(d_x + i, g);
    }
}

#define KERNEL(T, name)                                                                                                      \
    extern "C" __global__ void rms_norm_forward_##name(const T *x, const float *weight, float eps, T *out, float *rstd, int columns) { \
        forward(x, weight, eps, out, rstd, columns);                                                                         \
    }                                                                                                                        \
    extern "C" __global__ void rms_norm_backward_##name(const T *x, const float *weight, const float *rstd, const T *d_out,  \
                                                        float beta, T *d_x, int columns) {                                   \
        backward(x, weight, rstd, d_out, beta, d_x, columns);                                                                \
    }
FOR_ACTIVATIONS(KERNEL)
