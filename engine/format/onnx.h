/* The weights of an ONNX file: its initialisers, read by mmap without a copy.
 *
 * Exporters keep the names of most parameters but leave the weights of linear layers without one,
 * and transposed: "onnx::MatMul_714", [k, n]. Their names come from the graph, in this order:
 *   - a sum of their product with a bias "X.bias" makes them X.weight;
 *   - else the path of the node that multiplies with them, "/encoder/layer.0/output/dense/MatMul",
 *     makes them encoder.layer.0.output.dense.weight;
 *   - what an Identity node makes of an initialiser is that weight once more, under the result's
 *     name;
 *   - any other anonymous initialiser is known by the node that uses it as well:
 *     "/embeddings/Concat_7" makes it embeddings.Concat, a name for a family's table.
 * Only structure is unpacked (proto/onnx.proto, protobuf-c), a node at a time. An open file is
 * immutable; any thread. */
#ifndef CT_FORMAT_ONNX_H
#define CT_FORMAT_ONNX_H

#include "engine/base/status.h"
#include "engine/base/tensor.h"

#include <stdbool.h>

struct ct_onnx;

struct ct_onnx_weight {
    struct ct_tensor tensor; /* F32, F16, BF16 or F64; the shape as stored, the name as found */
    bool is_transposed;      /* a linear layer's weight as [k, n] */
    bool is_placed;          /* the name says no more than where the values are used */
};

/* Integer, bool and string initialisers are left out. Data in other files must lie beside path.
 * CT_NOT_FOUND, CT_IO, CT_FORMAT, CT_UNSUPPORTED (a type, or values laid out in an unusual way),
 * CT_TOO_LARGE, CT_MEMORY; the message names the file and the tensor. */
CT_MUST_CHECK enum ct_status ct_onnx_open(const char *path, struct ct_onnx **out,
                                          struct ct_error *err);
/* The same over bytes that the caller keeps until close; data in other files is CT_UNSUPPORTED. */
CT_MUST_CHECK enum ct_status ct_onnx_open_memory(const void *data, size_t n_bytes,
                                                 struct ct_onnx **out, struct ct_error *err);
void ct_onnx_close(struct ct_onnx *onnx);

int ct_onnx_n_weights(const struct ct_onnx *onnx);
const struct ct_onnx_weight *ct_onnx_weight(const struct ct_onnx *onnx, int i);

#endif
