/* Clustered matrix times float activations with AVX2: a tile is decoded once to floats, a lane for
 * each row, and multiplied with MR tokens in registers. The four bytes of a float are looked up in
 * four tables like int8 centroids and put together again; from 7 bits on, and with a codebook a
 * row, one weight at a time is as fast.
 *
 *     decoded: [columns][16 rows]
 *
 * A (row, token) adds up column by column within a group, then group by group: never by its batch.
 * Scratch is per thread. */
#include "engine/kernels/x86/tile_avx2.h"

enum {
    KC = 256,        /* columns in scratch at once: a multiple of 128 */
    MR = 6,          /* tokens in registers */
    TOKENS_MAX = 48, /* a multiple of MR */
};

static _Thread_local struct {
    float w[KC][CT_TILE_ROWS];
    __m256 dot[TOKENS_MAX][2];
    __m256 acc[TOKENS_MAX][2];
} scratch __attribute__((aligned(64)));

struct lookup {
    struct ct_lookup_avx2 byte[4];
};

CT_INLINE int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void lookup_init(struct lookup *l, const float *codebook, int bits)
{
    for (int byte = 0; byte < 4; byte++) {
        int8_t plane[256];
        for (int i = 0; i < 1 << bits; i++)
            memcpy(plane + i, (const char *)(codebook + i) + byte, 1);
        ct_lookup_init_avx2(&l->byte[byte], plane, bits);
    }
}

/* 8 rows x 4 columns of indices to w[column][row]. bits is a constant. */
CT_INLINE void decode_half(const struct lookup *l, __m256i index, float (*w)[CT_TILE_ROWS],
                           int bits)
{
    /* bytes from row, column to column, row */
    index = _mm256_shuffle_epi8(index, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                           0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
    const struct ct_index_avx2 apart = ct_split_index_avx2(index, bits);
    __m256i byte[4];
    for (int i = 0; i < 4; i++)
        byte[i] = ct_lookup_half_avx2(&l->byte[i], apart, bits);
    __m256i low[2] = {_mm256_unpacklo_epi8(byte[0], byte[1]),
                      _mm256_unpackhi_epi8(byte[0], byte[1])};
    __m256i high[2] = {_mm256_unpacklo_epi8(byte[2], byte[3]),
                       _mm256_unpackhi_epi8(byte[2], byte[3])};
    for (int i = 0; i < 2; i++) {
        _mm256_store_si256((__m256i *)w[2 * i], _mm256_unpacklo_epi16(low[i], high[i]));
        _mm256_store_si256((__m256i *)w[2 * i + 1], _mm256_unpackhi_epi16(low[i], high[i]));
    }
}

/* The same, one weight at a time; a row's codebook is `step` after the one before. */
CT_INLINE void decode_half_slow(const float *codebook, int64_t step, __m256i index,
                                float (*w)[CT_TILE_ROWS])
{
    uint8_t at[32];
    _mm256_storeu_si256((__m256i *)at, index);
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 4; c++)
            w[c][r] = codebook[r * step + at[4 * r + c]];
}

/* Columns [begin, end) of a tile into scratch.w; bits is a constant. */
CT_INLINE void decode_tile(const struct ct_linear *a, const struct lookup *lookup, int64_t tile,
                           int64_t begin, int64_t end, const int bits)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const uint8_t *p = a->index + (tile * n_tiles_k + begin / CT_TILE_COLS) * 8 * bits;
    for (int64_t j = 0; j < end - begin; j += CT_TILE_COLS, p += 8 * bits) {
        _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m256i index = ct_join_index_avx2(ct_load_index_avx2(p, h, bits), bits);
            float(*w)[CT_TILE_ROWS] = (float(*)[CT_TILE_ROWS])(scratch.w[j] + 8 * h);
            if (a->n_codebooks > 1)
                decode_half_slow(a->codebook_f32 + ((tile * CT_TILE_ROWS + 8 * h) << bits),
                                 1 << bits, index, w);
            else if (bits >= 7)
                decode_half_slow(a->codebook_f32, 0, index, w);
            else
                decode_half(lookup, index, w, bits);
        }
    }
}

static void decode(const struct ct_linear *a, const struct lookup *lookup, int64_t tile,
                   int64_t begin, int64_t end)
{
    switch (a->bits) {
    case 2:
        decode_tile(a, lookup, tile, begin, end, 2);
        break;
    case 3:
        decode_tile(a, lookup, tile, begin, end, 3);
        break;
    case 4:
        decode_tile(a, lookup, tile, begin, end, 4);
        break;
    case 5:
        decode_tile(a, lookup, tile, begin, end, 5);
        break;
    case 6:
        decode_tile(a, lookup, tile, begin, end, 6);
        break;
    case 7:
        decode_tile(a, lookup, tile, begin, end, 7);
        break;
    default:
        decode_tile(a, lookup, tile, begin, end, 8);
        break;
    }
}

/* The sum of n activations. */
static float sum_of(const float *x, int64_t n)
{
    __m256 sum = _mm256_setzero_ps();
    for (int64_t j = 0; j < n; j += 8)
        sum = _mm256_add_ps(sum, ct_load_f32_avx2(x + j, n - j));
    return ct_sum_avx2(sum);
}

/* acc += scale * dot + offset * sum of x, at the end of a group. */
CT_INLINE void end_group(const struct ct_linear *a, int64_t tile, int64_t group, int64_t t0,
                         int64_t first, __m256 dot[][2], const int M)
{
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    const int64_t place = (tile * n_groups + group) * CT_TILE_ROWS, j = group * a->group;
#pragma GCC unroll 8
    for (int t = 0; t < M; t++) {
        float sum = a->offset == NULL ? 0
                                      : sum_of(a->x_f32 + (t0 + first + t) * a->ldx + j,
                                               min_i64(a->group, a->k - j));
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m256 acc = scratch.acc[first + t][h];
            if (a->offset != NULL)
                acc = _mm256_fmadd_ps(ct_load_f16_avx2(a->offset + place + 8 * h),
                                      _mm256_set1_ps(sum), acc);
            scratch.acc[first + t][h] =
                a->scale == NULL
                    ? _mm256_add_ps(acc, dot[t][h])
                    : _mm256_fmadd_ps(ct_load_f16_avx2(a->scale + place + 8 * h), dot[t][h], acc);
        }
    }
}

/* Columns [begin, end), in scratch.w, times M tokens from t0 + first on. M is a constant. */
CT_INLINE void multiply_set(const struct ct_linear *a, int64_t tile, int64_t begin, int64_t end,
                            int64_t t0, int64_t first, const int M)
{
    for (int64_t j = begin; j < end;) {
        const int64_t group = j / a->group, group_end = min_i64((group + 1) * a->group, a->k);
        const int64_t stop = min_i64(group_end, end);
        __m256 dot[MR][2];
#pragma GCC unroll 8
        for (int t = 0; t < M; t++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++)
                dot[t][h] = j == group * a->group ? _mm256_setzero_ps() : scratch.dot[first + t][h];
        const float *x = a->x_f32 + (t0 + first) * a->ldx;
        for (; j < stop; j++) {
            __m256 low = _mm256_load_ps(scratch.w[j - begin]);
            __m256 high = _mm256_load_ps(scratch.w[j - begin] + 8);
#pragma GCC unroll 8
            for (int t = 0; t < M; t++) {
                __m256 both = _mm256_set1_ps(x[t * a->ldx + j]);
                dot[t][0] = _mm256_fmadd_ps(low, both, dot[t][0]);
                dot[t][1] = _mm256_fmadd_ps(high, both, dot[t][1]);
            }
        }
        if (stop == group_end) {
            end_group(a, tile, group, t0, first, dot, M);
            continue;
        }
#pragma GCC unroll 8
        for (int t = 0; t < M; t++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++)
                scratch.dot[first + t][h] = dot[t][h];
    }
}

static void multiply_sets(const struct ct_linear *a, int64_t tile, int64_t begin, int64_t end,
                          int64_t t0, int64_t n)
{
    int64_t t = 0;
    for (; t + MR <= n; t += MR)
        multiply_set(a, tile, begin, end, t0, t, MR);
    for (; t + 2 <= n; t += 2)
        multiply_set(a, tile, begin, end, t0, t, 2);
    if (t < n)
        multiply_set(a, tile, begin, end, t0, t, 1);
}

void ct_linear_f32_avx2(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    struct lookup lookup;
    if (a->n_codebooks == 1 && a->bits < 7)
        lookup_init(&lookup, a->codebook_f32, a->bits);
    for (int64_t t0 = 0; t0 < a->m; t0 += TOKENS_MAX) {
        int64_t n = min_i64(a->m - t0, TOKENS_MAX);
        for (int64_t tile = tile_begin; tile < tile_end; tile++) {
            for (int64_t t = 0; t < n; t++)
                scratch.acc[t][0] = scratch.acc[t][1] = _mm256_setzero_ps();
            for (int64_t begin = 0; begin < a->k; begin += KC) {
                int64_t end = min_i64(begin + KC, a->k);
                decode(a, &lookup, tile, begin, end);
                multiply_sets(a, tile, begin, end, t0, n);
            }
            for (int64_t t = 0; t < n; t++)
                ct_store_rows_avx2(a, tile, t0 + t, scratch.acc[t]);
        }
    }
}
