/* Values as text: Python's str and repr, and json.dumps. */
#include "engine/tokenizer/template_value.h"

#include "engine/tokenizer/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value being written. */
struct writer {
    struct tmpl_run *run;
    struct tmpl_buffer buffer;
    bool is_json;
    int64_t indent; /* JSON: spaces for each level; negative: one line */
    int depth;
};

static enum ct_status put(struct writer *w, const char *text, size_t n_bytes)
{
    struct tmpl_buffer *buffer = &w->buffer;
    if (n_bytes > w->run->max_bytes - buffer->n_bytes)
        return ct_error_set(w->run->err, CT_TOO_LARGE, "chat template: more than %zu bytes of text",
                            w->run->max_bytes);
    if (n_bytes > buffer->capacity - buffer->n_bytes) {
        size_t capacity = 2 * (buffer->n_bytes + n_bytes) + 64;
        char *grown = realloc(buffer->data, capacity);
        if (grown == NULL)
            return ct_error_set(w->run->err, CT_MEMORY, "chat template: out of memory");
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->data + buffer->n_bytes, text, n_bytes);
    buffer->n_bytes += n_bytes;
    return CT_OK;
}

static enum ct_status put_text(struct writer *w, const char *text)
{
    return put(w, text, strlen(text));
}

/* repr(float): the shortest digits that read back as the same value. */
static enum ct_status put_float(struct writer *w, double value)
{
    char text[64];
    if (isnan(value) || isinf(value)) {
        const char *name = isnan(value) ? (w->is_json ? "NaN" : "nan")
                           : w->is_json ? (value < 0 ? "-Infinity" : "Infinity")
                                        : (value < 0 ? "-inf" : "inf");
        return put_text(w, name);
    }
    int precision = 1;
    do {
        snprintf(text, sizeof text, "%.*e", precision - 1, value);
    } while (strtod(text, NULL) != value && precision++ < 17);
    const char *mark = strchr(text, 'e');
    int exponent = mark != NULL ? atoi(mark + 1) : 0;
    if (exponent >= -4 && exponent < 16) {
        int n_decimals = precision - 1 - exponent;
        snprintf(text, sizeof text, "%.*f", n_decimals > 1 ? n_decimals : 1, value);
    }
    return put_text(w, text);
}

static enum ct_status put_json_text(struct writer *w, struct tmpl_text text)
{
    static const char named[] = "\"\\\n\r\t\f\b", names[] = "\"\\nrtfb";
    TMPL_TRY(put(w, "\"", 1));
    for (size_t i = 0; i < text.n_bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        const char *name = c != 0 ? strchr(named, c) : NULL;
        char escape[8] = {(char)c};
        if (name != NULL)
            snprintf(escape, sizeof escape, "\\%c", names[name - named]);
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        TMPL_TRY(put_text(w, escape));
    }
    return put(w, "\"", 1);
}

/* repr(str). What Python escapes beyond Latin 1 because it is not printable is written as it is. */
static enum ct_status put_repr_text(struct writer *w, struct tmpl_text text)
{
    bool has_single = memchr(text.data, '\'', text.n_bytes) != NULL;
    bool has_double = memchr(text.data, '"', text.n_bytes) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    TMPL_TRY(put(w, &quote, 1));
    for (size_t i = 0; i < text.n_bytes;) {
        struct ct_utf8 c = ct_utf8_decode(text.data + i, text.n_bytes - i);
        char escape[8] = "";
        uint32_t code = c.code_point;
        if (code == '\n' || code == '\r' || code == '\t')
            snprintf(escape, sizeof escape, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
        else if (code == '\\' || code == (uint32_t)quote)
            snprintf(escape, sizeof escape, "\\%c", (char)code);
        else if (code < 0x20 || (code >= 0x7F && code <= 0xA0) || code == 0xAD)
            snprintf(escape, sizeof escape, "\\x%02x", (unsigned)code);
        TMPL_TRY(escape[0] != '\0' ? put_text(w, escape) : put(w, text.data + i, c.n_bytes));
        i += c.n_bytes;
    }
    return put(w, &quote, 1);
}

static enum ct_status put_value(struct writer *w, struct tmpl_value value);

/* Between the items of a list or dict: at its start, between two, at its end. */
static enum ct_status put_gap(struct writer *w, const char *mark, bool is_inside)
{
    TMPL_TRY(put_text(w, mark));
    if (w->indent < 0)
        return *mark == ',' ? put(w, " ", 1) : CT_OK;
    TMPL_TRY(put(w, "\n", 1));
    for (int64_t i = 0; i < w->indent * (w->depth - !is_inside); i++)
        TMPL_TRY(put(w, " ", 1));
    return CT_OK;
}

static enum ct_status put_list(struct writer *w, const struct tmpl_list *list)
{
    bool is_tuple = list->is_tuple && !w->is_json;
    TMPL_TRY(put_text(w, is_tuple ? "(" : "["));
    for (size_t i = 0; i < list->n; i++) {
        TMPL_TRY(put_gap(w, i > 0 ? "," : "", true));
        TMPL_TRY(put_value(w, list->items[i]));
    }
    if (is_tuple && list->n == 1)
        TMPL_TRY(put(w, ",", 1));
    if (list->n > 0)
        TMPL_TRY(put_gap(w, "", false));
    return put_text(w, is_tuple ? ")" : "]");
}

static enum ct_status put_dict(struct writer *w, const struct tmpl_dict *dict)
{
    TMPL_TRY(put_text(w, "{"));
    for (size_t i = 0; i < dict->n; i++) {
        struct tmpl_value key = dict->pairs[2 * i];
        TMPL_TRY(put_gap(w, i > 0 ? "," : "", true));
        if (w->is_json && key.kind != TMPL_TEXT)
            return tmpl_fail(w->run, "a key of JSON is a %s", tmpl_kind_name(key));
        TMPL_TRY(put_value(w, key));
        TMPL_TRY(put_text(w, ": "));
        TMPL_TRY(put_value(w, dict->pairs[2 * i + 1]));
    }
    if (dict->n > 0)
        TMPL_TRY(put_gap(w, "", false));
    return put_text(w, "}");
}

static enum ct_status put_value(struct writer *w, struct tmpl_value value)
{
    char number[32];
    enum ct_status status;
    TMPL_TRY(tmpl_charge(w->run, 0));
    switch (value.kind) {
    case TMPL_NONE:
        return put_text(w, w->is_json ? "null" : "None");
    case TMPL_BOOL:
        return put_text(w, w->is_json ? (value.truth ? "true" : "false")
                                      : (value.truth ? "True" : "False"));
    case TMPL_INT:
        snprintf(number, sizeof number, "%lld", (long long)value.integer);
        return put_text(w, number);
    case TMPL_FLOAT:
        return put_float(w, value.real);
    case TMPL_TEXT:
        return w->is_json ? put_json_text(w, value.text) : put_repr_text(w, value.text);
    case TMPL_LIST:
    case TMPL_DICT:
        if (++w->depth > TMPL_MAX_DEPTH)
            return ct_error_set(w->run->err, CT_TOO_LARGE,
                                "chat template: value nested deeper than %d", TMPL_MAX_DEPTH);
        status = value.kind == TMPL_LIST ? put_list(w, value.list) : put_dict(w, value.dict);
        w->depth--;
        return status;
    default:
        return tmpl_fail(w->run, "a %s cannot be written as text", tmpl_kind_name(value));
    }
}

/* Writes value and moves the text into the arena. */
static enum ct_status write_value(struct writer *w, struct tmpl_value value, struct tmpl_text *text)
{
    char *data = NULL;
    enum ct_status status = put_value(w, value);
    if (status == CT_OK)
        status = tmpl_alloc(w->run, w->buffer.n_bytes, &data);
    if (status == CT_OK && w->buffer.n_bytes > 0)
        memcpy(data, w->buffer.data, w->buffer.n_bytes);
    *text = (struct tmpl_text){data, w->buffer.n_bytes};
    free(w->buffer.data);
    return status;
}

enum ct_status tmpl_to_text(struct tmpl_run *run, struct tmpl_value value, struct tmpl_text *text)
{
    struct writer w = {.run = run, .indent = -1};
    *text = (struct tmpl_text){"", 0};
    if (value.kind == TMPL_UNDEFINED)
        return CT_OK;
    if (value.kind == TMPL_TEXT) {
        *text = value.text;
        return CT_OK;
    }
    return write_value(&w, value, text);
}

enum ct_status tmpl_to_json(struct tmpl_run *run, struct tmpl_value value, int64_t indent,
                            struct tmpl_text *text)
{
    struct writer w = {.run = run, .is_json = true, .indent = indent};
    return write_value(&w, value, text);
}
