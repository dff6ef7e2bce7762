/* JSON from strangers: jansson behind a scan that bounds depth and the number of values first, so
 * that nothing is allocated for what will be refused. Duplicate keys, lone surrogates, NUL, invalid
 * UTF-8, NaN and numbers beyond 64 bits are refused. Any thread. */
#ifndef CT_SERVER_JSON_H
#define CT_SERVER_JSON_H

#include "server/refusal.h"

#include <jansson.h>
#include <stddef.h>

enum {
    CT_JSON_MAX_DEPTH = 128,
    CT_JSON_MAX_VALUES = 200000, /* jansson needs about 50 bytes a value */
};

/* *out: the root object, to be released with json_decref. CT_INVALID, and refusal (a 400) names the
 * top-level field in which the trouble lies, and its value; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_json_parse(const char *text, size_t n_bytes, json_t **out,
                                           struct ct_refusal *refusal);

/* A value as short text for a message: "3", "\"x\"", "null", "[...]"; at most 40 bytes and a
 * NUL. */
void ct_json_quote(const json_t *value, char out[48]);

#endif
