/* A growing byte buffer, and JSON text written into it.
 *
 * Appending never fails on the spot: when memory is short the buffer remembers it (is_short) and
 * drops what follows, so that a writer of many parts checks once, at the end. The owner's
 * thread. */
#ifndef CT_SERVER_BUFFER_H
#define CT_SERVER_BUFFER_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct ct_buffer {
    char *data; /* malloc'ed; not NUL-terminated */
    size_t n_bytes;
    size_t capacity;
    bool is_short;
};

void ct_buffer_init(struct ct_buffer *buffer);
void ct_buffer_deinit(struct ct_buffer *buffer);

/* The data changes hands: the caller frees it, the buffer is empty again. */
char *ct_buffer_take(struct ct_buffer *buffer);

/* Room for n_bytes after the data, to be written there and counted by the caller; NULL when
 * short. */
char *ct_buffer_reserve(struct ct_buffer *buffer, size_t n_bytes);

void ct_buffer_append(struct ct_buffer *buffer, const char *bytes, size_t n_bytes);
void ct_buffer_text(struct ct_buffer *buffer, const char *text);
void ct_buffer_printf(struct ct_buffer *buffer, const char *fmt, ...) CT_PRINTF(2, 3);

/* bytes as a JSON string with its quotes. What is not UTF-8 becomes U+FFFD. */
void ct_buffer_json(struct ct_buffer *buffer, const char *bytes, size_t n_bytes);

/* The same without quotes, for a string that is written in parts. */
void ct_buffer_json_part(struct ct_buffer *buffer, const char *bytes, size_t n_bytes);

/* n_bytes of data in base64, padded, without quotes. */
void ct_buffer_base64(struct ct_buffer *buffer, const void *data, size_t n_bytes);

/* text [n_text] in base64, padded, into out [n_text / 4 * 3]. False: it is not that, to the
 * letter. */
bool ct_base64_decode(const char *text, size_t n_text, unsigned char *out, size_t *n_out);

/* The length in bytes of the UTF-8 character at the front of bytes, or 0 where there is none. */
size_t ct_utf8_length(const unsigned char *bytes, size_t n_bytes);

#endif
