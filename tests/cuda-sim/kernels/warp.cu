// Instructions between lanes and between warps. Each kernel writes what every lane received;
// tests/sim/fetched/warp.rs knows what that should be.

extern "C" __global__ void shuffles(int *out, const int *x, int delta, int width) {
    int lane = threadIdx.x;
    int value = x[lane];
    out[lane] = __shfl_sync(~0u, value, delta, width);
    out[32 + lane] = __shfl_up_sync(~0u, value, delta, width);
    out[64 + lane] = __shfl_down_sync(~0u, value, delta, width);
    out[96 + lane] = __shfl_xor_sync(~0u, value, delta, width);
}

// Both halves of the warp vote by themselves, at different places of the program.
extern "C" __global__ void votes(unsigned *out, const int *x) {
    int lane = threadIdx.x;
    int value = x[lane];
    if (lane < 16) {
        out[lane] = __ballot_sync(0x0000ffffu, value > 0);
        out[32 + lane] = __any_sync(0x0000ffffu, value > 0);
        out[64 + lane] = __all_sync(0x0000ffffu, value > 0);
        out[96 + lane] = __uni_sync(0x0000ffffu, value > 0);
        out[128 + lane] = __activemask();
    } else {
        out[lane] = __ballot_sync(0xffff0000u, value > 1);
        out[32 + lane] = __any_sync(0xffff0000u, value > 1);
        out[64 + lane] = __all_sync(0xffff0000u, value > 1);
        out[96 + lane] = __uni_sync(0xffff0000u, value > 1);
        out[128 + lane] = __activemask();
    }
}

extern "C" __global__ void matches(unsigned *out, const int *x, int same) {
    int lane = threadIdx.x, all32, all64;
    out[lane] = __match_any_sync(~0u, x[lane]);
    out[32 + lane] = __match_any_sync(~0u, (long long)x[lane] << 32);
    out[64 + lane] = __match_all_sync(~0u, same ? 7 : x[lane], &all32);
    out[96 + lane] = all32;
    out[128 + lane] = __match_all_sync(~0u, same ? 7ll << 40 : x[lane], &all64);
    out[160 + lane] = all64;
}

extern "C" __global__ void reductions(unsigned *out, const int *x) {
    int lane = threadIdx.x;
    unsigned mask = lane % 3 == 0 ? 0x49249249u : ~0x49249249u;
    int value = x[lane];
    if (lane % 3 == 0) {
        out[lane] = __reduce_add_sync(mask, (unsigned)value);
        out[32 + lane] = __reduce_min_sync(mask, value);
        out[64 + lane] = __reduce_max_sync(mask, (unsigned)value);
        out[96 + lane] = __reduce_xor_sync(mask, (unsigned)value);
    } else {
        out[lane] = __reduce_add_sync(mask, value);
        out[32 + lane] = __reduce_min_sync(mask, (unsigned)value);
        out[64 + lane] = __reduce_max_sync(mask, value);
        out[96 + lane] = __reduce_and_sync(mask, (unsigned)value) ^ __reduce_or_sync(mask, (unsigned)value);
    }
}

extern "C" __global__ void block_reductions(int *out, const int *x) {
    int i = threadIdx.x, all = blockDim.x;
    out[i] = __syncthreads_count(x[i] > 0);
    out[all + i] = __syncthreads_and(x[i] > 0) != 0;
    out[2 * all + i] = __syncthreads_or(x[i] > 1) != 0;
}

// Warps 0 and 1 make what warps 2 and 3 take: two named barriers, at which makers arrive and takers wait, and
// the reverse.
extern "C" __global__ void hand_over(int *out, const int *x, int rounds) {
    __shared__ int buffer[64];
    bool makes = threadIdx.x < 64;
    int i = threadIdx.x % 64;
    for (int round = 0; round < rounds; ++round) {
        if (makes) {
            if (round > 0) asm volatile("bar.sync 2, 128;" ::: "memory");
            buffer[63 - i] = x[round * 64 + i];
            asm volatile("bar.arrive 1, 128;" ::: "memory");
        } else {
            asm volatile("bar.sync 1, 128;" ::: "memory");
            out[round * 64 + i] = buffer[i] + round;
            if (round + 1 < rounds) asm volatile("bar.arrive 2, 128;" ::: "memory");
        }
    }
}
