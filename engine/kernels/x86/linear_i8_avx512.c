/* Clustered matrix times int8 activations with AVX-512 VBMI and VNNI.
 *
 * vpdpbusd multiplies unsigned by signed bytes: weights are looked up as centroid + 128, and each
 * group's dot product begins at -128 times the sum of its activations. Exact for every codebook.
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
    __m512 scale[KC / CT_X_GROUP][PAIR]; /* of the weights */
    int32_t start[KC / CT_X_GROUP][TOKENS_MAX];
    float x_scale[KC / CT_X_GROUP][TOKENS_MAX];
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

/* sum += the products of 16 rows x 4 columns, in sum's own register: left to itself gcc 12 copies it
 * around. Emulation has no such instruction. */
CT_INLINE void add_products(__m512i *sum, __m512i w, __m512i x)
{
#ifdef __AVX512VNNI__
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(x));
#else
    *sum = _mm512_dpbusd_epi32(*sum, w, x);
#endif
}

/* What a dot product begins with that takes the 128 back from all weights. */
CT_INLINE __m512i begin_dot(const int32_t *x_sum)
{
    return _mm512_sub_epi32(_mm512_setzero_si512(),
                            _mm512_slli_epi32(_mm512_set1_epi32(*x_sum), 7));
}

/* acc after group `group` of weights that have offsets, for token t. */
CT_INLINE __m512 add_offset(const struct ct_linear *a, int64_t tile, int64_t group, int64_t t,
                            __m512 acc)
{
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    const int64_t end = (min_i64((group + 1) * a->group, a->k) + CT_X_GROUP - 1) / CT_X_GROUP;
    const float sum = ct_rows_i8_sum(&a->x_i8, t, group * a->group / CT_X_GROUP, end);
    const uint16_t *offset = a->offset + (tile * n_groups + group) * CT_TILE_ROWS;
    return _mm512_fmadd_ps(_mm512_set1_ps(sum), v_f16(offset), acc);
}

/* The scales of a group of a row tile's weights. */
CT_INLINE __m512 scales_of(const struct ct_linear *a, int64_t tile, int64_t group)
{
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    return a->scale ? v_f16(a->scale + (tile * n_groups + group) * CT_TILE_ROWS)
                    : _mm512_set1_ps(1);
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
    const float *x_scale[FEW];
    const int32_t *x_sum[FEW];
#pragma GCC unroll 8
    for (int t = 0; t < M; t++) {
        x[t] = a->x_i8.q + min_i64(t, a->m - 1) * a->x_i8.ldq;
        x_scale[t] = a->x_i8.scale + min_i64(t, a->m - 1) * a->x_i8.n_groups;
        x_sum[t] = a->x_i8.sum + min_i64(t, a->m - 1) * a->x_i8.n_groups;
    }

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
                    dot[t] = begin_dot(x_sum[t] + begin / CT_X_GROUP);
                for (int64_t j = begin; j < end; j += CT_TILE_COLS, p += tile_bytes) {
                    _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
                    __m512i w = ct_unpack_tile_avx512(&unpack, p, bits);
                    w = ct_lookup_tile_avx512(&lookup, w, bits);
#pragma GCC unroll 8
                    for (int t = 0; t < M; t++)
                        add_products(&dot[t], w, broadcast_i32(x[t] + j));
                }
#pragma GCC unroll 8
                for (int t = 0; t < M; t++)
                    part[t] =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t]),
                                        _mm512_set1_ps(x_scale[t][begin / CT_X_GROUP]), part[t]);
            }
            const __m512 scale = scales_of(a, tile, group);
#pragma GCC unroll 8
            for (int t = 0; t < M; t++)
                acc[t] = _mm512_fmadd_ps(part[t], scale, acc[t]);
            if (a->offset == NULL)
                continue;
#pragma GCC unroll 8
            for (int t = 0; t < M; t++)
                acc[t] = add_offset(a, tile, group, min_i64(t, a->m - 1), acc[t]);
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

/* Columns [begin, end) of n_tokens tokens from t0 on, decoded for n_tiles row tiles from `tile` on. */
struct pass {
    int64_t t0, n_tokens, tile, begin, end;
    int n_tiles;
};

/* The pass's columns of its row tiles into scratch.w; bits is a constant. */
CT_INLINE void decode_tiles(const struct ct_linear *a, const struct ct_lookup_avx512 *lookup,
                            const struct pass *pass, const int bits)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const int tile_bytes = 8 * (bits == CT_LINEAR8 ? 8 : bits);
    const struct ct_unpack_avx512 unpack = ct_unpack_init_avx512(bits);
    for (int i = 0; i < pass->n_tiles; i++) {
        const int64_t tile = pass->tile + i;
        const uint8_t *p = a->index + (tile * n_tiles_k + pass->begin / CT_TILE_COLS) * tile_bytes;
        uint8_t *out = scratch.w + 64 * i;
        for (int64_t j = pass->begin; j < pass->end; j += CT_TILE_COLS) {
            _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
            __m512i w = ct_unpack_tile_avx512(&unpack, p, bits);
            if (a->n_codebooks > 1)
                w = look_up_by_row(w, a->codebook_i8 + ((tile * CT_TILE_ROWS) << a->bits), a->bits);
            else
                w = ct_lookup_tile_avx512(lookup, w, bits);
            _mm512_store_si512(out, w);
            p += tile_bytes;
            out += 64 * pass->n_tiles;
        }
    }
}

typedef void decode_fn(const struct ct_linear *a, const struct ct_lookup_avx512 *lookup,
                       const struct pass *pass);
#define DECODE(bits)                                                                               \
    static void decode_tiles_##bits(                                                               \
        const struct ct_linear *a, const struct ct_lookup_avx512 *lookup, const struct pass *pass) \
    {                                                                                              \
        decode_tiles(a, lookup, pass, bits);                                                       \
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

/* A group of activations of tokens that are in registers together, CT_X_GROUP columns or fewer at the
 * end; part is zero where a group of weights begins. */
struct set {
    const int8_t *x;
    int64_t ldx, n_columns;
    const int32_t *start;
    const float *x_scale;
    __m512 (*part)[PAIR], (*acc)[PAIR];
};

/* N row tiles x M tokens into part, and at the end of a group of weights, whose scales are given, into
 * acc. A function of its own, because with MR tokens the sums take 24 of the 32 registers. */
#define MULTIPLY(M, N)                                                                             \
    __attribute__((noinline)) static void multiply_##M##_##N(                                      \
        const uint8_t *w, const struct set *set, const __m512 *scale)                              \
    {                                                                                              \
        multiply(w, set, scale, M, N);                                                             \
    }
CT_INLINE void multiply(const uint8_t *w, const struct set *set, const __m512 *scale, const int M,
                        const int N)
{
    const struct set own = *set; /* which no store changes */
    __m512i dot[MR][PAIR];
#pragma GCC unroll 12
    for (int t = 0; t < M; t++)
        dot[t][0] = dot[t][1] = _mm512_set1_epi32(own.start[t]);
    const int8_t *third[MR / 3];
#pragma GCC unroll 4
    for (int i = 0; i < (M + 2) / 3; i++)
        third[i] = own.x + 3 * i * own.ldx;
    for (int64_t j = 0; j < own.n_columns; j += CT_TILE_COLS, w += 64 * N) {
        const __m512i low = _mm512_load_si512(w), high = _mm512_load_si512(w + 64 * (N - 1));
#pragma GCC unroll 12
        for (int t = 0; t < M; t++) {
            const __m512i four = broadcast_i32(third[t / 3] + t % 3 * own.ldx);
            add_products(&dot[t][0], low, four);
            if (N == PAIR)
                add_products(&dot[t][1], high, four);
        }
#pragma GCC unroll 4
        for (int i = 0; i < (M + 2) / 3; i++) {
            third[i] += CT_TILE_COLS;
            /* As if unknown, or gcc keeps a pointer for every token, most of them in memory. */
            __asm__("" : "+r"(third[i]));
        }
    }
#pragma GCC unroll 12
    for (int t = 0; t < M; t++)
#pragma GCC unroll 2
        for (int i = 0; i < N; i++) {
            __m512 *part = &own.part[t][i], *acc = &own.acc[t][i];
            __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t][i]),
                                         _mm512_set1_ps(own.x_scale[t]), *part);
            if (scale != NULL) {
                *acc = _mm512_fmadd_ps(sum, scale[i], *acc);
                sum = _mm512_setzero_ps();
            }
            *part = sum;
        }
}
MULTIPLY(1, 1)
MULTIPLY(2, 1)
MULTIPLY(4, 1)
MULTIPLY(8, 1)
MULTIPLY(12, 1)
MULTIPLY(1, 2)
MULTIPLY(2, 2)
MULTIPLY(4, 2)
MULTIPLY(8, 2)
MULTIPLY(12, 2)
typedef void multiply_fn(const uint8_t *w, const struct set *set, const __m512 *scale);

/* By tokens, most first, and row tiles less one. */
static const struct {
    int n_tokens;
    multiply_fn *run[PAIR];
} multipliers[] = {
    {12, {multiply_12_1, multiply_12_2}}, {8, {multiply_8_1, multiply_8_2}},
    {4, {multiply_4_1, multiply_4_2}},    {2, {multiply_2_1, multiply_2_2}},
    {1, {multiply_1_1, multiply_1_2}},
};

/* The pass's columns, a group of activations at a time, for n tokens from `first` on. */
static void multiply_set(const struct ct_linear *a, const struct pass *pass, int64_t first, int n,
                         multiply_fn *run)
{
    struct set set = {.ldx = a->x_i8.ldq, .part = scratch.part + first, .acc = scratch.acc + first};
    const uint8_t *w = scratch.w;
    const __m512 *scale = scratch.scale[0];
    int64_t group = pass->begin / a->group;
    for (int64_t j = pass->begin; j < pass->end; j += set.n_columns) {
        const int64_t x_group = (j - pass->begin) / CT_X_GROUP;
        set.x = a->x_i8.q + (pass->t0 + first) * a->x_i8.ldq + j;
        set.n_columns = min_i64(CT_X_GROUP, pass->end - j);
        set.start = scratch.start[x_group] + first;
        set.x_scale = scratch.x_scale[x_group] + first;
        const bool is_last =
            j + set.n_columns == a->k || j + set.n_columns == (group + 1) * a->group;
        run(w, &set, is_last ? scale : NULL);
        w += (set.n_columns + CT_TILE_COLS - 1) / CT_TILE_COLS * 64 * pass->n_tiles;
        if (!is_last)
            continue;
        for (int64_t t = first; a->offset != NULL && t < first + n; t++)
            for (int i = 0; i < pass->n_tiles; i++)
                scratch.acc[t][i] =
                    add_offset(a, pass->tile + i, group, pass->t0 + t, scratch.acc[t][i]);
        group++;
        scale += PAIR;
    }
}

/* What belongs to the pass's tokens: the start of every dot product, and the scale of what it adds to. */
static void load_tokens(const struct ct_linear *a, const struct pass *pass)
{
    const int64_t n_x_groups = a->x_i8.n_groups, first = pass->begin / CT_X_GROUP;
    for (int64_t t = 0; t < pass->n_tokens; t++)
        for (int64_t i = first; i * CT_X_GROUP < pass->end; i++) {
            const int64_t at = (pass->t0 + t) * n_x_groups + i;
            scratch.start[i - first][t] = -128 * a->x_i8.sum[at];
            scratch.x_scale[i - first][t] = a->x_i8.scale[at];
        }
}

/* The scales of the groups that touch the pass's columns, as floats. */
static void load_scales(const struct ct_linear *a, const struct pass *pass)
{
    const int64_t first = pass->begin / a->group;
    for (int64_t group = first; group * a->group < pass->end; group++)
        for (int i = 0; i < pass->n_tiles; i++)
            scratch.scale[group - first][i] = scales_of(a, pass->tile + i, group);
}

static void many_tokens(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end, int bits)
{
    struct ct_lookup_avx512 lookup;
    if (bits != CT_LINEAR8 && a->n_codebooks == 1)
        lookup_init(a, &lookup);
    for (int64_t t0 = 0; t0 < a->m; t0 += TOKENS_MAX) {
        struct pass pass = {.t0 = t0, .n_tokens = min_i64(a->m - t0, TOKENS_MAX), .begin = -1};
        for (pass.tile = tile_begin; pass.tile < tile_end; pass.tile += pass.n_tiles) {
            pass.n_tiles = (int)min_i64(tile_end - pass.tile, PAIR);
            for (int64_t t = 0; t < pass.n_tokens; t++)
                for (int i = 0; i < PAIR; i++)
                    scratch.part[t][i] = scratch.acc[t][i] = _mm512_setzero_ps();
            for (int64_t begin = 0; begin < a->k; begin += KC) {
                if (pass.begin != begin) {
                    pass.begin = begin;
                    pass.end = min_i64(begin + KC, a->k);
                    load_tokens(a, &pass);
                }
                load_scales(a, &pass);
                decoders[bits](a, &lookup, &pass);
                int64_t t = 0;
                for (size_t i = 0; i < sizeof multipliers / sizeof *multipliers; i++)
                    for (const int n = multipliers[i].n_tokens; t + n <= pass.n_tokens; t += n)
                        multiply_set(a, &pass, t, n, multipliers[i].run[pass.n_tiles - 1]);
            }
            for (int64_t t = 0; t < pass.n_tokens; t++)
                for (int i = 0; i < pass.n_tiles; i++)
                    ct_store_rows_avx512(a, pass.tile + i, t0 + t, scratch.acc[t][i]);
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
