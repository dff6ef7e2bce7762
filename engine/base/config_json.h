/* Single values of a model's JSON files: config.json, generation_config.json,
 * preprocessor_config.json. What does not fit is CT_FORMAT, and the message names the key and what
 * was found. Any thread. */
#ifndef CT_BASE_CONFIG_JSON_H
#define CT_BASE_CONFIG_JSON_H

#include "engine/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

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
CT_MUST_CHECK enum ct_status ct_config_bool(const json_t *config, const char *key, bool *value,
                                            struct ct_error *err);

#endif
