// Shared by all kernels: 16-bit types, conversions, sums over a warp and a block. No toolkit header is
// included: NVRTC has none.
//
// A kernel is a template over the type of activations, instantiated by `FOR_ACTIVATIONS` under the name
// `<op>_<pass>_<type>`. All arithmetic is in f32. No atomics on floats: sums are made in an order that
// depends on the shapes alone, so that the same launch gives the same bytes.

#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 { u16 bits; };
struct f16 { u16 bits; };

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
__device__ __forceinline__ float to_float(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ f16 from_float<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Four neighbours, moved at once: 16 bytes of f32, 8 of the others. Addresses are multiples of that.
struct alignas(8) quad16 { u16 bits[4]; };

__device__ __forceinline__ float4 load4(const float *p) { return *reinterpret_cast<const float4 *>(p); }
template <typename T> __device__ __forceinline__ float4 load4(const T *p) {
    quad16 q = *reinterpret_cast<const quad16 *>(p);
    return make_float4(to_float(T{q.bits[0]}), to_float(T{q.bits[1]}), to_float(T{q.bits[2]}),
                       to_float(T{q.bits[3]}));
}
__device__ __forceinline__ void store4(float *p, float4 x) { *reinterpret_cast<float4 *>(p) = x; }
template <typename T> __device__ __forceinline__ void store4(T *p, float4 x) {
    quad16 q = {
        {from_float<T>(x.x).bits, from_float<T>(x.y).bits, from_float<T>(x.z).bits, from_float<T>(x.w).bits}};
    *reinterpret_cast<quad16 *>(p) = q;
}

// Four numbers rounded to T.
template <typename T> __device__ __forceinline__ float4 round4(float4 x) {
    return make_float4(to_float(from_float<T>(x.x)), to_float(from_float<T>(x.y)),
                       to_float(from_float<T>(x.z)), to_float(from_float<T>(x.w)));
}

// Eight numbers to device memory, in stores of 16 bytes. In assembly, because the compiler splits some of
// them.
__device__ __forceinline__ void store16(void *p, u32 a, u32 b, u32 c, u32 d) {
    asm("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "r"(a), "r"(b), "r"(c),
        "r"(d)
        : "memory");
}
template <typename T> __device__ __forceinline__ u32 pair(float low, float high) {
    return from_float<T>(low).bits | (u32)from_float<T>(high).bits << 16;
}
template <> __device__ __forceinline__ u32 pair<bf16>(float low, float high) {
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}
__device__ __forceinline__ void store8(float *p, const float *x) {
    store16(p, __float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
    store16(p + 4, __float_as_uint(x[4]), __float_as_uint(x[5]), __float_as_uint(x[6]),
            __float_as_uint(x[7]));
}
template <typename T> __device__ __forceinline__ void store8(T *p, const float *x) {
    store16(p, pair<T>(x[0], x[1]), pair<T>(x[2], x[3]), pair<T>(x[4], x[5]), pair<T>(x[6], x[7]));
}

constexpr u32 FULL = 0xffffffffu;
#define INF __int_as_float(0x7f800000)

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(FULL, x, step);
    return x;
}
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(FULL, x, step));
    return x;
}

// The sum over a block of up to 32 warps, in every thread. `shared` has 32 places, and is free when this
// returns.
__device__ __forceinline__ float block_sum(float x, float *shared) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    x = warp_sum(x);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    x = warp_sum(lane < warps ? shared[lane] : 0.f);
    __syncthreads();
    return x;
}
__device__ __forceinline__ float block_max(float x, float *shared) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    x = warp_max(x);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    x = warp_max(lane < warps ? shared[lane] : -INF);
    __syncthreads();
    return x;
}

// As src/rng.rs: a uniform number in (0, 1) of (key, position, item), the same bits as on the host.
__device__ __forceinline__ u64 mix(u64 z) {
    z += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
__device__ __forceinline__ double uniform(u64 key, u64 position, u64 item) {
    u64 bits = mix(mix(mix(key) ^ position * 0x9E3779B97F4A7C15ull) ^ item * 0xD1B54A32D192ED03ull);
    return ((double)(bits >> 11) + 0.5) * (1.0 / 9007199254740992.0);
}

// Devices before 8.0 have no bf16, and no tensor cores that `attention_tiles.cuh` could use.
#if __CUDA_ARCH__ >= 800
#define FOR_ACTIVATIONS(KERNEL) KERNEL(float, f32) KERNEL(f16, f16) KERNEL(bf16, bf16)
#define FOR_TILES(KERNEL) KERNEL(f16, f16) KERNEL(bf16, bf16)
#else
#define FOR_ACTIVATIONS(KERNEL) KERNEL(float, f32) KERNEL(f16, f16)
#define FOR_TILES(KERNEL)
#endif
