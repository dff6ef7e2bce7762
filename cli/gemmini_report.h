/* What a list of operators costs on the simulated accelerator, as a table or JSON. */
#ifndef CT_CLI_GEMMINI_REPORT_H
#define CT_CLI_GEMMINI_REPORT_H

#include "engine/backend/gemmini/gem_schedule.h"

struct ct_gemmini_row {
    char name[32];
    struct ct_gem_op op; /* as ct_gem_schedule leaves it */
    struct ct_gem_cost cost;
};

struct ct_gemmini_report {
    struct ct_gemmini_row *rows; /* [n]: the caller's */
    size_t n;
    struct ct_gem_cost sum;
    double cycles; /* of the accelerator's clock, the host's work included */
};

/* Works out the rows' costs and their sum. What ct_gem_op_cost says, with the row's name. */
CT_MUST_CHECK enum ct_status ct_gemmini_report_cost(const struct ct_gem_config *config,
                                                    struct ct_gemmini_report *report,
                                                    struct ct_error *err);

/* Prints the report. host_cycles: the same work's with softmax, LayerNorm and GELU on the host. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gemmini_report_print(const struct ct_gem_config *config,
                                                     const struct ct_gemmini_report *report,
                                                     double host_cycles, bool is_json,
                                                     struct ct_error *err);

#endif
