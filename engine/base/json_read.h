/* JSON from a model's files, by jansson, with limits that are checked before it builds anything:
 * depth 64, 2^21 values (jansson takes up to about 150 bytes for each). Duplicate keys are an
 * error. Any thread. */
#ifndef CT_BASE_JSON_READ_H
#define CT_BASE_JSON_READ_H

#include "engine/base/status.h"

#include <jansson.h>
#include <stddef.h>

enum { CT_JSON_DEPTH = 64, CT_JSON_VALUES = 1 << 21 };

/* The object that text is; *out is to be json_decref'ed. CT_FORMAT with line and column,
 * CT_TOO_LARGE past a limit, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_json_read(const char *text, size_t n_bytes, json_t **out,
                                          struct ct_error *err);

/* The same for a list. */
CT_MUST_CHECK enum ct_status ct_json_read_list(const char *text, size_t n_bytes, json_t **out,
                                               struct ct_error *err);

#endif
