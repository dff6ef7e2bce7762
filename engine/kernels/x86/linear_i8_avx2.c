/* Clustered matrix times int8 activations with AVX2.
 *
 * Few tokens (generation): a tile is decoded in registers and used at once, so that the packed
 * index is all that memory delivers. Rows lie across the dword lanes; maddubs and madd by ones
 * multiply four columns, exactly: |w x| <= 127 * 127, two of which fit 16 bits. maddubs wants one
 * operand unsigned:
 *
 *     symmetric codebook  maddubs(|w|, w < 0 ? -x : x)    half the table look-ups: the fast path
 *     any other           maddubs(|x|, sign(w, x))
 *     8 bits              maddubs(|w|, sign(x, w))        kept Q8_0 blocks have -128, x has not
 *
 * A codebook of fewer bits with -128, or x with it, takes the path of many tokens.
 *
 * Many tokens (prompts, batches): a tile is decoded once and multiplied with MR tokens x 16 rows in
 * registers. How wide the decoded weights are depends on the codebook:
 *
 *     narrow, all in -63..63   int8; maddubs(x + 128, w): 255 * 63 * 2 fits 16 bits. The sums begin
 *                              with -128 times the sum of w, which decoding computes
 *     any other                int16 pairs, madd(x, w): one instruction for 16 products, not 32
 *
 *     narrow, 32 columns:   8 times |rows 0-7: c0 c1 c2 c3|rows 8-15: c0 c1 c2 c3|
 *     others, 32 columns:   8 times |rows 0-7: c0 c2|rows 8-15: c0 c2|
 *                           8 times |rows 0-7: c1 c3|rows 8-15: c1 c3|
 *
 * Integer sums are exact in any order and the float tail is fixed by kernels.h, so both give the
 * same bits. Scratch is per thread. */
#include "engine/kernels/x86/tile_avx2.h"

enum {
    FEW = 4,             /* tokens that the first path takes at once */
    FEW_WIDE = 2 * FEW,  /* the most that take it in turns where the second path is wide */
    KC = 4096,           /* columns in scratch at once: a multiple of 128 */
    MR = 6,              /* tokens in registers in the second path */
    X_BYTES = 256 << 10, /* activations in the second path, in L2 beside the decoded tile */
    TOKENS_MAX = 126,    /* of them at once: a multiple of MR */
    NARROW = 63,         /* the largest magnitude in a narrow codebook */
};

static _Thread_local struct {
    int8_t x_other[FEW][KC]; /* |x|, or -x for a symmetric codebook */
    uint8_t w[2 * KC * CT_TILE_ROWS];
    uint8_t x[X_BYTES];
    int32_t start[KC / CT_X_GROUP][CT_TILE_ROWS]; /* narrow: what the sums begin with */
    float scale[KC / 32][CT_TILE_ROWS];
    float offset[KC / 32][CT_TILE_ROWS];
    float x_scale[KC / CT_X_GROUP][TOKENS_MAX];
    __m256 part[TOKENS_MAX][2];
    __m256 acc[TOKENS_MAX][2];
} scratch __attribute__((aligned(64)));

CT_INLINE int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

CT_INLINE __m256i broadcast_i32(const void *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

/* sum += x in sum's own register: left to itself gcc 12 moves sums around once a round. */
CT_INLINE void add_in_place(__m256i *sum, __m256i x)
{
    __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(x));
}

/* ---- Few tokens ---- */

/* The token that stands for token t of M: the last one for those missing. */
CT_INLINE int64_t token_of(const struct ct_linear *a, int t)
{
    return min_i64(t, a->m - 1);
}

/* Columns [begin, end) of M tokens, absolute or negated, into scratch; q is zero from k to k padded
 * to 64. */
CT_INLINE void load_few(const struct ct_linear *a, int64_t begin, int64_t end, int M,
                        bool is_symmetric)
{
    for (int t = 0; t < M; t++) {
        const int8_t *q = a->x_i8.q + token_of(a, t) * a->x_i8.ldq + begin;
        for (int64_t j = 0; j < end - begin; j += 32) {
            __m256i x = ct_load_avx2(q + j);
            __m256i other =
                is_symmetric ? _mm256_sub_epi8(_mm256_setzero_si256(), x) : _mm256_abs_epi8(x);
            _mm256_store_si256((__m256i *)(scratch.x_other[t] + j), other);
        }
    }
}

/* The centroids of half a tile: as they are, or their magnitudes and, in the highest bits of
 * `sign`, which are negative. */
struct half {
    __m256i w, sign;
};

CT_INLINE struct half load_half(const struct ct_lookup_avx2 *lookup, const uint8_t *p, int half,
                                int bits, bool is_symmetric)
{
    struct ct_index_avx2 index = ct_load_index_avx2(p, half, bits);
    if (!is_symmetric)
        return (struct half){ct_lookup_half_avx2(lookup, index, bits), _mm256_setzero_si256()};
    return (struct half){ct_lookup_magnitude_avx2(lookup, index, bits),
                         ct_index_sign_avx2(index, bits)};
}

/* dot += the products of 8 rows x 4 columns. */
CT_INLINE void add_half(__m256i *dot, struct half half, __m256i x, __m256i x_other, int bits,
                        bool is_symmetric)
{
    __m256i pairs =
        is_symmetric ? _mm256_maddubs_epi16(half.w, _mm256_blendv_epi8(x, x_other, half.sign))
        : bits < 8   ? _mm256_maddubs_epi16(x_other, _mm256_sign_epi8(half.w, x))
                     : _mm256_maddubs_epi16(_mm256_abs_epi8(half.w), _mm256_sign_epi8(x, half.w));
    add_in_place(dot, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* acc of 16 rows x M tokens after a group of weights, whose groups of activations are [begin, end).
 */
CT_INLINE void end_group_few(const struct ct_linear *a, int64_t place, int64_t begin, int64_t end,
                             __m256 part[][2], __m256 acc[][2], int M)
{
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m256 scale = a->scale ? v_f16(a->scale + place + 8 * h) : _mm256_set1_ps(1);
#pragma GCC unroll 4
        for (int t = 0; t < M; t++)
            acc[t][h] = _mm256_fmadd_ps(part[t][h], scale, acc[t][h]);
    }
    if (a->offset == NULL)
        return;
    __m256 offset[] = {v_f16(a->offset + place), v_f16(a->offset + place + 8)};
#pragma GCC unroll 4
    for (int t = 0; t < M; t++) {
        __m256 sum = _mm256_set1_ps(ct_rows_i8_sum(&a->x_i8, token_of(a, t), begin, end));
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++)
            acc[t][h] = _mm256_fmadd_ps(sum, offset[h], acc[t][h]);
    }
}

/* All tokens, M of them or fewer (the last stands in for those missing); bits, M and is_symmetric
 * are constants. */
CT_INLINE void few_tokens(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end,
                          const int bits, const int M, const bool is_symmetric)
{
    const int tile_bytes = 8 * (bits == CT_LINEAR8 ? 8 : bits);
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    int64_t chunk = -1;
    struct ct_lookup_avx2 lookup;
    if (bits != CT_LINEAR8)
        ct_lookup_init_avx2(&lookup, a->codebook_i8, bits);
    const int8_t *x[FEW];
    const float *x_scale[FEW];
#pragma GCC unroll 4
    for (int t = 0; t < M; t++) {
        x[t] = a->x_i8.q + token_of(a, t) * a->x_i8.ldq;
        x_scale[t] = a->x_i8.scale + token_of(a, t) * a->x_i8.n_groups;
    }

    const uint8_t *p = a->index + tile_begin * n_tiles_k * tile_bytes;
    for (int64_t tile = tile_begin; tile < tile_end; tile++) {
        __m256 acc[FEW][2];
#pragma GCC unroll 4
        for (int t = 0; t < M; t++)
            acc[t][0] = acc[t][1] = _mm256_setzero_ps();
        for (int64_t group = 0; group < n_groups; group++) {
            const int64_t group_begin = group * a->group;
            const int64_t group_end = min_i64(group_begin + a->group, a->k);
            const int64_t place = (tile * n_groups + group) * CT_TILE_ROWS;
            if (a->scale != NULL)
                _mm_prefetch((const char *)(a->scale + place) + CT_PREFETCH_BYTES / 8, _MM_HINT_T0);
            __m256 part[FEW][2];
#pragma GCC unroll 4
            for (int t = 0; t < M; t++)
                part[t][0] = part[t][1] = _mm256_setzero_ps();
            for (int64_t begin = group_begin; begin < group_end; begin += CT_X_GROUP) {
                if (chunk != begin / KC) {
                    chunk = begin / KC;
                    load_few(a, chunk * KC, min_i64((chunk + 1) * KC, a->k), M, is_symmetric);
                }
                const int8_t *x_other = scratch.x_other[0] - chunk * KC;
                const int64_t end = min_i64(begin + CT_X_GROUP, group_end);
                __m256i dot[FEW][2];
#pragma GCC unroll 4
                for (int t = 0; t < M; t++)
                    dot[t][0] = dot[t][1] = _mm256_setzero_si256();
                for (int64_t j = begin; j < end; j += CT_TILE_COLS, p += tile_bytes) {
                    _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
                    struct half low = load_half(&lookup, p, 0, bits, is_symmetric);
                    struct half high = load_half(&lookup, p, 1, bits, is_symmetric);
#pragma GCC unroll 4
                    for (int t = 0; t < M; t++) {
                        __m256i four = broadcast_i32(x[t] + j);
                        __m256i other = broadcast_i32(x_other + t * KC + j);
                        add_half(&dot[t][0], low, four, other, bits, is_symmetric);
                        add_half(&dot[t][1], high, four, other, bits, is_symmetric);
                    }
                }
#pragma GCC unroll 4
                for (int t = 0; t < M; t++) {
                    __m256 scale = _mm256_broadcast_ss(x_scale[t] + begin / CT_X_GROUP);
#pragma GCC unroll 2
                    for (int h = 0; h < 2; h++)
                        part[t][h] =
                            _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[t][h]), scale, part[t][h]);
                }
            }
            end_group_few(a, place, group_begin / CT_X_GROUP,
                          (group_end + CT_X_GROUP - 1) / CT_X_GROUP, part, acc, M);
        }
#pragma GCC unroll 4
        for (int t = 0; t < M; t++)
            if (t < a->m)
                ct_store_rows_avx2(a, tile, t, acc[t]);
    }
}

/* ---- Many tokens ---- */

/* A half tile of weights as int16 pairs: columns 0 and 2, and 8 registers on columns 1 and 3. */
CT_INLINE void store_pairs(__m256i w, uint8_t *out)
{
    _mm256_store_si256((__m256i *)out, _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
    _mm256_store_si256((__m256i *)(out + 8 * 64), _mm256_srai_epi16(w, 8));
}

/* The centroids of a half tile whose rows have their own codebooks. */
CT_INLINE __m256i look_up_by_row(__m256i index, const int8_t *codebooks, int bits)
{
    uint8_t at[32];
    _mm256_storeu_si256((__m256i *)at, index);
    for (int i = 0; i < 32; i++)
        at[i] = (uint8_t)codebooks[((i / 4) << bits) + at[i]];
    return ct_load_avx2(at);
}

/* Columns [begin, end) of a tile into scratch.w, zeros up to a multiple of 32. */
CT_INLINE void decode_tile(const struct ct_linear *a, const struct ct_lookup_avx2 *lookup,
                           int64_t tile, int64_t begin, int64_t end, const int bits,
                           const bool is_narrow)
{
    const int64_t n_tiles_k = (a->k + CT_TILE_COLS - 1) / CT_TILE_COLS;
    const int tile_bytes = 8 * (bits == CT_LINEAR8 ? 8 : bits);
    const __m256i minus_128 = _mm256_set1_epi16(-128);
    const uint8_t *p = a->index + (tile * n_tiles_k + begin / CT_TILE_COLS) * tile_bytes;
    uint8_t *out = scratch.w;
    int32_t(*start)[CT_TILE_ROWS] = scratch.start;
    for (int64_t j = begin; j < end; start++) {
        __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int tile_k = 0; tile_k < 8; tile_k++, j += CT_TILE_COLS, p += tile_bytes, out += 64) {
            if (j >= end) {
                memset(out, 0, 64);
                if (!is_narrow)
                    memset(out + 8 * 64, 0, 64);
                continue;
            }
            _mm_prefetch((const char *)p + CT_PREFETCH_BYTES, _MM_HINT_T0);
            for (int h = 0; h < 2; h++) {
                struct ct_index_avx2 index = ct_load_index_avx2(p, h, bits);
                __m256i w;
                if (!is_narrow && a->n_codebooks > 1)
                    w = look_up_by_row(ct_join_index_avx2(index, bits),
                                       a->codebook_i8 + ((tile * CT_TILE_ROWS + 8 * h) << a->bits),
                                       a->bits);
                else
                    w = ct_lookup_half_avx2(lookup, index, bits);
                if (!is_narrow) {
                    store_pairs(w, out + 32 * h);
                    continue;
                }
                _mm256_store_si256((__m256i *)(out + 32 * h), w);
                __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), w);
                sum[h] = _mm256_add_epi32(sum[h], _mm256_madd_epi16(pairs, minus_128));
            }
        }
        if (!is_narrow) {
            out += 8 * 64;
            continue;
        }
        for (int h = 0; h < 2; h++)
            _mm256_store_si256((__m256i *)(*start + 8 * h), sum[h]);
    }
}

typedef void decode_fn(const struct ct_linear *a, const struct ct_lookup_avx2 *lookup, int64_t tile,
                       int64_t begin, int64_t end);
#define DECODE(name, bits, is_narrow)                                                              \
    static void name(const struct ct_linear *a, const struct ct_lookup_avx2 *lookup, int64_t tile, \
                     int64_t begin, int64_t end)                                                   \
    {                                                                                              \
        decode_tile(a, lookup, tile, begin, end, bits, is_narrow);                                 \
    }
DECODE(decode_2, 2, false)
DECODE(decode_3, 3, false)
DECODE(decode_4, 4, false)
DECODE(decode_5, 5, false)
DECODE(decode_6, 6, false)
DECODE(decode_7, 7, false)
DECODE(decode_8, 8, false)
DECODE(decode_9, 9, false)
DECODE(decode_narrow_2, 2, true)
DECODE(decode_narrow_3, 3, true)
DECODE(decode_narrow_4, 4, true)
DECODE(decode_narrow_5, 5, true)
DECODE(decode_narrow_6, 6, true)
DECODE(decode_narrow_7, 7, true)
DECODE(decode_narrow_8, 8, true)
static decode_fn *const decoders[][10] = {
    {NULL, NULL, decode_2, decode_3, decode_4, decode_5, decode_6, decode_7, decode_8, decode_9},
    {NULL, NULL, decode_narrow_2, decode_narrow_3, decode_narrow_4, decode_narrow_5,
     decode_narrow_6, decode_narrow_7, decode_narrow_8, NULL},
};

/* The tokens of one pass, split into sets of MR or fewer, as even as can be. */
struct pass {
    int64_t t0, n_tokens, n_sets;
    int64_t begin, end; /* columns in scratch */
    bool is_narrow;
};

static int64_t set_begin(const struct pass *pass, int64_t set)
{
    return pass->n_tokens * set / pass->n_sets;
}

/* Activations plus 128 as bytes, in order, or as int16 pairs: for each set, [n columns / 32][tokens
 * of the set][c0 c2 x 8, c1 c3 x 8]; and their scales. */
static void load_many(const struct ct_linear *a, const struct pass *pass)
{
    uint8_t *out = scratch.x;
    for (int64_t set = 0; set < pass->n_sets; set++) {
        int64_t t_begin = pass->t0 + set_begin(pass, set),
                t_end = pass->t0 + set_begin(pass, set + 1);
        for (int64_t j = pass->begin; j < pass->end; j += 32) {
            for (int64_t t = t_begin; t < t_end; t++) {
                __m256i x = ct_load_avx2(a->x_i8.q + t * a->x_i8.ldq + j);
                if (pass->is_narrow) {
                    x = _mm256_xor_si256(x, _mm256_set1_epi8(-128));
                    _mm256_store_si256((__m256i *)out, x);
                    out += 32;
                    continue;
                }
                __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
                _mm256_store_si256((__m256i *)out, even);
                _mm256_store_si256((__m256i *)(out + 32), _mm256_srai_epi16(x, 8));
                out += 64;
            }
        }
    }
    for (int64_t j = pass->begin; j < pass->end; j += CT_X_GROUP)
        for (int64_t t = 0; t < pass->n_tokens; t++)
            scratch.x_scale[(j - pass->begin) / CT_X_GROUP][t] =
                a->x_i8.scale[(pass->t0 + t) * a->x_i8.n_groups + j / CT_X_GROUP];
}

/* w's products with the activations of a dword, which x has in every lane. */
CT_INLINE __m256i multiply_wide(const void *w, __m256i x)
{
    return _mm256_madd_epi16(_mm256_load_si256(w), x);
}

CT_INLINE __m256i multiply_narrow(const void *w, __m256i x)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(x, _mm256_load_si256(w)), _mm256_set1_epi16(1));
}

/* The same with w read from memory, where no register is left for it. */
CT_INLINE __m256i multiply_narrow_in_memory(const void *w, __m256i x)
{
    __m256i pairs;
    __asm__("vpmaddubsw %2, %1, %0" : "=x"(pairs) : "x"(x), "m"(*(const __m256i *)w));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* acc of M tokens after group `group` of weights that have offsets. */
__attribute__((noinline)) static void add_offsets(const struct ct_linear *a,
                                                  const struct pass *pass, int64_t group,
                                                  int64_t first, int n_tokens)
{
    const float *offset = scratch.offset[group - pass->begin / a->group];
    const int64_t end = (min_i64((group + 1) * a->group, a->k) + CT_X_GROUP - 1) / CT_X_GROUP;
    for (int64_t t = first; t < first + n_tokens; t++) {
        __m256 sum = _mm256_set1_ps(
            ct_rows_i8_sum(&a->x_i8, pass->t0 + t, group * a->group / CT_X_GROUP, end));
        for (int h = 0; h < 2; h++)
            scratch.acc[t][h] =
                _mm256_fmadd_ps(sum, _mm256_loadu_ps(offset + 8 * h), scratch.acc[t][h]);
    }
}

/* The columns in scratch times M tokens, `first` and those that follow, into part and acc. With MR
 * tokens the sums, the weights, a broadcast and a product (and the ones that narrow products are
 * summed with) fill the registers exactly, which compilers only manage in a function of its own that
 * finishes a token before it begins the next one. */
CT_INLINE void multiply_set(const struct ct_linear *a, const struct pass *pass, int64_t first,
                            const int M, const bool is_narrow)
{
    const int n_steps = is_narrow ? CT_X_GROUP / 4 : CT_X_GROUP / 2; /* of 4 bytes of x */
    const uint8_t *x =
        scratch.x + 4 * n_steps * first * ((pass->end - pass->begin + CT_X_GROUP - 1) / CT_X_GROUP);
    const uint8_t *w = scratch.w;
    const int32_t *start = scratch.start[0];
    const float *scale = scratch.scale[0], *x_scale = scratch.x_scale[0] + first;
    __m256(*part)[2] = scratch.part + first, (*acc)[2] = scratch.acc + first;
    int64_t group = pass->begin / a->group;
    for (int64_t j = pass->begin; j < pass->end;) {
        __m256i dot[MR][2];
#pragma GCC unroll 8
        for (int t = 0; t < M; t++)
            for (int h = 0; h < 2; h++)
                dot[t][h] = is_narrow ? _mm256_load_si256((const __m256i *)(start + 8 * h))
                                      : _mm256_setzero_si256();
#pragma GCC unroll 16
        for (int step = 0; step < n_steps; step++, w += 64, x += 4) {
#pragma GCC unroll 8
            for (int t = 0; t < M; t++) {
                __m256i four = broadcast_i32(x + 4 * n_steps * t);
                if (is_narrow) {
                    add_in_place(&dot[t][0], multiply_narrow(w, four));
                    add_in_place(&dot[t][1], multiply_narrow_in_memory(w + 32, four));
                } else {
                    add_in_place(&dot[t][0], multiply_wide(w, four));
                    add_in_place(&dot[t][1], multiply_wide(w + 32, four));
                }
            }
        }
        const bool is_first = j == group * a->group;
        j += CT_X_GROUP;
        const bool is_last = j >= a->k || j == (group + 1) * a->group;
#pragma GCC unroll 8
        for (int t = 0; t < M; t++) {
            const __m256 one_scale = _mm256_broadcast_ss(x_scale + t);
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                __m256 sum = _mm256_cvtepi32_ps(dot[t][h]);
                sum = is_first ? _mm256_mul_ps(sum, one_scale)
                               : _mm256_fmadd_ps(sum, one_scale, part[t][h]);
                if (is_last)
                    acc[t][h] = _mm256_fmadd_ps(sum, _mm256_load_ps(scale + 8 * h), acc[t][h]);
                else
                    part[t][h] = sum;
            }
        }
        x += 4 * n_steps * (M - 1);
        start += CT_TILE_ROWS;
        x_scale += TOKENS_MAX;
        if (!is_last)
            continue;
        if (a->offset != NULL)
            add_offsets(a, pass, group, first, M);
        group++;
        scale += CT_TILE_ROWS;
    }
}
typedef void multiply_fn(const struct ct_linear *a, const struct pass *pass, int64_t first);
#define MULTIPLY(name, M, is_narrow)                                                               \
    static void name(const struct ct_linear *a, const struct pass *pass, int64_t first)            \
    {                                                                                              \
        multiply_set(a, pass, first, M, is_narrow);                                                \
    }
MULTIPLY(multiply_1, 1, false)
MULTIPLY(multiply_2, 2, false)
MULTIPLY(multiply_3, 3, false)
MULTIPLY(multiply_4, 4, false)
MULTIPLY(multiply_5, 5, false)
MULTIPLY(multiply_6, 6, false)
MULTIPLY(multiply_narrow_1, 1, true)
MULTIPLY(multiply_narrow_2, 2, true)
MULTIPLY(multiply_narrow_3, 3, true)
MULTIPLY(multiply_narrow_4, 4, true)
MULTIPLY(multiply_narrow_5, 5, true)
MULTIPLY(multiply_narrow_6, 6, true)
static multiply_fn *const multipliers[][MR + 1] = {
    {NULL, multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6},
    {NULL, multiply_narrow_1, multiply_narrow_2, multiply_narrow_3, multiply_narrow_4,
     multiply_narrow_5, multiply_narrow_6},
};

/* The scales and offsets of the groups that touch columns [begin, end) of a tile, as floats. */
static void load_scales(const struct ct_linear *a, int64_t tile, int64_t begin, int64_t end)
{
    const int64_t n_groups = (a->k + a->group - 1) / a->group;
    int64_t first = begin / a->group;
    for (int64_t group = first; group * a->group < end; group++) {
        int64_t place = (tile * n_groups + group) * CT_TILE_ROWS;
        for (int h = 0; h < 16; h += 8) {
            __m256 scale = a->scale ? v_f16(a->scale + place + h) : _mm256_set1_ps(1);
            _mm256_storeu_ps(scratch.scale[group - first] + h, scale);
            if (a->offset != NULL)
                _mm256_storeu_ps(scratch.offset[group - first] + h, v_f16(a->offset + place + h));
        }
    }
}

static void many_tokens(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end, int bits,
                        bool is_narrow)
{
    struct ct_lookup_avx2 lookup;
    if (bits != CT_LINEAR8)
        ct_lookup_init_avx2(&lookup, a->codebook_i8, bits);
    const int64_t width = min_i64((a->k + 32) & ~(int64_t)31, KC); /* at least 32 */
    const int64_t most = min_i64(X_BYTES / (is_narrow ? 1 : 2) / width / MR * MR, TOKENS_MAX);
    for (int64_t t0 = 0, n; t0 < a->m; t0 += n) {
        n = min_i64(a->m - t0, most);
        struct pass pass = {.t0 = t0,
                            .n_tokens = n,
                            .n_sets = (n + MR - 1) / MR,
                            .begin = -1,
                            .is_narrow = is_narrow};
        for (int64_t tile = tile_begin; tile < tile_end; tile++) {
            for (int64_t t = 0; t < n; t++)
                for (int h = 0; h < 2; h++)
                    scratch.acc[t][h] = _mm256_setzero_ps();
            for (int64_t begin = 0; begin < a->k; begin += KC) {
                if (pass.begin != begin) {
                    pass.begin = begin;
                    pass.end = min_i64(begin + KC, a->k);
                    load_many(a, &pass);
                }
                load_scales(a, tile, begin, pass.end);
                decoders[is_narrow][bits](a, &lookup, tile, begin, pass.end);
                for (int64_t set = 0; set < pass.n_sets; set++) {
                    const int64_t first = set_begin(&pass, set), end = set_begin(&pass, set + 1);
                    for (int64_t t = first; t < end; t++) /* where their results go */
                        _mm_prefetch((const char *)(a->y + (t0 + t) * a->ldy + tile * CT_TILE_ROWS),
                                     _MM_HINT_T0);
                    multipliers[is_narrow][end - first](a, &pass, first);
                }
            }
            for (int64_t t = 0; t < n; t++)
                ct_store_rows_avx2(a, tile, t0 + t, scratch.acc[t]);
        }
    }
}

/* ---- The choice ---- */

#define FEW_TOKENS(name, bits, is_symmetric)                                                       \
    static void name(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)              \
    {                                                                                              \
        if (a->m == 1)                                                                             \
            few_tokens(a, tile_begin, tile_end, bits, 1, is_symmetric);                            \
        else if (a->m == 2)                                                                        \
            few_tokens(a, tile_begin, tile_end, bits, 2, is_symmetric);                            \
        else                                                                                       \
            few_tokens(a, tile_begin, tile_end, bits, FEW, is_symmetric);                          \
    }
FEW_TOKENS(few_tokens_2, 2, false)
FEW_TOKENS(few_tokens_3, 3, false)
FEW_TOKENS(few_tokens_4, 4, false)
FEW_TOKENS(few_tokens_5, 5, false)
FEW_TOKENS(few_tokens_6, 6, false)
FEW_TOKENS(few_tokens_7, 7, false)
FEW_TOKENS(few_tokens_8, 8, false)
FEW_TOKENS(few_tokens_9, 9, false)
FEW_TOKENS(few_symmetric_5, 5, true)
FEW_TOKENS(few_symmetric_6, 6, true)
FEW_TOKENS(few_symmetric_7, 7, true)
FEW_TOKENS(few_symmetric_8, 8, true)
typedef void few_fn(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end);
static few_fn *const few[] = {
    [2] = few_tokens_2, [3] = few_tokens_3, [4] = few_tokens_4, [5] = few_tokens_5,
    [6] = few_tokens_6, [7] = few_tokens_7, [8] = few_tokens_8, [9] = few_tokens_9,
};
static few_fn *const few_symmetric[] = {
    [5] = few_symmetric_5,
    [6] = few_symmetric_6,
    [7] = few_symmetric_7,
    [8] = few_symmetric_8,
};

static bool is_linear8(const struct ct_linear *a)
{
    for (int i = 0; i < 256; i++)
        if (a->codebook_i8[i] != i - 128)
            return false;
    return true;
}

/* These two are asked for every product, so their loops have no exit and become vectors. */

/* Whether the index's highest bit is the sign: magnitudes, then their opposites. */
static bool is_symmetric(const struct ct_linear *a)
{
    const int8_t *codebook = a->codebook_i8;
    const int half = 1 << (a->bits - 1);
    uint8_t is_other = 0;
    for (int i = 0; i < half; i++)
        is_other |= (codebook[i] < 0) | (codebook[i + half] != (int8_t)-codebook[i]);
    return !is_other;
}

/* Whether no product of a centroid and an activation plus 128 needs more than 15 bits. */
static bool is_narrow(const struct ct_linear *a)
{
    const int8_t *codebook = a->codebook_i8;
    uint8_t is_wide = 0;
    for (int i = 0; i < 1 << a->bits; i++)
        is_wide |= (codebook[i] > NARROW) | (codebook[i] < -NARROW);
    return !is_wide;
}

/* FEW tokens at a time: up to FEW_WIDE that is faster than taking wide tiles through scratch. */
static void few_at_a_time(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end,
                          few_fn *run)
{
    struct ct_linear part = *a;
    for (int64_t t = 0; t < a->m; t += FEW) {
        part.m = min_i64(FEW, a->m - t);
        part.x_i8.q = a->x_i8.q + t * a->x_i8.ldq;
        part.x_i8.scale = a->x_i8.scale + t * a->x_i8.n_groups;
        part.x_i8.sum = a->x_i8.sum + t * a->x_i8.n_groups;
        part.y = a->y + t * a->ldy;
        if (a->token_scale != NULL)
            part.token_scale = a->token_scale + t;
        run(&part, tile_begin, tile_end);
    }
}

void ct_linear_i8_avx2(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    if (tile_begin >= tile_end || a->m == 0)
        return;
    int bits = a->bits;
    if (bits == 8 && a->n_codebooks == 1 && is_linear8(a))
        bits = CT_LINEAR8;
    const bool has_lowest =
        a->x_i8.has_lowest ||
        (bits < 8 && memchr(a->codebook_i8, INT8_MIN, (size_t)1 << bits) != NULL);
    const bool narrow = a->n_codebooks == 1 && is_narrow(a);
    if (a->k == 0 || a->n_codebooks > 1 || has_lowest || a->m > (narrow ? FEW : FEW_WIDE))
        many_tokens(a, tile_begin, tile_end, bits, narrow);
    else if (bits >= 5 && bits <= 8 && is_symmetric(a))
        few_at_a_time(a, tile_begin, tile_end, few_symmetric[bits]);
    else
        few_at_a_time(a, tile_begin, tile_end, few[bits]);
}
