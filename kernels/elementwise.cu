// Sums and copies (src/ops/residual, src/ops/bias, src/ops/rows, src/ops/embedding's noise, and casts): four
// elements a thread; rows have a multiple of 4 columns.

#include "common.cuh"

__device__ __forceinline__ u64 first() { return ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4; }
__device__ __forceinline__ float4 plus(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// out = x + y.
template <typename T> __device__ void residual(const T *x, const T *y, T *out, u64 count) {
    u64 i = first();
    if (i < count) store4(out + i, plus(load4(x + i), load4(y + i)));
}
// y += bias, for every row.
template <typename T> __device__ void bias(const float *b, T *y, int columns, u64 count) {
    u64 i = first();
    if (i < count) store4(y + i, plus(load4(y + i), load4(b + i % columns)));
}
// out[i] = x[rows[i]].
template <typename T> __device__ void gather(const T *x, const u32 *rows, T *out, int columns, u64 count) {
    u64 i = first();
    if (i < count) store4(out + i, load4(x + (u64)rows[i / columns] * columns + i % columns));
}
// out is 0 but for out[rows[i]] = x[i]: `place[row]` is i + 1, or 0 for none.
template <typename T> __device__ void scatter(const T *x, const u32 *place, T *out, int columns, u64 count) {
    u64 i = first();
    if (i >= count) return;
    u32 from = place[i / columns];
    store4(out + i,
           from == 0 ? make_float4(0.f, 0.f, 0.f, 0.f) : load4(x + (u64)(from - 1) * columns + i % columns));
}
// NEFTune: x += bound[row] * (2 uniform - 1).
template <typename T> __device__ void noise(u64 key, const double *bound, T *x, int columns, u64 count) {
    u64 i = first();
    if (i >= count) return;
    u64 row = i / columns, column = i % columns;
    float4 v = load4(x + i);
    float *e = &v.x;
    for (int j = 0; j < 4; j++) e[j] += (float)(bound[row] * (2.0 * uniform(key, row, column + j) - 1.0));
    store4(x + i, v);
}
// Casts from f32 to the type that products take; the count need not be a multiple of 4.
template <typename T> __device__ void cast(const float *x, T *out, u64 count) {
    u64 i = first();
    if (i + 4 <= count) store4(out + i, load4(x + i));
    else for (; i < count; i++) out[i] = from_float<T>(x[i]);
}
// Dropout on the input of an adapter's branch: out = x / (1 - p) where it is kept, else 0.
template <typename T>
__device__ void dropout(u64 key, double p, float kept, const T *x, T *out, int columns, u64 count) {
    u64 i = first();
    if (i >= count) return;
    u64 row = i / columns, column = i % columns;
    float4 v = load4(x + i);
    float *e = &v.x;
    for (int j = 0; j < 4; j++) e[j] *= uniform(key, row, column + j) >= p ? kept : 0.f;
    store4(out + i, v);
}
// out += dropout'(x).
template <typename T>
__device__ void dropout_add(u64 key, double p, float kept, const T *x, T *out, int columns, u64 count) {
    u64 i = first();
    if (i >= count) return;
    u64 row = i / columns, column = i % columns;
    float4 v = load4(x + i), o = load4(out + i);
    float *e = &v.x;
    for (int j = 0; j < 4; j++) e[j] *= uniform(key, row, column + j) >= p ? kept : 0.f;
    store4(out + i, plus(o, v));
}

#define KERNEL(T, name)                                                                                   \
    extern "C" __global__ void residual_##name(const T *x, const T *y, T *out, u64 count) {               \
        residual(x, y, out, count);                                                                       \
    }                                                                                                     \
    extern "C" __global__ void bias_##name(const float *b, T *y, int columns, u64 count) {                \
        bias(b, y, columns, count);                                                                       \
    }                                                                                                     \
    extern "C" __global__ void rows_forward_##name(const T *x, const u32 *rows, T *out, int columns,      \
                                                   u64 count) {                                           \
        gather(x, rows, out, columns, count);                                                             \
    }                                                                                                     \
    extern "C" __global__ void rows_backward_##name(const T *x, const u32 *place, T *out, int columns,    \
                                                    u64 count) {                                          \
        scatter(x, place, out, columns, count);                                                           \
    }                                                                                                     \
    extern "C" __global__ void noise_##name(u64 key, const double *bound, T *x, int columns, u64 count) { \
        noise(key, bound, x, columns, count);                                                             \
    }                                                                                                     \
    extern "C" __global__ void cast_##name(const float *x, T *out, u64 count) { cast(x, out, count); }    \
    extern "C" __global__ void dropout_##name(u64 key, double p, float kept, const T *x, T *out,          \
                                              int columns, u64 count) {                                   \
        dropout(key, p, kept, x, out, columns, count);                                                    \
    }                                                                                                     \
    extern "C" __global__ void dropout_add_##name(u64 key, double p, float kept, const T *x, T *out,      \
                                                  int columns, u64 count) {                               \
        dropout_add(key, p, kept, x, out, columns, count);                                                \
    }
FOR_ACTIVATIONS(KERNEL)
