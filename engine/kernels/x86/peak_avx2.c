/* The peak of maddubs, madd and add: 32 products an instruction of each. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/vector_avx2.h"

enum { SUMS = 6 }; /* independent, to hide the latency */

void ct_dot_peak_avx2(const uint8_t *x, const int8_t *w, int64_t n, int32_t *sum)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i total = _mm256_setzero_si256(), part[SUMS], x_half[2], w_half[2];
    for (int h = 0; h < 2; h++) {
        x_half[h] = _mm256_loadu_si256((const __m256i *)(x + 32 * h));
        w_half[h] = _mm256_loadu_si256((const __m256i *)(w + 32 * h));
    }
    for (int i = 0; i < SUMS; i++)
        part[i] = _mm256_setzero_si256();
    for (int64_t left = n; left > 0; left -= SUMS / 2)
#pragma GCC unroll 6
        for (int i = 0; i < SUMS; i++) {
            /* As if x changed, or the compiler multiplies once. */
            __asm__("" : "+x"(x_half[i % 2]));
            __m256i pairs = _mm256_maddubs_epi16(x_half[i % 2], w_half[i % 2]);
            part[i] = _mm256_add_epi32(part[i], _mm256_madd_epi16(pairs, ones));
        }
    for (int i = 0; i < SUMS; i++)
        total = _mm256_add_epi32(total, part[i]);
    uint32_t lanes[8], whole = 0;
    _mm256_storeu_si256((__m256i *)lanes, total);
    for (int i = 0; i < 8; i++)
        whole += lanes[i];
    *sum = (int32_t)whole;
}
