/* Attention's sums of int8: the specification. Their products fit int16, in which compilers multiply
 * eight at a time. */
#include "engine/kernels/kernels.h"

#include <string.h>

void ct_dot_page_i8_scalar(const int8_t *q, const int8_t *k, int head_dim, int32_t *dot)
{
    memset(dot, 0, CT_KV_PAGE * sizeof *dot);
    for (int d = 0; d < head_dim; d++)
        for (int s = 0; s < CT_KV_PAGE; s++)
            dot[s] += (int16_t)(q[d] * k[d * CT_KV_PAGE + s]);
}

void ct_add_rows_i8_scalar(const int8_t *w, const int8_t *v, int64_t n, int head_dim, int32_t *sum)
{
    for (int64_t s = 0; s < n; s++)
        for (int d = 0; d < head_dim; d++)
            sum[d] += (int16_t)(w[s] * v[s * head_dim + d]);
}
