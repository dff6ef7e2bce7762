/* What a run cost on the simulated accelerator, as one page of HTML that needs nothing else: the machine,
 * totals of each phase, a timeline, the roofline, energy by component, a table of the operators.
 *
 * The input is data: who has operators with their costs, from a graph or from steps that were run, can
 * have a page of them. */
#ifndef CT_CLI_GEMMINI_HTML_H
#define CT_CLI_GEMMINI_HTML_H

#include "cli/gemmini_report.h"

/* Steps of one kind, of which one is shown operator by operator. */
struct ct_gemmini_phase {
    const char *name; /* "prefill of 128 tokens" */
    const char
        *unit;      /* what it reads or makes, "token" or "image"; NULL: nothing that is counted */
    double n_units; /* of all steps */
    size_t n_steps;
    struct ct_gem_cost sum;                /* of all steps */
    const struct ct_gemmini_report *shown; /* of the step that is shown: the last */

    /* That step's operators in the order in which they run, as ct_gem_schedule leaves them, each alike one
     * of shown's rows; 0: the rows are in order. */
    const struct ct_gem_op *ops; /* [n_ops] */
    size_t n_ops;
};

struct ct_gemmini_page {
    const char *title; /* any text, as all names here: it is escaped */
    const struct ct_gem_config *config;
    const struct ct_gemmini_phase *phases; /* [n_phases] */
    size_t n_phases;
};

/* Writes the page to path, or leaves what is there. CT_IO names the path; CT_MEMORY, and what
 * ct_gem_op_timeline says. */
CT_MUST_CHECK enum ct_status ct_gemmini_html_write(const struct ct_gemmini_page *page,
                                                   const char *path, struct ct_error *err);

#endif
