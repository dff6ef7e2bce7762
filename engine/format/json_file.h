/* The JSON files of a model's directory. Any thread. */
#ifndef CT_FORMAT_JSON_FILE_H
#define CT_FORMAT_JSON_FILE_H

#include "engine/base/json_read.h"

/* ct_json_read, or ct_json_read_list. */
typedef enum ct_status ct_json_read_fn(const char *text, size_t n_bytes, json_t **out,
                                       struct ct_error *err);

/* dir/name as `read` reads it; *out is to be json_decref'ed, and NULL after an error. CT_NOT_FOUND and
 * what else ct_mapping_init_in and read say; the message names the path. */
CT_MUST_CHECK enum ct_status ct_json_file_read(const char *dir, const char *name,
                                               ct_json_read_fn *read, json_t **out,
                                               struct ct_error *err);

#endif
