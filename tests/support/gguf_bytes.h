/* Builds GGUF files in memory, right or wrong on purpose. A buffer that overflows aborts the
 * test. */
#ifndef CT_TESTS_SUPPORT_GGUF_BYTES_H
#define CT_TESTS_SUPPORT_GGUF_BYTES_H

#include "engine/base/tensor.h"
#include "engine/format/gguf.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct gguf_bytes {
    _Alignas(64) unsigned char data[1 << 16];
    size_t n;
};

static inline void put(struct gguf_bytes *b, const void *data, size_t n)
{
    assert(b->n + n <= sizeof b->data);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

static inline void put_u32(struct gguf_bytes *b, uint32_t v)
{
    put(b, &v, sizeof v);
}

static inline void put_u64(struct gguf_bytes *b, uint64_t v)
{
    put(b, &v, sizeof v);
}

static inline void put_text(struct gguf_bytes *b, const char *text)
{
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}

static inline void put_header(struct gguf_bytes *b, uint64_t n_tensors, uint64_t n_entries)
{
    b->n = 0;
    put(b, "GGUF", 4);
    put_u32(b, 3);
    put_u64(b, n_tensors);
    put_u64(b, n_entries);
}

static inline void put_key(struct gguf_bytes *b, const char *key, enum ct_gguf_type type)
{
    put_text(b, key);
    put_u32(b, (uint32_t)type);
}

static inline void put_u32_entry(struct gguf_bytes *b, const char *key, uint32_t value)
{
    put_key(b, key, CT_GGUF_U32);
    put_u32(b, value);
}

static inline void put_f32_entry(struct gguf_bytes *b, const char *key, float value)
{
    put_key(b, key, CT_GGUF_F32);
    put(b, &value, sizeof value);
}

static inline void put_text_entry(struct gguf_bytes *b, const char *key, const char *value)
{
    put_key(b, key, CT_GGUF_STRING);
    put_text(b, value);
}

/* A tensor's info; dims innermost first. */
static inline void put_tensor(struct gguf_bytes *b, const char *name, uint32_t n_dims,
                              const uint64_t *dims, uint32_t type, uint64_t offset)
{
    put_text(b, name);
    put_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        put_u64(b, dims[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

static inline void pad_to(struct gguf_bytes *b, size_t alignment)
{
    while (b->n % alignment != 0)
        put(b, "", 1);
}

#endif
