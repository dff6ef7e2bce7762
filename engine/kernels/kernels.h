/* The kernels: pure functions on pointers, chosen once by what the processor has.
 *
 * kernels.def lists every kernel with its signature, and every variant of it. The scalar variant is the
 * specification. Callers go through `ct_kernels()`, whose members are the best variants this machine and
 * CENTROID_CPU (scalar | avx2 | avxvnni | avx512 | neon | i8mm) allow. Kernels return nothing: what can
 * fail was checked when the graph was planned. Any thread; they keep no state.
 *
 * Two rules that everything above rests on: integer kernels (and the float tail of linear_i8, whose order
 * and rounding are fixed) give the same bits in every variant; and a row's result never depends on which
 * other rows share the call. */
#ifndef CT_KERNELS_KERNELS_H
#define CT_KERNELS_KERNELS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Activations, quantised per token and CT_X_GROUP columns: x[t,j] ~ scale[t, j/32] * q[t,j]. Columns
 * from k to k padded are 0 in q. */
enum { CT_X_GROUP = 32 };
struct ct_rows_i8 {
    const int8_t *q;     /* [m, ldq], values -127..127, or, where has_lowest, -128 too */
    const float *scale;  /* [m, n_groups] */
    const int32_t *sum;  /* [m, n_groups]: the sum of each group's q */
    int64_t ldq;         /* k padded to 64 */
    int64_t n_groups;    /* ceil(k / CT_X_GROUP) */
    bool has_lowest;
};

/* The sum of token t's activations over their groups [begin, end), in the one order. */
static inline float ct_rows_i8_sum(const struct ct_rows_i8 *x, int64_t t, int64_t begin, int64_t end)
{
    float sum = 0;
    for (int64_t i = t * x->n_groups + begin; i < t * x->n_groups + end; i++)
        sum = fmaf((float)x->sum[i], x->scale[i], sum);
    return sum;
}

/* y[t, r] for the row tiles [tile_begin, tile_end) of a clustered W[n, k], all m tokens.
 *
 * linear_i8 computes, for r in the tile and group q of the weights from 0 up,
 *     part = 0; for the groups h of activations within q, in order:
 *         dot = sum over j in h of codebook_i8[index[r,j]] * x.q[t,j]          (int32, exact)
 *         part = fmaf((float)dot, x.scale[t,h], part)
 *     acc = fmaf(part, scale[r,q], acc)                                        (f32; acc starts at 0)
 *     acc = fmaf(ct_rows_i8_sum of the same h, offset[r,q], acc)               (only with an offset)
 * and stores y = acc, times token_scale[t] where there is one; or y + that where is_added; plus bias[r]
 * where there is one. The same bits in every variant.
 *
 * linear_f32 takes float activations and a float codebook:
 *     acc_q = sum over j in group of codebook_f32[index[r,j]] * x[t,j], acc += scale * acc_q + offset * sum x
 * in any order, within the bound of kernels.def.
 *
 * y's columns beyond n (n padded to 16 at most) are not written. index, scale and offset are laid out as
 * in engine/format/clustered.h, whole tensor pointers; at least 64 bytes after index are readable.
 */
struct ct_linear {
    int64_t n, k;
    int bits;
    int group; /* 32, 64, 128, or all of k */
    const uint8_t *index;
    const int8_t *codebook_i8;  /* [n_codebooks, 2^bits] */
    const float *codebook_f32;  /* [n_codebooks, 2^bits] */
    int64_t n_codebooks;        /* 1, or n padded to 16: one a row */
    const uint16_t *scale;      /* f16 [n_tiles, n_groups, 16] or NULL for 1 */
    const uint16_t *offset;     /* as scale, or NULL for 0 */
    int64_t m;                  /* tokens */
    struct ct_rows_i8 x_i8;
    const float *token_scale;   /* [m], or NULL; of linear_i8 alone */
    const float *x_f32;         /* [m, ldx], zeros from k to k padded to 64 */
    int64_t ldx;
    float *y;                   /* [m, ldy] */
    int64_t ldy;
    bool is_added;
    const float *bias;          /* [n], or NULL */
};

/* y[t, r] (+)= sum_j w[r, j] * x[t, j] (+ bias[r]) for rows [row_begin, row_end) of a dense W[n, k]. */
enum ct_dense_type { CT_DENSE_F32, CT_DENSE_F16, CT_DENSE_BF16 };
struct ct_dense {
    int64_t n, k;
    enum ct_dense_type type;
    const void *w; /* [n, k] */
    int64_t m;
    const float *x; /* [m, ldx] */
    int64_t ldx;
    float *y; /* [m, ldy] */
    int64_t ldy;
    bool is_added;
    const float *bias; /* [n], or NULL */
};

/* Attention of one query token over some of its keys, for one KV head and the n_rep query heads that share
 * it (grouped-query attention), with online softmax page by page in position order. Page p holds positions
 * [p * CT_KV_PAGE, (p + 1) * CT_KV_PAGE).
 *
 *   k page  f16 [D, CT_KV_PAGE]   (keys across, so that scores need no horizontal sum)
 *   v page  f16 [CT_KV_PAGE, D]
 *
 * or both in int8, each followed by its keys' or values' scales, f16 [CT_KV_PAGE].
 *
 * out[h, d] = sum_s softmax_s(scale * q[h] . k[s] + bias[s - h]) * v[s, d], s in [0, n_keys). The sum of
 * all weights is sum[h] * exp(peak[h]), with which results over other keys can be brought together.
 */
enum { CT_KV_PAGE = 64, CT_MAX_REP = 16 };
struct ct_attention {
    const float *q;               /* [n_rep, D] */
    int n_rep;                    /* 1..CT_MAX_REP */
    int head_dim;                 /* D, a multiple of 2, up to 1024 */
    int64_t n_keys;               /* >= 1 */
    bool is_i8;                   /* pages are int8 with scales */
    const void *const *k_pages;   /* [ceil(n_keys / CT_KV_PAGE)] -> this KV head's k page */
    const void *const *v_pages;
    float scale;
    const float *bias;            /* NULL, or for rows that follow each other: [-n_rep + 1, n_keys) */
    float *out;                   /* [n_rep, D] */
    float *peak, *sum;            /* [n_rep] */
    const void *ahead;            /* NULL, or the k page that will be read next: fetched meanwhile */
};

/* The scales of an int8 page. */
static inline const uint16_t *ct_kv_scales(const void *page, int head_dim)
{
    return (const uint16_t *)page + head_dim * CT_KV_PAGE / 2;
}

struct ct_kernel_table {
#define CT_KERNEL(name, parameters, bound) void(*name) parameters;
#define CT_VARIANT(name, set)
#include "engine/kernels/kernels.def"
#undef CT_KERNEL
#undef CT_VARIANT
};

/* The table for this machine; made once, on the first call, from any thread. */
const struct ct_kernel_table *ct_kernels(void);

/* Instruction sets, from the plainest up; a set is usable when the processor (and the system) has it.
 */
enum ct_isa {
    CT_ISA_scalar,
    CT_ISA_avx2,
    CT_ISA_avxvnni,
    CT_ISA_avx512,
    CT_ISA_neon,
    CT_ISA_i8mm,
    CT_N_ISA
};
const char *ct_isa_name(enum ct_isa isa);
bool ct_isa_is_usable(enum ct_isa isa);

/* The best usable set within CENTROID_CPU; an unknown or unusable value there falls back to the best below it
 * with a warning, once. */
enum ct_isa ct_isa_current(void);

/* The table with the variants of `isa` (and, where it has none, of the sets below it). For the checks
 * and the bench. */
void ct_kernels_for(enum ct_isa isa, struct ct_kernel_table *table);

/* Every variant, declared: ct_<name>_<set>. */
#define CT_KERNEL(name, parameters, bound) typedef void ct_##name##_fn parameters;
#define CT_VARIANT(name, set) ct_##name##_fn ct_##name##_##set;
#include "engine/kernels/kernels.def"
#undef CT_KERNEL
#undef CT_VARIANT

#endif
