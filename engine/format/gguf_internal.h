/* An open GGUF file: gguf.c reads it, gguf_metadata.c answers for its metadata. */
#ifndef CT_FORMAT_GGUF_INTERNAL_H
#define CT_FORMAT_GGUF_INTERNAL_H

#include "engine/format/gguf.h"
#include "engine/format/tensor_file.h"

/* One metadata value, as found in the file. */
struct ct_gguf_entry {
    enum ct_gguf_type type;
    enum ct_gguf_type element_type; /* of an array */
    size_t n_elements;              /* of an array; bytes of a string; else 1 */
    const unsigned char *data;      /* the first element, or the string's bytes */
};

struct ct_gguf {
    struct ct_tensor_file file;
    struct ct_gguf_entry *entries; /* [keys.n_entries] */
    struct ct_name_index keys;
};

/* Bytes of a fixed-size type, 0 for strings, arrays and unknown types. */
size_t ct_gguf_type_n_bytes(uint32_t type);

#endif
