/* GGUF version 3 files, mapped and checked: metadata and tensor views, no copy of tensor data.
 *
 *   header | metadata: key, type, value ... | tensor infos ... | padding | data (aligned)
 *
 * Everything is checked against the file's size before anything is allocated: counts, string
 * lengths, types, dimensions, products, offsets (aligned, inside, not overlapping), duplicate
 * names. An open file is immutable and may be read by any thread. */
#ifndef CT_FORMAT_GGUF_H
#define CT_FORMAT_GGUF_H

#include "engine/base/status.h"
#include "engine/base/tensor.h"

#include <stdbool.h>

struct ct_gguf;

enum ct_gguf_type {
    CT_GGUF_U8,
    CT_GGUF_I8,
    CT_GGUF_U16,
    CT_GGUF_I16,
    CT_GGUF_U32,
    CT_GGUF_I32,
    CT_GGUF_F32,
    CT_GGUF_BOOL,
    CT_GGUF_STRING,
    CT_GGUF_ARRAY,
    CT_GGUF_U64,
    CT_GGUF_I64,
    CT_GGUF_F64,
};

struct ct_gguf_text {
    const char *data; /* not NUL-terminated, in the mapped file */
    size_t n_bytes;
};

/* CT_FORMAT, CT_UNSUPPORTED (version, tensor type), CT_IO, CT_NOT_FOUND, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gguf_open(const char *path, struct ct_gguf **out,
                                          struct ct_error *err);

/* The same over bytes that the caller keeps until close (tests, fuzzing). data is 8-byte
 * aligned. */
CT_MUST_CHECK enum ct_status ct_gguf_open_memory(const void *data, size_t n_bytes,
                                                 struct ct_gguf **out, struct ct_error *err);
void ct_gguf_close(struct ct_gguf *gguf);

int ct_gguf_n_tensors(const struct ct_gguf *gguf);
const struct ct_tensor *ct_gguf_tensor(const struct ct_gguf *gguf, int i); /* in file order */
const struct ct_tensor *ct_gguf_find(const struct ct_gguf *gguf, const char *name); /* or NULL */

/* Metadata by key. CT_NOT_FOUND when the key is absent, CT_FORMAT when its type does not fit (an
 * integer of any width fits an int64 if its value does; an integer or f64 fits a double). */
CT_MUST_CHECK enum ct_status ct_gguf_int(const struct ct_gguf *gguf, const char *key,
                                         int64_t *value);
CT_MUST_CHECK enum ct_status ct_gguf_float(const struct ct_gguf *gguf, const char *key,
                                           double *value);
CT_MUST_CHECK enum ct_status ct_gguf_bool(const struct ct_gguf *gguf, const char *key, bool *value);
CT_MUST_CHECK enum ct_status ct_gguf_text(const struct ct_gguf *gguf, const char *key,
                                          struct ct_gguf_text *value);

/* Arrays: the element type and count; then elements in order, by a cursor. next is false at the end
 * and where the element type does not fit. */
CT_MUST_CHECK enum ct_status ct_gguf_array(const struct ct_gguf *gguf, const char *key,
                                           enum ct_gguf_type *type, size_t *n_elements);
struct ct_gguf_array_cursor {
    const unsigned char *next;
    enum ct_gguf_type type;
    size_t n_left;
};
CT_MUST_CHECK enum ct_status ct_gguf_array_begin(const struct ct_gguf *gguf, const char *key,
                                                 struct ct_gguf_array_cursor *cursor);
bool ct_gguf_array_next_text(struct ct_gguf_array_cursor *cursor, struct ct_gguf_text *value);
bool ct_gguf_array_next_int(struct ct_gguf_array_cursor *cursor, int64_t *value);
bool ct_gguf_array_next_float(struct ct_gguf_array_cursor *cursor, double *value);

#endif
