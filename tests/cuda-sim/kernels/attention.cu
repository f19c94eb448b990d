// Causal attention, forward, in the manner of FlashAttention-2: tiles of 64 queries and 64 keys, heads of 64,
// scores in registers, keys and values copied ahead into two buffers.

#include "tensor.cuh"

// A step has 8 more columns than a head, so that the rows of a tile start in different banks.
constexpr int TILE = 64, HEAD = 64, STEP = HEAD + 8;

// q, k, v and out are (heads, length, 64) in bf16, lse is (heads, length); length is a multiple of 64.
extern "C" __global__ void __launch_bounds__(128)
attention(const u16 *q, const u16 *k, const u16 *v, u16 *out, float *lse, int length, float scale) {
    __shared__ __align__(16) u16 queries[TILE][STEP], keys[2][TILE][STEP], values[2][TILE][STEP];
    int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, tile = blockIdx.x;
    size_t head = (size_t)blockIdx.y * length * HEAD;
    auto load = [&](u16(*to)[STEP], const u16 *from, int first) {
        for (int i = thread; i < TILE * HEAD / 8; i += 128)
            copy16(&to[i / 8][i % 8 * 8], from + head + (size_t)(first + i / 8) * HEAD + i % 8 * 8);
    };
    load(queries, q, tile * TILE);
    load(keys[0], k, 0);
    load(values[0], v, 0);
    commit();

    float sums[HEAD / 8][4] = {}, largest[2] = {-1e30f, -1e30f}, total[2] = {0.f, 0.f};
    unsigned x[HEAD / 16][4];
    for (int step = 0; step <= tile; step++) {
        if (step < tile) {
            load(keys[(step + 1) % 2], k, (step + 1) * TILE);
            load(values[(step + 1) % 2], v, (step + 1) * TILE);
            commit();
            wait<1>();
        } else {
            wait<0>();
        }
        __syncthreads();
        if (step == 0)
#pragma unroll
            for (int i = 0; i < HEAD / 16; i++)
                load4(x[i], &queries[warp * 16 + lane % 16][i * 16 + lane / 16 * 8]);

        float scores[TILE / 8][4] = {};
#pragma unroll
        for (int j = 0; j < TILE / 8; j++)
#pragma unroll
            for (int i = 0; i < HEAD / 16; i++) {
                unsigned y[2];
                load2(y, &keys[step % 2][j * 8 + lane % 8][i * 16 + lane / 8 % 2 * 8]);
                multiply_bf16(scores[j], x[i], y);
            }

        // A lane has two rows: row 0 in elements 0 and 1, row 8 in 2 and 3.
        float now[2] = {largest[0], largest[1]};
#pragma unroll
        for (int j = 0; j < TILE / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = warp * 16 + lane / 4 + e / 2 * 8, column = j * 8 + lane % 4 * 2 + e % 2;
                scores[j][e] = step == tile && column > row ? -1e30f : scores[j][e] * scale;
                now[e / 2] = fmaxf(now[e / 2], scores[j][e]);
            }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            now[r] = fmaxf(now[r], __shfl_xor_sync(~0u, now[r], 1));
            now[r] = fmaxf(now[r], __shfl_xor_sync(~0u, now[r], 2));
            float fade = expf(largest[r] - now[r]);
            total[r] *= fade;
#pragma unroll
            for (int j = 0; j < HEAD / 8; j++) sums[j][2 * r] *= fade, sums[j][2 * r + 1] *= fade;
            largest[r] = now[r];
        }
#pragma unroll
        for (int j = 0; j < TILE / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                scores[j][e] = expf(scores[j][e] - now[e / 2]);
                total[e / 2] += scores[j][e];
            }

        // Scores are laid out as what a product gives; in pairs they are what the next one takes.
#pragma unroll
        for (int i = 0; i < TILE / 16; i++) {
            unsigned p[4] = {pair_bf16(scores[2 * i][0], scores[2 * i][1]),
                             pair_bf16(scores[2 * i][2], scores[2 * i][3]),
                             pair_bf16(scores[2 * i + 1][0], scores[2 * i + 1][1]),
                             pair_bf16(scores[2 * i + 1][2], scores[2 * i + 1][3])};
#pragma unroll
            for (int j = 0; j < HEAD / 8; j++) {
                unsigned y[2];
                load2_transposed(y, &values[step % 2][i * 16 + lane % 16][j * 8]);
                multiply_bf16(sums[j], p, y);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        total[r] += __shfl_xor_sync(~0u, total[r], 1);
        total[r] += __shfl_xor_sync(~0u, total[r], 2);
        int row = tile * TILE + warp * 16 + lane / 4 + r * 8;
        if (lane % 4 == 0) lse[(size_t)blockIdx.y * length + row] = largest[r] + logf(total[r]);
#pragma unroll
        for (int j = 0; j < HEAD / 8; j++)
            *(unsigned *)(out + head + (size_t)row * HEAD + j * 8 + lane % 4 * 2) =
                pair_bf16(sums[j][2 * r] / total[r], sums[j][2 * r + 1] / total[r]);
    }
}
