/* W8A8: weights in int8 with one scale a row, for activations in int8 with one scale a token. Then a
 * product is a sum of integers over all columns and two factors, which an accelerator with int8
 * arrays computes as it is (the survey, section on quantisation), and every backend to the same bits.
 *
 *   y[t, r] = (sum over j of q[t,j] * w[r,j]) * scale[r] * token_scale[t]
 *
 * Clustered weights are decoded first, whatever their groups' scales. A row's largest |w| becomes
 * 127, or less where the sum could pass 2^24: within that, kernels that add partial sums as floats
 * (linear_i8) have the integer's own value. */
#ifndef CT_RUNTIME_W8A8_H
#define CT_RUNTIME_W8A8_H

#include "engine/base/pool.h"
#include "engine/runtime/bind.h"

/* Replaces every matrix that a LINEAR of the graph reads. CT_MEMORY; CT_UNSUPPORTED names a weight
 * whose row is too large for a scale in f16. */
CT_MUST_CHECK enum ct_status ct_w8a8_bind(struct ct_binding *binding, const struct ct_graph *graph,
                                          struct ct_pool *pool, struct ct_error *err);

#endif
