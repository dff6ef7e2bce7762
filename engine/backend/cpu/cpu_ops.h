/* What the CPU backend's two files share: the workspace, and the ops. Private to cpu/. */
#ifndef CT_BACKEND_CPU_CPU_OPS_H
#define CT_BACKEND_CPU_CPU_OPS_H

#include "engine/backend/cpu/cpu.h"
#include "engine/base/pool.h"
#include "engine/kernels/kernels.h"

struct ct_cpu {
    struct ct_backend base;
    char name[32];
    const struct ct_graph *graph;
    const struct ct_matrix *matrices;
    const struct ct_kernel_table *kernels;
    struct ct_pool *pool;
    bool is_float;
    float *arena;             /* [graph->arena_floats] */
    float *inverse_frequency; /* [D/2] */
    float *cos, *sin;         /* [max_tokens, D/2]: rotary angles of the step's rows */
    /* The input of the LINEAR that runs now, quantised: [max rows, k padded], scales and sums by
     * group. */
    int8_t *x_q;
    float *x_scale;
    int32_t *x_sum;
    /* Per worker: the pages of one KV head, [2][max_pages]. */
    const uint16_t **page_lists;
    int max_pages;
    const struct ct_batch *batch; /* of the step that runs now */
    /* Observation: by node, the input's [k] sums of squares; NULL while off, and for other ops. */
    double **squares;
    int64_t *n_observed; /* rows, by node */
};

/* A worker's walk through a step. */
struct ct_cpu_walk {
    struct ct_cpu *cpu;
    const struct ct_batch *batch;
    int worker;
    int n_workers;
    int n_ahead; /* nodes by rows since the last barrier: 0, 1 or 2 */
};

/* Runs this worker's part of a node; passes barriers where it needs what other workers wrote. */
void ct_cpu_run_node(struct ct_cpu_walk *walk, const struct ct_node *node);

/* Whether LINEAR reads this matrix with int8 activations. */
bool ct_cpu_is_int8(const struct ct_cpu *cpu, const struct ct_matrix *matrix);

#endif
