/* The measure "sts" of centroid eval; see eval_sts.c. The caller's thread. */
#ifndef CT_CLI_EVAL_STS_H
#define CT_CLI_EVAL_STS_H

#include "engine/engine.h"

/* Spearman's correlation of the engine's cosines with the scores of the CSV file; of its first n_most
 * pairs, or of all when that is 0. *n_pairs: how many they were. CT_IO, CT_FORMAT names the record,
 * CT_CONTEXT a sentence that is too long, CT_INVALID, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_eval_sts_score(struct ct_engine *engine, const char *path,
                                               int64_t n_most, double *score, int *n_pairs,
                                               struct ct_error *err);

/* The same over all pairs, printed. */
CT_MUST_CHECK enum ct_status ct_eval_sts(struct ct_engine *engine, const char *path, bool is_json,
                                         struct ct_error *err);

#endif
