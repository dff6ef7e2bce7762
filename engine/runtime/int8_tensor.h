/* A matrix in int8 with one scale for all of it, as a store of an accelerator has one scale, and its bias in
 * units of its products. What stands before and behind the matrix goes into it:
 *
 *   y[r] = behind[r] (sum over j of w[r,j] (before[j] x[j] + shift[j]) + bias[r])
 *        ~ w_scale x_scale (sum over j of w_q[r,j] x_q[j] + bias_q[r]) */
#ifndef CT_RUNTIME_INT8_TENSOR_H
#define CT_RUNTIME_INT8_TENSOR_H

#include "engine/base/pool.h"
#include "engine/runtime/bind.h"

/* Of all matrices: index - 128. */
struct ct_int8_codebook {
    int8_t i8[256];
    float f32[256];
};

/* The binding's own; NULL when memory is short. */
const struct ct_int8_codebook *ct_int8_codebook_make(struct ct_binding *binding);

/* Makes out a matrix [n, k] in int8, all 0, one group a row, without scales. Returns its index, the
 * binding's, to be filled; NULL when memory is short. */
uint8_t *ct_int8_clustered_make(int64_t n, int64_t k, const struct ct_int8_codebook *codebook,
                                struct ct_binding *binding, struct ct_clustered *out);

/* Puts whole numbers q [k] within -127..127 into row r. Rows of different tiles may be put at once. */
void ct_int8_put_row(const struct ct_clustered *out, uint8_t *index, int64_t r, const float *q);

/* The matrix becomes what was made of it. */
void ct_int8_replace(struct ct_matrix *matrix, const struct ct_clustered *made);

struct ct_int8_tensor {
    const char *name;
    struct ct_matrix *matrix;    /* becomes int8 */
    const float *bias;           /* [n], or NULL for 0 */
    const float *before, *shift; /* [k], or NULL for 1 and 0 */
    const float *behind;         /* [n], or NULL for 1 */
    float x_scale;
    /* Out: */
    float w_scale;
    const float *bias_q; /* [n] whole numbers, the binding's; NULL: nothing is added */
};

/* A row's sum of |w_q| stays below 2^24 / 128, so that kernels that add as floats have integers' sums.
 * CT_UNSUPPORTED: a weight is no number, or a bias too large;
 * CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_int8_tensor_make(struct ct_int8_tensor *tensor,
                                                 const struct ct_int8_codebook *codebook,
                                                 struct ct_binding *binding, struct ct_pool *pool,
                                                 struct ct_error *err);

#endif
