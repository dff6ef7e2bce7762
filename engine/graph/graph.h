/* The graph of a model: what to compute, not how.
 *
 * A family's file adds values and nodes in the order of computation; plan.c then gives every value
 * its place in one arena. A value is a matrix of one row a token ([T, width], f32), or of one row a
 * wanted logit. The graph is built once, at load, by the thread that loads, and never changes
 * after. */
#ifndef CT_GRAPH_GRAPH_H
#define CT_GRAPH_GRAPH_H

#include "engine/base/activation.h"
#include "engine/base/status.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ct_op {
#define CT_OP(name, text) CT_OP_##name,
#include "engine/graph/ops.def"
#undef CT_OP
    CT_N_OPS
};

const char *ct_op_name(enum ct_op op);

enum ct_rows { CT_ROWS_TOKENS, CT_ROWS_LOGITS };

struct ct_value {
    int64_t width;
    enum ct_rows rows;
    size_t offset; /* planned: floats from the arena's start; row t is at offset + t * ld */
    int64_t ld;    /* planned: width padded to 64, and no multiple of 1024 */
};

/* A tensor that the graph needs: a matrix [n, k], or a vector [k] when n is 0. */
struct ct_slot {
    char name[96]; /* Hugging Face name */
    int64_t n, k;
    bool is_grid; /* a table of places on a grid of patches, stored for another size maybe */
};

enum {
    CT_MAX_NODE_WEIGHTS = 3,
    CT_BIAS_BUCKETS = 32, /* of distances, in ATTEND's table */
};

/* How an int8 accelerator computes a node: in integers, which values hold as floats. What is in and
 * out is int8 but where a scale is 0; the store's scale multiplies sums of int32, and what becomes of
 * them is rounded and clipped to int8 (engine/runtime/ibert.h). */
struct ct_integer {
    bool is_on;
    float scale[CT_MAX_NODE_WEIGHTS]; /* of the store; LINEAR: of each weight; 0: int32 is stored */
    const float *bias[CT_MAX_NODE_WEIGHTS]; /* LINEAR: [n] of each weight, the binding's; or NULL */
    float unit; /* what 1 of a sum stands for, in GELU, ATTEND and JOIN */
    /* ATTEND of floats: what 1 of a key and of a value stands for; queries have steps of their own, and
     * out is floats. 0: in and out are int8. */
    float kv_step[2];
    float gain; /* of JOIN's weight 0 */
    int count;  /* what GELU's and JOIN's input is multiplied by */
};

/* What 1 of a score must stand for at least, that a softmax of n_keys integers stays within int32: it adds
 * exponentials of up to (1.353^2 + 0.9596) / unit^2. 1e-4 is the reference software's own limit. */
static inline float ct_softmax_least_unit(int64_t n_keys)
{
    return fmaxf(1e-4F, 3.65e-5F * sqrtf((float)n_keys));
}

struct ct_node {
    enum ct_op op;
    int in;                           /* value; -1: the step's tokens */
    int out;                          /* value; the same as in for an op in place */
    int weights[CT_MAX_NODE_WEIGHTS]; /* slots */
    int n_weights;
    int layer;                       /* of ATTEND */
    int row;                         /* of SELECT and PLACE */
    float factor;                    /* of SCALE, QUANTIZE and DEQUANTIZE */
    float limit;                     /* of QUANTIZE */
    enum ct_activation activation;   /* of ACTIVATE */
    bool is_added;                   /* LINEAR, DEQUANTIZE: out += (a residual) */
    bool has_bias;                   /* LINEAR: each weight [n, k] has a bias [n] beside it */
    int biases[CT_MAX_NODE_WEIGHTS]; /* slots */
    struct ct_integer integer;       /* LINEAR, LAYERNORM, ATTEND, ACTIVATE (GELU), JOIN */
};

/* The sizes that ROTATE and ATTEND share. */
struct ct_heads {
    int n_heads;
    int n_kv_heads;
    int head_dim;
    double rope_theta; /* 0: no ROTATE */
};

/* What a vision model sees of an image [C, height, width]: a sequence of n_prefix learned tokens, then
 * the patches, line by line; what is left at the right and lower edge is not seen. */
struct ct_patches {
    int n_channels; /* C; 0: the model reads tokens */
    int height, width;
    int size; /* edge of a patch, P */
    int n_prefix;
    int stored_lines, stored_columns; /* patches that the table of places was trained for */
};

static inline int ct_patch_lines(const struct ct_patches *p)
{
    return p->height / p->size;
}

static inline int ct_patch_columns(const struct ct_patches *p)
{
    return p->width / p->size;
}

struct ct_graph {
    struct ct_value *values;
    int n_values;
    struct ct_slot *slots;
    int n_slots;
    struct ct_node *nodes;
    int n_nodes;
    int n_kv_layers; /* whose keys and values a session keeps */
    /* Every row of a sequence sees all of them, and no later step adds to it: an encoder. One layer's
     * keys and values are kept at a time. */
    bool is_encoder;
    double norm_eps;
    struct ct_heads heads;
    struct ct_patches patches;
    int64_t arena_floats;  /* planned */
    bool is_out_of_memory; /* some call below failed; ct_graph_check says so */
};

void ct_graph_init(struct ct_graph *graph);
void ct_graph_deinit(struct ct_graph *graph);

/* Each returns the new value, slot or nothing; when memory is short they note it and go on, so that
 * a family reads as its model does. ct_graph_check at the end gives the status. */
int ct_graph_value(struct ct_graph *graph, int64_t width, enum ct_rows rows);
int ct_graph_slot(struct ct_graph *graph, int64_t n, int64_t k, const char *fmt, ...)
    CT_PRINTF(4, 5); /* the same for the same name */
void ct_graph_node(struct ct_graph *graph, struct ct_node node);

/* CT_MEMORY when a call failed; CT_INTERNAL when a node does not fit its values or weights. */
CT_MUST_CHECK enum ct_status ct_graph_check(const struct ct_graph *graph, struct ct_error *err);

/* Gives every value a place: one whose last reader has run gives its place to later ones.
 * max_tokens and max_logits are the rows that one step can have. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_graph_plan(struct ct_graph *graph, int64_t max_tokens,
                                           int64_t max_logits);

#endif
