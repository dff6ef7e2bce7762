/* A GGUF file's metadata by key. Every value's bounds were checked when the file was opened. */
#include "engine/format/gguf_internal.h"

#include <string.h>

size_t ct_gguf_type_n_bytes(uint32_t type)
{
    static const unsigned char n_bytes[] = {
        [CT_GGUF_U8] = 1,  [CT_GGUF_I8] = 1,  [CT_GGUF_U16] = 2, [CT_GGUF_I16] = 2,
        [CT_GGUF_U32] = 4, [CT_GGUF_I32] = 4, [CT_GGUF_F32] = 4, [CT_GGUF_BOOL] = 1,
        [CT_GGUF_U64] = 8, [CT_GGUF_I64] = 8, [CT_GGUF_F64] = 8,
    };
    return type < sizeof n_bytes ? n_bytes[type] : 0;
}

static const struct ct_gguf_entry *find_entry(const struct ct_gguf *gguf, const char *key)
{
    int i = ct_name_index_find(&gguf->keys, key, strlen(key));
    return i < 0 ? NULL : &gguf->entries[i];
}

/* An integer of any width whose value fits an int64. */
static bool load_int(enum ct_gguf_type type, const unsigned char *p, int64_t *value)
{
    bool is_signed =
        type == CT_GGUF_I8 || type == CT_GGUF_I16 || type == CT_GGUF_I32 || type == CT_GGUF_I64;
    bool is_unsigned =
        type == CT_GGUF_U8 || type == CT_GGUF_U16 || type == CT_GGUF_U32 || type == CT_GGUF_U64;
    if (!is_signed && !is_unsigned)
        return false;
    size_t n_bytes = ct_gguf_type_n_bytes(type);
    uint64_t raw = 0;
    memcpy(&raw, p, n_bytes); /* the file and every supported machine are little-endian */
    if (is_unsigned && raw > INT64_MAX)
        return false;
    int unused = 64 - 8 * (int)n_bytes;
    *value = is_signed ? (int64_t)(raw << unused) >> unused : (int64_t)raw;
    return true;
}

static bool load_float(enum ct_gguf_type type, const unsigned char *p, double *value)
{
    int64_t integer = 0;
    float f32 = 0;
    if (type == CT_GGUF_F32) {
        memcpy(&f32, p, sizeof f32);
        *value = (double)f32;
        return true;
    }
    if (type == CT_GGUF_F64) {
        memcpy(value, p, sizeof *value);
        return true;
    }
    bool is_integer = load_int(type, p, &integer);
    if (is_integer)
        *value = (double)integer;
    return is_integer;
}

enum ct_status ct_gguf_int(const struct ct_gguf *gguf, const char *key, int64_t *value)
{
    const struct ct_gguf_entry *entry = find_entry(gguf, key);
    if (entry == NULL)
        return CT_NOT_FOUND;
    return load_int(entry->type, entry->data, value) ? CT_OK : CT_FORMAT;
}

enum ct_status ct_gguf_float(const struct ct_gguf *gguf, const char *key, double *value)
{
    const struct ct_gguf_entry *entry = find_entry(gguf, key);
    if (entry == NULL)
        return CT_NOT_FOUND;
    return load_float(entry->type, entry->data, value) ? CT_OK : CT_FORMAT;
}

enum ct_status ct_gguf_bool(const struct ct_gguf *gguf, const char *key, bool *value)
{
    const struct ct_gguf_entry *entry = find_entry(gguf, key);
    if (entry == NULL)
        return CT_NOT_FOUND;
    if (entry->type != CT_GGUF_BOOL || *entry->data > 1)
        return CT_FORMAT;
    *value = *entry->data == 1;
    return CT_OK;
}

enum ct_status ct_gguf_text(const struct ct_gguf *gguf, const char *key, struct ct_gguf_text *value)
{
    const struct ct_gguf_entry *entry = find_entry(gguf, key);
    if (entry == NULL)
        return CT_NOT_FOUND;
    if (entry->type != CT_GGUF_STRING)
        return CT_FORMAT;
    *value = (struct ct_gguf_text){(const char *)entry->data, entry->n_elements};
    return CT_OK;
}

enum ct_status ct_gguf_array(const struct ct_gguf *gguf, const char *key, enum ct_gguf_type *type,
                             size_t *n_elements)
{
    struct ct_gguf_array_cursor cursor;
    enum ct_status status = ct_gguf_array_begin(gguf, key, &cursor);
    if (status == CT_OK) {
        *type = cursor.type;
        *n_elements = cursor.n_left;
    }
    return status;
}

enum ct_status ct_gguf_array_begin(const struct ct_gguf *gguf, const char *key,
                                   struct ct_gguf_array_cursor *cursor)
{
    const struct ct_gguf_entry *entry = find_entry(gguf, key);
    if (entry == NULL)
        return CT_NOT_FOUND;
    if (entry->type != CT_GGUF_ARRAY)
        return CT_FORMAT;
    *cursor = (struct ct_gguf_array_cursor){entry->data, entry->element_type, entry->n_elements};
    return CT_OK;
}

bool ct_gguf_array_next_text(struct ct_gguf_array_cursor *cursor, struct ct_gguf_text *value)
{
    uint64_t n_bytes;
    if (cursor->n_left == 0 || cursor->type != CT_GGUF_STRING)
        return false;
    memcpy(&n_bytes, cursor->next, sizeof n_bytes);
    *value = (struct ct_gguf_text){(const char *)cursor->next + sizeof n_bytes, (size_t)n_bytes};
    cursor->next += sizeof n_bytes + n_bytes;
    cursor->n_left--;
    return true;
}

bool ct_gguf_array_next_int(struct ct_gguf_array_cursor *cursor, int64_t *value)
{
    if (cursor->n_left == 0 || !load_int(cursor->type, cursor->next, value))
        return false;
    cursor->next += ct_gguf_type_n_bytes(cursor->type);
    cursor->n_left--;
    return true;
}

bool ct_gguf_array_next_float(struct ct_gguf_array_cursor *cursor, double *value)
{
    if (cursor->n_left == 0 || !load_float(cursor->type, cursor->next, value))
        return false;
    cursor->next += ct_gguf_type_n_bytes(cursor->type);
    cursor->n_left--;
    return true;
}
