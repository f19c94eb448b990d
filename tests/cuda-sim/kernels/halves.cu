// What the headers of the toolkit make of packed 16-bit arithmetic.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void half_pairs(float2 *out, const float2 *x, const float2 *y) {
    int i = threadIdx.x, n = blockDim.x;
    __half2 a = __float22half2_rn(x[i]), b = __float22half2_rn(y[i]);
    __half2 results[] = {__hadd2(a, b), __hsub2(a, b), __hmul2(a, b), __hfma2(a, b, a), __h2div(a, b),
                         __hmax2(a, b), h2exp(a),      h2rcp(b),      __hneg2(a),       __hgt2(a, b)};
    for (int r = 0; r < 10; r++) out[r * n + i] = __half22float2(results[r]);
}

extern "C" __global__ void brain_pairs(float2 *out, const float2 *x, const float2 *y) {
    int i = threadIdx.x, n = blockDim.x;
    __nv_bfloat162 a = __float22bfloat162_rn(x[i]), b = __float22bfloat162_rn(y[i]);
    __nv_bfloat162 results[] = {__hadd2(a, b), __hsub2(a, b), __hmul2(a, b), __hfma2(a, b, a), __h2div(a, b),
                                __hmax2(a, b), h2exp(a),      h2rcp(b),      __hneg2(a),       __hgt2(a, b)};
    for (int r = 0; r < 10; r++) out[r * n + i] = __bfloat1622float2(results[r]);
}
