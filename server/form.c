#include "server/form.h"

#include "server/buffer.h"
#include "server/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME_BYTES = 64, MAX_VALUE_BYTES = 8192, MAX_FIELDS = 32 };

static enum ct_status refuse(struct ct_refusal *refusal, const char *message)
{
    return ct_refuse(refusal, 400, "invalid_form", NULL, "%s", message);
}

static bool is_text(struct ct_span span)
{
    while (span.n > 0) {
        const size_t n =
            *span.at != '\0' ? ct_utf8_length((const unsigned char *)span.at, span.n) : 0;
        if (n == 0)
            return false;
        span.at += n;
        span.n -= n;
    }
    return true;
}

static enum ct_status add_field(struct ct_form *form, struct ct_span name, struct ct_span value,
                                struct ct_refusal *refusal)
{
    char key[MAX_NAME_BYTES + 1];
    if (name.n == 0 || name.n > MAX_NAME_BYTES || !is_text(name))
        return refuse(refusal, "the name of a field is not 1..64 bytes of UTF-8");
    memcpy(key, name.at, name.n);
    key[name.n] = '\0';
    if (value.n > MAX_VALUE_BYTES || !is_text(value))
        return ct_refuse(refusal, 400, "invalid_form", key, "%s: is not text of at most %d bytes",
                         key, MAX_VALUE_BYTES);
    if (json_object_get(form->fields, key) != NULL)
        return ct_refuse(refusal, 400, "invalid_form", key, "%s: is there twice", key);
    if (json_object_size(form->fields) == MAX_FIELDS)
        return refuse(refusal, "there are too many fields");
    return json_object_set_new(form->fields, key, json_stringn(value.at, value.n)) == 0 ? CT_OK
                                                                                        : CT_MEMORY;
}

/* ---- queries ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Undoes the encoding of raw [n] in out [n]; the length, or -1. */
static long decode(const char *raw, size_t n, char *out)
{
    long n_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (raw[i] != '%') {
            out[n_out++] = raw[i] == '+' ? ' ' : raw[i];
            continue;
        }
        if (n - i < 3 || hex_digit(raw[i + 1]) < 0 || hex_digit(raw[i + 2]) < 0)
            return -1;
        out[n_out++] = (char)(16 * hex_digit(raw[i + 1]) + hex_digit(raw[i + 2]));
        i += 2;
    }
    return n_out;
}

enum ct_status ct_form_read_query(struct ct_form *form, const char *query,
                                  struct ct_refusal *refusal)
{
    enum ct_status status = CT_OK;
    char name[512], value[512];
    if (form->fields == NULL && (form->fields = json_object()) == NULL)
        return CT_MEMORY;
    while (*query != '\0' && status == CT_OK) {
        const size_t n = strcspn(query, "&"), n_name = strcspn(query, "=&");
        const size_t n_value = n_name < n ? n - n_name - 1 : 0;
        if (n_name > sizeof name || n_value > sizeof value)
            return refuse(refusal, "the query is too long");
        const long name_bytes = decode(query, n_name, name),
                   value_bytes = decode(query + n - n_value, n_value, value);
        if (name_bytes < 0 || value_bytes < 0)
            return refuse(refusal, "the query's percent-encoding is broken");
        if (n > 0)
            status = add_field(form, (struct ct_span){name, (size_t)name_bytes},
                               (struct ct_span){value, (size_t)value_bytes}, refusal);
        query += n + (query[n] == '&');
    }
    return status;
}

/* ---- parts ---- */

/* The value of ; key="value" in a header. */
static bool find_parameter(struct ct_span header, const char *key, struct ct_span *value)
{
    const char *end = header.at + header.n;
    for (const char *p = memchr(header.at, ';', header.n); p != NULL && p < end;
         p = memchr(p, ';', (size_t)(end - p))) {
        for (p++; p < end && (*p == ' ' || *p == '\t');)
            p++;
        struct ct_span rest = {p, (size_t)(end - p)};
        const size_t n_key = strlen(key);
        const bool is_found = ct_span_begins(&rest, key) && rest.n > n_key + 1 && p[n_key] == '=';
        const char *quote = memchr(p, '"', rest.n);
        const char *next = memchr(p, ';', rest.n);
        if (quote == NULL || (next != NULL && next < quote)) { /* a token */
            if (is_found)
                *value = (struct ct_span){p + n_key + 1,
                                          (size_t)((next != NULL ? next : end) - p) - n_key - 1};
        } else {
            const char *close = memchr(quote + 1, '"', (size_t)(end - quote - 1));
            if (close == NULL)
                return false;
            if (is_found)
                *value = (struct ct_span){quote + 1, (size_t)(close - quote - 1)};
            p = close;
        }
        if (is_found)
            return true;
    }
    return false;
}

/* The name of a part from its headers [n], lines that end in CRLF. */
static bool find_name(struct ct_span headers, struct ct_span *name)
{
    static const char wanted[] = "content-disposition:";
    const char *end = headers.at + headers.n;
    for (const char *line = headers.at; line < end;) {
        const char *next = memmem(line, (size_t)(end - line), "\r\n", 2);
        struct ct_span header = {line, (size_t)((next != NULL ? next : end) - line)};
        if (ct_span_begins(&header, wanted))
            return find_parameter(header, "name", name);
        line = next != NULL ? next + 2 : end;
    }
    return false;
}

static enum ct_status add_part(struct ct_form *form, struct ct_span headers, struct ct_span data,
                               struct ct_refusal *refusal)
{
    struct ct_span name;
    if (!find_name(headers, &name))
        return refuse(refusal, "a part has no Content-Disposition with a name");
    if (!ct_span_is(&name, "image") && !ct_span_is(&name, "file"))
        return add_field(form, name, data, refusal);
    if (form->n_files == CT_MAX_FORM_FILES)
        return ct_refuse(refusal, 400, "invalid_form", "image",
                         "image: more than %d files are not taken", CT_MAX_FORM_FILES);
    form->files[form->n_files++] = (struct ct_form_file){data.at, data.n};
    return CT_OK;
}

enum ct_status ct_form_read_parts(struct ct_form *form, const char *body, size_t n_bytes,
                                  const char *boundary, struct ct_refusal *refusal)
{
    char delimiter[80];
    const size_t n = (size_t)snprintf(delimiter, sizeof delimiter, "\r\n--%s", boundary);
    const char *at = body, *end = body + n_bytes;
    if (form->fields == NULL && (form->fields = json_object()) == NULL)
        return CT_MEMORY;
    if (boundary[0] == '\0')
        return refuse(refusal, "the Content-Type names no boundary of 1..70 characters");
    if (n_bytes < n - 2 || memcmp(body, delimiter + 2, n - 2) != 0)
        return refuse(refusal, "the body does not begin with the boundary");
    at += n - 2;
    for (;;) {
        if (end - at >= 2 && memcmp(at, "--", 2) == 0)
            return CT_OK;
        if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
            return refuse(refusal, "a boundary has something behind it");
        /* an empty line ends the headers; there may be none */
        const char *blank = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        const char *next =
            blank ? memmem(blank + 2, (size_t)(end - blank - 2), delimiter, n) : NULL;
        if (next == NULL)
            return refuse(refusal, "the body ends within a part");
        const char *data = blank + 4 <= next ? blank + 4 : next;
        enum ct_status status = add_part(
            form,
            (struct ct_span){at + 2, (size_t)(blank - at) >= 2 ? (size_t)(blank - at - 2) : 0},
            (struct ct_span){data, (size_t)(next - data)}, refusal);
        if (status != CT_OK)
            return status;
        at = next + n;
    }
}
