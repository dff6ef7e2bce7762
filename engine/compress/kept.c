#include "engine/compress/kept.h"

#include "engine/compress/quantize.h"

#include <string.h>

enum { BLOCK = 32 };

bool ct_can_keep(const struct ct_weight *weight)
{
    enum ct_dtype dtype = weight->tensor.dtype;
    return weight->tensor.n_dims == 2 &&
           (dtype == CT_DTYPE_Q4_0 || dtype == CT_DTYPE_Q4_1 || dtype == CT_DTYPE_Q8_0);
}

struct ct_plan ct_plan_kept(const struct ct_weight *weight)
{
    const struct ct_tensor *tensor = &weight->tensor;
    return (struct ct_plan){
        .n = tensor->shape[0],
        .k = tensor->shape[1],
        .bits = tensor->dtype == CT_DTYPE_Q8_0 ? 8 : 4,
        .group = BLOCK,
        .n_codebooks = 1,
        .has_scale = true,
        .has_offset = tensor->dtype == CT_DTYPE_Q4_1,
        .is_kept = true,
    };
}

void ct_kept_codebook(enum ct_dtype dtype, bool has_lowest, int8_t *codebook)
{
    int n = dtype == CT_DTYPE_Q8_0 ? 256 : 16;
    int first = dtype == CT_DTYPE_Q4_1 ? 0 : -n / 2;
    for (int i = 0; i < n; i++)
        codebook[i] = (int8_t)(first + i);
    if (dtype == CT_DTYPE_Q8_0 && !has_lowest)
        codebook[0] = -127;
}

void ct_kept_row(const struct ct_weight *weight, int64_t row, uint8_t *index, uint16_t *scale,
                 uint16_t *offset)
{
    const struct ct_tensor *tensor = &weight->tensor;
    int64_t n_blocks = tensor->shape[1] / BLOCK;
    size_t block_bytes = (size_t)ct_dtype_block_bytes(tensor->dtype);
    size_t row_bytes = (size_t)n_blocks * block_bytes;
    const uint8_t *block =
        (const uint8_t *)tensor->data + (size_t)ct_weight_row(weight, row) * row_bytes;
    for (int64_t b = 0; b < n_blocks; b++, block += block_bytes, index += BLOCK) {
        const uint8_t *q = block + 2;
        memcpy(&scale[b], block, 2);
        if (tensor->dtype == CT_DTYPE_Q4_1) {
            memcpy(&offset[b], q, 2);
            q += 2;
        }
        if (tensor->dtype == CT_DTYPE_Q8_0) {
            for (int j = 0; j < BLOCK; j++)
                index[j] = (uint8_t)(q[j] ^ 0x80); /* q + 128 */
            continue;
        }
        for (int j = 0; j < BLOCK / 2; j++) {
            index[j] = q[j] & 15;
            index[j + BLOCK / 2] = q[j] >> 4;
        }
    }
}
