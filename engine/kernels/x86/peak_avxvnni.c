/* The peak of vpdpbusd on AVX2's registers: 32 products an instruction. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/dot_avxvnni.h"

enum { SUMS = 12 }; /* independent, to hide the latency */

void ct_dot_peak_avxvnni(const uint8_t *x, const int8_t *w, int64_t n, int32_t *sum)
{
    __m256i total = _mm256_setzero_si256(), part[SUMS], x_half[2], w_half[2];
    for (int h = 0; h < 2; h++) {
        x_half[h] = _mm256_loadu_si256((const __m256i *)(x + 32 * h));
        w_half[h] = _mm256_loadu_si256((const __m256i *)(w + 32 * h));
    }
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) { /* begun apart, or the compiler keeps one sum for all */
        part[i] = _mm256_set1_epi32(i);
        total = _mm256_sub_epi32(total, part[i]);
    }
    for (int64_t left = n; left > 0; left -= SUMS / 2)
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            ct_add_products_avxvnni(&part[i], x_half[i % 2], w_half[i % 2]);
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++)
        total = _mm256_add_epi32(total, part[i]);
    uint32_t lanes[8], whole = 0;
    _mm256_storeu_si256((__m256i *)lanes, total);
    for (int i = 0; i < 8; i++)
        whole += lanes[i];
    *sum = (int32_t)whole;
}
