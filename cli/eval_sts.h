/* The measure "sts" of centroid eval; see eval_sts.c. The caller's thread. */
#ifndef CT_CLI_EVAL_STS_H
#define CT_CLI_EVAL_STS_H

#include "engine/engine.h"

/* Prints Spearman's correlation of the engine's cosines with the scores of the CSV file. CT_IO,
 * CT_FORMAT names the record, CT_CONTEXT a sentence that is too long, CT_INVALID, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_eval_sts(struct ct_engine *engine, const char *path, bool is_json,
                                         struct ct_error *err);

#endif
