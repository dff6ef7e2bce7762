/* What the steps of `centroid run` cost on the simulated accelerator, as a page of HTML. One thread. */
#ifndef CT_CLI_RUN_REPORT_H
#define CT_CLI_RUN_REPORT_H

#include "engine/engine.h"

struct ct_run_step {
    int n_rows, n_before, n_logits;
    bool is_decode;
};

/* Zeroed before; the steps that were run. */
struct ct_run_report {
    struct ct_run_step *steps; /* [n] */
    size_t n, capacity;
};

/* CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_run_report_add(struct ct_run_report *report,
                                               struct ct_run_step step, struct ct_error *err);

/* The page of what was added: prefill and decode, with the last step of each in full. The engine has a
 * backend of gem_backend.h. What ct_gemmini_html_write says. */
CT_MUST_CHECK enum ct_status ct_run_report_write(const struct ct_run_report *report,
                                                 const struct ct_engine *engine, const char *path,
                                                 struct ct_error *err);

void ct_run_report_deinit(struct ct_run_report *report);

#endif
