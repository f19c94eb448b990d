// Every atomic on one cell: the old value that each thread got, and the cell at the end.

#define ATOMIC(name, T, call)                                      \
    extern "C" __global__ void name(T *cell, T *old, const T *x) { \
        int i = blockIdx.x * blockDim.x + threadIdx.x;             \
        T value = x[i];                                            \
        old[i] = call;                                             \
    }
ATOMIC(add_u32, unsigned, atomicAdd(cell, value))
ATOMIC(sub_s32, int, atomicSub(cell, value))
ATOMIC(add_u64, unsigned long long, atomicAdd(cell, value))
ATOMIC(add_f32, float, atomicAdd(cell, value))
ATOMIC(add_f64, double, atomicAdd(cell, value))
ATOMIC(min_s32, int, atomicMin(cell, value))
ATOMIC(max_u32, unsigned, atomicMax(cell, value))
ATOMIC(min_u64, unsigned long long, atomicMin(cell, value))
ATOMIC(max_s64, long long, atomicMax(cell, value))
ATOMIC(and_u32, unsigned, atomicAnd(cell, value))
ATOMIC(or_u64, unsigned long long, atomicOr(cell, value))
ATOMIC(xor_u32, unsigned, atomicXor(cell, value))
ATOMIC(inc_u32, unsigned, atomicInc(cell, 99))
ATOMIC(dec_u32, unsigned, atomicDec(cell, 99))
ATOMIC(exch_u32, unsigned, atomicExch(cell, value))
ATOMIC(exch_u64, unsigned long long, atomicExch(cell, value))
ATOMIC(cas_u16, unsigned short, atomicCAS(cell, (unsigned short)i, (unsigned short)(i + 1)))

// A float maximum by compare and swap, as libraries do it.
extern "C" __global__ void max_by_cas(unsigned *cell, unsigned *old, const unsigned *x) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned seen = *(volatile unsigned *)cell, before;
    do {
        before = seen;
        float larger = fmaxf(__uint_as_float(before), __uint_as_float(x[i]));
        seen = atomicCAS(cell, before, __float_as_uint(larger));
    } while (seen != before);
    old[i] = before;
}

// Pairs of halves, and no old value.
extern "C" __global__ void add_pairs(unsigned *cells, const unsigned *x) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    asm volatile("red.global.add.noftz.f16x2 [%0], %1;" ::"l"(cells), "r"(x[i]) : "memory");
}

// In shared memory, then one for the block.
extern "C" __global__ void by_block(unsigned *cell, const unsigned *x) {
    __shared__ unsigned sum;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, x[blockIdx.x * blockDim.x + threadIdx.x]);
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(cell, sum);
}
