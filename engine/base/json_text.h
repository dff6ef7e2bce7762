/* jansson's reading and writing, for when memory is short. jansson takes most shortages for errors
 * of syntax, and some for nothing at all: a token that is read, or a key that is written, is then
 * cut or left out in silence. Here they are told apart. Any thread. */
#ifndef CT_BASE_JSON_TEXT_H
#define CT_BASE_JSON_TEXT_H

#include "engine/base/status.h"

#include <jansson.h>
#include <stddef.h>

/* *out: the value that text is, to be json_decref'ed; duplicate keys are an error. CT_FORMAT with
 * *problem filled, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_json_load(const char *text, size_t n_bytes, json_t **out,
                                          json_error_t *problem);

/* As json_dumps: text to be freed. NULL when memory is short, or value is NULL. */
char *ct_json_dump(const json_t *value, size_t flags);

#endif
