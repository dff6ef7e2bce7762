/* The Hessian of a matrix's output error in its weights: H = X^T X, over the rows X [T, k] that the
 * matrix multiplies; and its factor, by which an error made in one column is made good in others.
 *
 * Rounding row w to q costs (w - q) H (w - q)^T. With H = F^T D F, F unit lower triangular and D
 * diagonal, that is sum over c of D[c] (u[c] - q[c])^2 where
 *
 *     u[c] = w[c] + sum over j < c of F[c, j] (w[j] - q[j])
 *
 * so that column after column is rounded to the value nearest to u[c], and D[c] says what an error
 * there costs when later columns make up for it. (OBQ and GPTQ, arXiv:2210.17323, in the form of
 * LDLQ, arXiv:2307.13304, section 3, which needs no inverse.)
 *
 * Only the lower triangle is kept, in rows of blocks of 64, k padded:
 *
 *     block row 0   [64,  64] | T |            after factoring, the blocks on the diagonal are
 *     block row 1   [64, 128] |   | T |        transposed: T[j, c] = F[c, j] for c > j, and
 *     block row 2   [64, 192] |   |   | T |    otherwise 0
 *
 * One thread owns a Hessian; sums and factor do not depend on the number of the pool's workers. */
#ifndef CT_COMPRESS_HESSIAN_H
#define CT_COMPRESS_HESSIAN_H

#include "engine/base/pool.h"
#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { CT_HESSIAN_BLOCK = 64 };

struct ct_hessian {
    int64_t k, n_blocks;
    float *blocks;   /* the block rows, one after the other */
    float *diagonal; /* [k padded]: of H until it is factored, then D */
};

/* All zeros. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_hessian_init(struct ct_hessian *h, int64_t k);
void ct_hessian_deinit(struct ct_hessian *h);

/* Block row i, [64, 64 (i + 1)]. */
static inline float *ct_hessian_block_row(const struct ct_hessian *h, int64_t i)
{
    return h->blocks + (int64_t)CT_HESSIAN_BLOCK * CT_HESSIAN_BLOCK * (i * (i + 1) / 2);
}

/* Adds x^T x for rows x [n_rows, ld], of which the first k columns count. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_hessian_add(struct ct_hessian *h, struct ct_pool *pool,
                                            const float *x, int64_t ld, int64_t n_rows);

/* Ends the sum: fills in the diagonal. False: it is all zeros, or not finite. */
bool ct_hessian_finish(struct ct_hessian *h);

/* Factors it in place, after damping * the mean of the diagonal was added to the diagonal, for what
 * the rows did not show. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_hessian_factor(struct ct_hessian *h, struct ct_pool *pool,
                                               double damping);

#endif
