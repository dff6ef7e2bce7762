/* Clustered matrix times int8 activations with AVX-512 VBMI and VNNI.
 *
 * vpdpbusd multiplies unsigned by signed bytes: weights are looked up as centroid + 128, and each
 * group's dot product is put right by 128 times the sum of its activations. Exact for every codebook.
 *
 * Few tokens (generation): a tile is decoded in a register and used at once. Many tokens (prompts,
 * batches): two row tiles are decoded once to bytes and multiplied with MR tokens x 32 rows in
 * registers.
 *
 *     decoded: [columns / 4][row tiles: 1 or 2][16 rows][4 columns]
 *
 * Integer sums are exact in any order and the float tail is fixed by kernels.h, so both give the
 * same bits. Scratch is per thread. */
#include "engine/kernels/x86/tile_avx512.h"

enum {
    FEW = 8,          /* tokens that the first path takes at once */
    KC = 4096,        /* columns in scratch at once: a multiple of 128 */
    MR = 12,          /* tokens in registers in the second path */
    PAIR = 2,         /* row tiles there */
    TOKENS_MAX = 120, /* tokens between two decodings of a tile: a multiple of MR */
};

static _Thread_local struct {
    uint8_t w[KC * CT_TILE_ROWS * PAIR];
    __m512 part[TOKENS_MAX][PAIR];
    __m512 acc[TOKENS_MAX][PAIR];
} scratch __attribute__((aligned(64)));

CT_INLINE int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

CT_INLINE __m512i broadcast_i32(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

static void lookup_init(const struct ct_linear *a, struct ct_lookup_avx512 *lookup)
{
    uint8_t biased[256];
    for (int i = 0; i < 1 << a->bits; i++)
        biased[i] = (uint8_t)(a->codebook_i8[i] + 128);
    ct_lookup_init_avx512(lookup, biased, a->bits);
}

/* part after the group of token t's activations that begins at column j. */
CT_INLINE __m512 end_x_group(const struct ct_linear *a, int64_t j, int64_t t, __m512i dot,
                             __m512 part)
{
    const int64_t at = t * a->x_i8.n_groups + j / CT_X_GROUP;
    dot = _mm512_sub_epi32(dot, _mm512_set1_epi32(128 * a->x_i8.sum[at]));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(a->x_i8.scale[at]), part);
}

/* acc after group `group` of the weights for token t, for one row tile. */
CT_INLINE __m512 end_group(const struct ct_linear *a, int64_t tile, int64_t group, int64_t t,
                           __m512 part, __m512 acc)
{
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    const int64_t place = (tile * n_groups + group) * CT_TILE_ROWS;
    acc = _mm512_fmadd_ps(part, a->scale ? v_f16(a->scale + place) : _mm512_set1_ps(1), acc);
    if (a->offset == NULL)
        return acc;
    const int64_t end = (min_i64((group + 1) * a->group, a->k) + CT_X_GROUP - 1) / CT_X_GROUP;
    const float sum = ct_rows_i8_sum(&a->x_i8, t, group * a->group / CT_X_GROUP, end);
    return _mm512_fmadd_ps(_mm512_set1_ps(sum), v_f16(a->offset + place), acc);
}

/* ---- Few tokens ---- */

/* All tokens, M of them or fewer (the last stands in for those missing); bits and M are constants.
 */
CT_INLINE void few_tokens(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end,
                          const int bits, const int M)
{
    const int tile_bytes = 8 * (bits == CT_LINEAR8 ? 8 : bits);
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const struct ct_unpack_avx512 unpack = ct_unpack_init_avx512(bits);
    struct ct_lookup_avx512 lookup;
    if (bits != CT_LINEAR8)
        lookup_init(a, &lookup);
    const int8_t *x[FEW];
#pragma GCC unroll 8
    for (int t = 0; t < M; t++)
        x[t] = a->x_i8.q + min_i64(t, a->m - 1) * a->x_i8.ldq;

    const uint8_t *p = a->index + tile_begin * n_tiles_k * tile_bytes;
    for (int64_t tile = tile_begin; tile < tile_end; tile++) {
        __m512 acc[FEW];
#pragma GCC unroll 8
        for (int t = 0; t < M; t++)
            acc[t] = _mm512_setzero_ps();
        for (int64_t group = 0; group < n_groups; group++) {
            const int64_t group_begin = group * a->group;
            const int64_t group_end = min_i64(group_begin + a->group, a->k);
            __m512 part[FEW];
#pragma GCC unroll 8
            for (int t = 0; t < M; t++)
                part[t] = _mm512_setzero_ps();
            for (int64_t begin = group_begin; begin < group_end; begin += CT_X_GROUP) {
                const int64_t end = min_i64(begin + CT_X_GROUP, group_end);
                __m512i dot[FEW];
#pragma GCC unroll 8
                for (int t = 0; t < M; t++)
                    dot[t] = _mm512_setzero_si512();
                for (int64_t j = begin; j < end; j += CT_TILE_COLS, p += tile_bytes) {
                    _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
                    __m512i w = ct_unpack_tile_avx512(&unpack, p, bits);
                    w = ct_lookup_tile_avx512(&lookup, w, bits);
#pragma GCC unroll 8
                    for (int t = 0; t < M; t++)
                        dot[t] = _mm512_dpbusd_epi32(dot[t], w, broadcast_i32(x[t] + j));
                }
#pragma GCC unroll 8
                for (int t = 0; t < M; t++)
                    part[t] = end_x_group(a, begin, min_i64(t, a->m - 1), dot[t], part[t]);
            }
#pragma GCC unroll 8
            for (int t = 0; t < M; t++)
                acc[t] = end_group(a, tile, group, min_i64(t, a->m - 1), part[t], acc[t]);
        }
#pragma GCC unroll 8
        for (int t = 0; t < M; t++)
            if (t < a->m)
                ct_store_rows_avx512(a, tile, t, acc[t]);
    }
}

#define FEW_TOKENS(bits)                                                                           \
    static void few_tokens_##bits(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end) \
    {                                                                                              \
        if (a->m == 1)                                                                             \
            few_tokens(a, tile_begin, tile_end, bits, 1);                                          \
        else if (a->m == 2)                                                                        \
            few_tokens(a, tile_begin, tile_end, bits, 2);                                          \
        else if (a->m <= 4)                                                                        \
            few_tokens(a, tile_begin, tile_end, bits, 4);                                          \
        else                                                                                       \
            few_tokens(a, tile_begin, tile_end, bits, FEW);                                        \
    }
FEW_TOKENS(2)
FEW_TOKENS(3)
FEW_TOKENS(4)
FEW_TOKENS(5)
FEW_TOKENS(6)
FEW_TOKENS(7)
FEW_TOKENS(8)
FEW_TOKENS(9)
typedef void few_fn(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end);
static few_fn *const few[] = {
    [2] = few_tokens_2, [3] = few_tokens_3, [4] = few_tokens_4, [5] = few_tokens_5,
    [6] = few_tokens_6, [7] = few_tokens_7, [8] = few_tokens_8, [9] = few_tokens_9,
};

/* ---- Many tokens ---- */

/* The centroids + 128 of a tile whose rows have their own codebooks. */
static __m512i look_up_by_row(__m512i index, const int8_t *codebooks, int bits)
{
    uint8_t at[64];
    _mm512_storeu_si512(at, index);
    for (int i = 0; i < 64; i++)
        at[i] = (uint8_t)(codebooks[((i / 4) << bits) + (at[i] & ((1 << bits) - 1))] + 128);
    return _mm512_loadu_si512(at);
}

/* Columns [begin, end) of n_tiles row tiles into scratch.w; bits is a constant. */
CT_INLINE void decode_tiles(const struct ct_linear *a, const struct ct_lookup_avx512 *lookup,
                            int64_t tile, int n_tiles, int64_t begin, int64_t end, const int bits)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const int tile_bytes = 8 * (bits == CT_LINEAR8 ? 8 : bits);
    const struct ct_unpack_avx512 unpack = ct_unpack_init_avx512(bits);
    for (int i = 0; i < n_tiles; i++) {
        const uint8_t *p = a->index + ((tile + i) * n_tiles_k + begin / CT_TILE_COLS) * tile_bytes;
        uint8_t *out = scratch.w + 64 * i;
        for (int64_t j = begin; j < end; j += CT_TILE_COLS, p += tile_bytes, out += 64 * n_tiles) {
            _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
            __m512i w = ct_unpack_tile_avx512(&unpack, p, bits);
            if (a->n_codebooks > 1)
                w = look_up_by_row(w, a->codebook_i8 + (((tile + i) * CT_TILE_ROWS) << a->bits),
                                   a->bits);
            else
                w = ct_lookup_tile_avx512(lookup, w, bits);
            _mm512_store_si512(out, w);
        }
    }
}

typedef void decode_fn(const struct ct_linear *a, const struct ct_lookup_avx512 *lookup,
                       int64_t tile, int n_tiles, int64_t begin, int64_t end);
#define DECODE(bits)                                                                               \
    static void decode_tiles_##bits(const struct ct_linear *a,                                     \
                                    const struct ct_lookup_avx512 *lookup, int64_t tile,           \
                                    int n_tiles, int64_t begin, int64_t end)                       \
    {                                                                                              \
        decode_tiles(a, lookup, tile, n_tiles, begin, end, bits);                                  \
    }
DECODE(2)
DECODE(3)
DECODE(4)
DECODE(5)
DECODE(6)
DECODE(7)
DECODE(8)
DECODE(9)
static decode_fn *const decoders[] = {
    [2] = decode_tiles_2, [3] = decode_tiles_3, [4] = decode_tiles_4, [5] = decode_tiles_5,
    [6] = decode_tiles_6, [7] = decode_tiles_7, [8] = decode_tiles_8, [9] = decode_tiles_9,
};

/* Columns [begin, end) of tokens [t0, ...), decoded for row tiles [tile, ...). */
struct pass {
    int64_t t0, tile, begin, end;
};

/* The pass's columns, a group of activations at a time, for M tokens from t0 + first on and N row
 * tiles; M and N are constants. */
CT_INLINE void multiply_set(const struct ct_linear *a, const struct pass *pass, int64_t first,
                            const int M, const int N)
{
    const uint8_t *w = scratch.w;
    const int8_t *x = a->x_i8.q + (pass->t0 + first) * a->x_i8.ldq;
    int64_t group = pass->begin / a->group;
    for (int64_t begin = pass->begin, end; begin < pass->end; begin = end) {
        end = min_i64(begin + CT_X_GROUP, pass->end);
        __m512i dot[MR][PAIR];
#pragma GCC unroll 12
        for (int t = 0; t < M; t++)
            dot[t][0] = dot[t][1] = _mm512_setzero_si512();
        for (int64_t j = begin; j < end; j += CT_TILE_COLS, w += 64 * N) {
            __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + 64 * (N - 1));
#pragma GCC unroll 12
            for (int t = 0; t < M; t++) {
                __m512i four = broadcast_i32(x + t * a->x_i8.ldq + j);
                dot[t][0] = _mm512_dpbusd_epi32(dot[t][0], w0, four);
                if (N == PAIR)
                    dot[t][N - 1] = _mm512_dpbusd_epi32(dot[t][N - 1], w1, four);
            }
        }
        const bool is_group_end = end == a->k || end == (group + 1) * a->group;
#pragma GCC unroll 12
        for (int t = 0; t < M; t++)
#pragma GCC unroll 2
            for (int i = 0; i < N; i++) {
                __m512 *part = &scratch.part[first + t][i], *acc = &scratch.acc[first + t][i];
                *part = end_x_group(a, begin, pass->t0 + first + t, dot[t][i], *part);
                if (!is_group_end)
                    continue;
                *acc = end_group(a, pass->tile + i, group, pass->t0 + first + t, *part, *acc);
                *part = _mm512_setzero_ps();
            }
        group += is_group_end;
    }
}

CT_INLINE void multiply_sets(const struct ct_linear *a, const struct pass *pass, int64_t n_tokens,
                             const int N)
{
    int64_t t = 0;
    for (; t + MR <= n_tokens; t += MR)
        multiply_set(a, pass, t, MR, N);
    for (; t + 4 <= n_tokens; t += 4)
        multiply_set(a, pass, t, 4, N);
    for (; t < n_tokens; t++)
        multiply_set(a, pass, t, 1, N);
}

static void many_tokens(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end, int bits)
{
    struct ct_lookup_avx512 lookup;
    if (bits != CT_LINEAR8 && a->n_codebooks == 1)
        lookup_init(a, &lookup);
    for (int64_t t0 = 0; t0 < a->m; t0 += TOKENS_MAX) {
        const int64_t n_tokens = min_i64(a->m - t0, TOKENS_MAX);
        for (int64_t tile = tile_begin; tile < tile_end; tile += PAIR) {
            const int n_tiles = (int)min_i64(tile_end - tile, PAIR);
            for (int64_t t = 0; t < n_tokens; t++)
                for (int i = 0; i < PAIR; i++)
                    scratch.part[t][i] = scratch.acc[t][i] = _mm512_setzero_ps();
            for (int64_t begin = 0; begin < a->k; begin += KC) {
                struct pass pass = {t0, tile, begin, min_i64(begin + KC, a->k)};
                decoders[bits](a, &lookup, tile, n_tiles, begin, pass.end);
                if (n_tiles == PAIR)
                    multiply_sets(a, &pass, n_tokens, PAIR);
                else
                    multiply_sets(a, &pass, n_tokens, 1);
            }
            for (int64_t t = 0; t < n_tokens; t++)
                for (int i = 0; i < n_tiles; i++)
                    ct_store_rows_avx512(a, tile + i, t0 + t, scratch.acc[t][i]);
        }
    }
}

static bool is_linear8(const struct ct_linear *a)
{
    for (int i = 0; i < 256; i++)
        if (a->codebook_i8[i] != i - 128)
            return false;
    return true;
}

void ct_linear_i8_avx512(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    if (tile_begin >= tile_end || a->m == 0)
        return;
    int bits = a->bits;
    if (bits == 8 && a->n_codebooks == 1 && is_linear8(a))
        bits = CT_LINEAR8;
    if (a->m <= FEW && a->n_codebooks == 1)
        few[bits](a, tile_begin, tile_end);
    else
        many_tokens(a, tile_begin, tile_end, bits);
}
