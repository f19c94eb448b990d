// Tensor cores.

#include "tensor.cuh"

// c (m, n) = a (m, k) b (k, n), rows first, all multiples of 64 (k of 32): tiles of 64 by 64, four warps, two
// buffers.
extern "C" __global__ void __launch_bounds__(128)
    gemm_bf16(const u16 *a, const u16 *b, float *c, int m, int n, int k) {
    __shared__ __align__(16) u16 left[2][64][40], right[2][32][72];
    int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    int row = blockIdx.y * 64, column = blockIdx.x * 64;
    float sums[8][4] = {};
    auto load = [&](int buffer, int from) {
        for (int i = thread; i < 256; i += 128)
            copy16(&left[buffer][i / 4][i % 4 * 8], a + (size_t)(row + i / 4) * k + from + i % 4 * 8);
        for (int i = thread; i < 256; i += 128)
            copy16(&right[buffer][i / 8][i % 8 * 8], b + (size_t)(from + i / 8) * n + column + i % 8 * 8);
        commit();
    };
    load(0, 0);
    for (int step = 0; step < k / 32; step++) {
        if (step + 1 < k / 32) {
            load((step + 1) % 2, (step + 1) * 32);
            wait<1>();
        } else {
            wait<0>();
        }
        __syncthreads();
#pragma unroll
        for (int inner = 0; inner < 32; inner += 16) {
            unsigned x[4];
            load4(x, &left[step % 2][warp * 16 + lane % 16][inner + lane / 16 * 8]);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                unsigned y[2];
                load2_transposed(y, &right[step % 2][inner + lane % 16][j * 8]);
                multiply_bf16(sums[j], x, y);
            }
        }
        __syncthreads();
    }
    for (int j = 0; j < 8; j++) {
        float *to = c + (size_t)(row + warp * 16 + lane / 4) * n + column + j * 8 + lane % 4 * 2;
        to[0] = sums[j][0];
        to[1] = sums[j][1];
        to[8 * n] = sums[j][2];
        to[8 * n + 1] = sums[j][3];
    }
}

// One warp: d = a b + c for each shape; the caller lays out the registers. A lane has A registers of a and B
// of b: 4 and 2 (LARGE), or 2 and 1 (SMALL). NUMBERS is the accumulator: `z` as integers or `f` as floats.
#define KERNEL(NAME, CALL, A, B)                                                                            \
    extern "C" __global__ void NAME(const unsigned *a, const unsigned *b, const unsigned *c, unsigned *d) { \
        unsigned x[4] = {}, y[2] = {}, z[4];                                                                \
        for (int i = 0; i < A; i++) x[i] = a[i * 32 + threadIdx.x];                                         \
        for (int i = 0; i < B; i++) y[i] = b[i * 32 + threadIdx.x];                                         \
        for (int i = 0; i < 4; i++) z[i] = c[i * 32 + threadIdx.x];                                         \
        float *f = (float *)z;                                                                              \
        CALL;                                                                                               \
        for (int i = 0; i < 4; i++) d[i * 32 + threadIdx.x] = z[i];                                         \
    }
#define SUMS(KIND, NUMBERS) KIND(NUMBERS[0]), KIND(NUMBERS[1]), KIND(NUMBERS[2]), KIND(NUMBERS[3])
#define LARGE(NAME, INSTRUCTION, KIND, NUMBERS)                                              \
    KERNEL(NAME,                                                                             \
           asm volatile(INSTRUCTION " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                        : SUMS(KIND, NUMBERS)                                                \
                        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1])), \
           4, 2)
#define SMALL(NAME, INSTRUCTION, KIND, NUMBERS)                                     \
    KERNEL(NAME,                                                                    \
           asm volatile(INSTRUCTION " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
                        : SUMS(KIND, NUMBERS)                                       \
                        : "r"(x[0]), "r"(x[1]), "r"(y[0])),                         \
           2, 1)

LARGE(mma_s8_k32, "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "+r", z)
SMALL(mma_s8_k16, "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32", "+r", z)
LARGE(mma_f16_k16, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "+f", f)
SMALL(mma_f16_k8, "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", "+f", f)
SMALL(mma_bf16_k8, "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", "+f", f)
LARGE(mma_tf32_k8, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", "+f", f)
SMALL(mma_tf32_k4, "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", "+f", f)
