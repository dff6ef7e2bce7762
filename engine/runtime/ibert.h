/* Encoders in integers throughout, as I-BERT has them (Kim et al., 2021) and as an int8 accelerator with
 * Gemmini's stores computes them: products, softmax, LayerNorm and GELU, with scales that `centroid
 * calibrate` found (scales.h), so that a row's result never depends on what else is in the batch.
 *
 * The graph is rewritten. A value that products read is int8, value = q * scale; the stream that layers
 * add to is int32 in units of its own. All are whole numbers that floats hold: what is stored stays
 * below 2^24.
 *
 *   h = EMBED, PATCH, PLACE ..      floats: the host's
 *   QUANTIZE h                      int32, the host's
 *   LAYERNORM n                     int8: (h - mean) / deviation
 *   LINEAR qkv = n W^T + b          int8; the norm's weight and bias are part of W and b
 *   ATTEND a                        int8: softmax of int32, times V
 *   LINEAR o = a W^T + b            int8
 *   JOIN h += count * o             int32; where h was normed: h = weight * n + bias + count * o
 *   LINEAR u, ACTIVATE g            int8
 *   ..
 *   DEQUANTIZE                      floats: what the host goes on with
 *
 * GELU is a pass of its own, not part of the product's store: on sums of products its polynomial would
 * pass int32. A store's one scale makes weights int8 with one scale a matrix (int8_tensor.h).
 *
 * Of a generator, whose norms, rotations and gates such an accelerator has not, only attention changes:
 * products are those of W8A8, and keys and values get static scales, so that the softmax is one of
 * integers. */
#ifndef CT_RUNTIME_IBERT_H
#define CT_RUNTIME_IBERT_H

#include "engine/base/pool.h"
#include "engine/runtime/bind.h"
#include "engine/runtime/scales.h"

/* Rewrites graph, which is not planned yet, and the matrices of its products, for sequences of up to
 * context_tok tokens. CT_FORMAT: scales lack a
 * weight; CT_UNSUPPORTED names what has no such form; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_ibert_bind(struct ct_graph *graph, struct ct_binding *binding,
                                           const struct ct_scales *scales, int context_tok,
                                           struct ct_pool *pool, struct ct_error *err);

/* Gives attention its scales; weights are ct_w8a8_bind's. CT_FORMAT and CT_UNSUPPORTED as above. */
CT_MUST_CHECK enum ct_status ct_ibert_bind_generator(struct ct_graph *graph,
                                                     const struct ct_scales *scales,
                                                     struct ct_error *err);

#endif
