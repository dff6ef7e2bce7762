/* A model's graph as operators of the accelerator and its host: what schedule and costs are for.
 *
 *   LINEAR      a product for each weight, and a residual add where the result is added
 *   ATTEND      for each head QK^T, softmax, and the weights times V
 *   JOIN        a product, or two, by diagonal blocks; where GELU is of integers, it is one too
 *   LAYERNORM, RMSNORM, ROTATE, SWIGLU, ACTIVATE      one each; ReLU is free as a product is stored
 *
 * Looking tokens up, cutting patches and picking rows move data and are not counted. Pure; any thread. */
#ifndef CT_BACKEND_GEMMINI_GEM_GRAPH_H
#define CT_BACKEND_GEMMINI_GEM_GRAPH_H

#include "engine/backend/gemmini/gem_schedule.h"
#include "engine/graph/graph.h"

/* One step of one sequence: n_rows tokens, each of which sees n_keys; n_logits rows of the answer. */
struct ct_gem_step {
    size_t n_rows, n_keys, n_logits;
};

/* The most operators that ct_gem_list_ops makes of a graph. */
size_t ct_gem_max_ops(const struct ct_graph *graph);

/* Fills ops [ct_gem_max_ops] in the graph's order and returns how many there are. index_bits [n_slots]:
 * of each weight's clustered indices, 0 where it is int8. */
size_t ct_gem_list_ops(const struct ct_graph *graph, const struct ct_gem_step *step,
                       const int *index_bits, struct ct_gem_op *ops);

/* Brings operators of the same kind and shape together, where the first of them was; returns how many
 * are left. Behind ct_gem_schedule. */
size_t ct_gem_merge_ops(struct ct_gem_op *ops, size_t n);

#endif
