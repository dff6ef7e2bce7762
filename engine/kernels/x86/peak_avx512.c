/* The peak of vpdpbusd on whole registers: 64 products an instruction. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/vector_avx512.h"

enum { SUMS = 12 }; /* independent, to hide the latency */

void ct_dot_peak_avx512(const uint8_t *x, const int8_t *w, int64_t n, int32_t *sum)
{
    const __m512i x_all = _mm512_loadu_si512(x), w_all = _mm512_loadu_si512(w);
    __m512i total = _mm512_setzero_si512(), part[SUMS];
    for (int i = 0; i < SUMS; i++)
        part[i] = _mm512_setzero_si512();
    for (int64_t left = n; left > 0; left -= SUMS)
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            part[i] = _mm512_dpbusd_epi32(part[i], x_all, w_all);
    for (int i = 0; i < SUMS; i++)
        total = _mm512_add_epi32(total, part[i]);
    uint32_t lanes[16], whole = 0;
    _mm512_storeu_si512(lanes, total);
    for (int i = 0; i < 16; i++)
        whole += lanes[i];
    *sum = (int32_t)whole;
}
