/* What the CPU backend's files share: the workspace, and the ops. Private to cpu/. */
#ifndef CT_BACKEND_CPU_CPU_OPS_H
#define CT_BACKEND_CPU_CPU_OPS_H

#include "engine/backend/cpu/cpu.h"
#include "engine/base/pool.h"
#include "engine/kernels/kernels.h"

/* Rows of a step that is `few`: there every worker makes a LINEAR's input itself, all rows of it, in
 * place of a share and another barrier. */
enum { CT_CPU_FEW_ROWS = 4 };

/* The input of a LINEAR, quantised: [rows, k padded to 64], scales and sums by group. */
struct ct_cpu_input {
    int8_t *q;
    float *scale;
    int32_t *sum;
    float *token; /* [rows]: with is_token_i8, the scales */
};

struct ct_cpu {
    struct ct_backend base;
    char name[32];
    const struct ct_graph *graph;
    const struct ct_matrix *matrices;
    const struct ct_kernel_table *kernels;
    struct ct_pool *pool;
    bool is_float;
    bool is_token_i8; /* then all of an input's scales are 1, and its tokens have theirs */
    bool is_kv_i8;
    float *arena;              /* [graph->arena_floats] */
    float *inverse_frequency;  /* [D/2] */
    float *cos, *sin;          /* [max_tokens, D/2]: rotary angles of the step's rows */
    struct ct_cpu_input input; /* of the LINEAR that runs now, made by all workers together */
    struct ct_cpu_input own;   /* the same for each worker alone, CT_CPU_FEW_ROWS rows of max_k */
    float *own_row;            /* [n_threads, max_k]: the row that a worker is making */
    int64_t max_k;             /* of all LINEARs, padded to 64 */
    /* [n_nodes]: done, in a step of few rows, by the node after it: the operation that makes a
     * LINEAR's input, or the rotation before attention. */
    bool *is_fused;
    int64_t context_tok; /* of the longest session */
    float *bias;         /* [H, 2 context_tok]: of ATTEND's scores, by distance */
    float *spans;        /* what attention to parts of a session gave: see cpu_attend.c */
    /* What runs now: these nodes over this batch. */
    const struct ct_batch *batch;
    int begin, end;
};

/* A worker's walk through a step. */
struct ct_cpu_walk {
    struct ct_cpu *cpu;
    const struct ct_batch *batch;
    int worker;
    int n_workers;
    bool is_few;                  /* at most CT_CPU_FEW_ROWS rows, each of its own session */
    int n_ahead;                  /* nodes by rows since the last barrier: 0, 1 or 2 */
    struct ct_read_ahead weights; /* of the next LINEAR, for waits */
};

/* Points walk->weights to what this worker reads first at the next LINEAR from node i on. */
void ct_cpu_look_ahead(struct ct_cpu_walk *walk, int i);

/* Whether node i can be fused: what fills cpu->is_fused. */
bool ct_cpu_can_fuse(const struct ct_cpu *cpu, int i);

/* Row t of a value, and the rows of this step's. */
float *ct_cpu_row(const struct ct_cpu *cpu, int value, int64_t t);
int64_t ct_cpu_n_rows(const struct ct_cpu_walk *walk, int value);

/* Waits for the other workers. */
void ct_cpu_wait(struct ct_cpu_walk *walk);

/* This worker's rows of a value, ready to be written: waits unless the node before was by rows too.
 * Two nodes at most go without a barrier, as far as the plan keeps a value's place (plan.c). */
void ct_cpu_begin_rows(struct ct_cpu_walk *walk, int value, int64_t *begin, int64_t *end);

/* Whether the node before this one is fused with it. */
bool ct_cpu_is_fused_before(const struct ct_cpu_walk *walk, const struct ct_node *node);

void ct_cpu_rotate(struct ct_cpu_walk *walk, const struct ct_node *node);
void ct_cpu_attend(struct ct_cpu_walk *walk, const struct ct_node *node);

/* Elements of a KV head's keys, or values, in a page; and where a KV head of a layer begins there. */
size_t ct_cpu_part_elements(const struct ct_cpu *cpu);
size_t ct_cpu_head_place(const struct ct_cpu *cpu, const struct ct_node *node, int kv_head);

enum { CT_INTEGER_TOK = 131072 }; /* keys whose products int32 holds: 2^31 / 127^2 and less */

/* cpu_attend_i8.c: whether attention's products are integers; what it needs of cpu->spans; and this
 * worker's part of the heads, whose keys and values are stored. */
bool ct_cpu_has_integer_attention(const struct ct_cpu *cpu);
int64_t ct_cpu_integer_floats(const struct ct_cpu *cpu, int n_threads);
void ct_cpu_attend_integers(struct ct_cpu_walk *walk, const struct ct_node *node);

/* A key and a value [D] as int8 of static scales, into their places in a page. */
void ct_cpu_store_static(const struct ct_integer *integer, const float *k, const float *v, int D,
                         int8_t *k_i8, int8_t *v_i8);

/* cpu_ibert.c: a number as int8, at most 127 away from 0; QUANTIZE, DEQUANTIZE and JOIN. */
float ct_cpu_whole_i8(float x);
void ct_cpu_quantize(struct ct_cpu_walk *walk, const struct ct_node *node);
void ct_cpu_dequantize(struct ct_cpu_walk *walk, const struct ct_node *node);
void ct_cpu_join(struct ct_cpu_walk *walk, const struct ct_node *node);

/* Floats that cpu->bias and cpu->spans need. */
int64_t ct_cpu_bias_floats(const struct ct_cpu *cpu);
int64_t ct_cpu_span_floats(const struct ct_cpu *cpu, int n_threads);

/* Row `row` of a matrix as floats. */
void ct_cpu_matrix_row(const struct ct_matrix *w, int64_t row, float *out);

/* Runs this worker's part of a node; passes barriers where it needs what other workers wrote. */
void ct_cpu_run_node(struct ct_cpu_walk *walk, const struct ct_node *node);

/* Whether LINEAR reads this matrix with int8 activations. */
bool ct_cpu_is_int8(const struct ct_cpu *cpu, const struct ct_matrix *matrix);

#endif
