/* Operators of a Transformer to work of the accelerator and of the host, and what that work costs.
 *
 *   ops --ct_gem_schedule--> ops, fused and placed --ct_gem_op_cost--> cycles, bytes, accesses
 *
 * GELU always joins the product before it. Softmax and LayerNorm do where [sw] of the configuration says
 * so and a row fits into a loop's share of the accumulator; otherwise the product writes int32 and a pass
 * of its own normalises. Without normalisation units (norm.enabled = 0) softmax, LayerNorm and GELU are
 * the host's, by the instruction counts of host_ops.def that host.table chooses.
 *
 * Clustered weights, index_bits wide, are decoded where [sw] says:
 *   mvin_lut      by a table as they are loaded; memory holds and delivers indices, blocks of them packed
 *   host_decode   by the host before each use, to int8 in memory
 *   neither       once, when the model is loaded: int8 weights
 *
 * [product] sections of the configuration (gem_rule.h) may say otherwise: how a product is tiled, its
 * dataflow, whether it is fused.
 *
 * A cost is worked out once for each operator and shape and then looked up; the table belongs to
 * struct ct_gem_costs, which one thread owns. */
#ifndef CT_BACKEND_GEMMINI_GEM_SCHEDULE_H
#define CT_BACKEND_GEMMINI_GEM_SCHEDULE_H

#include "engine/backend/gemmini/gem_energy.h"
#include "engine/backend/gemmini/gem_mapping.h"

enum ct_gem_op_kind {
    CT_GEM_OP_MATMUL,  /* int8 [m,k] x [k,n] */
    CT_GEM_OP_SOFTMAX, /* rows of [m,n], as are the following */
    CT_GEM_OP_LAYERNORM,
    CT_GEM_OP_GELU,
    CT_GEM_OP_RESADD,
    CT_GEM_OP_REQUANTISE, /* to int8 with another scale */
    CT_GEM_OP_RMSNORM,
    CT_GEM_OP_GATE,     /* SiLU of one matrix times another */
    CT_GEM_OP_ROTARY,   /* turns pairs of columns by their position */
    CT_GEM_OP_RESIDUAL, /* int32 products, scaled, to floats */
};

struct ct_gem_op {
    enum ct_gem_op_kind kind;
    enum ct_gem_role role;
    size_t count; /* how many times, as for heads */
    size_t m, n, k;
    int index_bits; /* of clustered weights, 1 to 8; 0: int8 */
    bool b_transpose, has_bias;
    bool has_addend; /* [m,n] of int32 is added in place of a bias */
    bool is_float;   /* not the accelerator's, whatever it could do: computed in floats */

    /* ct_gem_schedule's decisions; is_full_c may be asked for before. */
    enum ct_gem_activation act;
    bool is_on_host;
    bool is_full_c; /* a product's result is int32; or so is what the host reads */
};

/* Whether two operators are the same but for how often. */
bool ct_gem_op_is_alike(const struct ct_gem_op *a, const struct ct_gem_op *b);

/* Fuses and places ops [n] in place; returns how many are left. */
size_t ct_gem_schedule(const struct ct_gem_config *config, struct ct_gem_op *ops, size_t n);

/* Of one or more operators. */
struct ct_gem_cost {
    struct ct_gem_timing work; /* cycles of the accelerator; bytes and instructions of both */
    uint64_t host_cycles;      /* of the host's clock, while the accelerator waits */
    uint64_t table_reads;      /* of the codebook unit, 16 values each */
};

/* sum += count * part. */
void ct_gem_cost_add(struct ct_gem_cost *sum, const struct ct_gem_cost *part, size_t count);

/* All of it in cycles of the accelerator's clock. */
double ct_gem_cost_cycles(const struct ct_gem_config *config, const struct ct_gem_cost *cost);

/* Its energy; the codebook unit's table counts as registers. */
void ct_gem_cost_energy(const struct ct_gem_config *config, const struct ct_gem_cost *cost,
                        struct ct_gem_energy *energy);

struct ct_gem_costs;

/* Keeps config, a copy. CT_MEMORY, and what ct_gem_config_check says. */
CT_MUST_CHECK enum ct_status ct_gem_costs_open(const struct ct_gem_config *config,
                                               struct ct_gem_costs **out, struct ct_error *err);
void ct_gem_costs_close(struct ct_gem_costs *costs);

/* What op, as ct_gem_schedule leaves it, costs count times. CT_INVALID (an extent of 0, index_bits),
 * CT_UNSUPPORTED (no such operator on this machine, or not as a [product] section wants it), CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gem_op_cost(struct ct_gem_costs *costs, const struct ct_gem_op *op,
                                            struct ct_gem_cost *cost, struct ct_error *err);

/* What the accelerator's units do in the first n_commands (SIZE_MAX: all) of op's commands, once, as
 * ct_gem_timeline tells it, at the price that op costs; each may be NULL. *cycles: how long that takes, 0
 * where the host does it all. Errors as above. */
CT_MUST_CHECK enum ct_status ct_gem_op_timeline(const struct ct_gem_config *config,
                                                const struct ct_gem_op *op, size_t n_commands,
                                                ct_gem_interval_fn *each, void *context,
                                                uint64_t *cycles, struct ct_error *err);

/* The accelerator's commands for op, once, one by one to sink; none for the host's work. Errors as above. */
CT_MUST_CHECK enum ct_status ct_gem_op_commands(const struct ct_gem_config *config,
                                                const struct ct_gem_op *op, ct_gem_sink_fn *sink,
                                                void *context, struct ct_error *err);

/* The host's code for an operator, as "softmax_fp32". NULL: the host has none. */
const char *ct_gem_host_code(const struct ct_gem_config *config, enum ct_gem_op_kind kind);

#endif
