/* Coding rows of a tile with error feedback (hessian.h): column after column, each value takes over
 * the errors of the columns before it, as far as their inputs go together.
 *
 * By blocks of 64 columns: what all columns before a block give to it is one matrix product; inside
 * the block each error is handed on as it is made. The scale of a group is fitted when the group is
 * reached, to the values that are then to be coded. */
#include "engine/base/f16.h"
#include "engine/compress/quantizer.h"
#include "engine/kernels/kernels.h"

#include <string.h>

enum { B = CT_HESSIAN_BLOCK };

struct feedback {
    struct ct_worker *worker;
    const struct ct_hessian *hessian;
    const struct ct_coder *coder;
    int first, n_rows;
};

/* What the columns of blocks [begin, end) are to become: w, and F times the errors made so far,
 * which are 0 from the first of these blocks on. */
static void aim(const struct feedback *f, int64_t begin, int64_t end)
{
    const struct ct_worker *worker = f->worker;
    const int64_t stride = worker->stride, at = f->first * stride;
    for (int64_t i = begin; i < end; i++) {
        for (int r = 0; r < f->n_rows; r++)
            memcpy(worker->target + at + r * stride + i * B, worker->w + at + r * stride + i * B,
                   B * sizeof *worker->target);
        const struct ct_dense job = {
            .n = B,
            .k = (i + 1) * B,
            .type = CT_DENSE_F32,
            .w = ct_hessian_block_row(f->hessian, i),
            .m = f->n_rows,
            .x = worker->error + at,
            .ldx = stride,
            .y = worker->target + at + i * B,
            .ldy = stride,
            .is_added = true,
        };
        ct_kernels()->dense(&job, 0, B);
    }
}

/* Columns [begin, end) of a row, within one block. */
static void code_columns(const struct feedback *f, int row, int64_t begin, int64_t end,
                         struct ct_fit fit)
{
    const struct ct_worker *worker = f->worker;
    const struct ct_coder *coder = f->coder;
    const int64_t i = begin / B, ld = (i + 1) * B, at = row * worker->stride;
    const float *handed_on = ct_hessian_block_row(f->hessian, i) + i * B;
    float *target = worker->target + at + i * B, *error = worker->error + at + i * B;
    const float *w = worker->w + at + i * B;
    uint8_t *index = worker->index + at + i * B;
    const float scale = ct_f16_to_f32(fit.scale), offset = ct_f16_to_f32(fit.offset);
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (int64_t c = begin - i * B; c < end - i * B; c++) {
        const int nearest = ct_coder_nearest(coder, (target[c] - offset) * inverse);
        index[c] = coder->index[nearest];
        error[c] = w[c] - (scale * coder->code[nearest] + offset);
        /* Zeros up to c: whole vectors. */
        for (int64_t j = c & ~(int64_t)15; j < B; j += 16)
            for (int64_t l = j; l < j + 16; l++)
                target[l] += error[c] * handed_on[c * ld + l];
    }
}

void ct_worker_feed_back(struct ct_worker *worker, const struct ct_pass *pass,
                         const struct ct_coder *coder, const struct ct_fit *shared, int first,
                         int n_rows)
{
    const struct ct_plan *plan = pass->plan;
    const struct feedback f = {worker, pass->matrix->hessian, coder, first, n_rows};
    const int64_t stride = worker->stride, padded = f.hessian->n_blocks * B;
    for (int r = first; r < first + n_rows; r++) {
        memset(worker->error + r * stride, 0, (size_t)padded * sizeof *worker->error);
        memset(worker->w + r * stride + plan->k, 0, (size_t)(padded - plan->k) * sizeof *worker->w);
    }
    for (int64_t q = 0; q < ct_plan_groups(plan); q++) {
        const int64_t begin = q * plan->group, end = begin + ct_plan_group_length(plan, q);
        if (begin % B == 0)
            aim(&f, begin / B, (end + B - 1) / B);
        struct ct_fit *fits = worker->fits + q * CT_TILE_ROWS;
        for (int r = first; r < first + n_rows; r++)
            fits[r] = shared != NULL ? *shared
                                     : ct_coder_fit(coder, worker->target + r * stride + begin,
                                                    f.hessian->diagonal + begin, (int)(end - begin),
                                                    plan->has_offset);
        for (int64_t j = begin; j < end; j = (j / B + 1) * B) {
            const int64_t stop = (j / B + 1) * B < end ? (j / B + 1) * B : end;
            if (j > begin)
                aim(&f, j / B, j / B + 1);
            for (int r = first; r < first + n_rows; r++)
                code_columns(&f, r, j, stop, fits[r]);
        }
    }
}
