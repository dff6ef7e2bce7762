/* Attention's sums of int8 with AVX2: 16 sums stay in registers, and madd takes two products to each at
 * once. */
#include "engine/kernels/kernels.h"

#include <immintrin.h>

enum { BLOCK = 16 };

/* Of sums 0..3 and 8..11, and of the others: as unpacking leaves them. */
struct sums {
    __m256i low, high;
};

static inline __m256i load_i16(const int8_t *x)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)x));
}

/* sums += a x + b y for the BLOCK numbers at x and y. */
static inline struct sums add_pair(struct sums sums, int8_t a, __m256i x, int8_t b, __m256i y)
{
    const __m256i factors = _mm256_set1_epi32((int)((uint16_t)a | (uint32_t)(uint16_t)b << 16));
    sums.low = _mm256_add_epi32(sums.low, _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), factors));
    sums.high =
        _mm256_add_epi32(sums.high, _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), factors));
    return sums;
}

/* In order, sums 0..7 and 8..15. */
static inline void put_in_order(struct sums sums, __m256i out[2])
{
    out[0] = _mm256_permute2x128_si256(sums.low, sums.high, 0x20);
    out[1] = _mm256_permute2x128_si256(sums.low, sums.high, 0x31);
}

void ct_dot_page_i8_avx2(const int8_t *q, const int8_t *k, int head_dim, int32_t *dot)
{
    for (int s = 0; s < CT_KV_PAGE; s += BLOCK) {
        struct sums sums = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int d = 0; d < head_dim; d += 2)
            sums = add_pair(sums, q[d], load_i16(k + d * CT_KV_PAGE + s), q[d + 1],
                            load_i16(k + (d + 1) * CT_KV_PAGE + s));
        __m256i out[2];
        put_in_order(sums, out);
        _mm256_storeu_si256((__m256i *)(dot + s), out[0]);
        _mm256_storeu_si256((__m256i *)(dot + s + BLOCK / 2), out[1]);
    }
}

void ct_add_rows_i8_avx2(const int8_t *w, const int8_t *v, int64_t n, int head_dim, int32_t *sum)
{
    int d = 0;
    for (; d + BLOCK <= head_dim; d += BLOCK) {
        struct sums sums = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        int64_t s = 0;
        for (; s + 2 <= n; s += 2)
            sums = add_pair(sums, w[s], load_i16(v + s * head_dim + d), w[s + 1],
                            load_i16(v + (s + 1) * head_dim + d));
        if (s < n)
            sums = add_pair(sums, w[s], load_i16(v + s * head_dim + d), 0, _mm256_setzero_si256());
        __m256i out[2];
        put_in_order(sums, out);
        for (int i = 0; i < 2; i++) {
            __m256i *at = (__m256i *)(sum + d + i * BLOCK / 2);
            _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), out[i]));
        }
    }
    for (; d < head_dim; d++)
        for (int64_t s = 0; s < n; s++)
            sum[d] += w[s] * v[s * head_dim + d];
}
