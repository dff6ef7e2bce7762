#include "engine/format/config_value.h"

#include "engine/format/gguf.h"

#include <string.h>

enum ct_status ct_metadata_failed(const char *key, enum ct_status status, struct ct_error *err)
{
    return ct_error_set(err, CT_FORMAT, "metadata %s is %s", key,
                        status == CT_NOT_FOUND ? "missing" : "not of the expected type");
}

enum ct_status ct_metadata_int(const struct ct_gguf *gguf, const char *key, bool has_default,
                               int *value, struct ct_error *err)
{
    int64_t found = 0;
    enum ct_status status = ct_gguf_int(gguf, key, &found);
    if (status == CT_NOT_FOUND && has_default)
        return CT_OK;
    if (status != CT_OK)
        return ct_metadata_failed(key, status, err);
    *value = ct_clamp_int(found);
    return CT_OK;
}

enum ct_status ct_metadata_double(const struct ct_gguf *gguf, const char *key, bool has_default,
                                  double *value, struct ct_error *err)
{
    enum ct_status status = ct_gguf_float(gguf, key, value);
    if (status == CT_OK || (status == CT_NOT_FOUND && has_default))
        return CT_OK;
    return ct_metadata_failed(key, status, err);
}

enum ct_status ct_metadata_text(const struct ct_gguf *gguf, const char *key, char *out,
                                size_t capacity)
{
    struct ct_gguf_text text;
    enum ct_status status = ct_gguf_text(gguf, key, &text);
    if (status != CT_OK)
        return status;
    size_t n = text.n_bytes < capacity ? text.n_bytes : capacity - 1;
    memcpy(out, text.data, n);
    out[n] = '\0';
    return CT_OK;
}
