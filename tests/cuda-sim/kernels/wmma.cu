// The C++ interface of tensor cores: all shapes, types and layouts, one warp each.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda;

template <int M, int N, int K, typename T, typename In, typename LA, typename LB, typename C>
__device__ void product(C *d, const In *a, const In *b, int lda, int ldb) {
    wmma::fragment<wmma::matrix_a, M, N, K, T, LA> x;
    wmma::fragment<wmma::matrix_b, M, N, K, T, LB> y;
    wmma::fragment<wmma::accumulator, M, N, K, C> z, half_of_it;
    wmma::load_matrix_sync(x, a, lda);
    wmma::load_matrix_sync(y, b, ldb);
    wmma::fill_fragment(z, (C)0);
    wmma::mma_sync(z, x, y, z);
    wmma::store_matrix_sync(d, z, N, wmma::mem_row_major);
    wmma::load_matrix_sync(half_of_it, d, N, wmma::mem_row_major);  // c is read too: a b + a b
    wmma::mma_sync(z, x, y, half_of_it);
    wmma::store_matrix_sync(d, z, M, wmma::mem_col_major);
}

typedef wmma::row_major R;
typedef wmma::col_major L;
#define WMMA(name, M, N, K, T, In, LA, LB, C, lda, ldb)                                   \
    extern "C" __global__ void name(C *d, const In *a, const In *b) {                     \
        product<M, N, K, T, In, LA, LB>(d, a, b, lda, ldb);                               \
    }
WMMA(f16_rr, 16, 16, 16, __half, __half, R, R, float, 16, 16)
WMMA(f16_rc, 16, 16, 16, __half, __half, R, L, float, 16, 16)
WMMA(f16_cr, 16, 16, 16, __half, __half, L, R, float, 16, 16)
WMMA(f16_wide, 32, 8, 16, __half, __half, R, L, float, 16, 16)
WMMA(f16_tall, 8, 32, 16, __half, __half, R, R, float, 16, 32)
WMMA(bf16_rc, 16, 16, 16, __nv_bfloat16, __nv_bfloat16, R, L, float, 16, 16)
WMMA(s8_rc, 16, 16, 16, signed char, signed char, R, L, int, 16, 16)
WMMA(u8_rr, 16, 16, 16, unsigned char, unsigned char, R, R, int, 16, 16)
WMMA(tf32_rc, 16, 16, 8, wmma::precision::tf32, float, R, L, float, 8, 8)

// Sums in half precision too.
extern "C" __global__ void f16_all(__half *d, const __half *a, const __half *b) {
    product<16, 16, 16, __half, __half, R, R>(d, a, b, 16, 16);
}
