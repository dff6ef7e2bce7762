#include "engine/tokenizer/json_cursor.h"

#include "engine/tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

static enum ct_status fail(const struct ct_json_cursor *json, const char *expected)
{
    return ct_error_set(json->err, CT_FORMAT, "offset %zu: expected %s",
                        (size_t)(json->at - json->begin), expected);
}

char ct_json_cursor_peek(struct ct_json_cursor *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
    return json->at < json->end ? *json->at : '\0';
}

static enum ct_status expect(struct ct_json_cursor *json, char c, const char *name)
{
    if (ct_json_cursor_peek(json) != c)
        return fail(json, name);
    json->at++;
    return CT_OK;
}

enum ct_status ct_json_cursor_enter(struct ct_json_cursor *json, char open)
{
    return expect(json, open, open == '{' ? "an object" : "an array");
}

static enum ct_status next(struct ct_json_cursor *json, char close, bool *is_first, bool *has_next)
{
    *has_next = ct_json_cursor_peek(json) != close;
    if (!*has_next) {
        json->at++;
        return CT_OK;
    }
    enum ct_status status = *is_first ? CT_OK : expect(json, ',', "a comma");
    *is_first = false;
    return status;
}

enum ct_status ct_json_cursor_next_member(struct ct_json_cursor *json, bool *is_first,
                                          struct ct_json_text *key, bool *has_member)
{
    enum ct_status status = next(json, '}', is_first, has_member);
    if (status != CT_OK || !*has_member)
        return status;
    status = ct_json_cursor_read_text(json, key);
    return status == CT_OK ? expect(json, ':', "a colon") : status;
}

enum ct_status ct_json_cursor_next_element(struct ct_json_cursor *json, bool *is_first,
                                           bool *has_element)
{
    return next(json, ']', is_first, has_element);
}

/* Four hexadecimal digits, or -1. */
static int32_t read_hex(const char *at, const char *end)
{
    if (end - at < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* What follows a backslash; returns its length in the text, or 0 where it is not an escape. */
static size_t read_escape(const char *at, const char *end, char out[4], size_t *n_out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (at == end || *at == '\0')
        return 0;
    const char *name = strchr(names, *at);
    if (name != NULL) {
        out[0] = values[name - names];
        *n_out = 1;
        return 1;
    }
    int32_t unit = *at == 'u' ? read_hex(at + 1, end) : -1;
    if (unit < 0 || (unit >= 0xDC00 && unit < 0xE000))
        return 0;
    size_t n = 5;
    if (unit >= 0xD800 && unit < 0xDC00) {
        int32_t low = end - at > 6 && at[5] == '\\' && at[6] == 'u' ? read_hex(at + 7, end) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return 0;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        n = 11;
    }
    *n_out = ct_utf8_encode((uint32_t)unit, out);
    return n;
}

/* Goes to the quote that closes a string; *has_escapes tells whether a backslash came before it. */
static enum ct_status find_quote(struct ct_json_cursor *json, bool *has_escapes)
{
    *has_escapes = false;
    for (; json->at < json->end && *json->at != '"'; json->at++) {
        if ((unsigned char)*json->at < 0x20)
            return fail(json, "no control character in a string");
        if (*json->at == '\\') {
            *has_escapes = true;
            if (json->end - json->at < 2)
                break;
            json->at++;
        }
    }
    return json->at < json->end && *json->at == '"' ? CT_OK : fail(json, "a quote");
}

enum ct_status ct_json_cursor_read_text(struct ct_json_cursor *json, struct ct_json_text *text)
{
    enum ct_status status = expect(json, '"', "a string");
    if (status != CT_OK)
        return status;
    const char *from = json->at;
    bool has_escapes;
    status = find_quote(json, &has_escapes);
    if (status != CT_OK)
        return status;
    const char *to = json->at++;
    text->data = from;
    text->n_bytes = (size_t)(to - from);
    if (!has_escapes)
        return CT_OK;
    if (text->capacity < text->n_bytes) { /* an escape is never shorter than its value */
        free(text->buffer);
        text->buffer = malloc(text->n_bytes);
        text->capacity = text->buffer != NULL ? text->n_bytes : 0;
        if (text->buffer == NULL)
            return CT_MEMORY;
    }
    size_t n = 0;
    while (from < to) {
        if (*from != '\\') {
            text->buffer[n++] = *from++;
            continue;
        }
        char out[4];
        size_t n_out = 0;
        size_t n_escape = read_escape(from + 1, to, out, &n_out);
        if (n_escape == 0) {
            json->at = from;
            return fail(json, "an escape");
        }
        memcpy(text->buffer + n, out, n_out);
        n += n_out;
        from += 1 + n_escape;
    }
    text->data = text->buffer;
    text->n_bytes = n;
    return CT_OK;
}

enum ct_status ct_json_cursor_read_int(struct ct_json_cursor *json, int64_t *value)
{
    bool is_negative = ct_json_cursor_peek(json) == '-';
    const char *from = json->at + is_negative;
    const char *at = from;
    *value = 0;
    while (at < json->end && *at >= '0' && *at <= '9' && at - from < 18)
        *value = *value * 10 + (*at++ - '0');
    bool is_longer =
        at < json->end && ((*at >= '0' && *at <= '9') || *at == '.' || *at == 'e' || *at == 'E');
    if (at == from || (*from == '0' && at - from > 1) || is_longer)
        return fail(json, "an integer");
    if (is_negative)
        *value = -*value;
    json->at = at;
    return CT_OK;
}

enum ct_status ct_json_cursor_skip(struct ct_json_cursor *json)
{
    size_t depth = 0;
    do {
        char c = ct_json_cursor_peek(json);
        if (c == '\0')
            return fail(json, "a value");
        if ((c == '}' || c == ']' || c == ',' || c == ':') && depth == 0)
            return fail(json, "a value");
        json->at++;
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == '"') {
            bool has_escapes;
            enum ct_status status = find_quote(json, &has_escapes);
            if (status != CT_OK)
                return status;
            json->at++;
        } else if (c != ',' && c != ':') {
            while (json->at < json->end && strchr(" \n\r\t,:]}\"[{", *json->at) == NULL)
                json->at++;
        }
    } while (depth > 0);
    return CT_OK;
}
