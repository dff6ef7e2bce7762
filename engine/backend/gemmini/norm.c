#include "engine/backend/gemmini/norm.h"

static void add_squares(struct ct_gem_stat *stat, const int32_t *values, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const int32_t d = ct_gem_sub(values[i], stat->mean);
        stat->sum = ct_gem_add(stat->sum, ct_gem_mul(d, d));
    }
}

/* 1 / sqrt(sum / count), where a root of 0 counts as 1. A sum of squares that wrapped below 0 has
 * no root, which as an integer is the farthest from 0: such a row becomes zeros. */
static float inverse_stddev(const struct ct_gem_stat *stat)
{
    const int32_t variance = stat->count > 0 ? stat->sum / stat->count : 0;
    if (variance < 0)
        return 1.0F / (float)INT32_MIN;
    return variance > 0 ? 1.0F / (float)ct_gem_isqrt(variance) : 1.0F;
}

bool ct_gem_norm_step(struct ct_gem_stat *stat, const struct ct_gem_scaling *scaling,
                      enum ct_gem_norm step, const int32_t *values, unsigned n)
{
    if (stat->is_fresh) {
        stat->sum = stat->count = 0;
        stat->running_max = INT32_MIN;
    }
    stat->is_fresh =
        step == CT_GEM_NORM_RESET || step == CT_GEM_NORM_MEAN || step == CT_GEM_NORM_INV_STDDEV;
    switch (step) {
    case CT_GEM_NORM_RESET:
        return true;
    case CT_GEM_NORM_SUM:
    case CT_GEM_NORM_MEAN:
        for (unsigned i = 0; i < n; i++)
            stat->sum = ct_gem_add(stat->sum, values[i]);
        stat->count += (int32_t)n;
        if (step == CT_GEM_NORM_MEAN)
            stat->mean = stat->count > 0 ? stat->sum / stat->count : 0;
        return false;
    case CT_GEM_NORM_VARIANCE:
    case CT_GEM_NORM_INV_STDDEV:
        add_squares(stat, values, n);
        stat->count += (int32_t)n;
        if (step == CT_GEM_NORM_INV_STDDEV)
            stat->inv_stddev = inverse_stddev(stat);
        return false;
    case CT_GEM_NORM_MAX:
        for (unsigned i = 0; i < n; i++)
            stat->running_max = values[i] > stat->running_max ? values[i] : stat->running_max;
        return false;
    case CT_GEM_NORM_SUM_EXP:
    case CT_GEM_NORM_INV_SUM_EXP:
        stat->max = stat->running_max;
        for (unsigned i = 0; i < n; i++)
            stat->sum = ct_gem_add(stat->sum,
                                   ct_gem_iexp(ct_gem_sub(values[i], stat->max), &scaling->iexp));
        if (step == CT_GEM_NORM_INV_SUM_EXP) {
            stat->running_max = INT32_MIN;
            stat->inv_sum_exp = 127.0F / (float)stat->sum;
        }
        return false;
    }
    return false;
}

/* value x inverse x scale, in one rounding or two. */
static int8_t scale_twice(int32_t value, float inverse, const struct ct_gem_scaling *scaling)
{
    if (scaling->rounding == CT_GEM_ROUND_ONCE)
        return ct_gem_scale(value, inverse * scaling->scale);
    if (scaling->act == CT_GEM_ACT_SOFTMAX)
        return ct_gem_scale(ct_gem_scale(value, inverse), scaling->scale);
    /* |value| x inverse can pass int32 only where the mean itself wrapped. */
    const float product = (float)value * inverse;
    const int32_t whole =
        product > -2147483648.0F && product < 2147483648.0F ? (int32_t)product : INT32_MIN;
    return ct_gem_scale(whole, scaling->scale);
}

void ct_gem_norm_narrow(const struct ct_gem_stat *stat, const struct ct_gem_scaling *scaling,
                        const int32_t *values, unsigned n, int8_t *out)
{
    switch (scaling->act) {
    case CT_GEM_ACT_NONE:
        for (unsigned i = 0; i < n; i++)
            out[i] = ct_gem_scale(values[i], scaling->scale);
        return;
    case CT_GEM_ACT_RELU:
        for (unsigned i = 0; i < n; i++) {
            const int8_t value = ct_gem_scale(values[i], scaling->scale);
            out[i] = value > 0 ? value : 0;
        }
        return;
    case CT_GEM_ACT_IGELU:
        for (unsigned i = 0; i < n; i++)
            out[i] = ct_gem_scale(ct_gem_igelu(values[i], scaling->igelu_qb, scaling->igelu_qc),
                                  scaling->scale);
        return;
    case CT_GEM_ACT_LAYERNORM:
        for (unsigned i = 0; i < n; i++)
            out[i] = scale_twice(ct_gem_sub(values[i], stat->mean), stat->inv_stddev, scaling);
        return;
    case CT_GEM_ACT_SOFTMAX:
        for (unsigned i = 0; i < n; i++)
            out[i] = scale_twice(ct_gem_iexp(ct_gem_sub(values[i], stat->max), &scaling->iexp),
                                 stat->inv_sum_exp, scaling);
        return;
    }
}
