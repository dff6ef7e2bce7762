/* A model's graph as operators of the accelerator and its host: what schedule and costs are for.
 *
 *   LINEAR      a product for each weight, and a residual add where the result is added
 *   ATTEND      for each head QK^T, softmax, and the weights times V
 *   JOIN        a product, or two, by diagonal blocks; where GELU is of integers, it is one too
 *   LAYERNORM, RMSNORM, ROTATE, SWIGLU, ACTIVATE, ADDSCALED, QUANTIZE, DEQUANTIZE
 *               one each; ReLU is free as a product is stored
 *
 * Looking tokens up, cutting patches and picking rows move data and are not counted.
 *
 * Static scales are known before a product: its store makes int8 of it, and norm.enabled decides who
 * normalises. So it is with nodes of integers (struct ct_integer), and, asked without is_dynamic, with all.
 * Dynamic scales (W8A8: int8 with one scale a token) are the host's to find: products leave the array as
 * int32, and everything between them is floats on the host, which writes int8 again:
 *
 *   gate, GELU, rotary, softmax     read int32 and write int8 by themselves
 *   RESIDUAL                        adds a product to the floats of the stream
 *   REQUANTISE                      what remains: values, attention's result, logits
 *
 * Pure; any thread. */
#ifndef CT_BACKEND_GEMMINI_GEM_GRAPH_H
#define CT_BACKEND_GEMMINI_GEM_GRAPH_H

#include "engine/backend/gemmini/gem_schedule.h"
#include "engine/graph/graph.h"

/* One step: n_rows tokens, each of which sees n_keys, and n_logits rows of the answer, 0 of them if none
 * is wanted. n_keys 0: all but attention, as for the rows of several sequences together. */
struct ct_gem_step {
    size_t n_rows, n_keys, n_logits;
    bool is_dynamic;
};

/* The most operators that ct_gem_list_ops makes of a graph. */
size_t ct_gem_max_ops(const struct ct_graph *graph);

/* Fills ops [ct_gem_max_ops] in the graph's order and returns how many there are. index_bits [n_slots]:
 * of each weight's clustered indices, 0 where it is int8. */
size_t ct_gem_list_ops(const struct ct_graph *graph, const struct ct_gem_step *step,
                       const int *index_bits, struct ct_gem_op *ops);

/* The attention of all layers, as ct_gem_list_ops has it in each: fills ops [CT_GEM_ATTENTION_OPS] and
 * returns how many there are. For a part of a step's rows: one sequence's. */
enum { CT_GEM_ATTENTION_OPS = 4 };
size_t ct_gem_list_attention(const struct ct_graph *graph, const struct ct_gem_step *step,
                             struct ct_gem_op *ops);

/* Brings operators of the same kind and shape together, where the first of them was; returns how many
 * are left. Behind ct_gem_schedule. */
size_t ct_gem_merge_ops(struct ct_gem_op *ops, size_t n);

#endif
