/* The CPU backend: walks the plan over a pool of threads and calls kernels. */
#ifndef CT_BACKEND_CPU_CPU_H
#define CT_BACKEND_CPU_CPU_H

#include "engine/backend/backend.h"
#include "engine/base/pool.h"

struct ct_cpu_options {
    struct ct_pool *pool; /* the caller's; outlives the backend */
    int64_t max_tokens;   /* rows of one step */
    int64_t max_logits;
    int64_t context_tok; /* of the longest session */
    bool is_float;       /* float activations instead of int8 */
    bool is_token_i8;    /* int8 with one scale a token instead of one for each CT_X_GROUP columns */
    bool is_kv_i8;       /* keys and values in int8 instead of f16 */
};

/* graph is planned for the same rows; graph and matrices [n_slots] are the caller's and outlive the
 * backend. CT_MEMORY; CT_UNSUPPORTED names what does not run here. */
CT_MUST_CHECK enum ct_status ct_cpu_open(const struct ct_graph *graph,
                                         const struct ct_matrix *matrices,
                                         const struct ct_cpu_options *options,
                                         struct ct_backend **out, struct ct_error *err);

#endif
