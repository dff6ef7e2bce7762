/* Rows of any element type as floats: plain types, and GGUF's quantised blocks.
 *
 * A quantised row is a run of blocks, each with its own f16 scale(s):
 *
 *   Q4_0  d | 16 bytes: element j in the low half of byte j, j + 16 in the high      x = d (q - 8)
 *   Q4_1  d m | 16 bytes, as Q4_0                                                    x = d q + m
 *   Q5_0  d | 4 bytes: fifth bits | 16 bytes                                         x = d (q - 16)
 *   Q5_1  d m | 4 bytes | 16 bytes                                                   x = d q + m
 *   Q8_0  d | 32 signed bytes                                                        x = d q
 *   Q4_K  d dmin | 12 bytes: 8 6-bit scales and mins | 128 bytes                     x = d s q -
 * dmin t Q5_K  d dmin | 12 bytes | 32 bytes: fifth bits | 128 bytes                       x = d s q
 * - dmin t Q6_K  128 bytes: low halves | 64 bytes: upper 2 bits | 16 i8 scales | d          x = d s
 * (q - 32)
 *
 * The arithmetic is f32 in the order that ggml and gguf-py use, so results are equal to theirs. Any
 * thread. */
#ifndef CT_FORMAT_GGML_BLOCKS_H
#define CT_FORMAT_GGML_BLOCKS_H

#include "engine/base/tensor.h"

/* k elements from `row` (k a multiple of the type's block), as f32. out: [k]. `row` needs no
 * alignment. */
void ct_row_to_f32(enum ct_dtype dtype, const void *row, int64_t k, float *out);

/* Bytes of a row of k elements. */
size_t ct_row_n_bytes(enum ct_dtype dtype, int64_t k);

#endif
