/* What reading an ONNX file's tensors (onnx.c) and finding their names (onnx_names.c) share. */
#ifndef CT_FORMAT_ONNX_INTERNAL_H
#define CT_FORMAT_ONNX_INTERNAL_H

#include "engine/format/onnx.h"
#include "engine/format/tensor_file.h"
#include "engine/format/wire.h"

#include <protobuf-c/protobuf-c.h>

enum { CT_ONNX_MOST = 1 << 20 }; /* initialisers, weights and products */

/* An initialiser's data in another file. */
struct ct_onnx_external {
    const char *location; /* NULL: the data is in the file itself */
    uint64_t offset;
    uint64_t n_bytes; /* UINT64_MAX: not said */
};

struct ct_onnx {
    struct ct_tensor_file file;          /* the initialisers of float types */
    struct ct_onnx_external *externals;  /* [tensors] */
    struct ct_name_index external_names; /* the other files' names, each once */
    struct ct_mapping *mappings;         /* [external_names.n_entries] */
    struct ct_onnx_weight *weights;      /* [n_weights] */
    int n_weights, capacity;
};

/* A message's field number, as proto/onnx.proto has it. */
uint32_t ct_onnx_number(const ProtobufCMessageDescriptor *message, const char *field);

/* A small message unpacked, to be freed with protobuf_c_message_free_unpacked(message, NULL); NULL
 * when it is broken (CT_FORMAT) or memory is short. */
CT_MUST_CHECK enum ct_status ct_onnx_unpack(const ProtobufCMessageDescriptor *message,
                                            const unsigned char *data, size_t n_bytes, void **out,
                                            struct ct_error *err);

/* Makes weights of the tensors; graph: the Graph message. CT_FORMAT, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_onnx_find_names(struct ct_onnx *onnx, struct ct_wire graph,
                                                struct ct_error *err);

#endif
