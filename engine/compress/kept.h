/* GGUF blocks as clustered rows, without loss: a linear codebook, the block's own scale, and for
 * Q4_1 its own offset. Any thread. */
#ifndef CT_COMPRESS_KEPT_H
#define CT_COMPRESS_KEPT_H

#include "engine/format/model_file.h"

/* The codebook [2^bits] of a kept type. has_lowest: a Q8_0 block holds -128, which the integer
 * kernels handle but which no converter writes; without it the first entry repeats -127. */
void ct_kept_codebook(enum ct_dtype dtype, bool has_lowest, int8_t *codebook);

/* Row `row` (as in the Hugging Face matrix) taken apart: indices [k], scales and offsets [k / 32]
 * (offset is not touched where the type has none). */
void ct_kept_row(const struct ct_weight *weight, int64_t row, uint8_t *index, uint16_t *scale,
                 uint16_t *offset);

#endif
