// One step of AdamW over the flat buffer of all parameters (src/ops/adamw, src/ops/adamw_8bit), and the norm
// of all gradients (src/ops/global_norm). Four elements a thread; all in f32.

#include "common.cuh"

struct Factors {
    float gradient_scale, keep, one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction, epsilon;
};

// Multiplied and added one by one, as the CPU twin does: fused steps would round differently.
__device__ __forceinline__ void update(float g, float &p, float &m, float &v, const Factors &f) {
    g = __fmul_rn(g, f.gradient_scale);
    m = __fadd_rn(m, __fmul_rn(__fadd_rn(g, -m), f.one_minus_beta1));
    v = __fadd_rn(__fmul_rn(v, f.beta2), __fmul_rn(__fmul_rn(g, g), f.one_minus_beta2));
    float root = __fadd_rn(__fdiv_rn(__fsqrt_rn(v), f.root_correction), f.epsilon);
    p = __fadd_rn(__fmul_rn(p, f.keep), -__fdiv_rn(__fmul_rn(f.step_size, m), root));
}

extern "C" __global__ void adamw(const float *gradients, float *params, float *m, float *v, Factors f,
                                 u64 count) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i + 4 <= count) {
        float4 g = load4(gradients + i), p = load4(params + i), a = load4(m + i), b = load4(v + i);
        update(g.x, p.x, a.x, b.x, f), update(g.y, p.y, a.y, b.y, f);
        update(g.z, p.z, a.z, b.z, f), update(g.w, p.w, a.w, b.w, f);
        store4(params + i, p), store4(m + i, a), store4(v + i, b);
    } else {
        for (; i < count; i++) update(gradients[i], params[i], m[i], v[i], f);
    }
}

// The code of the nearest of 256 ascending values: the number of the 255 middles that are not above x.
__device__ __forceinline__ u8 encode(float x, const float *middles) {
    int low = 0, high = 255;
    while (low < high) {
        int middle = (low + high) / 2;
        if (middles[middle] <= x) low = middle + 1;
        else high = middle;
    }
    return (u8)low;
}

// One block of 256 threads for each block of 256 moments. `books` has the 256 values and 255 middles of the
// signed codes, one more number, and the same of the unsigned ones.
extern "C" __global__ void __launch_bounds__(256)
    adamw_8bit(const float *gradients, float *params, u8 *m_codes, float *m_scales, u8 *v_codes,
               float *v_scales, const float *books, Factors f, u64 count) {
    __shared__ float shared[32];
    u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    bool there = i < count;
    const float *signed_book = books, *unsigned_book = books + 512;
    float m = 0.f, v = 0.f, p = 0.f;
    if (there) {
        m = m_scales[blockIdx.x] * signed_book[m_codes[i]];
        v = v_scales[blockIdx.x] * unsigned_book[v_codes[i]];
        p = params[i];
        update(gradients[i], p, m, v, f);
        params[i] = p;
    }
    float m_scale = block_max(fabsf(m), shared), v_scale = block_max(fabsf(v), shared);
    if (there) {
        m_codes[i] = encode(m * (m_scale > 0.f ? __fdiv_rn(1.f, m_scale) : 0.f), signed_book + 256);
        u8 code = encode(v * (v_scale > 0.f ? __fdiv_rn(1.f, v_scale) : 0.f), unsigned_book + 256);
        // A square that is not 0 is never stored as 0: it is divided by.
        v_codes[i] = code == 0 && v > 0.f ? 1 : code;
    }
    if (threadIdx.x == 0) m_scales[blockIdx.x] = m_scale, v_scales[blockIdx.x] = v_scale;
}

// Sums of squares in f64: first of leaves of 16384 numbers, a block of 256 threads each, then of the leaves,
// by one block.
__device__ __forceinline__ void block_total(double sum, double *to) {
    __shared__ double shared[256];
    shared[threadIdx.x] = sum;
    for (int step = 128; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
    }
    if (threadIdx.x == 0) *to = shared[0];
}
extern "C" __global__ void global_norm_leaves(const float *x, double *leaves, u64 count) {
    u64 first = (u64)blockIdx.x * 16384;
    double sum = 0.0;
    for (int j = threadIdx.x * 4; j < 16384; j += 1024) {
        u64 i = first + j;
        if (i + 4 <= count) {
            float4 v = load4(x + i);
            sum += (double)v.x * v.x + (double)v.y * v.y + (double)v.z * v.z + (double)v.w * v.w;
        } else {
            for (; i < count && i < first + j + 4; i++) sum += (double)x[i] * x[i];
        }
    }
    block_total(sum, leaves + blockIdx.x);
}
extern "C" __global__ void global_norm_total(const double *leaves, double *total, u64 count) {
    double sum = 0.0;
    for (u64 i = threadIdx.x; i < count; i += 256) sum += leaves[i];
    block_total(sum, total);
}
