/* Single values of config.json, generation_config.json and GGUF metadata. What does not fit is
 * CT_FORMAT, and the message names the key and what was found. */
#ifndef CT_FORMAT_CONFIG_VALUE_H
#define CT_FORMAT_CONFIG_VALUE_H

#include "engine/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct ct_gguf;

/* An int64 as an int: what does not fit stays far out of any range. */
int ct_clamp_int(int64_t value);

/* A key's value; null counts as absent. */
const json_t *ct_config_key(const json_t *object, const char *key);

/* "KEY is VALUE, expected EXPECTED"; value may be NULL. Returns status. */
enum ct_status ct_config_unexpected(const char *key, const json_t *value, const char *expected,
                                    enum ct_status status, struct ct_error *err);

/* A missing key keeps the value it has (of an integer, where has_default). */
CT_MUST_CHECK enum ct_status ct_config_int(const json_t *config, const char *key, bool has_default,
                                           int *value, struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_config_double(const json_t *config, const char *key, double *value,
                                              struct ct_error *err);

/* "metadata KEY is missing", or not of the expected type. */
enum ct_status ct_metadata_failed(const char *key, enum ct_status status, struct ct_error *err);

/* The same of metadata, where has_default. */
CT_MUST_CHECK enum ct_status ct_metadata_int(const struct ct_gguf *gguf, const char *key,
                                             bool has_default, int *value, struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_metadata_double(const struct ct_gguf *gguf, const char *key,
                                                bool has_default, double *value,
                                                struct ct_error *err);

/* Copies metadata text; longer text is cut. CT_NOT_FOUND and CT_FORMAT without a message. */
CT_MUST_CHECK enum ct_status ct_metadata_text(const struct ct_gguf *gguf, const char *key,
                                              char *out, size_t capacity);

#endif
