#include "engine/compress/hessian.h"

#include "engine/kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = CT_HESSIAN_BLOCK };

static int64_t row_length(int64_t i)
{
    return B * (i + 1);
}

enum ct_status ct_hessian_init(struct ct_hessian *h, int64_t k)
{
    int64_t n_blocks = (k + B - 1) / B;
    *h = (struct ct_hessian){.k = k, .n_blocks = n_blocks};
    h->blocks = calloc((size_t)(n_blocks * (n_blocks + 1) / 2), B * B * sizeof *h->blocks);
    h->diagonal = calloc((size_t)n_blocks, B * sizeof *h->diagonal);
    if (h->blocks != NULL && h->diagonal != NULL)
        return CT_OK;
    ct_hessian_deinit(h);
    return CT_MEMORY;
}

void ct_hessian_deinit(struct ct_hessian *h)
{
    free(h->blocks);
    free(h->diagonal);
    *h = (struct ct_hessian){0};
}

/* block row i += a_i b^T, for a and b [n_blocks B, n] and the rows a_i of that block: the part
 * below the diagonal, as far as the block row goes. */
static void add_products(struct ct_hessian *h, int64_t i, const float *a, const float *b, int64_t n)
{
    const struct ct_dense job = {
        .n = row_length(i),
        .k = n,
        .type = CT_DENSE_F32,
        .w = b,
        .m = B,
        .x = a + i * B * n,
        .ldx = n,
        .y = ct_hessian_block_row(h, i),
        .ldy = row_length(i),
        .is_added = true,
    };
    ct_kernels()->dense(&job, 0, job.n);
}

/* ---- the sum ---- */

struct adding {
    struct ct_hessian *h;
    struct ct_pool *pool;
    const float *x; /* [n_rows, ld] */
    int64_t ld, n_rows;
    float *xt; /* [k padded, n_rows] */
};

static void run_adding(void *context, int worker, int n_workers)
{
    const struct adding *a = context;
    int64_t begin, end;
    ct_pool_share(a->h->k, B, worker, n_workers, &begin, &end);
    for (int64_t t = 0; t < a->n_rows; t++)
        for (int64_t j = begin; j < end; j++)
            a->xt[j * a->n_rows + t] = a->x[t * a->ld + j];
    ct_pool_barrier(a->pool, NULL);
    for (int64_t i = worker; i < a->h->n_blocks; i += n_workers)
        add_products(a->h, i, a->xt, a->xt, a->n_rows);
}

enum ct_status ct_hessian_add(struct ct_hessian *h, struct ct_pool *pool, const float *x,
                              int64_t ld, int64_t n_rows)
{
    float *xt = calloc((size_t)(h->n_blocks * n_rows), B * sizeof *xt);
    if (xt == NULL)
        return CT_MEMORY;
    ct_pool_run(pool, run_adding, &(struct adding){h, pool, x, ld, n_rows, xt});
    free(xt);
    return CT_OK;
}

bool ct_hessian_finish(struct ct_hessian *h)
{
    double sum = 0;
    for (int64_t c = 0; c < h->n_blocks * B; c++) {
        int64_t i = c / B, r = c % B;
        h->diagonal[c] = ct_hessian_block_row(h, i)[r * row_length(i) + c];
        sum += h->diagonal[c];
    }
    return sum > 0 && isfinite(sum);
}

/* ---- the factor ---- */

/* From the last block row to the first, A being what is left of H:
 *
 *     A[i, i] = F[i, i]^T D F[i, i]                    factor_diagonal
 *     F[i, j] = D^-1 F[i, i]^-T A[i, j]     j < i      solve_columns
 *     A[j, l] -= F[i, j]^T D F[i, l]        l <= j < i add_products */
struct factoring {
    struct ct_hessian *h;
    struct ct_pool *pool;
    float least;   /* no element of D is below the damping */
    float *f, *fd; /* [k padded, B]: of a block row, F^T and -F^T D */
};

/* Leaves F[i, i], whose diagonal and upper part are not used. */
static void factor_diagonal(const struct factoring *g, int64_t i)
{
    const int64_t ld = row_length(i);
    float *a = ct_hessian_block_row(g->h, i) + i * B, *d = g->h->diagonal + i * B;
    for (int s = B - 1; s >= 0; s--) {
        float *row = a + s * ld;
        d[s] = row[s] > g->least ? row[s] : g->least;
        for (int r = 0; r < s; r++) {
            float factor = row[r] / d[s];
            for (int c = 0; c <= r; c++)
                a[r * ld + c] -= factor * row[c];
        }
        for (int c = 0; c < s; c++)
            row[c] /= d[s];
    }
}

/* Columns [begin, end) of block row i, left of its diagonal; and the same as rows of f and fd. */
static void solve_columns(const struct factoring *g, int64_t i, int64_t begin, int64_t end)
{
    const int64_t ld = row_length(i);
    float *a = ct_hessian_block_row(g->h, i);
    const float *d = g->h->diagonal + i * B;
    for (int r = B - 1; r >= 0; r--) {
        float *row = a + r * ld;
        for (int s = r + 1; s < B; s++) {
            const float *below = a + s * ld;
            const float factor = below[i * B + r] * d[s];
            for (int64_t c = begin; c < end; c++)
                row[c] -= factor * below[c];
        }
        const float inverse = 1 / d[r];
        for (int64_t c = begin; c < end; c++) {
            row[c] *= inverse;
            g->f[c * B + r] = row[c];
            g->fd[c * B + r] = -row[c] * d[r];
        }
    }
}

static void run_factoring(void *context, int worker, int n_workers)
{
    const struct factoring *g = context;
    for (int64_t i = g->h->n_blocks - 1; i >= 0; i--) {
        if (worker == 0)
            factor_diagonal(g, i);
        ct_pool_barrier(g->pool, NULL);
        int64_t begin, end;
        ct_pool_share(i * B, 16, worker, n_workers, &begin, &end);
        solve_columns(g, i, begin, end);
        ct_pool_barrier(g->pool, NULL);
        /* Block row j takes time in proportion to j: dealt out in turn. */
        for (int64_t j = worker; j < i; j += n_workers)
            add_products(g->h, j, g->fd, g->f, B);
        ct_pool_barrier(g->pool, NULL);
    }
}

static void transpose_diagonal(struct ct_hessian *h, int64_t i)
{
    const int64_t ld = row_length(i);
    float *a = ct_hessian_block_row(h, i) + i * B;
    for (int r = 0; r < B; r++)
        for (int c = 0; c <= r; c++) {
            a[c * ld + r] = c < r ? a[r * ld + c] : 0;
            a[r * ld + c] = 0;
        }
}

enum ct_status ct_hessian_factor(struct ct_hessian *h, struct ct_pool *pool, double damping)
{
    const size_t n_floats = (size_t)(h->n_blocks * B) * B;
    struct factoring g = {.h = h, .pool = pool};
    g.f = malloc(n_floats * sizeof *g.f);
    g.fd = malloc(n_floats * sizeof *g.fd);
    double sum = 0;
    for (int64_t c = 0; c < h->k; c++)
        sum += h->diagonal[c];
    g.least = (float)(damping * sum / (double)h->k);
    if (g.f != NULL && g.fd != NULL) {
        for (int64_t c = 0; c < h->n_blocks * B; c++)
            ct_hessian_block_row(h, c / B)[c % B * row_length(c / B) + c] += g.least;
        ct_pool_run(pool, run_factoring, &g);
        for (int64_t i = 0; i < h->n_blocks; i++)
            transpose_diagonal(h, i);
    }
    enum ct_status status = g.f != NULL && g.fd != NULL ? CT_OK : CT_MEMORY;
    free(g.f);
    free(g.fd);
    return status;
}
