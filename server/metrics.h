/* Counters and histograms, written as Prometheus text. Loop thread; what the engine thread counts
 * comes from ct_batcher_stats. What is one model's has its name as a label. */
#ifndef CT_SERVER_METRICS_H
#define CT_SERVER_METRICS_H

#include "server/batcher.h"
#include "server/buffer.h"
#include "server/router.h"

enum { CT_MAX_BUCKETS = 16, CT_N_STATUS_CODES = 600 };

struct ct_histogram {
    const double *bounds; /* [n_bounds], upper, rising; +Inf follows by itself */
    int n_bounds;
    uint64_t counts[CT_MAX_BUCKETS + 1];
    double sum;
};

/* Sums over the requests that a model has ended. */
struct ct_model_metrics {
    uint64_t n_cancelled;
    uint64_t n_prompt_tok, n_generated_tok;
    struct ct_cost prefill, decode;
    struct ct_histogram queue_s, first_token_s, token_s, request_s;
};

struct ct_metrics {
    /* answers by route (the last: no route) and status code */
    uint64_t n_answers[CT_N_ROUTES + 1][CT_N_STATUS_CODES];
    struct ct_model_metrics models[CT_MAX_MODELS]; /* by ct_model.index */
    double start_s;                                /* of this process, since 1970 */
};

void ct_metrics_init(struct ct_metrics *metrics);

/* A request is over; is_cancelled: without an answer. */
void ct_metrics_add(struct ct_metrics *metrics, const struct ct_request *request,
                    bool is_cancelled);

void ct_metrics_write(const struct ct_metrics *metrics, const struct ct_models *models,
                      int n_connections, struct ct_buffer *out);

#endif
