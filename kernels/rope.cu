// Rotary position embedding in place (src/ops/rope): a thread has two pairs of a head. Backward is a rotation
// by the negative angle.

#include "common.cuh"

// x is (tokens, heads, head_dim), table (tokens, head_dim / 2, 2) of cosine and sine in f32; `count` is the
// length of x.
template <typename T>
__device__ void rotate(const float *table, T *x, int heads, int head_dim, float direction, u64 count) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i >= count) return;
    u64 token = i / ((u64)heads * head_dim);
    float4 v = load4(x + i), a = load4(table + token * head_dim + i % head_dim);
    float s0 = direction * a.y, s1 = direction * a.w;
    store4(x + i, make_float4(v.x * a.x - v.y * s0, v.x * s0 + v.y * a.x, v.z * a.z - v.w * s1,
                              v.z * s1 + v.w * a.z));
}

#define KERNEL(T, name)                                                                       \
    extern "C" __global__ void rope_##name(const float *table, T *x, int heads, int head_dim, \
                                           float direction, u64 count) {                      \
        rotate(table, x, heads, head_dim, direction, count);                                  \
    }
FOR_ACTIVATIONS(KERNEL)
