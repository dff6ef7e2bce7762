/* Operators to commands, tiled as the reference software tiles them.
 *
 * A matrix product is cut into tiles of i x j x k blocks of 16 that fit into the half of the scratchpad
 * and of the accumulator which a loop gets, so that one tile loads while another computes:
 *
 *        k0 ->          j0 ->                   j0 ->
 *   i0 | A tile |  k0 | B tile |  =>  i0 | C tile: one store, after its last k0 |
 *
 * Weight stationary, a tile is six commands that end in LOOP_WS; output stationary, it is written out:
 * mvin, preload and compute, mvout, with all of both memories. An operator may bring a tile and an order
 * of its own (gem_rule.h). Residual adds and normalisations are cut into rows and columns that fit into
 * the accumulator.
 *
 * The rules are those of tiled_matmul_auto, tiled_resadd_auto and tiled_norm_auto of
 * ucb-bar/gemmini-rocc-tests (dev@180c468, include/gemmini.h). Every program ends in a fence. Commands
 * go one by one to a sink; nothing is kept. Pure functions; any thread. */
#ifndef CT_BACKEND_GEMMINI_GEM_MAPPING_H
#define CT_BACKEND_GEMMINI_GEM_MAPPING_H

#include "engine/backend/gemmini/command.h"
#include "engine/backend/gemmini/gem_config.h"

typedef void ct_gem_sink_fn(void *context, const struct ct_gem_command *command);

/* Where a matrix lies in main memory; the stride counts elements from row to row. */
struct ct_gem_matrix {
    uint64_t address, stride;
};

/* c[m,n] = act(a[m,k] b[k,n] + d[m,n]) * scale, as int8 or, without act and scale, as int32. */
struct ct_gem_matmul {
    size_t m, n, k;
    struct ct_gem_matrix a, b; /* int8; [k,m] and [n,k] where transposed */
    struct ct_gem_matrix d;    /* int32; stride 0: one row for all; address 0: none */
    struct ct_gem_matrix c;
    bool is_os; /* output stationary: no activation but RELU, and B transposed only with A */
    bool a_transpose, b_transpose; /* weight stationary: not both */
    bool is_full_c;                /* int32 */
    enum ct_gem_activation act;
    float scale;     /* what the store multiplies by */
    float act_scale; /* what 1 of the accumulator stands for in I-GELU and softmax: 1e-4 to 1e4 */
    struct ct_gem_tiles tile; /* i 0: the reference software's; cut to the product's own size */
    enum ct_gem_order order;
};

/* out[rows,cols] = softmax or LayerNorm of each row of in, int32 to int8. */
struct ct_gem_normalise {
    size_t rows, cols;
    struct ct_gem_matrix in, out;
    enum ct_gem_activation act;
    float scale, act_scale;
};

/* c[rows,cols] = relu(a * a_scale + b * b_scale) * scale, all int8. */
struct ct_gem_resadd {
    size_t rows, cols;
    struct ct_gem_matrix a, b, c;
    bool is_relu;
    float a_scale, b_scale, scale;
};

/* The tiles of a product: op->tile, or squares of the accumulator's share and as much k as there is room
 * for, then one more block of j, i, k in turn while anything grows. LayerNorm and softmax need all of a
 * row at once and begin at one row of blocks. CT_INVALID: an extent of 0, or an op->tile that does not
 * fit; CT_UNSUPPORTED: the array or the dataflow cannot do it, or a row to normalise does not fit. */
CT_MUST_CHECK enum ct_status ct_gem_matmul_tiles(const struct ct_gem_config *config,
                                                 const struct ct_gem_matmul *op,
                                                 struct ct_gem_tiles *tiles, struct ct_error *err);

/* The bytes of B that a product loads, each as often as it is loaded. Errors as above. */
CT_MUST_CHECK enum ct_status ct_gem_matmul_b_bytes(const struct ct_gem_config *config,
                                                   const struct ct_gem_matmul *op,
                                                   uint64_t *n_bytes, struct ct_error *err);

/* The commands of an operator. Errors as above, before the first command. */
CT_MUST_CHECK enum ct_status ct_gem_map_matmul(const struct ct_gem_config *config,
                                               const struct ct_gem_matmul *op, ct_gem_sink_fn *sink,
                                               void *context, struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_gem_map_normalise(const struct ct_gem_config *config,
                                                  const struct ct_gem_normalise *op,
                                                  ct_gem_sink_fn *sink, void *context,
                                                  struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_gem_map_resadd(const struct ct_gem_config *config,
                                               const struct ct_gem_resadd *op, ct_gem_sink_fn *sink,
                                               void *context, struct ct_error *err);

#endif
