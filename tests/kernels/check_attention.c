/* Checks of attention: page borders, head sizes, shared heads, scores of any size. */
#include "tests/kernels/check.h"

#include "engine/base/f16.h"
#include "tests/support/guard.h"

#include <math.h>
#include <string.h>

enum { MAX_PAGES = 5 };

/* A page of f16; what belongs to keys from n on is NaN, which must not be used. */
static void *make_page_f16(struct check *c, int D, bool is_k, int64_t n)
{
    uint16_t *page = guard_take((size_t)(D * CT_KV_PAGE) * sizeof *page);
    for (int i = 0; i < D * CT_KV_PAGE; i++) {
        int64_t key = is_k ? i % CT_KV_PAGE : i / D;
        page[i] = key < n ? ct_f16_from_f32(check_float(c, -2, 2)) : 0x7e00;
    }
    return page;
}

/* The same of int8, where the scales are NaN. */
static void *make_page_i8(struct check *c, int D, int64_t n)
{
    int8_t *page = guard_take((size_t)(D + 2) * CT_KV_PAGE);
    for (int i = 0; i < D * CT_KV_PAGE; i++)
        page[i] = (int8_t)check_int(c, -127, 127);
    for (int i = 0; i < CT_KV_PAGE; i++) {
        uint16_t scale = i < n ? ct_f16_from_f32(check_float(c, 0, 2 / 127.0f)) : 0x7e00;
        memcpy(page + D * CT_KV_PAGE + 2 * i, &scale, sizeof scale);
    }
    return page;
}

static void *make_page(struct check *c, int D, bool is_i8, bool is_k, int64_t n)
{
    return is_i8 ? make_page_i8(c, D, n) : make_page_f16(c, D, is_k, n);
}

/* Dimension d of the key or value at a place of a page. */
static double element(const struct ct_attention *a, const void *page, bool is_k, int d,
                      int64_t place)
{
    const int64_t i = is_k ? d * CT_KV_PAGE + place : place * a->head_dim + d;
    return a->is_i8 ? (double)((const int8_t *)page)[i] *
                          ct_f16_to_f32(ct_kv_scales(page, a->head_dim)[place])
                    : ct_f16_to_f32(((const uint16_t *)page)[i]);
}

/* One head's exact output [D] and the logarithm of its weights' sum; and the bound of kernels.def for
 * values of size v_max. */
static double exact_head(const struct ct_attention *a, int head, double *out, double *log_weight,
                         double *v_max)
{
    double score[MAX_PAGES * CT_KV_PAGE], peak = -INFINITY, sum = 0, score_max = 0;
    *v_max = 0;
    const int D = a->head_dim;
    const float *q = a->q + head * D;
    for (int64_t s = 0; s < a->n_keys; s++) {
        double dot = 0, size = 0;
        for (int d = 0; d < D; d++) {
            double product =
                (double)q[d] * element(a, a->k_pages[s / CT_KV_PAGE], true, d, s % CT_KV_PAGE);
            dot += product;
            size += fabs(product);
        }
        const double bias = a->bias != NULL ? (double)a->bias[s - head] : 0;
        score[s] = dot * a->scale + bias;
        peak = fmax(peak, score[s]);
        score_max = fmax(score_max, size * fabs(a->scale) + fabs(bias));
    }
    memset(out, 0, (size_t)D * sizeof *out);
    for (int64_t s = 0; s < a->n_keys; s++) {
        double weight = exp(score[s] - peak);
        sum += weight;
        for (int d = 0; d < D; d++) {
            double v = element(a, a->v_pages[s / CT_KV_PAGE], false, d, s % CT_KV_PAGE);
            out[d] += weight * v;
            *v_max = fmax(*v_max, fabs(v));
        }
    }
    for (int d = 0; d < D; d++)
        out[d] /= sum;
    *log_weight = peak + log(sum);
    return ((double)a->n_keys + D + 32) * CHECK_U * (1 + score_max);
}

static void try_attention(struct check *c, bool is_i8, int D, int n_rep, int64_t n_keys,
                          float scale, bool has_bias)
{
    CHECK_CASE(c, "attention, %s, D %d, n_rep %d, n_keys %lld, scale %g, bias %d",
               is_i8 ? "int8" : "f16", D, n_rep, (long long)n_keys, (double)scale, has_bias);
    const void *k_pages[MAX_PAGES], *v_pages[MAX_PAGES];
    for (int p = 0; p * CT_KV_PAGE < n_keys; p++) {
        k_pages[p] = make_page(c, D, is_i8, true, n_keys - p * CT_KV_PAGE);
        v_pages[p] = make_page(c, D, is_i8, false, n_keys - p * CT_KV_PAGE);
    }
    size_t n_bytes = (size_t)(n_rep * D) * sizeof(float);
    struct ct_attention a = {.q = check_floats(c, n_rep * D),
                             .n_rep = n_rep,
                             .head_dim = D,
                             .n_keys = n_keys,
                             .is_i8 = is_i8,
                             .k_pages = k_pages,
                             .v_pages = v_pages,
                             .scale = scale,
                             .bias =
                                 has_bias ? check_floats(c, n_rep - 1 + n_keys) + n_rep - 1 : NULL,
                             .out = guard_take(n_bytes),
                             .peak = guard_take((size_t)n_rep * sizeof(float)),
                             .sum = guard_take((size_t)n_rep * sizeof(float))};
    c->kernels->attention(&a);
    for (int h = 0; h < n_rep; h++) {
        double exact[1024], log_weight, v_max;
        double bound = exact_head(&a, h, exact, &log_weight, &v_max);
        for (int d = 0; d < D; d++)
            check_near(c, h * D + d, a.out[h * D + d], exact[d], bound * v_max);
        check_near(c, h, a.peak[h] + log(a.sum[h]), log_weight, bound);
    }
    struct ct_attention alone = a;
    float *out = guard_take(n_bytes);
    alone.n_rep = 1;
    for (int h = 0; h < n_rep; h++) {
        alone.q = a.q + h * D;
        alone.out = out + h * D;
        alone.bias = has_bias ? a.bias - h : NULL;
        c->kernels->attention(&alone);
    }
    check_same(c, out, a.out, n_bytes);
    guard_check(c->what);
    guard_release();
}

void check_attention(struct check *c)
{
    static const int dims[] = {2, 6, 8, 16, 30, 32, 64, 80, 128};
    static const int64_t keys[] = {1, 2, 7, 8, 9, 31, 63, 64, 65, 127, 128, 129, 191, 257};
    static const float scales[] = {0.125f, 1, 20, 0, -0.5f};
    for (int is_i8 = 0; is_i8 < 2; is_i8++) {
        for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
            for (size_t s = 0; s < sizeof keys / sizeof *keys; s++)
                try_attention(c, is_i8, dims[d], (int)check_int(c, 1, 5), keys[s],
                              CHECK_PICK(c, scales), check_int(c, 0, 1) == 1);
        for (int n_rep = 1; n_rep <= CT_MAX_REP; n_rep++)
            try_attention(c, is_i8, 64, n_rep, 100, 0.125f, n_rep % 2 == 0);
        try_attention(c, is_i8, 1024, 2, 70, 0.03f, true);
    }
}
