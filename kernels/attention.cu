// Causal attention over packed rows with grouped heads (src/ops/attention). Here for heads of any multiple of
// 4 up to 256 columns, and every type; heads of 64 and 128 columns of 16 bits have tensor cores
// (attention_tiles.cuh). Statistics lie by head: (H, T).
//
// A warp has a query (forward, dQ) or a key (dK and dV) of one head. It computes 32 scores at once,
// one a lane; then the lanes share the columns of the head for what is summed over partners. No score is
// stored, nothing is added atomically.

#include "common.cuh"

struct Shape { int tokens, heads, kv_heads, head_dim; float scale; };

#include "attention_tiles.cuh"

// HEAD is the most columns that a kernel takes: a lane has HEAD / 32 of them.
constexpr int WARPS = 4;

// The product of a row in shared memory with one of this lane's own.
template <typename T> __device__ __forceinline__ float dot(const float *a, const T *b, int head_dim) {
    float sum = 0.f;
#pragma unroll 4
    for (int i = 0; i < head_dim; i += 4) {
        float4 x = *reinterpret_cast<const float4 *>(a + i), y = load4(b + i);
        sum += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
    }
    return sum;
}

// sums[c] += weight of each lane * its row, for the columns lane, lane + 32, ... of the head.
template <int COLUMNS, typename T>
__device__ __forceinline__ void spread(float (&sums)[COLUMNS], float weight, const T *rows, size_t stride,
                                       int count, int head_dim, int lane) {
#pragma unroll 2
    for (int j = 0; j < count; j++) {
        float w = __shfl_sync(FULL, weight, j);
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            if (lane + 32 * c < head_dim) sums[c] += w * to_float(rows[j * stride + lane + 32 * c]);
    }
}

template <int HEAD, typename T>
__device__ void forward(const u32 *starts, const T *q, const T *k, const T *v, T *out, float *lse, Shape s) {
    __shared__ __align__(16) float query[WARPS][HEAD];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = blockIdx.x * WARPS + warp, h = blockIdx.y;
    if (t >= s.tokens) return;
    size_t at = ((size_t)t * s.heads + h) * s.head_dim, stride = (size_t)s.kv_heads * s.head_dim;
    size_t kv = (size_t)(h / (s.heads / s.kv_heads)) * s.head_dim;
    for (int i = lane; i < s.head_dim; i += 32) query[warp][i] = to_float(q[at + i]) * s.scale;
    __syncwarp();
    float sums[HEAD / 32] = {}, largest = -INF, total = 0.f;
    for (int first = starts[t]; first <= t; first += 32) {
        int count = min(32, t + 1 - first), j = first + lane;
        float score = lane < count ? dot(query[warp], k + j * stride + kv, s.head_dim) : -INF;
        float now = fmaxf(largest, warp_max(score)), fade = expf(largest - now), weight = expf(score - now);
        total = total * fade + warp_sum(weight);
        largest = now;
#pragma unroll
        for (int c = 0; c < HEAD / 32; c++) sums[c] *= fade;
        spread(sums, weight, v + first * stride + kv, stride, count, s.head_dim, lane);
    }
#pragma unroll
    for (int c = 0; c < HEAD / 32; c++)
        if (lane + 32 * c < s.head_dim) out[at + lane + 32 * c] = from_float<T>(sums[c] / total);
    if (lane == 0) lse[(size_t)h * s.tokens + t] = largest + logf(total);
}

// The sum over a head of d_out * out, by a warp.
template <typename T>
__device__ __forceinline__ float delta(const T *out, const T *d_out, int head_dim, int lane) {
    float sum = 0.f;
    for (int i = lane; i < head_dim; i += 32) sum += to_float(out[i]) * to_float(d_out[i]);
    return warp_sum(sum);
}

// d_q, and delta for the other kernel.
template <int HEAD, typename T>
__device__ void backward_q(const u32 *starts, const T *q, const T *k, const T *v, const T *out,
                           const float *lse, const T *d_out, T *d_q, float *deltas, Shape s) {
    __shared__ __align__(16) float query[WARPS][HEAD], gradient[WARPS][HEAD];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = blockIdx.x * WARPS + warp, h = blockIdx.y;
    if (t >= s.tokens) return;
    size_t at = ((size_t)t * s.heads + h) * s.head_dim, stride = (size_t)s.kv_heads * s.head_dim;
    size_t kv = (size_t)(h / (s.heads / s.kv_heads)) * s.head_dim;
    for (int i = lane; i < s.head_dim; i += 32) {
        query[warp][i] = to_float(q[at + i]) * s.scale;
        gradient[warp][i] = to_float(d_out[at + i]);
    }
    float d = delta(out + at, d_out + at, s.head_dim, lane), l = lse[(size_t)h * s.tokens + t];
    if (lane == 0) deltas[(size_t)h * s.tokens + t] = d;
    __syncwarp();
    float sums[HEAD / 32] = {};
    for (int first = starts[t]; first <= t; first += 32) {
        int count = min(32, t + 1 - first);
        float d_score = 0.f;
        if (lane < count) {
            size_t row = (first + lane) * stride + kv;
            float p = expf(dot(query[warp], k + row, s.head_dim) - l);
            d_score = p * (dot(gradient[warp], v + row, s.head_dim) - d) * s.scale;
        }
        spread(sums, d_score, k + first * stride + kv, stride, count, s.head_dim, lane);
    }
#pragma unroll
    for (int c = 0; c < HEAD / 32; c++)
        if (lane + 32 * c < s.head_dim) d_q[at + lane + 32 * c] = from_float<T>(sums[c]);
}

// d_k and d_v: a warp has a key of a kv head, and goes through the query heads of the group and the queries
// from the key to the end of its sample.
template <int HEAD, typename T>
__device__ void backward_kv(const u32 *ends, const T *q, const T *k, const T *v, const float *lse,
                            const T *d_out, const float *deltas, T *d_k, T *d_v, Shape s) {
    __shared__ __align__(16) float key[WARPS][HEAD], value[WARPS][HEAD];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, j = blockIdx.x * WARPS + warp, kv_head = blockIdx.y;
    if (j >= s.tokens) return;
    int group = s.heads / s.kv_heads, end = ends[j];
    size_t at = ((size_t)j * s.kv_heads + kv_head) * s.head_dim, stride = (size_t)s.heads * s.head_dim;
    for (int i = lane; i < s.head_dim; i += 32) {
        key[warp][i] = to_float(k[at + i]) * s.scale;
        value[warp][i] = to_float(v[at + i]);
    }
    __syncwarp();
    float keys[HEAD / 32] = {}, values[HEAD / 32] = {};
    for (int h = kv_head * group; h < (kv_head + 1) * group; h++)
        for (int first = j; first < end; first += 32) {
            int count = min(32, end - first), t = first + lane;
            size_t column = (size_t)h * s.head_dim;
            float p = 0.f, d_score = 0.f;
            if (lane < count) {
                size_t statistic = (size_t)h * s.tokens + t;
                p = expf(dot(key[warp], q + t * stride + column, s.head_dim) - lse[statistic]);
                float d_weight = dot(value[warp], d_out + t * stride + column, s.head_dim);
                d_score = p * (d_weight - deltas[statistic]) * s.scale;
            }
            spread(values, p, d_out + first * stride + column, stride, count, s.head_dim, lane);
            spread(keys, d_score, q + first * stride + column, stride, count, s.head_dim, lane);
        }
#pragma unroll
    for (int c = 0; c < HEAD / 32; c++)
        if (lane + 32 * c < s.head_dim) {
            d_k[at + lane + 32 * c] = from_float<T>(keys[c]);
            d_v[at + lane + 32 * c] = from_float<T>(values[c]);
        }
}

#define KERNEL(T, name, HEAD)                                                                   \
    extern "C" __global__ void __launch_bounds__(128, 4) attention_forward_##HEAD##_##name(     \
        const u32 *starts, const T *q, const T *k, const T *v, T *out, float *lse, Shape s) {   \
        forward<HEAD>(starts, q, k, v, out, lse, s);                                            \
    }                                                                                           \
    extern "C" __global__ void __launch_bounds__(128, 4) attention_backward_q_##HEAD##_##name(  \
        const u32 *starts, const T *q, const T *k, const T *v, const T *out, const float *lse,  \
        const T *d_out, T *d_q, float *deltas, Shape s) {                                       \
        backward_q<HEAD>(starts, q, k, v, out, lse, d_out, d_q, deltas, s);                     \
    }                                                                                           \
    extern "C" __global__ void __launch_bounds__(128, 4) attention_backward_kv_##HEAD##_##name( \
        const u32 *ends, const T *q, const T *k, const T *v, const float *lse, const T *d_out,  \
        const float *deltas, T *d_k, T *d_v, Shape s) {                                         \
        backward_kv<HEAD>(ends, q, k, v, lse, d_out, deltas, d_k, d_v, s);                      \
    }
// Registers are limited so that BLOCKS blocks fit on a multiprocessor.
#define TILES(T, name, D, BLOCKS)                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_forward_tiles_##D##_##name(     \
        const u32 *starts, const T *q, const T *k, const T *v, T *out, float *lse, Shape s) {               \
        forward_tiles<D>(starts, q, k, v, out, lse, s);                                                     \
    }                                                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_backward_q_tiles_##D##_##name(  \
        const u32 *starts, const T *q, const T *k, const T *v, const T *out, const float *lse,              \
        const T *d_out, T *d_q, float *deltas, Shape s) {                                                   \
        backward_q_tiles<D>(starts, q, k, v, out, lse, d_out, d_q, deltas, s);                              \
    }                                                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_backward_kv_tiles_##D##_##name( \
        const u32 *ends, const T *q, const T *k, const T *v, const float *lse, const T *d_out,              \
        const float *deltas, T *d_k, T *d_v, Shape s) {                                                     \
        backward_kv_tiles<D>(ends, q, k, v, lse, d_out, deltas, d_k, d_v, s);                               \
    }
#define TILED(T, name) TILES(T, name, 64, 3) TILES(T, name, 128, 2)
FOR_TILES(TILED)

#define HEADS(T, name) KERNEL(T, name, 64) KERNEL(T, name, 128) KERNEL(T, name, 256)
FOR_ACTIVATIONS(HEADS)
