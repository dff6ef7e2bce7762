/* Checks of the matrix kernels: clustered (linear_i8, linear_f32) and dense. */
#include "tests/kernels/check.h"

#include "engine/base/f16.h"
#include "engine/base/tile.h"
#include "tests/support/guard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 49};

/* Output columns beyond n, which must stay as they were. */
enum { Y_GAP = 3 };

static int64_t padded(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static uint16_t *random_f16(struct check *c, int64_t n)
{
    uint16_t *x = guard_take((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = ct_f16_from_f32(check_float(c, -0.1f, 0.1f));
    return x;
}

/* In low..high, often one of these. */
static int64_t centroid(struct check *c, int low, int high)
{
    const int64_t choice = check_int(c, 0, 9);
    return choice == 0 ? low : choice == 1 ? high : check_int(c, low, high);
}

/* The weights of a case: random indices, codebooks, scales; and y. */
static void make_weights(struct check *c, struct ct_linear *a, bool is_float, bool has_scale,
                         bool has_offset, bool is_by_row)
{
    int64_t tiles_n = (a->n + 15) / 16, tiles_k = (a->k + 3) / 4;
    int64_t n_groups = (a->k + a->group - 1) / a->group;
    size_t n_index = (size_t)(tiles_n * tiles_k * 8 * a->bits);
    uint8_t *index = guard_take(n_index + CT_CLUSTERED_SLACK);
    for (size_t i = 0; i < n_index + CT_CLUSTERED_SLACK; i++)
        index[i] = (uint8_t)ct_rng_next(&c->rng);
    a->index = index;
    a->n_codebooks = is_by_row ? 16 * tiles_n : 1;
    int64_t n_centroids = a->n_codebooks << a->bits;
    if (is_float) {
        a->codebook_f32 = check_floats(c, n_centroids);
    } else {
        int8_t *codebook = guard_take((size_t)n_centroids);
        const int kind = (int)check_int(c, 0, 2), half = 1 << (a->bits - 1);
        /* 63 is where AVX2's narrow codebooks end, and the first 64 is in none. */
        const int high = (int[]){62, 63, 64, 127}[check_int(c, 0, 3)];
        const int low = high == 127 && check_int(c, 0, 1) == 0 ? -128 : -high;
        for (int64_t i = 0; i < n_centroids; i++) {
            bool is_opposite = (i & half) != 0;
            codebook[i] = (int8_t)(kind == 0     ? i % (2 * half) - half
                                   : kind == 1   ? centroid(c, low, high)
                                   : is_opposite ? -codebook[i - half]
                                                 : centroid(c, 0, high));
        }
        a->codebook_i8 = codebook;
    }
    a->scale = has_scale ? random_f16(c, tiles_n * n_groups * 16) : NULL;
    a->offset = has_offset ? random_f16(c, tiles_n * n_groups * 16) : NULL;
}

static void make_output(struct check *c, struct ct_linear *a)
{
    a->is_added = check_int(c, 0, 1) == 1;
    a->ldy = a->n + Y_GAP;
    a->y = check_floats(c, a->m * a->ldy);
    a->bias = check_int(c, 0, 1) == 1 ? check_floats(c, a->n) : NULL;
}

static void make_activations_i8(struct check *c, struct ct_linear *a)
{
    const int64_t n_groups = padded(a->k, CT_X_GROUP) / CT_X_GROUP, ldq = padded(a->k, 64);
    int8_t *q = guard_take((size_t)(a->m * ldq));
    int32_t *sum = guard_take((size_t)(a->m * n_groups) * sizeof *sum);
    float *scale = check_floats(c, a->m * n_groups);
    memset(sum, 0, (size_t)(a->m * n_groups) * sizeof *sum);
    bool is_extreme = check_int(c, 0, 3) == 0; /* the largest sums that int16 steps may meet */
    const bool has_lowest = check_int(c, 0, 3) == 0;
    const int lowest = has_lowest ? -128 : -127;
    for (int64_t t = 0; t < a->m; t++)
        for (int64_t j = 0; j < ldq; j++) {
            int64_t value =
                is_extreme ? (check_int(c, 0, 9) == 0 ? lowest : 127) : check_int(c, lowest, 127);
            q[t * ldq + j] = (int8_t)(j < a->k ? value : 0);
            if (j < a->k)
                sum[t * n_groups + j / CT_X_GROUP] += (int32_t)value;
        }
    a->x_i8 = (struct ct_rows_i8){q, scale, sum, ldq, n_groups, has_lowest};
    a->token_scale = check_int(c, 0, 2) == 0 ? check_floats(c, a->m) : NULL;
}

typedef void linear_fn(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end);

/* The same call cut into single tiles and single tokens must give the same bits. before: y's
 * contents. */
static void check_independent(struct check *c, linear_fn *linear, const struct ct_linear *a,
                              const float *before)
{
    size_t n_bytes = (size_t)(a->m * a->ldy) * sizeof *before;
    struct ct_linear alone = *a;
    float *y = guard_take(n_bytes);
    memcpy(y, before, n_bytes);
    alone.m = 1;
    for (int64_t t = 0; t < a->m; t++) {
        alone.y = y + t * a->ldy;
        if (a->x_f32 != NULL) {
            alone.x_f32 = a->x_f32 + t * a->ldx;
        } else {
            alone.x_i8.q = a->x_i8.q + t * a->x_i8.ldq;
            alone.x_i8.scale = a->x_i8.scale + t * a->x_i8.n_groups;
            alone.x_i8.sum = a->x_i8.sum + t * a->x_i8.n_groups;
            alone.token_scale = a->token_scale != NULL ? a->token_scale + t : NULL;
        }
        for (int64_t tile = 0; tile < (a->n + 15) / 16; tile++)
            linear(&alone, tile, tile + 1);
    }
    check_same(c, y, a->y, n_bytes);
}

static void try_linear_i8(struct check *c, struct ct_linear *a)
{
    make_activations_i8(c, a);
    make_output(c, a);
    int64_t n_tiles = (a->n + 15) / 16;
    size_t n_bytes = (size_t)(a->m * a->ldy) * sizeof(float);
    float *before = guard_take(n_bytes), *expected = guard_take(n_bytes);
    memcpy(before, a->y, n_bytes);
    memcpy(expected, a->y, n_bytes);
    struct ct_linear scalar = *a;
    scalar.y = expected;
    ct_linear_i8_scalar(&scalar, 0, n_tiles);
    c->kernels->linear_i8(a, 0, n_tiles);
    check_same(c, a->y, expected, n_bytes);
    check_independent(c, c->kernels->linear_i8, a, before);
}

/* scale * codebook[index] and offset of W[row, j]. */
static void weight_at(const struct ct_linear *a, int64_t row, int64_t j, double *scaled,
                      double *offset)
{
    int64_t n_groups = (a->k + a->group - 1) / a->group, tile = row / 16;
    const uint8_t *packed = a->index + (tile * ((a->k + 3) / 4) + j / 4) * 8 * a->bits;
    int index = ct_tile_index(packed, a->bits, (int)(row % 16 * 4 + j % 4));
    int64_t place = (tile * n_groups + j / a->group) * 16 + row % 16;
    *scaled = a->codebook_f32[(a->n_codebooks > 1 ? row << a->bits : 0) + index];
    *scaled *= a->scale != NULL ? ct_f16_to_f32(a->scale[place]) : 1;
    *offset = a->offset != NULL ? ct_f16_to_f32(a->offset[place]) : 0;
}

static void try_linear_f32(struct check *c, struct ct_linear *a)
{
    a->ldx = padded(a->k, 64);
    float *x = check_floats(c, a->m * a->ldx);
    for (int64_t t = 0; t < a->m; t++)
        for (int64_t j = a->k; j < a->ldx; j++)
            x[t * a->ldx + j] = 0;
    a->x_f32 = x;
    make_output(c, a);
    size_t n_bytes = (size_t)(a->m * a->ldy) * sizeof(float);
    float *before = guard_take(n_bytes);
    memcpy(before, a->y, n_bytes);
    c->kernels->linear_f32(a, 0, (a->n + 15) / 16);
    for (int64_t row = 0; row < a->ldy; row++) {
        for (int64_t t = 0; t < a->m; t++) {
            int64_t at = t * a->ldy + row;
            double exact = 0, size = 0, scaled, offset;
            for (int64_t j = 0; j < a->k && row < a->n; j++) {
                weight_at(a, row, j, &scaled, &offset);
                exact += (scaled + offset) * x[t * a->ldx + j];
                size += (fabs(scaled) + fabs(offset)) * fabs(x[t * a->ldx + j]);
            }
            if (a->is_added || row >= a->n)
                exact += before[at];
            size += fabs(before[at]);
            if (a->bias != NULL && row < a->n)
                exact += a->bias[row];
            check_near(c, at, a->y[at], exact,
                       ((double)a->k + 8) * CHECK_U * size + CHECK_U * fabs(exact));
        }
    }
    check_independent(c, c->kernels->linear_f32, a, before);
}

static void try_linear(struct check *c, bool is_float, int bits, int64_t group, bool has_scale,
                       bool has_offset, bool is_by_row, int64_t m, int64_t n, int64_t k)
{
    struct ct_linear a = {
        .n = n, .k = k, .bits = bits, .m = m, .group = (int)(group > 0 ? group : padded(k, 4))};
    CHECK_CASE(c, "%s %d bits, group %d, scale %d, offset %d, codebooks %s, m %lld, n %lld, k %lld",
               is_float ? "linear_f32" : "linear_i8", bits, a.group, has_scale, has_offset,
               is_by_row ? "by row" : "1", (long long)m, (long long)n, (long long)k);
    make_weights(c, &a, is_float, has_scale, has_offset, is_by_row);
    if (is_float)
        try_linear_f32(c, &a);
    else
        try_linear_i8(c, &a);
    guard_check(c->what);
    guard_release();
}

static void check_linear(struct check *c, bool is_float)
{
    static const int64_t ns[] = {1, 7, 15, 16, 17, 31, 32, 33, 48};
    static const int64_t ks[] = {1,  2,  3,  4,  5,   29,  31,  32,  33,  60,
                                 63, 64, 65, 96, 127, 128, 129, 131, 192, 257};
    static const int64_t groups[] = {32, 64, 128, 0};
    for (int bits = 2; bits <= 8; bits++)
        for (int options = 0; options < 8; options++)
            for (int g = 0; g < 4; g++)
                for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++)
                    try_linear(c, is_float, bits, groups[g], options & 1, options & 2, options & 4,
                               tokens[t], CHECK_PICK(c, ns), CHECK_PICK(c, ks));
    for (int g = 0; g < 4; g++) /* longer than any scratch, and more tokens */
        for (int bits = 4; bits <= 8; bits += 2)
            for (int is_by_row = 0; is_by_row < 2; is_by_row++) {
                try_linear(c, is_float, bits, groups[g], true, true, is_by_row, 1, 16, 8231);
                try_linear(c, is_float, bits, groups[g], true, true, is_by_row, 7, 16, 8231);
                try_linear(c, is_float, bits, groups[g], true, true, is_by_row, 131, 16, 67);
            }
    try_linear(c, is_float, 6, 64, true, true, false, 0, 16, 64);
}

void check_linear_i8(struct check *c)
{
    check_linear(c, false);
}

void check_linear_f32(struct check *c)
{
    check_linear(c, true);
}

/* ---- Dense ---- */

static double dense_weight(const struct ct_dense *a, int64_t i)
{
    if (a->type == CT_DENSE_F32)
        return ((const float *)a->w)[i];
    uint16_t bits = ((const uint16_t *)a->w)[i];
    return a->type == CT_DENSE_F16 ? ct_f16_to_f32(bits) : ct_bf16_to_f32(bits);
}

static void *random_dense(struct check *c, const struct ct_dense *a)
{
    size_t n = (size_t)(a->n * a->k);
    uint16_t *w = guard_take(n * (a->type == CT_DENSE_F32 ? 4 : 2));
    for (size_t i = 0; i < n; i++) {
        float value = check_float(c, -1, 1);
        if (a->type == CT_DENSE_F32)
            memcpy(w + 2 * i, &value, sizeof value);
        else
            w[i] = a->type == CT_DENSE_F16 ? ct_f16_from_f32(value)
                                           : (uint16_t)(ct_f32_bits(value) >> 16);
    }
    return w;
}

static void try_dense(struct check *c, struct ct_dense a)
{
    static const char *const types[] = {"f32", "f16", "bf16"};
    CHECK_CASE(c, "dense %s, m %lld, n %lld, k %lld", types[a.type], (long long)a.m, (long long)a.n,
               (long long)a.k);
    a.ldx = a.k + check_int(c, 0, 3);
    a.ldy = a.n + Y_GAP;
    a.w = random_dense(c, &a);
    const float *x = a.x = check_floats(c, a.m > 0 ? (a.m - 1) * a.ldx + a.k : 0);
    a.y = check_floats(c, a.m * a.ldy);
    a.bias = check_int(c, 0, 1) == 1 ? check_floats(c, a.n) : NULL;
    size_t n_bytes = (size_t)(a.m * a.ldy) * sizeof(float);
    float *before = guard_take(n_bytes), *alone = guard_take(n_bytes);
    memcpy(before, a.y, n_bytes);
    memcpy(alone, a.y, n_bytes);
    c->kernels->dense(&a, 0, a.n);
    for (int64_t t = 0; t < a.m; t++)
        for (int64_t row = 0; row < a.ldy; row++) {
            double exact = a.is_added || row >= a.n ? before[t * a.ldy + row] : 0;
            double size = fabs(exact);
            if (a.bias != NULL && row < a.n)
                exact += a.bias[row];
            for (int64_t j = 0; j < a.k && row < a.n; j++) {
                exact += dense_weight(&a, row * a.k + j) * x[t * a.ldx + j];
                size += fabs(dense_weight(&a, row * a.k + j) * x[t * a.ldx + j]);
            }
            check_near(c, t * a.ldy + row, a.y[t * a.ldy + row], exact,
                       ((double)a.k + 8) * CHECK_U * size + CHECK_U * fabs(exact));
        }
    struct ct_dense one = a;
    one.m = 1;
    for (int64_t t = 0; t < a.m; t++)
        for (int64_t row = 0; row < a.n; row++) {
            one.x = a.x + t * a.ldx;
            one.y = alone + t * a.ldy;
            c->kernels->dense(&one, row, row + 1);
        }
    check_same(c, alone, a.y, n_bytes);
    guard_check(c->what);
    guard_release();
}

void check_dense(struct check *c)
{
    static const int64_t ns[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31};
    static const int64_t ks[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 97, 576};
    for (int type = CT_DENSE_F32; type <= CT_DENSE_BF16; type++)
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++)
            for (size_t k = 0; k < sizeof ks / sizeof *ks; k++)
                try_dense(c, (struct ct_dense){.n = CHECK_PICK(c, ns),
                                               .k = ks[k],
                                               .m = tokens[t],
                                               .type = (enum ct_dense_type)type,
                                               .is_added = check_int(c, 0, 1) == 1});
}
