#include "engine/base/config_json.h"

#include "engine/base/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ct_clamp_int(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int)value;
}

const json_t *ct_config_key(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

/* A value in at most 47 bytes of JSON, for a message. */
struct quoted {
    char text[48];
};

static struct quoted quote(const json_t *value)
{
    struct quoted quoted = {"nothing"};
    char *text = value == NULL ? NULL : ct_json_dump(value, JSON_COMPACT);
    if (text != NULL)
        snprintf(quoted.text, sizeof quoted.text, strlen(text) > 47 ? "%.44s..." : "%s", text);
    free(text);
    return quoted;
}

enum ct_status ct_config_unexpected(const char *key, const json_t *value, const char *expected,
                                    enum ct_status status, struct ct_error *err)
{
    return ct_error_set(err, status, "%s is %s, expected %s", key, quote(value).text, expected);
}

enum ct_status ct_config_int(const json_t *config, const char *key, bool has_default, int *value,
                             struct ct_error *err)
{
    const json_t *found = ct_config_key(config, key);
    if (found == NULL && has_default)
        return CT_OK;
    if (!json_is_integer(found))
        return ct_config_unexpected(key, found, "a whole number", CT_FORMAT, err);
    *value = ct_clamp_int(json_integer_value(found));
    return CT_OK;
}

enum ct_status ct_config_double(const json_t *config, const char *key, double *value,
                                struct ct_error *err)
{
    const json_t *found = ct_config_key(config, key);
    if (found != NULL && !json_is_number(found))
        return ct_config_unexpected(key, found, "a number", CT_FORMAT, err);
    if (found != NULL)
        *value = json_number_value(found);
    return CT_OK;
}

enum ct_status ct_config_bool(const json_t *config, const char *key, bool *value,
                              struct ct_error *err)
{
    const json_t *found = ct_config_key(config, key);
    if (found != NULL && !json_is_boolean(found))
        return ct_config_unexpected(key, found, "true or false", CT_FORMAT, err);
    if (found != NULL)
        *value = json_is_true(found);
    return CT_OK;
}
