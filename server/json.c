#include "server/json.h"

#include "engine/base/json_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What the scan has seen. key and value point into the text: the last key of the outermost object
 * and where its value begins. */
struct scan {
    const char *key, *value;
    size_t n_key;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Past the closing quote of the string that opens at p, or end. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p < end ? p + 1 : end;
}

/* Walks text up to end. CT_INVALID with a refusal when it is too deep or has too many values. */
static enum ct_status scan(const char *text, const char *end, struct scan *seen,
                           struct ct_refusal *refusal)
{
    int depth = 0;
    long n_values = 1;
    bool is_key_next = false;
    *seen = (struct scan){0};
    for (const char *p = text; p < end;) {
        const char *next = p + 1;
        switch (*p) {
        case '"':
            next = skip_string(p, end);
            if (depth == 1 && is_key_next && next - p >= 2) {
                seen->key = p + 1;
                seen->n_key = (size_t)(next - p) - 2;
                seen->value = NULL;
                is_key_next = false;
            }
            break;
        case '{':
        case '[':
            if (++depth > CT_JSON_MAX_DEPTH)
                return ct_refuse(refusal, 400, "invalid_json", NULL,
                                 "the body nests deeper than %d levels", CT_JSON_MAX_DEPTH);
            is_key_next = *p == '{';
            n_values++;
            break;
        case '}':
        case ']':
            depth--;
            break;
        case ',':
            is_key_next = depth == 1;
            n_values++;
            break;
        case ':':
            if (depth == 1 && seen->value == NULL)
                for (seen->value = next; seen->value < end && is_space(*seen->value);)
                    seen->value++;
            break;
        default:
            break;
        }
        if (n_values > CT_JSON_MAX_VALUES)
            return ct_refuse(refusal, 400, "invalid_json", NULL,
                             "the body holds more than %d values", CT_JSON_MAX_VALUES);
        p = next;
    }
    return CT_OK;
}

/* A refusal for what jansson did not take, blaming the field before the place where it stopped. */
static void blame(const char *text, size_t n_bytes, const json_error_t *error,
                  struct ct_refusal *refusal)
{
    size_t at = error->position > 0 ? (size_t)error->position : 0;
    struct scan seen;
    struct ct_refusal ignored;
    if (scan(text, text + (at < n_bytes ? at : n_bytes), &seen, &ignored) != CT_OK ||
        seen.key == NULL || seen.n_key > 64) {
        ct_refuse(refusal, 400, "invalid_json", NULL,
                  "the body is not JSON: %s (line %d, column %d)", error->text, error->line,
                  error->column);
        return;
    }
    const char *end = text + n_bytes;
    size_t n_value = 0;
    while (seen.value != NULL && seen.value + n_value < end && n_value < 40 &&
           strchr(",}]", seen.value[n_value]) == NULL && !is_space(seen.value[n_value]))
        n_value++;
    char key[65];
    snprintf(key, sizeof key, "%.*s", (int)seen.n_key, seen.key);
    enum json_error_code code = json_error_code(error);
    if (code == json_error_numeric_overflow)
        ct_refuse(refusal, 400, "invalid_json", key,
                  "%s: %.*s is beyond what a number may be (64 bits)", key, (int)n_value,
                  seen.value);
    else
        ct_refuse(refusal, 400, "invalid_json", key, "%s: not JSON: %s (line %d, column %d)", key,
                  error->text, error->line, error->column);
}

enum ct_status ct_json_parse(const char *text, size_t n_bytes, json_t **out,
                             struct ct_refusal *refusal)
{
    struct scan seen;
    *out = NULL;
    if (scan(text, text + n_bytes, &seen, refusal) != CT_OK)
        return CT_INVALID;
    json_error_t error;
    json_t *root = NULL;
    enum ct_status status = ct_json_load(text, n_bytes, &root, &error);
    if (status == CT_FORMAT) {
        blame(text, n_bytes, &error, refusal);
        return CT_INVALID;
    }
    if (status != CT_OK)
        return status;
    if (!json_is_object(root)) {
        json_decref(root);
        return ct_refuse(refusal, 400, "invalid_json", NULL, "the body must be a JSON object");
    }
    *out = root;
    return CT_OK;
}

void ct_json_quote(const json_t *value, char out[48])
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        snprintf(out, 48, "%s", json_object_size(value) ? "{...}" : "{}");
        break;
    case JSON_ARRAY:
        snprintf(out, 48, "%s", json_array_size(value) ? "[...]" : "[]");
        break;
    case JSON_STRING:
        snprintf(out, 48, json_string_length(value) <= 36 ? "\"%.36s\"" : "\"%.34s...\"",
                 json_string_value(value));
        break;
    case JSON_INTEGER:
        snprintf(out, 48, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(out, 48, "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
        snprintf(out, 48, "true");
        break;
    case JSON_FALSE:
        snprintf(out, 48, "false");
        break;
    case JSON_NULL:
        snprintf(out, 48, "null");
        break;
    }
}
