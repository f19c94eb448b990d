// The gated activation (src/ops/swiglu): four elements a thread; the count is a multiple of 4.

#include "common.cuh"

__device__ __forceinline__ float sigmoid(float g) { return 1.f / (1.f + expf(-g)); }
__device__ __forceinline__ float gated(float g, float u) { return g * sigmoid(g) * u; }

template <typename T> __device__ void forward(const T *gate, const T *up, T *out, u64 count) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i >= count) return;
    float4 g = load4(gate + i), u = load4(up + i);
    store4(out + i, make_float4(gated(g.x, u.x), gated(g.y, u.y), gated(g.z, u.z), gated(g.w, u.w)));
}

__device__ __forceinline__ void turn(float d, float &g, float &u) {
    float s = sigmoid(g), d_gate = d * u * s * (1.f + g * (1.f - s));
    u = d * g * s;
    g = d_gate;
}

// Replaces gate by d_gate and up by d_up.
template <typename T> __device__ void backward(const T *d_out, T *gate, T *up, u64 count) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i >= count) return;
    float4 d = load4(d_out + i), g = load4(gate + i), u = load4(up + i);
    turn(d.x, g.x, u.x), turn(d.y, g.y, u.y), turn(d.z, g.z, u.z), turn(d.w, g.w, u.w);
    store4(gate + i, g);
    store4(up + i, u);
}

#define KERNEL(T, name)                                                                                      \
    extern "C" __global__ void swiglu_forward_##name(const T *gate, const T *up, T *out, u64 count) {        \
        forward(gate, up, out, count);                                                                       \
    }                                                                                                        \
    extern "C" __global__ void swiglu_backward_##name(const T *d_out, T *gate, T *up, u64 count) {           \
        backward(d_out, gate, up, count);                                                                    \
    }
FOR_ACTIVATIONS(KERNEL)
