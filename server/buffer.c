#include "server/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ct_buffer_init(struct ct_buffer *buffer)
{
    *buffer = (struct ct_buffer){0};
}

void ct_buffer_deinit(struct ct_buffer *buffer)
{
    free(buffer->data);
    ct_buffer_init(buffer);
}

char *ct_buffer_take(struct ct_buffer *buffer)
{
    char *data = buffer->data;
    ct_buffer_init(buffer);
    return data;
}

char *ct_buffer_reserve(struct ct_buffer *buffer, size_t n_bytes)
{
    if (buffer->is_short)
        return NULL;
    if (buffer->capacity - buffer->n_bytes < n_bytes) {
        size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
        while (capacity - buffer->n_bytes < n_bytes && capacity <= SIZE_MAX / 4)
            capacity *= 2;
        char *data = capacity - buffer->n_bytes < n_bytes ? NULL : realloc(buffer->data, capacity);
        if (data == NULL) {
            buffer->is_short = true;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->n_bytes;
}

void ct_buffer_append(struct ct_buffer *buffer, const char *bytes, size_t n_bytes)
{
    if (n_bytes == 0)
        return;
    char *room = ct_buffer_reserve(buffer, n_bytes);
    if (room == NULL)
        return;
    memcpy(room, bytes, n_bytes);
    buffer->n_bytes += n_bytes;
}

void ct_buffer_text(struct ct_buffer *buffer, const char *text)
{
    ct_buffer_append(buffer, text, strlen(text));
}

void ct_buffer_printf(struct ct_buffer *buffer, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *room = ct_buffer_reserve(buffer, (size_t)n + 1);
    if (room == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(room, (size_t)n + 1, fmt, args);
    va_end(args);
    buffer->n_bytes += (size_t)n;
}

size_t ct_utf8_length(const unsigned char *p, size_t n_bytes)
{
    if (n_bytes == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 4;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n_bytes < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* overlong forms, surrogates and what lies beyond U+10FFFF */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static void append_escape(struct ct_buffer *buffer, unsigned char c)
{
    switch (c) {
    case '"':
        ct_buffer_text(buffer, "\\\"");
        break;
    case '\\':
        ct_buffer_text(buffer, "\\\\");
        break;
    case '\n':
        ct_buffer_text(buffer, "\\n");
        break;
    case '\r':
        ct_buffer_text(buffer, "\\r");
        break;
    case '\t':
        ct_buffer_text(buffer, "\\t");
        break;
    default:
        ct_buffer_printf(buffer, "\\u%04x", c);
    }
}

void ct_buffer_json_part(struct ct_buffer *buffer, const char *bytes, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)bytes;
    size_t plain = 0; /* bytes at the front of p that go out as they are */
    while (plain < n_bytes) {
        unsigned char c = p[plain];
        size_t n = ct_utf8_length(p + plain, n_bytes - plain);
        if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            plain += n;
            continue;
        }
        ct_buffer_append(buffer, (const char *)p, plain);
        if (n == 0)
            ct_buffer_text(buffer, "\xef\xbf\xbd");
        else
            append_escape(buffer, c);
        p += plain + 1;
        n_bytes -= plain + 1;
        plain = 0;
    }
    ct_buffer_append(buffer, (const char *)p, plain);
}

void ct_buffer_json(struct ct_buffer *buffer, const char *bytes, size_t n_bytes)
{
    ct_buffer_append(buffer, "\"", 1);
    ct_buffer_json_part(buffer, bytes, n_bytes);
    ct_buffer_append(buffer, "\"", 1);
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ct_buffer_base64(struct ct_buffer *buffer, const void *data, size_t n_bytes)
{
    const unsigned char *p = data;
    char *out = ct_buffer_reserve(buffer, (n_bytes + 2) / 3 * 4);
    if (out == NULL)
        return;
    for (size_t i = 0; i < n_bytes; i += 3) {
        const size_t n = n_bytes - i < 3 ? n_bytes - i : 3;
        uint32_t bits = (uint32_t)p[i] << 16;
        bits |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        bits |= n > 2 ? p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            out[k] = k <= n ? base64_digits[bits >> (18 - 6 * k) & 63] : '=';
        out += 4;
    }
    buffer->n_bytes += (n_bytes + 2) / 3 * 4;
}

bool ct_base64_decode(const char *text, size_t n_text, unsigned char *out, size_t *n_out)
{
    size_t n_padding = 0;
    while (n_padding < 2 && n_padding < n_text && text[n_text - 1 - n_padding] == '=')
        n_padding++;
    if (n_text % 4 != 0)
        return false;
    *n_out = n_text / 4 * 3 - n_padding;
    for (size_t i = 0; i < n_text; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            const bool is_padding = i + k >= n_text - n_padding;
            const char *digit = is_padding ? base64_digits : memchr(base64_digits, text[i + k], 64);
            if (digit == NULL)
                return false;
            bits = bits << 6 | (uint32_t)(digit - base64_digits);
        }
        for (size_t k = 0; k < 3 && i / 4 * 3 + k < *n_out; k++)
            out[i / 4 * 3 + k] = (unsigned char)(bits >> (16 - 8 * k));
        if (i + 4 == n_text && (bits & ((1u << 8 * n_padding) - 1)) != 0)
            return false; /* bits that are lost would make two texts of the same bytes */
    }
    return true;
}
