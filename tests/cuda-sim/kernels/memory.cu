// Loads and stores of all widths and spaces, and asynchronous copies.

template <typename T> __device__ void through_all(T *out, const T *in, T *shared, int n) {
    int i = threadIdx.x;
    T local[4];
    local[i & 3] = in[i];                                     // local memory, because the index is not known
    shared[n - 1 - i] = local[(i + n) & 3];
    __syncthreads();
    T *generic = i % 2 ? shared + i : out + i;                // one instruction, two spaces
    if (i % 2 == 0) out[i] = shared[i];
    T value = *generic;
    __syncthreads();
    out[i] = value;
}

#define WIDTH(name, T)                                                                     \
    extern "C" __global__ void name(T *out, const T *in, int n) {                          \
        __shared__ T shared[256];                                                          \
        through_all(out, in, shared, n);                                                   \
    }
WIDTH(width_1, unsigned char)
WIDTH(width_2, short)
WIDTH(width_4, unsigned)
WIDTH(width_8, unsigned long long)
WIDTH(width_4_in_2, ushort2)
WIDTH(width_4_in_4, uchar4)
WIDTH(width_8_in_2, float2)
WIDTH(width_16_in_2, double2)
WIDTH(width_16_in_4, float4)

__constant__ int table[5] = {3, 1, 4, 1, 5};
__device__ int counter = 40;

// Bytes that are extended with their sign, constants, a variable of the module, hints for caches.
extern "C" __global__ void others(long long *out, const signed char *bytes, const short *shorts,
                                  const int *words) {
    int i = threadIdx.x;
    long long sum = bytes[i];
    sum = sum * 3 + shorts[i];
    sum = sum * 3 + table[i % 5];
    sum = sum * 3 + __ldg(words + i) + __ldcs(words + i) + *(volatile const int *)(words + i);
    if (i == 0) counter += 2;
    __syncthreads();
    __stcs(out + i, sum * 3 + *(volatile int *)&counter);
}

// `taken` bytes of each chunk are copied, zeros fill the rest.
template <int SIZE>
__device__ void copy(unsigned char *out, const unsigned char *in, int taken, unsigned char *shared) {
    int i = threadIdx.x * SIZE;
    unsigned to = (unsigned)__cvta_generic_to_shared(shared + i);
    if (SIZE == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(in + i), "r"(taken));
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(in + i), "n"(SIZE),
                     "r"(taken));
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
    for (int b = 0; b < SIZE; ++b) out[i + b] = shared[i + b];
}
extern "C" __global__ void copy_4(unsigned char *out, const unsigned char *in, int taken) {
    __shared__ __align__(16) unsigned char shared[1024];
    copy<4>(out, in, taken, shared);
}
extern "C" __global__ void copy_8(unsigned char *out, const unsigned char *in, int taken) {
    __shared__ __align__(16) unsigned char shared[1024];
    copy<8>(out, in, taken, shared);
}
extern "C" __global__ void copy_16(unsigned char *out, const unsigned char *in, int taken) {
    __shared__ __align__(16) unsigned char shared[1024];
    copy<16>(out, in, taken, shared);
}

// 96-bit sums: carries.
extern "C" __global__ void long_sums(unsigned *out, const unsigned *a, const unsigned *b) {
    int i = threadIdx.x * 3;
    unsigned x, y, z;
    asm("add.cc.u32 %0, %3, %6; addc.cc.u32 %1, %4, %7; addc.u32 %2, %5, %8;"
        : "=&r"(x), "=&r"(y), "=&r"(z)
        : "r"(a[i]), "r"(a[i + 1]), "r"(a[i + 2]), "r"(b[i]), "r"(b[i + 1]), "r"(b[i + 2]));
    out[2 * i] = x, out[2 * i + 1] = y, out[2 * i + 2] = z;
    asm("sub.cc.u32 %0, %3, %6; subc.cc.u32 %1, %4, %7; subc.u32 %2, %5, %8;"
        : "=&r"(x), "=&r"(y), "=&r"(z)
        : "r"(a[i]), "r"(a[i + 1]), "r"(a[i + 2]), "r"(b[i]), "r"(b[i + 1]), "r"(b[i + 2]));
    out[2 * i + 3] = x, out[2 * i + 4] = y, out[2 * i + 5] = z;
}
