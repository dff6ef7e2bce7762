/* Single values of a model's configuration: of GGUF metadata here, of JSON files in
 * base/config_json.h. What does not fit is CT_FORMAT, and the message names the key and what was
 * found. */
#ifndef CT_FORMAT_CONFIG_VALUE_H
#define CT_FORMAT_CONFIG_VALUE_H

#include "engine/base/config_json.h"
#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct ct_gguf;

/* "metadata KEY is missing", or not of the expected type. */
enum ct_status ct_metadata_failed(const char *key, enum ct_status status, struct ct_error *err);

/* A missing key keeps the value it has, where has_default. */
CT_MUST_CHECK enum ct_status ct_metadata_int(const struct ct_gguf *gguf, const char *key,
                                             bool has_default, int *value, struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_metadata_double(const struct ct_gguf *gguf, const char *key,
                                                bool has_default, double *value,
                                                struct ct_error *err);

/* Copies metadata text; longer text is cut. CT_NOT_FOUND and CT_FORMAT without a message. */
CT_MUST_CHECK enum ct_status ct_metadata_text(const struct ct_gguf *gguf, const char *key,
                                              char *out, size_t capacity);

#endif
