/* Attention with AVX2: a page of 64 keys at a time, up to three heads sharing each conversion of
 * the page's half floats. Scores have a lane for each key, outputs a lane for each dimension; a
 * (head, key) and a (head, dimension) always add up in the same order, whatever the heads beside
 * it.
 *
 * The running maximum and sum are those of Milakov and Gimelshein, "Online normalizer calculation
 * for softmax" (2018), by pages. */
#include "engine/base/f16.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/x86/float_avx2.h"

#include <math.h>

enum { HEADS = 3, LANES = 8, PART = 4 * LANES };

/* score[h][s] = scale * q[h] . k[s] for all keys of a page and H heads; H is a constant. */
CT_INLINE void score_page(const struct ct_attention *a, const float *q, const uint16_t *k,
                          float score[][CT_KV_PAGE], const int H)
{
    for (int s = 0; s < CT_KV_PAGE; s += PART) {
        __m256 sum[HEADS][4];
#pragma GCC unroll 3
        for (int h = 0; h < H; h++)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                sum[h][i] = _mm256_setzero_ps();
        for (int d = 0; d < a->head_dim; d++) {
            const uint16_t *at = k + d * CT_KV_PAGE + s;
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                __m256 keys = ct_load_f16_avx2(at + i * LANES);
#pragma GCC unroll 3
                for (int h = 0; h < H; h++)
                    sum[h][i] =
                        _mm256_fmadd_ps(_mm256_set1_ps(q[h * a->head_dim + d]), keys, sum[h][i]);
            }
        }
        for (int h = 0; h < H; h++)
            for (int i = 0; i < 4; i++)
                _mm256_storeu_ps(score[h] + s + i * LANES,
                                 _mm256_mul_ps(sum[h][i], _mm256_set1_ps(a->scale)));
    }
}

/* Scores of n keys to weights exp(score - peak), zeros beyond; updates peak and sum and returns
 * what earlier outputs are to be multiplied by. */
static float weigh(float score[CT_KV_PAGE], int64_t n, float *peak, float *sum)
{
    __m256 top = _mm256_set1_ps(*peak);
    for (int64_t s = 0; s < n; s += LANES) {
        __m256 mask = _mm256_castsi256_ps(ct_first_avx2(n - s));
        __m256 v = _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), _mm256_loadu_ps(score + s), mask);
        top = _mm256_max_ps(top, v);
    }
    float old = *peak;
    *peak = ct_max_avx2(top);
    __m256 total = _mm256_setzero_ps();
    for (int64_t s = 0; s < n; s += LANES) {
        __m256 e = ct_exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(score + s), _mm256_set1_ps(*peak)));
        e = _mm256_and_ps(e, _mm256_castsi256_ps(ct_first_avx2(n - s)));
        _mm256_storeu_ps(score + s, e);
        total = _mm256_add_ps(total, e);
    }
    float keep = old == -INFINITY ? 0 : _mm256_cvtss_f32(ct_exp_avx2(_mm256_set1_ps(old - *peak)));
    *sum = *sum * keep + ct_sum_avx2(total);
    return keep;
}

/* out[h][d] = out[h][d] * keep[h] + sum over n keys of weight[h][s] * v[s][d], for dimensions
 * [d, d + 8 * N); H and N are constants. */
CT_INLINE void add_values(const struct ct_attention *a, const uint16_t *v, int64_t n,
                          float weight[][CT_KV_PAGE], const float *keep, float *out, int d,
                          const int H, const int N)
{
    __m256 sum[HEADS][4];
#pragma GCC unroll 3
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            sum[h][i] = _mm256_mul_ps(_mm256_loadu_ps(out + h * a->head_dim + d + i * LANES),
                                      _mm256_set1_ps(keep[h]));
    for (int64_t s = 0; s < n; s++) {
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
            __m256 values = ct_load_f16_avx2(v + s * a->head_dim + d + i * LANES);
#pragma GCC unroll 3
            for (int h = 0; h < H; h++)
                sum[h][i] = _mm256_fmadd_ps(_mm256_set1_ps(weight[h][s]), values, sum[h][i]);
        }
    }
#pragma GCC unroll 3
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            _mm256_storeu_ps(out + h * a->head_dim + d + i * LANES, sum[h][i]);
}

/* All pages for H heads. */
CT_INLINE void attend(const struct ct_attention *a, int head, const int H)
{
    const int D = a->head_dim;
    const float *q = a->q + head * D;
    float *out = a->out + head * D;
    float score[HEADS][CT_KV_PAGE], peak[HEADS], sum[HEADS], keep[HEADS];
    for (int h = 0; h < H; h++) {
        peak[h] = -INFINITY;
        sum[h] = 0;
    }
    memset(out, 0, (size_t)(H * D) * sizeof *out);
    for (int64_t page = 0; page * CT_KV_PAGE < a->n_keys; page++) {
        int64_t n = a->n_keys - page * CT_KV_PAGE;
        n = n < CT_KV_PAGE ? n : CT_KV_PAGE;
        score_page(a, q, a->k_pages[page], score, H);
        for (int h = 0; h < H; h++)
            keep[h] = weigh(score[h], n, &peak[h], &sum[h]);
        const uint16_t *v = a->v_pages[page];
        int d = 0;
        for (; d + PART <= D; d += PART)
            add_values(a, v, n, score, keep, out, d, H, 4);
        for (; d + LANES <= D; d += LANES)
            add_values(a, v, n, score, keep, out, d, H, 1);
        for (; d < D; d++)
            for (int h = 0; h < H; h++) {
                float value = out[h * D + d] * keep[h];
                for (int64_t s = 0; s < n; s++)
                    value = fmaf(score[h][s], ct_f16_to_f32(v[s * D + d]), value);
                out[h * D + d] = value;
            }
    }
    for (int h = 0; h < H; h++)
        for (int d = 0; d < D; d++)
            out[h * D + d] /= sum[h];
}

void ct_attention_avx2(const struct ct_attention *a)
{
    int n_sets = (a->n_rep + HEADS - 1) / HEADS;
    for (int set = 0; set < n_sets; set++) {
        int begin = a->n_rep * set / n_sets, end = a->n_rep * (set + 1) / n_sets;
        switch (end - begin) {
        case 1:
            attend(a, begin, 1);
            break;
        case 2:
            attend(a, begin, 2);
            break;
        default:
            attend(a, begin, HEADS);
            break;
        }
    }
}
