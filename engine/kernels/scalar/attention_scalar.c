/* Attention with online softmax over pages, in double: the specification. */
#include "engine/base/f16.h"
#include "engine/kernels/kernels.h"

#include <math.h>

enum { MAX_HEAD_DIM = 1024 };

/* Element i of a page, of the token at `place` in it. */
static double element(const struct ct_attention *a, const void *page, int64_t i, int64_t place)
{
    if (!a->is_i8)
        return ct_f16_to_f32(((const uint16_t *)page)[i]);
    return (double)((const int8_t *)page)[i] *
           ct_f16_to_f32(ct_kv_scales(page, a->head_dim)[place]);
}

static void attend_head(const struct ct_attention *a, int head)
{
    const int D = a->head_dim;
    const float *q = a->q + head * D;
    double acc[MAX_HEAD_DIM] = {0};
    double peak = -INFINITY, sum = 0;
    for (int64_t s = 0; s < a->n_keys; s++) {
        const void *k = a->k_pages[s / CT_KV_PAGE]; /* [D, page] */
        const void *v = a->v_pages[s / CT_KV_PAGE]; /* [page, D] */
        const int64_t place = s % CT_KV_PAGE;
        double score = 0;
        for (int d = 0; d < D; d++)
            score += (double)q[d] * element(a, k, d * CT_KV_PAGE + place, place);
        score *= a->scale;
        if (a->bias != NULL)
            score += a->bias[s - head];
        double top = fmax(peak, score);
        double keep = exp(peak - top), weight = exp(score - top);
        sum = sum * keep + weight;
        for (int d = 0; d < D; d++)
            acc[d] = acc[d] * keep + weight * element(a, v, place * D + d, place);
        peak = top;
    }
    for (int d = 0; d < D; d++)
        a->out[head * D + d] = (float)(acc[d] / sum);
    a->peak[head] = (float)peak;
    a->sum[head] = (float)(sum * exp(peak - (double)a->peak[head]));
}

void ct_attention_scalar(const struct ct_attention *a)
{
    for (int h = 0; h < a->n_rep; h++)
        attend_head(a, h);
}
