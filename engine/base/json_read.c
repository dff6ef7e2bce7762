#include "engine/base/json_read.h"

#include "engine/base/json_text.h"

#include <stdbool.h>

/* Walks the brackets and commas outside strings. Text that is not JSON passes or not: jansson
 * decides. */
static enum ct_status check_limits(const char *text, size_t n_bytes, struct ct_error *err)
{
    int depth = 0, n_values = 1;
    bool is_text = false;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (is_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                is_text = false;
            continue;
        }
        is_text = c == '"';
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        n_values += c == '{' || c == '[' || c == ',';
        if (depth > CT_JSON_DEPTH)
            return ct_error_set(err, CT_TOO_LARGE, "JSON nests deeper than %d levels at byte %zu",
                                CT_JSON_DEPTH, i);
        if (n_values > CT_JSON_VALUES)
            return ct_error_set(err, CT_TOO_LARGE, "JSON has more than %d values", CT_JSON_VALUES);
    }
    return CT_OK;
}

static enum ct_status read_value(const char *text, size_t n_bytes, json_type type, json_t **out,
                                 struct ct_error *err)
{
    json_error_t problem;
    *out = NULL;
    enum ct_status status = check_limits(text, n_bytes, err);
    if (status != CT_OK)
        return status;
    json_t *root = NULL;
    status = ct_json_load(text, n_bytes, &root, &problem);
    if (status == CT_MEMORY)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu bytes of JSON", n_bytes);
    if (status != CT_OK)
        return ct_error_set(err, CT_FORMAT, "line %d, column %d: %s", problem.line, problem.column,
                            problem.text);
    if (json_typeof(root) != type) {
        json_decref(root);
        return ct_error_set(err, CT_FORMAT, "JSON is not %s",
                            type == JSON_OBJECT ? "an object" : "a list");
    }
    *out = root;
    return CT_OK;
}

enum ct_status ct_json_read(const char *text, size_t n_bytes, json_t **out, struct ct_error *err)
{
    return read_value(text, n_bytes, JSON_OBJECT, out, err);
}

enum ct_status ct_json_read_list(const char *text, size_t n_bytes, json_t **out,
                                 struct ct_error *err)
{
    return read_value(text, n_bytes, JSON_ARRAY, out, err);
}
