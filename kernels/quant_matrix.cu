// Decodes rows of a matrix in GGUF blocks (src/gguf/blocks, src/ops/quant_matrix.rs): all formats that can be trained on, to f32, bf16 or f16.
//
// A thread has 8 neighbours of a row, which share their scales in every format, and stores 16 or 32 bytes. The values are those of the CPU
// twin, bit for bit, before they are rounded to the type: wherever something is added to a product, the product is exact.
// Least traffic: the blocks are read and the weights written, once.

#include "common.cuh"

__device__ __forceinline__ u16 short_at(const u8 *p) { return *reinterpret_cast<const u16 *>(p); }
__device__ __forceinline__ float half_at(const u8 *p) { return to_float(f16{short_at(p)}); }
__device__ __forceinline__ u32 word_at(const u8 *p) { return short_at(p) | (u32)short_at(p + 2) << 16; }
// Byte i of 8, at an even address.
struct Eight {
    u32 low, high;
    __device__ __forceinline__ explicit Eight(const u8 *p) : low(word_at(p)), high(word_at(p + 4)) {}
    __device__ __forceinline__ u32 operator[](int i) const { return ((i < 4 ? low : high) >> (8 * (i % 4))) & 0xff; }
};

__constant__ float IQ4_VALUES[16] = {-127.f, -104.f, -83.f, -65.f, -49.f, -35.f, -22.f, -10.f,
                                     1.f,    13.f,   25.f,  38.f,  53.f,  69.f,  89.f,  113.f};

// Each format: weights and bytes of a block, and weights 8g to 8g + 7 of one.
struct F32 {
    static constexpr int WEIGHTS = 8, BYTES = 32;
    static __device__ __forceinline__ void decode(const u8 *p, int, float *w) {
        for (int i = 0; i < 8; i++) w[i] = __uint_as_float(word_at(p + 4 * i));
    }
};
struct F16 {
    static constexpr int WEIGHTS = 8, BYTES = 16;
    static __device__ __forceinline__ void decode(const u8 *p, int, float *w) {
        for (int i = 0; i < 8; i++) w[i] = half_at(p + 2 * i);
    }
};
struct BF16 {
    static constexpr int WEIGHTS = 8, BYTES = 16;
    static __device__ __forceinline__ void decode(const u8 *p, int, float *w) {
        for (int i = 0; i < 8; i++) w[i] = to_float(bf16{short_at(p + 2 * i)});
    }
};
struct Q4_0 {
    static constexpr int WEIGHTS = 32, BYTES = 18;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        Eight q(p + 2 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = ((int)(q[i] >> (g / 2 * 4) & 15) - 8) * d;
    }
};
struct Q4_1 {
    static constexpr int WEIGHTS = 32, BYTES = 20;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p), m = half_at(p + 2);
        Eight q(p + 4 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = (q[i] >> (g / 2 * 4) & 15) * d + m;
    }
};
struct Q5_0 {
    static constexpr int WEIGHTS = 32, BYTES = 22;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        u32 fifths = word_at(p + 2) >> (8 * g);
        Eight q(p + 6 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = ((int)((q[i] >> (g / 2 * 4) & 15) | (fifths >> i & 1) << 4) - 16) * d;
    }
};
struct Q5_1 {
    static constexpr int WEIGHTS = 32, BYTES = 24;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p), m = half_at(p + 2);
        u32 fifths = word_at(p + 4) >> (8 * g);
        Eight q(p + 8 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = ((q[i] >> (g / 2 * 4) & 15) | (fifths >> i & 1) << 4) * d + m;
    }
};
struct Q8_0 {
    static constexpr int WEIGHTS = 32, BYTES = 34;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        Eight q(p + 2 + 8 * g);
        for (int i = 0; i < 8; i++) w[i] = (signed char)q[i] * d;
    }
};
struct IQ4_NL {
    static constexpr int WEIGHTS = 32, BYTES = 18;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        Eight q(p + 2 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = d * IQ4_VALUES[q[i] >> (g / 2 * 4) & 15];
    }
};
struct Q2_K {
    static constexpr int WEIGHTS = 256, BYTES = 84;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 2, half = part / 8, shift = part % 8 / 2 * 2;
        float scale = half_at(p + 80) * (p[part] & 15), minimum = half_at(p + 82) * (p[part] >> 4);
        Eight q(p + 16 + 32 * half + part % 2 * 16 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = scale * (q[i] >> shift & 3) - minimum;
    }
};
struct Q3_K {
    static constexpr int WEIGHTS = 256, BYTES = 110;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 2, half = part / 8, shift = part % 8 / 2 * 2, third = part / 2, inside = part % 2 * 16 + g % 2 * 8;
        int low = p[96 + part % 8] >> (part / 8 * 4) & 15, high = p[104 + part % 4] >> (part / 4 * 2) & 3;
        float scale = half_at(p + 108) * (float)((high << 4 | low) - 32);
        Eight q(p + 32 + 32 * half + inside), t(p + inside);
        for (int i = 0; i < 8; i++) w[i] = scale * (float)((int)(q[i] >> shift & 3) - 4 * (int)(1 - (t[i] >> third & 1)));
    }
};
// Scale and minimum of part `part` of 8, six bits each, from 12 bytes.
__device__ __forceinline__ void six_bits(const u8 *s, int part, float &scale, float &minimum) {
    if (part < 4) {
        scale = s[part] & 63, minimum = s[part + 4] & 63;
    } else {
        int low = s[part + 4];
        scale = (low & 15) | (s[part - 4] >> 6) << 4, minimum = low >> 4 | (s[part] >> 6) << 4;
    }
}
struct Q4_K {
    static constexpr int WEIGHTS = 256, BYTES = 144;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 4;
        float scale, minimum;
        six_bits(p + 4, part, scale, minimum);
        scale *= half_at(p), minimum *= half_at(p + 2);
        Eight q(p + 16 + part / 2 * 32 + g % 4 * 8);
        for (int i = 0; i < 8; i++) w[i] = scale * (q[i] >> (part % 2 * 4) & 15) - minimum;
    }
};
struct Q5_K {
    static constexpr int WEIGHTS = 256, BYTES = 176;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 4;
        float scale, minimum;
        six_bits(p + 4, part, scale, minimum);
        scale *= half_at(p), minimum *= half_at(p + 2);
        Eight q(p + 48 + part / 2 * 32 + g % 4 * 8), f(p + 16 + g % 4 * 8);
        for (int i = 0; i < 8; i++) w[i] = scale * ((q[i] >> (part % 2 * 4) & 15) | (f[i] >> part & 1) << 4) - minimum;
    }
};
struct Q6_K {
    static constexpr int WEIGHTS = 256, BYTES = 210;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 2, half = part / 8, quarter = part % 8 / 2, inside = part % 2 * 16 + g % 2 * 8;
        float scale = half_at(p + 208) * (float)(signed char)p[192 + part];
        Eight q(p + 64 * half + quarter % 2 * 32 + inside), h(p + 128 + 32 * half + inside);
        for (int i = 0; i < 8; i++)
            w[i] = scale * (float)((int)((q[i] >> (quarter / 2 * 4) & 15) | (h[i] >> (quarter * 2) & 3) << 4) - 32);
    }
};
struct IQ4_XS {
    static constexpr int WEIGHTS = 256, BYTES = 136;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 4;
        int low = p[4 + part / 2] >> (part % 2 * 4) & 15, high = short_at(p + 2) >> (2 * part) & 3;
        float scale = half_at(p) * (float)((low | high << 4) - 32);
        Eight q(p + 8 + 16 * part + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = scale * IQ4_VALUES[q[i] >> (g % 4 / 2 * 4) & 15];
    }
};

// out[i] is row rows[i] of the matrix, or row first + i without `rows`. `columns` is a multiple of the weights of a block.
template <typename Format, typename T>
__device__ void decode_rows(const u8 *blocks, const u32 *rows, u32 first, T *out, int columns, u64 count) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (i >= count) return;
    u32 row = (u32)(i / columns), column = (u32)(i % columns);
    u64 from = rows ? rows[row] : first + row;
    const u8 *block = blocks + (from * (columns / Format::WEIGHTS) + column / Format::WEIGHTS) * Format::BYTES;
    float w[8];
    Format::decode(block, column % Format::WEIGHTS / 8, w);
    store8(out + i, w);
}

#define DECODE(FORMAT, format, T, name)                                                                                              \
    extern "C" __global__ void decode_##format##_##name(const u8 *blocks, const u32 *rows, u32 first, T *out, int columns, u64 count) { \
        decode_rows<FORMAT, T>(blocks, rows, first, out, columns, count);                                                            \
    }
#define FORMATS(T, name)                                                                                                             \
    DECODE(F32, f32, T, name) DECODE(F16, f16, T, name) DECODE(BF16, bf16, T, name) DECODE(Q4_0, q4_0, T, name)                      \
    DECODE(Q4_1, q4_1, T, name) DECODE(Q5_0, q5_0, T, name) DECODE(Q5_1, q5_1, T, name) DECODE(Q8_0, q8_0, T, name)                  \
    DECODE(IQ4_NL, iq4_nl, T, name) DECODE(Q2_K, q2_k, T, name) DECODE(Q3_K, q3_k, T, name) DECODE(Q4_K, q4_k, T, name)              \
    DECODE(Q5_K, q5_k, T, name) DECODE(Q6_K, q6_k, T, name) DECODE(IQ4_XS, iq4_xs, T, name)
FOR_ACTIVATIONS(FORMATS)
