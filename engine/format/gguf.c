/* Reading GGUF: one pass over the header with a bounds-checked reader.
 *
 * Every count is compared with the bytes that are left before anything of its size is allocated: a
 * metadata entry takes at least MIN_ENTRY_BYTES of the file and a tensor MIN_TENSOR_BYTES, so
 * memory is at most a small multiple of the file. After the pass, offsets have been proven to
 * follow each other in file order with no more than alignment padding between, and the last to end
 * at the file's end. */
#include "engine/format/gguf_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    GGUF_VERSION = 3,
    MIN_ENTRY_BYTES = 8 + 1 + 4 + 1,          /* key, type, a value of one byte */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name, one dimension, type, offset */
    MAX_ARRAY_DEPTH = 4,
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8,
    MAX_ALIGNMENT = 65536,
};

/* ---- the reader ---- */

struct reader {
    const unsigned char *data;
    size_t n_bytes;
    size_t pos;
    struct ct_error *err;
};

static size_t n_left(const struct reader *r)
{
    return r->n_bytes - r->pos;
}

static enum ct_status take(struct reader *r, size_t n, const char *what, const unsigned char **out)
{
    if (n > n_left(r))
        return ct_error_set(r->err, CT_FORMAT,
                            "%s at offset %zu needs %zu bytes, but the file ends after %zu", what,
                            r->pos, n, n_left(r));
    *out = r->data + r->pos;
    r->pos += n;
    return CT_OK;
}

static enum ct_status take_u32(struct reader *r, const char *what, uint32_t *out)
{
    const unsigned char *p = NULL;
    enum ct_status status = take(r, sizeof *out, what, &p);
    if (status == CT_OK)
        memcpy(out, p, sizeof *out);
    return status;
}

static enum ct_status take_u64(struct reader *r, const char *what, uint64_t *out)
{
    const unsigned char *p = NULL;
    enum ct_status status = take(r, sizeof *out, what, &p);
    if (status == CT_OK)
        memcpy(out, p, sizeof *out);
    return status;
}

/* A count of things that take at least min_bytes each. */
static enum ct_status take_count(struct reader *r, const char *what, size_t min_bytes, size_t *out)
{
    uint64_t count = 0;
    size_t at = r->pos;
    enum ct_status status = take_u64(r, what, &count);
    if (status != CT_OK)
        return status;
    if (count > n_left(r) / min_bytes)
        return ct_error_set(r->err, CT_FORMAT,
                            "%s at offset %zu is %" PRIu64
                            ", more than the %zu bytes after it can hold",
                            what, at, count, n_left(r));
    *out = (size_t)count;
    return CT_OK;
}

static enum ct_status take_string(struct reader *r, const char *what, struct ct_gguf_text *out)
{
    const unsigned char *p = NULL;
    size_t n = 0;
    enum ct_status status = take_count(r, what, 1, &n);
    if (status == CT_OK)
        status = take(r, n, what, &p);
    *out = (struct ct_gguf_text){(const char *)p, n};
    return status;
}

/* A metadata key or a tensor's name. */
static enum ct_status take_name(struct reader *r, const char *what, struct ct_gguf_text *out)
{
    size_t at = r->pos;
    enum ct_status status = take_string(r, what, out);
    if (status == CT_OK && !ct_name_is_plain(out->data, out->n_bytes))
        return ct_error_set(r->err, CT_FORMAT,
                            "%s at offset %zu (%zu bytes) is empty, longer than %d bytes or has "
                            "control characters",
                            what, at, out->n_bytes, CT_MAX_NAME);
    return status;
}

/* ---- metadata ---- */

static enum ct_status skip_array(struct reader *r, int depth, struct ct_gguf_entry *entry);

/* Passes over one element of an array that is not of fixed size. */
static enum ct_status skip_element(struct reader *r, enum ct_gguf_type type, int depth)
{
    struct ct_gguf_text text;
    struct ct_gguf_entry nested;
    return type == CT_GGUF_STRING ? take_string(r, "string", &text)
                                  : skip_array(r, depth + 1, &nested);
}

/* An array: its element type, its count, its elements. */
static enum ct_status skip_array(struct reader *r, int depth, struct ct_gguf_entry *entry)
{
    size_t at = r->pos;
    uint32_t type = 0;
    if (depth > MAX_ARRAY_DEPTH)
        return ct_error_set(r->err, CT_FORMAT, "arrays at offset %zu are nested deeper than %d", at,
                            MAX_ARRAY_DEPTH);
    enum ct_status status = take_u32(r, "array type", &type);
    if (status != CT_OK)
        return status;
    if (type > CT_GGUF_F64)
        return ct_error_set(r->err, CT_FORMAT,
                            "array at offset %zu has unknown element type %" PRIu32, at, type);
    size_t fixed = ct_gguf_type_n_bytes(type);
    size_t min_bytes = fixed > 0 ? fixed : type == CT_GGUF_STRING ? 8 : 12;
    status = take_count(r, "array length", min_bytes, &entry->n_elements);
    entry->element_type = (enum ct_gguf_type)type;
    entry->data = r->data + r->pos;
    if (status == CT_OK && fixed > 0)
        r->pos += fixed * entry->n_elements; /* take_count saw that it fits */
    for (size_t i = 0; i < entry->n_elements && status == CT_OK && fixed == 0; i++)
        status = skip_element(r, entry->element_type, depth);
    return status;
}

static enum ct_status take_value(struct reader *r, struct ct_gguf_entry *entry)
{
    size_t at = r->pos;
    uint32_t type = 0;
    enum ct_status status = take_u32(r, "value type", &type);
    if (status != CT_OK)
        return status;
    if (type > CT_GGUF_F64)
        return ct_error_set(r->err, CT_FORMAT, "value at offset %zu has unknown type %" PRIu32, at,
                            type);
    *entry = (struct ct_gguf_entry){.type = (enum ct_gguf_type)type, .n_elements = 1};
    if (type == CT_GGUF_ARRAY)
        return skip_array(r, 1, entry);
    if (type == CT_GGUF_STRING) {
        struct ct_gguf_text text;
        status = take_string(r, "string", &text);
        entry->data = (const unsigned char *)text.data;
        entry->n_elements = text.n_bytes;
        return status;
    }
    return take(r, ct_gguf_type_n_bytes(type), "value", &entry->data);
}

static enum ct_status read_metadata(struct ct_gguf *gguf, struct reader *r, size_t n_entries)
{
    gguf->entries = calloc(n_entries + 1, sizeof *gguf->entries);
    if (gguf->entries == NULL || ct_name_index_init(&gguf->keys, (int)n_entries) != CT_OK)
        return ct_error_set(r->err, CT_MEMORY, "no memory for %zu metadata entries", n_entries);
    for (size_t i = 0; i < n_entries; i++) {
        struct ct_gguf_text key;
        enum ct_status status = take_name(r, "metadata key", &key);
        if (status != CT_OK)
            return status;
        status = take_value(r, &gguf->entries[i]);
        if (status != CT_OK) {
            ct_error_prefix(r->err, "metadata %.*s", (int)key.n_bytes, key.data);
            return status;
        }
        ct_name_index_add(&gguf->keys, key.data, key.n_bytes);
    }
    const struct ct_name_entry *twice = ct_name_index_sort(&gguf->keys);
    if (twice != NULL)
        return ct_error_set(r->err, CT_FORMAT, "metadata key %.*s appears twice",
                            (int)twice->n_bytes, twice->text);
    return CT_OK;
}

static enum ct_status read_alignment(const struct ct_gguf *gguf, struct ct_error *err, size_t *out)
{
    int64_t alignment = DEFAULT_ALIGNMENT;
    enum ct_status status = ct_gguf_int(gguf, "general.alignment", &alignment);
    if (status != CT_OK && status != CT_NOT_FOUND)
        return ct_error_set(err, CT_FORMAT, "general.alignment is not an integer");
    if (alignment < MIN_ALIGNMENT || alignment > MAX_ALIGNMENT ||
        (alignment & (alignment - 1)) != 0)
        return ct_error_set(err, CT_FORMAT,
                            "general.alignment is %" PRId64 ", not a power of two in %d..%d",
                            alignment, MIN_ALIGNMENT, MAX_ALIGNMENT);
    *out = (size_t)alignment;
    return CT_OK;
}

/* ---- tensors ---- */

/* Dimensions come innermost first. */
static enum ct_status take_shape(struct reader *r, struct ct_tensor *tensor)
{
    uint32_t n_dims = 0;
    enum ct_status status = take_u32(r, "number of dimensions", &n_dims);
    if (status != CT_OK)
        return status;
    if (n_dims < 1 || n_dims > CT_MAX_DIMS)
        return ct_error_set(r->err, CT_FORMAT, "%" PRIu32 " dimensions, expected 1..%d", n_dims,
                            CT_MAX_DIMS);
    tensor->n_dims = (int)n_dims;
    for (int i = 0; i < CT_MAX_DIMS; i++)
        tensor->shape[i] = 1;
    for (int i = tensor->n_dims - 1; i >= 0; i--) {
        uint64_t dim = 0;
        status = take_u64(r, "dimension", &dim);
        if (status != CT_OK)
            return status;
        if (dim < 1 || dim > INT64_MAX)
            return ct_error_set(r->err, CT_FORMAT, "dimension %d is %" PRIu64, i, dim);
        tensor->shape[i] = (int64_t)dim;
    }
    return CT_OK;
}

/* The tensor's bytes, from its shape and type. */
static enum ct_status size_tensor(struct reader *r, struct ct_tensor *tensor)
{
    int64_t block = ct_dtype_block_elements(tensor->dtype);
    int64_t n = 1;
    if (tensor->shape[tensor->n_dims - 1] % block != 0)
        return ct_error_set(r->err, CT_FORMAT,
                            "rows of %" PRId64 " elements are not whole %s blocks of %" PRId64,
                            tensor->shape[tensor->n_dims - 1], ct_dtype_name(tensor->dtype), block);
    for (int i = 0; i < tensor->n_dims; i++)
        if (__builtin_mul_overflow(n, tensor->shape[i], &n))
            return ct_error_set(r->err, CT_FORMAT, "the number of elements overflows");
    if (__builtin_mul_overflow(n / block, ct_dtype_block_bytes(tensor->dtype), &n) ||
        (uint64_t)n > r->n_bytes)
        return ct_error_set(r->err, CT_FORMAT, "the shape needs more bytes than the file's %zu",
                            r->n_bytes);
    tensor->n_bytes = (size_t)n;
    return CT_OK;
}

/* Shape, type and offset of one tensor. *end is where the last tensor ended, relative to the data,
 * and is moved to this one's end. data stays NULL: where data starts is known after the last tensor
 * info. */
static enum ct_status take_tensor(struct reader *r, size_t alignment, struct ct_tensor *tensor,
                                  uint64_t *offset)
{
    uint32_t type = 0;
    enum ct_status status = take_shape(r, tensor);
    if (status == CT_OK)
        status = take_u32(r, "tensor type", &type);
    if (status != CT_OK)
        return status;
    tensor->dtype = ct_dtype_from_gguf(type);
    if (tensor->dtype == CT_N_DTYPES)
        return ct_error_set(r->err, CT_UNSUPPORTED, "GGUF tensor type %" PRIu32, type);
    status = size_tensor(r, tensor);
    if (status == CT_OK)
        status = take_u64(r, "tensor offset", offset);
    if (status == CT_OK && *offset % alignment != 0)
        return ct_error_set(r->err, CT_FORMAT, "offset %" PRIu64 " is not a multiple of %zu",
                            *offset, alignment);
    return status;
}

static size_t align_up(size_t n, size_t alignment)
{
    return (n + alignment - 1) & ~(alignment - 1);
}

/* Offsets are relative to the data and follow each other in file order, padded to the alignment.
 * Sums cannot overflow: each tensor was seen to fit the file, and *end stays within it. */
static enum ct_status place_tensor(const struct reader *r, size_t alignment, uint64_t offset,
                                   struct ct_tensor *tensor, size_t *end)
{
    size_t expected = align_up(*end, alignment);
    if (offset != expected)
        return ct_error_set(r->err, CT_FORMAT,
                            "tensor %s: data offset is %" PRIu64 ", expected %zu after the last "
                            "tensor's data",
                            tensor->name, offset, expected);
    *end = expected + tensor->n_bytes;
    if (*end > r->n_bytes)
        return ct_error_set(r->err, CT_FORMAT,
                            "tensor %s: data ends %zu bytes into a file of %zu bytes", tensor->name,
                            *end, r->n_bytes);
    return CT_OK;
}

static enum ct_status read_tensors(struct ct_gguf *gguf, struct reader *r, size_t n_tensors,
                                   size_t alignment)
{
    size_t end = 0;
    enum ct_status status = ct_tensor_file_reserve(&gguf->file, n_tensors, r->err);
    if (status != CT_OK)
        return status;
    for (size_t i = 0; i < n_tensors; i++) {
        struct ct_tensor *tensor = &gguf->file.tensors[i];
        struct ct_gguf_text name;
        uint64_t offset = 0;
        status = take_name(r, "tensor name", &name);
        if (status != CT_OK)
            return status;
        tensor->name = ct_arena_text(&gguf->file.arena, name.data, name.n_bytes);
        if (tensor->name == NULL)
            return ct_error_set(r->err, CT_MEMORY, "no memory for tensor names");
        status = take_tensor(r, alignment, tensor, &offset);
        if (status != CT_OK) {
            ct_error_prefix(r->err, "tensor %s", tensor->name);
            return status;
        }
        status = place_tensor(r, alignment, offset, tensor, &end);
        if (status != CT_OK)
            return status;
        ct_name_index_add(&gguf->file.names, tensor->name, name.n_bytes);
    }
    const struct ct_name_entry *twice = ct_name_index_sort(&gguf->file.names);
    if (twice != NULL)
        return ct_error_set(r->err, CT_FORMAT, "tensor %s appears twice", twice->text);
    return CT_OK;
}

/* Sets the data pointers, and checks that the file ends where the last tensor does (its padding may
 * or may not be there). */
static enum ct_status bind_data(struct ct_gguf *gguf, const struct reader *r, size_t alignment)
{
    int n_tensors = gguf->file.names.n_entries;
    size_t end = r->pos;
    for (int i = 0; i < n_tensors; i++) {
        struct ct_tensor *tensor = &gguf->file.tensors[i];
        size_t at = align_up(end, alignment);
        end = at + tensor->n_bytes;
        if (end > r->n_bytes)
            return ct_error_set(r->err, CT_FORMAT,
                                "tensor %s: data ends at %zu, but the file has %zu bytes",
                                tensor->name, end, r->n_bytes);
        tensor->data = r->data + at;
    }
    if (r->n_bytes > align_up(end, alignment))
        return ct_error_set(r->err, CT_FORMAT, "%zu bytes follow the last tensor's data",
                            r->n_bytes - end);
    return CT_OK;
}

/* ---- opening ---- */

static enum ct_status read_header(struct reader *r, size_t *n_tensors, size_t *n_entries)
{
    const unsigned char *magic = NULL;
    uint32_t version = 0;
    enum ct_status status = take(r, 4, "magic", &magic);
    if (status == CT_OK && memcmp(magic, "GGUF", 4) != 0)
        return ct_error_set(r->err, CT_FORMAT, "not a GGUF file: it starts with %02x%02x%02x%02x",
                            magic[0], magic[1], magic[2], magic[3]);
    if (status == CT_OK)
        status = take_u32(r, "version", &version);
    if (status == CT_OK && version != GGUF_VERSION)
        return ct_error_set(r->err, CT_UNSUPPORTED, "GGUF version %" PRIu32 ", expected %d%s",
                            version, GGUF_VERSION, (version & 0xffff) == 0 ? " (big-endian?)" : "");
    if (status == CT_OK)
        status = take_count(r, "number of tensors", MIN_TENSOR_BYTES, n_tensors);
    if (status == CT_OK)
        status = take_count(r, "number of metadata entries", MIN_ENTRY_BYTES, n_entries);
    if (status == CT_OK && (*n_tensors >= INT_MAX || *n_entries >= INT_MAX))
        return ct_error_set(r->err, CT_FORMAT, "%zu tensors and %zu metadata entries, at most %d",
                            *n_tensors, *n_entries, INT_MAX - 1);
    return status;
}

static enum ct_status read_bytes(const void *data, size_t n_bytes, struct ct_tensor_file **out,
                                 struct ct_error *err)
{
    struct reader r = {data, n_bytes, 0, err};
    size_t n_tensors = 0, n_entries = 0, alignment = 0;
    struct ct_gguf *gguf = calloc(1, sizeof *gguf);
    if (gguf == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for a GGUF file");
    enum ct_status status = read_header(&r, &n_tensors, &n_entries);
    if (status == CT_OK)
        status = read_metadata(gguf, &r, n_entries);
    if (status == CT_OK)
        status = read_alignment(gguf, err, &alignment);
    if (status == CT_OK)
        status = read_tensors(gguf, &r, n_tensors, alignment);
    if (status == CT_OK)
        status = bind_data(gguf, &r, alignment);
    if (status != CT_OK) {
        ct_gguf_close(gguf);
        return status;
    }
    *out = &gguf->file;
    return CT_OK;
}

enum ct_status ct_gguf_open_memory(const void *data, size_t n_bytes, struct ct_gguf **out,
                                   struct ct_error *err)
{
    struct ct_tensor_file *file = NULL;
    enum ct_status status = read_bytes(data, n_bytes, &file, err);
    *out = (struct ct_gguf *)file;
    return status;
}

enum ct_status ct_gguf_open(const char *path, struct ct_gguf **out, struct ct_error *err)
{
    struct ct_tensor_file *file = NULL;
    enum ct_status status = ct_tensor_file_open(path, read_bytes, &file, err);
    *out = (struct ct_gguf *)file;
    return status;
}

void ct_gguf_close(struct ct_gguf *gguf)
{
    if (gguf == NULL)
        return;
    ct_name_index_deinit(&gguf->keys);
    free(gguf->entries);
    ct_tensor_file_deinit(&gguf->file);
    free(gguf);
}

int ct_gguf_n_tensors(const struct ct_gguf *gguf)
{
    return gguf->file.names.n_entries;
}

const struct ct_tensor *ct_gguf_tensor(const struct ct_gguf *gguf, int i)
{
    return &gguf->file.tensors[i];
}

const struct ct_tensor *ct_gguf_find(const struct ct_gguf *gguf, const char *name)
{
    return ct_tensor_file_find(&gguf->file, name);
}
