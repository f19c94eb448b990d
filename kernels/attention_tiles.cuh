// Attention on tensor cores, for heads of exactly D = 64 or 128 columns of 16 bits, in the manner of
// FlashAttention-2 (Dao 2023, arXiv:2307.08691).
//
// A block has a tile of 64 queries of a head (forward, dQ) or 64 keys of a kv head (dK and dV), a warp 16 of
// them, in registers. What they meet comes in steps of ROWS rows through two buffers in shared memory: one is
// copied into while the other is worked on. Within a step a warp works on groups of 16, and leaves out groups
// that none of its rows meets; so the products done are those that tiles of 16 by 16 need.
//
// Scores, sums and statistics are f32; weights are rounded to 16 bits for the second product, as is the
// gradient of the scores. Occupancy, of blocks of 128 threads: registers for 3 with D = 64 and for 2 with D =
// 128; the 100 kB of shared memory of sm_86 and sm_89 hold 2 of either.

#pragma once

#include "tensor.cuh"

constexpr int TILE = 64, THREADS = 128;
constexpr float LOG2_E = 1.44269504088896341f, LN_2 = 0.693147180559945309f, LOW = -1e30f;

template <int D> struct Tiles {
    // 8 more columns, so that the eight rows of a matrix lie in different banks.
    static constexpr int ROWS = 4096 / D, STRIDE = D + 8;
    static constexpr int SIZE = ROWS * STRIDE;
};

// The row and column that a lane names to `load_matrices` for 16 by 16 numbers: of a left factor, or
// (transposed) of a right one that is stored by its inner dimension; and of a right factor that is stored by
// its outer one.
template <int D> __device__ __forceinline__ int across(int lane) {
    return lane % 16 * Tiles<D>::STRIDE + lane / 16 * 8;
}
template <int D> __device__ __forceinline__ int along(int lane) {
    return (lane / 16 * 8 + lane % 8) * Tiles<D>::STRIDE + lane / 8 % 2 * 8;
}

// Starts to copy COUNT rows of a head. Rows past the end are the last one again: whoever uses them masks
// them.
template <int COUNT, int D, typename T>
__device__ __forceinline__ void copy_rows(T *to, const T *from, u32 stride, int first, int tokens) {
#pragma unroll 2
    for (int i = threadIdx.x; i < COUNT * D / 8; i += THREADS) {
        int row = i / (D / 8), column = i % (D / 8) * 8;
        copy16(to + row * Tiles<D>::STRIDE + column,
               from + (u32)min(first + row, tokens - 1) * stride + column);
    }
}

// The 16 rows of a warp, as left factors.
template <int D, typename T>
__device__ __forceinline__ void load_rows(u32 (&x)[D / 16][4], const T *tile, int warp, int lane) {
#pragma unroll
    for (int i = 0; i < D / 16; i++)
        load_matrices(x[i], tile + warp * 16 * Tiles<D>::STRIDE + across<D>(lane) + i * 16);
}

// 16 by 16 scores: rows of the warp times 16 rows of a tile.
template <int D, typename T>
__device__ __forceinline__ void score(float (&s)[2][4], const u32 (&x)[D / 16][4], const T *rows, int lane) {
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) s[n][e] = 0.f;
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
        u32 y[4];
        load_matrices(y, rows + along<D>(lane) + i * 16);
        multiply<T>(s[0], x[i], y[0], y[1]);
        multiply<T>(s[1], x[i], y[2], y[3]);
    }
}

// sums += 16 by 16 weights times 16 rows of a tile. Weights come as a product leaves them; in pairs that is
// what the next one takes.
template <int D, typename T>
__device__ __forceinline__ void accumulate(float (&sums)[D / 8][4], const float (&w)[2][4], const T *rows,
                                           int lane) {
    u32 x[4] = {pair<T>(w[0][0], w[0][1]), pair<T>(w[0][2], w[0][3]), pair<T>(w[1][0], w[1][1]),
                pair<T>(w[1][2], w[1][3])};
#pragma unroll
    for (int j = 0; j < D / 16; j++) {
        u32 y[4];
        load_transposed(y, rows + across<D>(lane) + j * 16);
        multiply<T>(sums[2 * j], x, y[0], y[1]);
        multiply<T>(sums[2 * j + 1], x, y[2], y[3]);
    }
}

// Writes the 16 rows of a warp, times a factor for each half, by way of its own part of shared memory, in
// stores of 16 bytes.
template <int D, typename T>
__device__ __forceinline__ void store_rows(T *out, size_t stride, const float (&sums)[D / 8][4], float top,
                                           float bottom, T *staging, int first, int tokens) {
    int lane = threadIdx.x % 32;
    staging += threadIdx.x / 32 * 16 * Tiles<D>::STRIDE;
    u32 *at = reinterpret_cast<u32 *>(staging + lane / 4 * Tiles<D>::STRIDE + lane % 4 * 2);
#pragma unroll
    for (int j = 0; j < D / 8; j++) {
        at[j * 4] = pair<T>(sums[j][0] * top, sums[j][1] * top);
        at[j * 4 + 4 * Tiles<D>::STRIDE] = pair<T>(sums[j][2] * bottom, sums[j][3] * bottom);
    }
    __syncwarp();
#pragma unroll
    for (int i = lane; i < 16 * D / 8; i += 32) {
        int row = i / (D / 8), column = i % (D / 8) * 8;
        uint4 x = *reinterpret_cast<const uint4 *>(staging + row * Tiles<D>::STRIDE + column);
        if (first + row < tokens) store16(out + (size_t)(first + row) * stride + column, x.x, x.y, x.z, x.w);
    }
    __syncwarp();
}

// Which keys the 16 queries of a warp see. A lane has two of them, 8 apart.
struct Queries {
    int first, begin, all, start[2];

    __device__ Queries(const u32 *starts, int first, int lane, int tokens) : first(first) {
        auto start_of = [&](int row) { return (int)starts[min(first + row, tokens - 1)]; };
        begin = first < tokens ? start_of(0) : 0x7fffffff, all = start_of(15);
        start[0] = start_of(lane / 4), start[1] = start_of(lane / 4 + 8);
    }
    __device__ __forceinline__ bool meet(int keys) const { return keys <= first + 15 && keys + 15 >= begin; }
    __device__ __forceinline__ bool see_all(int keys) const { return keys + 15 <= first && keys >= all; }
    __device__ __forceinline__ bool see(int half, int lane, int key) const {
        return key <= first + lane / 4 + 8 * half && key >= start[half];
    }
};

template <int D, typename T>
__device__ void forward_tiles(const u32 *starts, const T *q, const T *k, const T *v, T *out, float *lse,
                              Shape s) {
    constexpr int ROWS = Tiles<D>::ROWS, STRIDE = Tiles<D>::STRIDE;
    __shared__ __align__(16) T tiles[2][2][Tiles<D>::SIZE];
    // The longest rows of tiles come first, so that the last blocks to start are the shortest.
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int tile = (gridDim.x - 1 - blockIdx.x) * TILE, h = blockIdx.y;
    u32 stride = s.heads * D, kv_stride = s.kv_heads * D;
    k += (size_t)(h / (s.heads / s.kv_heads)) * D, v += (size_t)(h / (s.heads / s.kv_heads)) * D;
    int key = (int)starts[tile] / ROWS * ROWS, last = min(tile + TILE, s.tokens) - 1;
    copy_rows<TILE, D>(tiles[1][0], q + h * D, stride, tile, s.tokens);
    commit();
    copy_rows<ROWS, D>(tiles[0][0], k, kv_stride, key, s.tokens);
    copy_rows<ROWS, D>(tiles[0][1], v, kv_stride, key, s.tokens);
    commit();
    wait<1>();
    __syncthreads();
    u32 x[D / 16][4];
    load_rows<D>(x, tiles[1][0], warp, lane);
    Queries queries(starts, tile + warp * 16, lane, s.tokens);
    __syncthreads();

    float sums[D / 8][4] = {}, largest[2] = {LOW, LOW}, total[2] = {0.f, 0.f}, scale = s.scale * LOG2_E;
    for (int buffer = 0; key <= last; key += ROWS, buffer ^= 1) {
        if (key + ROWS <= last) {
            copy_rows<ROWS, D>(tiles[buffer ^ 1][0], k, kv_stride, key + ROWS, s.tokens);
            copy_rows<ROWS, D>(tiles[buffer ^ 1][1], v, kv_stride, key + ROWS, s.tokens);
            commit();
            wait<1>();
        } else {
            wait<0>();
        }
        __syncthreads();
        float w[ROWS / 16][2][4], now[2] = {largest[0], largest[1]};
#pragma unroll
        for (int g = 0; g < ROWS / 16; g++) {
            int keys = key + g * 16;
            bool meet = queries.meet(keys), all = queries.see_all(keys);
            if (meet) score<D>(w[g], x, tiles[buffer][0] + g * 16 * STRIDE, lane);
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    bool seen =
                        meet && (all || queries.see(e / 2, lane, keys + n * 8 + lane % 4 * 2 + e % 2));
                    w[g][n][e] = seen ? w[g][n][e] * scale : -INF;
                    now[e / 2] = fmaxf(now[e / 2], w[g][n][e]);
                }
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            now[r] = fmaxf(now[r], __shfl_xor_sync(FULL, now[r], 1));
            now[r] = fmaxf(now[r], __shfl_xor_sync(FULL, now[r], 2));
            float fade = power_of_2(largest[r] - now[r]);
            total[r] *= fade;
#pragma unroll
            for (int j = 0; j < D / 8; j++) sums[j][2 * r] *= fade, sums[j][2 * r + 1] *= fade;
            largest[r] = now[r];
        }
#pragma unroll
        for (int g = 0; g < ROWS / 16; g++)
            if (queries.meet(key + g * 16)) {
#pragma unroll
                for (int n = 0; n < 2; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        total[e / 2] += w[g][n][e] = power_of_2(w[g][n][e] - now[e / 2]);
                accumulate<D>(sums, w[g], tiles[buffer][1] + g * 16 * STRIDE, lane);
            }
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        total[r] += __shfl_xor_sync(FULL, total[r], 1);
        total[r] += __shfl_xor_sync(FULL, total[r], 2);
        int row = queries.first + lane / 4 + 8 * r;
        if (lane % 4 == 0 && row < s.tokens)
            lse[(size_t)h * s.tokens + row] = (largest[r] + log2f(total[r])) * LN_2;
    }
    store_rows<D>(out + h * D, stride, sums, 1.f / total[0], 1.f / total[1], tiles[0][0], queries.first,
                  s.tokens);
}

// The sums over a head of d_out * out of the tile's queries: to shared memory, and for the other kernel to
// device memory.
template <int D, typename T>
__device__ __forceinline__ void find_deltas(float *deltas, float *kept, const T *d_out, const T *out,
                                            size_t stride, int first, int tokens) {
#pragma unroll
    for (int i = threadIdx.x; i < TILE * D / 8; i += THREADS) {
        int row = i / (D / 8), column = i % (D / 8) * 8;
        uint4 a = *reinterpret_cast<const uint4 *>(d_out + row * Tiles<D>::STRIDE + column);
        uint4 b =
            *reinterpret_cast<const uint4 *>(out + (size_t)min(first + row, tokens - 1) * stride + column);
        const u32 x[4] = {a.x, a.y, a.z, a.w}, y[4] = {b.x, b.y, b.z, b.w};
        float sum = 0.f;
#pragma unroll
        for (int c = 0; c < 4; c++)
            sum += to_float(T{(u16)x[c]}) * to_float(T{(u16)y[c]}) +
                   to_float(T{(u16)(x[c] >> 16)}) * to_float(T{(u16)(y[c] >> 16)});
#pragma unroll
        for (int step = D / 16; step > 0; step /= 2) sum += __shfl_xor_sync(FULL, sum, step);
        if (column == 0) {
            kept[row] = sum;
            if (first + row < tokens) deltas[first + row] = sum;
        }
    }
}

template <int D, typename T>
__device__ void backward_q_tiles(const u32 *starts, const T *q, const T *k, const T *v, const T *out,
                                 const float *lse, const T *d_out, T *d_q, float *deltas, Shape s) {
    constexpr int ROWS = Tiles<D>::ROWS, STRIDE = Tiles<D>::STRIDE;
    __shared__ __align__(16) T tiles[2][2][Tiles<D>::SIZE];
    __shared__ float kept[TILE];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int tile = (gridDim.x - 1 - blockIdx.x) * TILE, h = blockIdx.y;
    u32 stride = s.heads * D, kv_stride = s.kv_heads * D;
    k += (size_t)(h / (s.heads / s.kv_heads)) * D, v += (size_t)(h / (s.heads / s.kv_heads)) * D;
    copy_rows<TILE, D>(tiles[0][0], d_out + h * D, stride, tile, s.tokens);
    copy_rows<TILE, D>(tiles[1][0], q + h * D, stride, tile, s.tokens);
    commit();
    wait<0>();
    __syncthreads();
    find_deltas<D>(deltas + (size_t)h * s.tokens, kept, tiles[0][0], out + h * D, stride, tile, s.tokens);
    u32 x[D / 16][4], g[D / 16][4];
    load_rows<D>(x, tiles[1][0], warp, lane);
    load_rows<D>(g, tiles[0][0], warp, lane);
    __syncthreads();
    Queries queries(starts, tile + warp * 16, lane, s.tokens);
    float l[2], delta[2], sums[D / 8][4] = {}, scale = s.scale * LOG2_E;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        l[r] = lse[(size_t)h * s.tokens + min(queries.first + lane / 4 + 8 * r, s.tokens - 1)] * LOG2_E;
        delta[r] = kept[warp * 16 + lane / 4 + 8 * r];
    }

    int key = (int)starts[tile] / ROWS * ROWS, last = min(tile + TILE, s.tokens) - 1;
    copy_rows<ROWS, D>(tiles[0][0], k, kv_stride, key, s.tokens);
    copy_rows<ROWS, D>(tiles[0][1], v, kv_stride, key, s.tokens);
    commit();
    for (int buffer = 0; key <= last; key += ROWS, buffer ^= 1) {
        if (key + ROWS <= last) {
            copy_rows<ROWS, D>(tiles[buffer ^ 1][0], k, kv_stride, key + ROWS, s.tokens);
            copy_rows<ROWS, D>(tiles[buffer ^ 1][1], v, kv_stride, key + ROWS, s.tokens);
            commit();
            wait<1>();
        } else {
            wait<0>();
        }
        __syncthreads();
#pragma unroll 1
        for (int i = 0; i < ROWS; i += 16) {
            if (!queries.meet(key + i)) continue;
            bool all = queries.see_all(key + i);
            float w[2][4], d[2][4];
            score<D>(w, x, tiles[buffer][0] + i * STRIDE, lane);
            score<D>(d, g, tiles[buffer][1] + i * STRIDE, lane);
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    bool seen = all || queries.see(e / 2, lane, key + i + n * 8 + lane % 4 * 2 + e % 2);
                    w[n][e] = seen ? power_of_2(w[n][e] * scale - l[e / 2]) * (d[n][e] - delta[e / 2]) : 0.f;
                }
            accumulate<D>(sums, w, tiles[buffer][0] + i * STRIDE, lane);
        }
        __syncthreads();
    }
    store_rows<D>(d_q + h * D, stride, sums, s.scale, s.scale, tiles[0][0], queries.first, s.tokens);
}

template <int D, typename T>
__device__ void backward_kv_tiles(const u32 *ends, const T *q, const T *k, const T *v, const float *lse,
                                  const T *d_out, const float *deltas, T *d_k, T *d_v, Shape s) {
    constexpr int ROWS = Tiles<D>::ROWS, STRIDE = Tiles<D>::STRIDE;
    __shared__ __align__(16) T tiles[2][2][Tiles<D>::SIZE];
    __shared__ __align__(8) float statistics[2][2][ROWS];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int tile = blockIdx.x * TILE, kv_head = blockIdx.y, group = s.heads / s.kv_heads;
    u32 stride = s.heads * D, kv_stride = s.kv_heads * D;
    copy_rows<TILE, D>(tiles[0][0], k + kv_head * D, kv_stride, tile, s.tokens);
    copy_rows<TILE, D>(tiles[1][0], v + kv_head * D, kv_stride, tile, s.tokens);
    commit();
    wait<0>();
    __syncthreads();
    u32 x[D / 16][4], y[D / 16][4];
    load_rows<D>(x, tiles[0][0], warp, lane);
    load_rows<D>(y, tiles[1][0], warp, lane);
    __syncthreads();

    auto end_of = [&](int row) { return row < s.tokens ? (int)ends[row] : 0; };
    int first = tile + warp * 16, end[2] = {end_of(first + lane / 4), end_of(first + lane / 4 + 8)};
    int last = end_of(min(tile + TILE, s.tokens) - 1);
    // Steps go through the queries from the tile to the end of its last sample, for each head of the group.
    int h = kv_head * group, past = h + group;
    auto load = [&](int buffer, int t) {
        copy_rows<ROWS, D>(tiles[buffer][0], q + h * D, stride, t, s.tokens);
        copy_rows<ROWS, D>(tiles[buffer][1], d_out + h * D, stride, t, s.tokens);
        if (threadIdx.x < 2 * ROWS) {
            const float *from = threadIdx.x < ROWS ? lse : deltas;
            copy4(&statistics[buffer][0][threadIdx.x],
                  from + (u32)h * s.tokens + min(t + (int)threadIdx.x % ROWS, s.tokens - 1));
        }
        commit();
    };
    load(0, tile);
    float keys[D / 8][4] = {}, values[D / 8][4] = {}, scale = s.scale * LOG2_E;
    for (int buffer = 0, query = tile; h < past; buffer ^= 1) {
        int next = query + ROWS;
        if (next >= last) next = tile, h++;
        if (h < past) {
            load(buffer ^ 1, next);
            wait<1>();
        } else {
            wait<0>();
        }
        __syncthreads();
        const T *queries = tiles[buffer][0], *gradients = tiles[buffer][1];
#pragma unroll 1
        for (int i = 0; i < ROWS; i += 16) {
            int t = query + i;
            if (t + 15 < first || !__any_sync(FULL, t < end[0] || t < end[1])) continue;
            bool all = t >= first + 15 && t + 15 < end[0];
            float w[2][4], d[2][4];
            score<D>(w, x, queries + i * STRIDE, lane);
#pragma unroll
            for (int n = 0; n < 2; n++) {
                float2 l =
                    *reinterpret_cast<const float2 *>(&statistics[buffer][0][i + n * 8 + lane % 4 * 2]);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int column = t + n * 8 + lane % 4 * 2 + e % 2;
                    bool seen = all || (column >= first + lane / 4 + e / 2 * 8 && column < end[e / 2]);
                    w[n][e] = seen ? power_of_2(w[n][e] * scale - (e % 2 ? l.y : l.x) * LOG2_E) : 0.f;
                }
            }
            accumulate<D>(values, w, gradients + i * STRIDE, lane);
            score<D>(d, y, gradients + i * STRIDE, lane);
#pragma unroll
            for (int n = 0; n < 2; n++) {
                float2 delta =
                    *reinterpret_cast<const float2 *>(&statistics[buffer][1][i + n * 8 + lane % 4 * 2]);
#pragma unroll
                for (int e = 0; e < 4; e++) d[n][e] = w[n][e] * (d[n][e] - (e % 2 ? delta.y : delta.x));
            }
            accumulate<D>(keys, d, queries + i * STRIDE, lane);
        }
        query = next;
        __syncthreads();
    }
    store_rows<D>(d_k + kv_head * D, kv_stride, keys, s.scale, s.scale, tiles[0][0], first, s.tokens);
    store_rows<D>(d_v + kv_head * D, kv_stride, values, 1.f, 1.f, tiles[0][0], first, s.tokens);
}
