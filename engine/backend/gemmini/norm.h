/* The normaliser: statistics of a row as it is read from the accumulator, and what they make of it.
 *
 * Softmax and LayerNorm take three passes over a row. The first two only look (MAX, then SUM_EXP up
 * to INV_SUM_EXP; or SUM up to MEAN, then VARIANCE up to INV_STDDEV), the third writes. A few rows
 * are under way at a time, each with its own statistics. From Normalizer.scala of
 * ucb-bar/gemmini@8c3f992. Owner: one machine. */
#ifndef CT_BACKEND_GEMMINI_NORM_H
#define CT_BACKEND_GEMMINI_NORM_H

#include "engine/backend/gemmini/arith.h"
#include "engine/backend/gemmini/command.h"

/* Whose last bit the results have: the hardware multiplies by the product of both scales and rounds
 * once; the functional model (libgemmini@5b1254a) rounds in between, and shifts by z mod 32 in
 * I-exp. */
enum ct_gem_rounding { CT_GEM_ROUND_ONCE, CT_GEM_ROUND_TWICE };

/* Of one row. Zeros but for is_fresh at reset. */
struct ct_gem_stat {
    bool is_fresh; /* the next step begins new sums */
    int32_t sum, count, running_max, max, mean;
    float inv_stddev, inv_sum_exp;
};

/* What config_st and config_norm set. */
struct ct_gem_scaling {
    enum ct_gem_activation act;
    enum ct_gem_rounding rounding;
    float scale;
    int32_t igelu_qb, igelu_qc;
    struct ct_gem_iexp iexp;
};

/* Takes n values of a row (up to 16) through a step. True: this step writes them. */
bool ct_gem_norm_step(struct ct_gem_stat *stat, const struct ct_gem_scaling *scaling,
                      enum ct_gem_norm step, const int32_t *values, unsigned n);

/* What a store of n values writes as int8: activation, scale, saturation. */
void ct_gem_norm_narrow(const struct ct_gem_stat *stat, const struct ct_gem_scaling *scaling,
                        const int32_t *values, unsigned n, int8_t *out);

#endif
