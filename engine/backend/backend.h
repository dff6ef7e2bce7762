/* What a backend is: something that runs a planned graph over a batch of rows.
 *
 * The runtime binds weights to slots, describes the step's rows in a struct ct_batch, and calls
 * run. One owner thread, the engine thread; the backend has its own workers. */
#ifndef CT_BACKEND_BACKEND_H
#define CT_BACKEND_BACKEND_H

#include "engine/base/status.h"
#include "engine/energy/cost.h"
#include "engine/format/clustered.h"
#include "engine/graph/graph.h"

/* A slot's weight as the backend reads it; all memory is the model's. */
struct ct_matrix {
    enum ct_matrix_kind { CT_MATRIX_VECTOR, CT_MATRIX_DENSE, CT_MATRIX_CLUSTERED } kind;
    int64_t n, k;
    const float *vector;           /* VECTOR: [k] */
    const void *dense;             /* DENSE: [n, k] of dense_type */
    enum ct_dtype dense_type;      /* F32, F16 or BF16 */
    struct ct_clustered clustered; /* CLUSTERED; codebook_f32 is there in any case */
    size_t n_bytes;                /* as stored */
};

/* Tokens in a page of keys and values; and the longest sequence of an encoder. */
enum { CT_PAGE_TOK = 64, CT_ENCODER_TOK = 16384 };

/* The rows of one step. */
struct ct_batch {
    int n_rows;
    const int32_t *tokens;      /* [n_rows] */
    const int32_t *types;       /* [n_rows]: token types; NULL: all 0 */
    const float *const *pixels; /* [n_rows] -> the sequence's image, [C, height, width]; or NULL */
    const int32_t *positions;   /* [n_rows]: place in the row's session */
    const int32_t *lengths;     /* [n_rows]: rows of the session after the step */
    /* [n_rows] -> the session's pages; page p holds its positions [p * CT_PAGE_TOK, ...). */
    uint16_t *const *const *pages;
    int n_logits;
    const int32_t *logit_rows; /* [n_logits]: rows, ascending; of an encoder, sequences' first */
};

/* A page holds all layers: [n_kv_layers][n_kv_heads]{ k [D, CT_PAGE_TOK], v [CT_PAGE_TOK, D] } in f16; or
 * in int8, where k and v each are followed by their scales, f16 [CT_PAGE_TOK]. Elements are of 16
 * bits. This is how many a k or a v takes. */
static inline size_t ct_page_part_elements(const struct ct_heads *heads, bool is_i8)
{
    return (size_t)(is_i8 ? heads->head_dim / 2 + 1 : heads->head_dim) * CT_PAGE_TOK;
}

static inline size_t ct_page_elements(const struct ct_graph *graph, bool is_i8)
{
    return (size_t)graph->n_kv_layers * (size_t)graph->heads.n_kv_heads * 2 *
           ct_page_part_elements(&graph->heads, is_i8);
}

/* One session's rows of a step, for what they cost. */
struct ct_part {
    int n_rows;
    int n_before;      /* positions of the session before them */
    int n_logits;      /* for the last of them; of an encoder 1, for the sequence, or 0 */
    bool is_simulated; /* a simulated machine's costs are wanted, too */
};

struct ct_backend {
    const struct ct_backend_ops *ops;
};

struct ct_backend_ops {
    /* "cpu-avx2": what an answer calls it. */
    const char *(*name)(const struct ct_backend *backend);
    /* Runs nodes [begin, end) over the batch: a step runs all. A later part of the graph reads the
     * values that an earlier part, or the caller, left in their places. Allocates nothing. */
    void (*run)(struct ct_backend *backend, const struct ct_batch *batch, int begin, int end);
    /* A value's place: row stride *ld floats. What is there lives as long as plan.c says. */
    float *(*value)(const struct ct_backend *backend, int value, int64_t *ld);
    /* What the parts [n] of a step that is about to run count to: multiply-accumulates, bytes of
     * activations and own KV, and what the step reads once, shared by rows; ns and pj stay 0. Where
     * a part asks for it, the simulated costs. On an error the step does not run. */
    CT_MUST_CHECK enum ct_status (*cost)(struct ct_backend *backend, const struct ct_part *parts,
                                         int n, struct ct_cost *costs, struct ct_error *err);
    void (*close)(struct ct_backend *backend);
};

/* What a backend that stands on the CPU's is opened with; all of it outlives the backend. */
struct ct_backend_setup {
    const struct ct_graph *graph;     /* planned */
    const struct ct_matrix *matrices; /* [n_slots] */
    const int *index_bits;            /* [n_slots]: of clustered weights as stored, 0 for others */
    struct ct_backend *host;          /* the CPU's: has the values, and runs what this one leaves */
    const char *preset, *config_path; /* of the machine; NULL: its own */
};

/* A kind of backend on top of the CPU's: docs/add-a-backend.md. */
struct ct_backend_type {
    const char *name;
    /* Takes this alone, with keys and values in int8: W8A8, or integers throughout (runtime/ibert.h). */
    bool is_w8a8, is_ibert;
    bool is_simulated; /* gives costs of a machine, not values of its own; then it has: */
    double (*ghz)(const struct ct_backend *backend);
    enum ct_status (*open)(const struct ct_backend_setup *setup, struct ct_backend **out,
                           struct ct_error *err);
};

#endif
