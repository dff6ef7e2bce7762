/* centroid gemmini check: the parts that its two halves, results and cycles, share. */
#ifndef CT_CLI_GEMMINI_CHECK_H
#define CT_CLI_GEMMINI_CHECK_H

#include "cli/gemmini_case.h"
#include "engine/backend/gemmini/gem_config.h"

#include <stdbool.h>

enum { CT_GEMMINI_MAX_FILES = 64 };

struct ct_gemmini_family {
    char *name;
    long cases, exact;             /* with results to compare, and equal in every bit */
    long wrong;                    /* not equal, and nothing says that the hardware differs, too */
    long cycle_cases;              /* with cycles to compare */
    double sum_error, worst_error; /* |cycles / measured - 1| */
};

struct ct_gemmini_check {
    struct ct_gemmini_file files[CT_GEMMINI_MAX_FILES];
    int n_files;
    struct ct_gemmini_family *families;
    size_t n_families;
};

/* The family of a case, made where there is none; NULL: no memory. Valid until the next call. */
struct ct_gemmini_family *ct_gemmini_family_of(struct ct_gemmini_check *check,
                                               const char *case_name);

/* The configuration that a measurement's name ("ibert", "sp64acc256"), or a file of programs for it
 * whose name has one in it, stands for; default for others. */
void ct_gemmini_build(const char *name, struct ct_gem_config *config);

/* Whether both names stand for the same configuration. */
bool ct_gemmini_same_build(const char *name, const char *other);

/* The program of a name among the files of cases, of those for the same build if there is one;
 * NULL. */
const json_t *ct_gemmini_find(const struct ct_gemmini_check *check, const char *build,
                              const char *name);

/* Runs every program with results, compares all numbers of the arithmetic. CT_FORMAT, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gemmini_check_results(struct ct_gemmini_check *check,
                                                      struct ct_error *err);

/* gemmini_cycles.c: times the program of every row of the files of cycles, where a file has it. CT_FORMAT,
 * CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gemmini_check_cycles(struct ct_gemmini_check *check,
                                                     struct ct_error *err);

/* gemmini_scalars.c: the lists of a file of scalars. */
CT_MUST_CHECK enum ct_status ct_gemmini_check_scalars(struct ct_gemmini_check *check,
                                                      const json_t *root, struct ct_error *err);

#endif
