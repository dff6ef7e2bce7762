/* A step of a model, operator by operator, with what each costs on the simulated accelerator. */
#ifndef CT_CLI_GEMMINI_STEP_H
#define CT_CLI_GEMMINI_STEP_H

#include "cli/gemmini_report.h"
#include "engine/backend/gemmini/gem_graph.h"

struct ct_gemmini_priced {
    struct ct_gem_op *ops; /* [n_ops], in their order */
    size_t n_ops;
    struct ct_gemmini_report report; /* those of one shape together */
};

/* index_bits: see ct_gem_list_ops. What ct_gemmini_report_cost says; to be closed after an error, too. */
CT_MUST_CHECK enum ct_status ct_gemmini_price(const struct ct_gem_config *config,
                                              const struct ct_graph *graph, const int *index_bits,
                                              const struct ct_gem_step *step,
                                              struct ct_gemmini_priced *out, struct ct_error *err);
void ct_gemmini_priced_close(struct ct_gemmini_priced *priced);

#endif
