// Decodes rows of a matrix in GGUF blocks (src/gguf/blocks, src/ops/quant_matrix.rs): all formats that can be
// trained on, to f32 or bf16.
//
// A block of threads has 2048 neighbours. Their blocks come into shared memory in loads of 16 bytes, whatever
// the format's alignment; from there a thread decodes 8 neighbours, which share their scales in every format,
// and stores 16 or 32 bytes. The values are those of the CPU twin, bit for bit, before they are rounded to
// the type: wherever something is added to a product, the product is exact. Least traffic: the blocks are
// read and the weights written, once.

#include "common.cuh"

__device__ __forceinline__ u16 short_at(const u8 *p) { return *reinterpret_cast<const u16 *>(p); }
__device__ __forceinline__ float half_at(const u8 *p) { return to_float(f16{short_at(p)}); }
__device__ __forceinline__ u32 word_at(const u8 *p) { return short_at(p) | (u32)short_at(p + 2) << 16; }
// Eight neighbouring bytes of a block of BYTES bytes, on which their alignment depends.
template <int BYTES> struct Eight {
    u32 low, high;
    __device__ __forceinline__ explicit Eight(const u8 *p) {
        if constexpr (BYTES % 8 == 0) {
            uint2 both = *reinterpret_cast<const uint2 *>(p);
            low = both.x, high = both.y;
        } else if constexpr (BYTES % 4 == 0) {
            low = *reinterpret_cast<const u32 *>(p), high = *reinterpret_cast<const u32 *>(p + 4);
        } else {
            low = word_at(p), high = word_at(p + 4);
        }
    }
    __device__ __forceinline__ u32 operator[](int i) const {
        return ((i < 4 ? low : high) >> (8 * (i % 4))) & 0xff;
    }
};

__constant__ float IQ4_VALUES[16] = {-127.f, -104.f, -83.f, -65.f, -49.f, -35.f, -22.f, -10.f,
                                     1.f,    13.f,   25.f,  38.f,  53.f,  69.f,  89.f,  113.f};

template <typename T> __device__ __forceinline__ void eight(const T *p, float *w) {
    uint4 o = *reinterpret_cast<const uint4 *>(p);
    u32 pairs[4] = {o.x, o.y, o.z, o.w};
#pragma unroll
    for (int i = 0; i < 8; i++) w[i] = to_float(T{(u16)(pairs[i / 2] >> (i % 2 * 16))});
}

// Each format: weights and bytes of a block, and weights 8g to 8g + 7 of one.
struct F32 {
    static constexpr int WEIGHTS = 8, BYTES = 32;
    static __device__ __forceinline__ void decode(const u8 *p, int, float *w) {
        const float *numbers = reinterpret_cast<const float *>(p);
        float4 low = load4(numbers), high = load4(numbers + 4);
        w[0] = low.x, w[1] = low.y, w[2] = low.z, w[3] = low.w;
        w[4] = high.x, w[5] = high.y, w[6] = high.z, w[7] = high.w;
    }
};
struct F16 {
    static constexpr int WEIGHTS = 8, BYTES = 16;
    static __device__ __forceinline__ void decode(const u8 *p, int, float *w) {
        eight(reinterpret_cast<const f16 *>(p), w);
    }
};
struct BF16 {
    static constexpr int WEIGHTS = 8, BYTES = 16;
    static __device__ __forceinline__ void decode(const u8 *p, int, float *w) {
        eight(reinterpret_cast<const bf16 *>(p), w);
    }
};
struct Q4_0 {
    static constexpr int WEIGHTS = 32, BYTES = 18;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        Eight<BYTES> q(p + 2 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = ((int)(q[i] >> (g / 2 * 4) & 15) - 8) * d;
    }
};
struct Q4_1 {
    static constexpr int WEIGHTS = 32, BYTES = 20;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p), m = half_at(p + 2);
        Eight<BYTES> q(p + 4 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = (q[i] >> (g / 2 * 4) & 15) * d + m;
    }
};
struct Q5_0 {
    static constexpr int WEIGHTS = 32, BYTES = 22;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        u32 fifths = word_at(p + 2) >> (8 * g);
        Eight<BYTES> q(p + 6 + g % 2 * 8);
        for (int i = 0; i < 8; i++)
            w[i] = ((int)((q[i] >> (g / 2 * 4) & 15) | (fifths >> i & 1) << 4) - 16) * d;
    }
};
struct Q5_1 {
    static constexpr int WEIGHTS = 32, BYTES = 24;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p), m = half_at(p + 2);
        u32 fifths = word_at(p + 4) >> (8 * g);
        Eight<BYTES> q(p + 8 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = ((q[i] >> (g / 2 * 4) & 15) | (fifths >> i & 1) << 4) * d + m;
    }
};
struct Q8_0 {
    static constexpr int WEIGHTS = 32, BYTES = 34;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        Eight<BYTES> q(p + 2 + 8 * g);
        for (int i = 0; i < 8; i++) w[i] = (signed char)q[i] * d;
    }
};
struct IQ4_NL {
    static constexpr int WEIGHTS = 32, BYTES = 18;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        float d = half_at(p);
        Eight<BYTES> q(p + 2 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = d * IQ4_VALUES[q[i] >> (g / 2 * 4) & 15];
    }
};
struct Q2_K {
    static constexpr int WEIGHTS = 256, BYTES = 84;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 2, half = part / 8, shift = part % 8 / 2 * 2;
        float scale = half_at(p + 80) * (p[part] & 15), minimum = half_at(p + 82) * (p[part] >> 4);
        Eight<BYTES> q(p + 16 + 32 * half + part % 2 * 16 + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = scale * (q[i] >> shift & 3) - minimum;
    }
};
struct Q3_K {
    static constexpr int WEIGHTS = 256, BYTES = 110;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 2, half = part / 8, shift = part % 8 / 2 * 2;
        int third = part / 2, inside = part % 2 * 16 + g % 2 * 8;
        int low = p[96 + part % 8] >> (part / 8 * 4) & 15, high = p[104 + part % 4] >> (part / 4 * 2) & 3;
        float scale = half_at(p + 108) * (float)((high << 4 | low) - 32);
        Eight<BYTES> q(p + 32 + 32 * half + inside), t(p + inside);
        for (int i = 0; i < 8; i++)
            w[i] = scale * (float)((int)(q[i] >> shift & 3) - 4 * (int)(1 - (t[i] >> third & 1)));
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
        Eight<BYTES> q(p + 16 + part / 2 * 32 + g % 4 * 8);
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
        Eight<BYTES> q(p + 48 + part / 2 * 32 + g % 4 * 8), f(p + 16 + g % 4 * 8);
        for (int i = 0; i < 8; i++)
            w[i] = scale * ((q[i] >> (part % 2 * 4) & 15) | (f[i] >> part & 1) << 4) - minimum;
    }
};
struct Q6_K {
    static constexpr int WEIGHTS = 256, BYTES = 210;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 2, half = part / 8, quarter = part % 8 / 2, inside = part % 2 * 16 + g % 2 * 8;
        float scale = half_at(p + 208) * (float)(signed char)p[192 + part];
        Eight<BYTES> q(p + 64 * half + quarter % 2 * 32 + inside), h(p + 128 + 32 * half + inside);
        for (int i = 0; i < 8; i++)
            w[i] = scale *
                   (float)((int)((q[i] >> (quarter / 2 * 4) & 15) | (h[i] >> (quarter * 2) & 3) << 4) - 32);
    }
};
struct IQ4_XS {
    static constexpr int WEIGHTS = 256, BYTES = 136;
    static __device__ __forceinline__ void decode(const u8 *p, int g, float *w) {
        int part = g / 4;
        int low = p[4 + part / 2] >> (part % 2 * 4) & 15, high = short_at(p + 2) >> (2 * part) & 3;
        float scale = half_at(p) * (float)((low | high << 4) - 32);
        Eight<BYTES> q(p + 8 + 16 * part + g % 2 * 8);
        for (int i = 0; i < 8; i++) w[i] = scale * IQ4_VALUES[q[i] >> (g % 4 / 2 * 4) & 15];
    }
};

constexpr int CHUNK = 2048;

// Copies `bytes` bytes from an even address into shared memory, and returns their address there. The bytes
// before them, down to a multiple of 16, are read too.
__device__ __forceinline__ const u8 *stage(const u8 *from, u32 bytes, uint4 *shared) {
    u32 skipped = (u32)(u64)from % 16;
    const u8 *start = from - skipped;
    u32 end = skipped + bytes;
    for (u32 at = threadIdx.x * 16; at < end; at += blockDim.x * 16) {
        if (at + 16 <= end) {
            shared[at / 16] = *reinterpret_cast<const uint4 *>(start + at);
        } else {
            u16 *to = reinterpret_cast<u16 *>(shared) + at / 2;
            for (; at < end; at += 2) *to++ = short_at(start + at);
        }
    }
    __syncthreads();
    return reinterpret_cast<const u8 *>(shared) + skipped;
}

// Row i of out, of `length` weights, is row rows[i] of the matrix; without `rows` there is one, and it starts
// at weight `first` of the matrix. Lengths and `first` are multiples of the weights of a block. Each row
// takes `chunks` blocks.
template <typename Format, typename T>
__device__ void decode_rows(const u8 *blocks, const u32 *rows, u64 first, T *out, u64 length, u32 chunks) {
    __shared__ uint4 shared[CHUNK / Format::WEIGHTS * Format::BYTES / 16 + 2];
    u32 row = blockIdx.x / chunks;
    u64 done = (u64)(blockIdx.x % chunks) * CHUNK;
    if (rows) first = rows[row] * length;
    u32 count = length - done < CHUNK ? (u32)(length - done) : CHUNK;
    const u8 *p = stage(blocks + (first + done) / Format::WEIGHTS * Format::BYTES,
                        count / Format::WEIGHTS * Format::BYTES, shared);
    u32 i = threadIdx.x * 8;
    if (i >= count) return;
    float w[8];
    Format::decode(p + i / Format::WEIGHTS * Format::BYTES, i % Format::WEIGHTS / 8, w);
    store8(out + row * length + done + i, w);
}

#define DECODE(FORMAT, format, T, name)                                                 \
    extern "C" __global__ void __launch_bounds__(256) decode_##format##_##name(         \
        const u8 *blocks, const u32 *rows, u64 first, T *out, u64 length, u32 chunks) { \
        decode_rows<FORMAT, T>(blocks, rows, first, out, length, chunks);               \
    }
#define FORMATS(T, name)                                                                    \
    DECODE(F32, f32, T, name) DECODE(F16, f16, T, name) DECODE(BF16, bf16, T, name)         \
    DECODE(Q4_0, q4_0, T, name) DECODE(Q4_1, q4_1, T, name) DECODE(Q5_0, q5_0, T, name)     \
    DECODE(Q5_1, q5_1, T, name) DECODE(Q8_0, q8_0, T, name) DECODE(IQ4_NL, iq4_nl, T, name) \
    DECODE(Q2_K, q2_k, T, name) DECODE(Q3_K, q3_k, T, name) DECODE(Q4_K, q4_k, T, name)     \
    DECODE(Q5_K, q5_k, T, name) DECODE(Q6_K, q6_k, T, name) DECODE(IQ4_XS, iq4_xs, T, name)
FOR_ACTIVATIONS(FORMATS)
