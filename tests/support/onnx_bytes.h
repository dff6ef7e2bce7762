/* ONNX files made in memory, field by field, right or wrong. */
#ifndef CT_TESTS_SUPPORT_ONNX_BYTES_H
#define CT_TESTS_SUPPORT_ONNX_BYTES_H

#include <stdint.h>
#include <string.h>

struct onnx_bytes {
    unsigned char data[16384];
    size_t n;
};

static inline void onnx_varint(struct onnx_bytes *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        b->data[b->n++] = (unsigned char)(value | 0x80);
    b->data[b->n++] = (unsigned char)value;
}

static inline void onnx_number(struct onnx_bytes *b, unsigned field, uint64_t value)
{
    onnx_varint(b, field << 3);
    onnx_varint(b, value);
}

static inline void onnx_block(struct onnx_bytes *b, unsigned field, const void *data, size_t n)
{
    onnx_varint(b, field << 3 | 2);
    onnx_varint(b, n);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

static inline void onnx_text(struct onnx_bytes *b, unsigned field, const char *text)
{
    onnx_block(b, field, text, strlen(text));
}

/* An initialiser of n_dims dimensions in a graph, its values raw. */
static inline void onnx_tensor(struct onnx_bytes *graph, const char *name, int type, int n_dims,
                               const int64_t *dims, const void *values, size_t n_bytes)
{
    struct onnx_bytes t = {.n = 0};
    for (int i = 0; i < n_dims; i++)
        onnx_number(&t, 1, (uint64_t)dims[i]);
    onnx_number(&t, 2, (uint64_t)type);
    onnx_text(&t, 8, name);
    onnx_block(&t, 9, values, n_bytes);
    onnx_block(graph, 5, t.data, t.n);
}

/* A node of up to three inputs (NULL: none) and one output. */
static inline void onnx_node(struct onnx_bytes *graph, const char *op, const char *name,
                             const char *const inputs[3], const char *output)
{
    struct onnx_bytes node = {.n = 0};
    for (int i = 0; i < 3 && inputs[i] != NULL; i++)
        onnx_text(&node, 1, inputs[i]);
    onnx_text(&node, 2, output);
    onnx_text(&node, 3, name);
    onnx_text(&node, 4, op);
    onnx_block(graph, 1, node.data, node.n);
}

static inline void onnx_model(struct onnx_bytes *model, const struct onnx_bytes *graph)
{
    onnx_number(model, 1, 8); /* ir_version */
    onnx_block(model, 7, graph->data, graph->n);
}

#endif
