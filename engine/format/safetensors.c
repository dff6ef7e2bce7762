/* Reading safetensors. The header is JSON and comes in any order; what is sorted is a copy of its
 * tensors by offset, which then must cover the data exactly, one after the other. */
#include "engine/format/safetensors.h"

#include "engine/base/json_read.h"
#include "engine/format/tensor_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* As the reference implementation limits it. */
static const uint64_t max_header_bytes = 100 * 1000 * 1000;

struct ct_safetensors {
    struct ct_tensor_file file; /* tensors by offset */
    const unsigned char *end;   /* of the data */
};

/* The data section, and what the header says of a tensor in it. */
struct span {
    const unsigned char *data;
    size_t n_bytes;
};

static enum ct_status read_shape(const json_t *shape, struct ct_tensor *tensor,
                                 struct ct_error *err)
{
    if (!json_is_array(shape))
        return ct_error_set(err, CT_FORMAT, "shape is not an array");
    size_t n_dims = json_array_size(shape);
    if (n_dims > CT_MAX_DIMS)
        return ct_error_set(err, CT_UNSUPPORTED, "%zu dimensions, at most %d", n_dims, CT_MAX_DIMS);
    tensor->n_dims = (int)n_dims;
    for (size_t i = 0; i < CT_MAX_DIMS; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (i < n_dims && (!json_is_integer(dim) || json_integer_value(dim) < 0))
            return ct_error_set(err, CT_FORMAT, "dimension %zu is not a whole number from 0 up", i);
        tensor->shape[i] = i < n_dims ? json_integer_value(dim) : 1;
    }
    return CT_OK;
}

static enum ct_status read_dtype(const json_t *dtype, struct ct_tensor *tensor,
                                 struct ct_error *err)
{
    if (!json_is_string(dtype))
        return ct_error_set(err, CT_FORMAT, "dtype is not a string");
    tensor->dtype = ct_dtype_from_safetensors(json_string_value(dtype), json_string_length(dtype));
    if (tensor->dtype == CT_N_DTYPES)
        return ct_error_set(err, CT_UNSUPPORTED, "dtype %.16s", json_string_value(dtype));
    return CT_OK;
}

/* Offsets within the data section, equal to what dtype and shape need. */
static enum ct_status read_offsets(const json_t *offsets, const struct span *section,
                                   struct ct_tensor *tensor, struct ct_error *err)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return ct_error_set(err, CT_FORMAT, "data_offsets is not an array of two whole numbers");
    int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > section->n_bytes)
        return ct_error_set(err, CT_FORMAT,
                            "data_offsets [%" PRId64 ", %" PRId64
                            "] are not within the %zu bytes of "
                            "data",
                            begin, end, section->n_bytes);
    int64_t n = ct_dtype_block_bytes(tensor->dtype);
    for (int i = 0; i < tensor->n_dims; i++)
        if (__builtin_mul_overflow(n, tensor->shape[i], &n))
            return ct_error_set(err, CT_FORMAT, "the shape's product overflows");
    if (n != end - begin)
        return ct_error_set(err, CT_FORMAT,
                            "dtype and shape need %" PRId64 " bytes, data_offsets give %" PRId64, n,
                            end - begin);
    tensor->data = section->data + begin;
    tensor->n_bytes = (size_t)n;
    return CT_OK;
}

static enum ct_status read_tensor(struct ct_tensor_file *file, const char *name, size_t n_name,
                                  const json_t *entry, const struct span *section,
                                  struct ct_tensor *tensor, struct ct_error *err)
{
    if (!ct_name_is_plain(name, n_name))
        return ct_error_set(err, CT_FORMAT,
                            "a tensor's name (%zu bytes) is empty, longer than %d bytes or has "
                            "control characters",
                            n_name, CT_MAX_NAME);
    tensor->name = ct_arena_text(&file->arena, name, n_name);
    if (tensor->name == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for tensor names");
    enum ct_status status = CT_OK;
    if (!json_is_object(entry))
        status = ct_error_set(err, CT_FORMAT, "not an object");
    if (status == CT_OK)
        status = read_dtype(json_object_get(entry, "dtype"), tensor, err);
    if (status == CT_OK)
        status = read_shape(json_object_get(entry, "shape"), tensor, err);
    if (status == CT_OK)
        status = read_offsets(json_object_get(entry, "data_offsets"), section, tensor, err);
    if (status != CT_OK)
        ct_error_prefix(err, "tensor %s", tensor->name);
    return status;
}

/* By place; an empty tensor comes before the one that starts where it is. */
static int compare_places(const void *left, const void *right)
{
    const struct ct_tensor *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return (a->n_bytes > b->n_bytes) - (a->n_bytes < b->n_bytes);
}

/* No hole, no overlap, nothing left over, every element aligned. */
static enum ct_status check_places(const struct ct_tensor *tensors, int n_tensors,
                                   const struct span *section, struct ct_error *err)
{
    const unsigned char *expected = section->data;
    for (int i = 0; i < n_tensors; i++) {
        const struct ct_tensor *tensor = &tensors[i];
        const unsigned char *begin = tensor->data;
        if (begin != expected)
            return ct_error_set(
                err, CT_FORMAT,
                "tensor %s: data starts at %td, expected %td after the data before it",
                tensor->name, begin - section->data, expected - section->data);
        if ((uintptr_t)begin % (unsigned)ct_dtype_block_bytes(tensor->dtype) != 0)
            return ct_error_set(err, CT_FORMAT,
                                "tensor %s: data starts at %td, not aligned for its type %s",
                                tensor->name, begin - section->data, ct_dtype_name(tensor->dtype));
        expected = begin + tensor->n_bytes;
    }
    size_t n_left = section->n_bytes - (size_t)(expected - section->data);
    if (n_left > 0)
        return ct_error_set(err, CT_FORMAT, "%zu bytes follow the last tensor's data", n_left);
    return CT_OK;
}

static enum ct_status read_tensors(struct ct_tensor_file *file, json_t *header,
                                   const struct span *section, struct ct_error *err)
{
    size_t capacity = json_object_size(header); /* within CT_JSON_VALUES */
    int n_tensors = 0;
    enum ct_status status = ct_tensor_file_reserve(file, capacity, err);
    if (status != CT_OK)
        return status;
    const char *name;
    size_t n_name;
    json_t *entry;
    json_object_keylen_foreach(header, name, n_name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        status = read_tensor(file, name, n_name, entry, section, &file->tensors[n_tensors], err);
        if (status != CT_OK)
            return status;
        n_tensors++;
    }
    qsort(file->tensors, (size_t)n_tensors, sizeof *file->tensors, compare_places);
    status = check_places(file->tensors, n_tensors, section, err);
    for (int i = 0; i < n_tensors && status == CT_OK; i++)
        ct_name_index_add(&file->names, file->tensors[i].name, strlen(file->tensors[i].name));
    ct_name_index_sort(&file->names); /* no duplicates: JSON_REJECT_DUPLICATES */
    return status;
}

static enum ct_status read_bytes(const void *data, size_t n_bytes, struct ct_tensor_file **out,
                                 struct ct_error *err)
{
    uint64_t n_header = 0;
    const size_t n_prefix = sizeof n_header;
    if (n_bytes < n_prefix)
        return ct_error_set(err, CT_FORMAT, "%zu bytes are too few for a safetensors file",
                            n_bytes);
    memcpy(&n_header, data, n_prefix);
    if (n_header > max_header_bytes || n_header > n_bytes - n_prefix)
        return ct_error_set(err, CT_FORMAT,
                            "the header's length is %" PRIu64
                            ", in a file of %zu bytes and at most "
                            "%" PRIu64,
                            n_header, n_bytes, max_header_bytes);
    const char *text = (const char *)data + n_prefix;
    struct span section = {(const unsigned char *)text + n_header,
                           n_bytes - n_prefix - (size_t)n_header};
    json_t *header = NULL;
    struct ct_safetensors *file = calloc(1, sizeof *file);
    if (file == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for a safetensors file");
    file->end = section.data + section.n_bytes;
    enum ct_status status = ct_json_read(text, (size_t)n_header, &header, err);
    if (status != CT_OK)
        ct_error_prefix(err, "header");
    else
        status = read_tensors(&file->file, header, &section, err);
    json_decref(header);
    if (status != CT_OK) {
        ct_safetensors_close(file);
        return status;
    }
    *out = &file->file;
    return CT_OK;
}

enum ct_status ct_safetensors_open_memory(const void *data, size_t n_bytes,
                                          struct ct_safetensors **out, struct ct_error *err)
{
    struct ct_tensor_file *file = NULL;
    enum ct_status status = read_bytes(data, n_bytes, &file, err);
    *out = (struct ct_safetensors *)file;
    return status;
}

enum ct_status ct_safetensors_open(const char *path, struct ct_safetensors **out,
                                   struct ct_error *err)
{
    struct ct_tensor_file *file = NULL;
    enum ct_status status = ct_tensor_file_open(path, read_bytes, &file, err);
    *out = (struct ct_safetensors *)file;
    return status;
}

void ct_safetensors_close(struct ct_safetensors *file)
{
    if (file == NULL)
        return;
    ct_tensor_file_deinit(&file->file);
    free(file);
}

int ct_safetensors_n_tensors(const struct ct_safetensors *file)
{
    return file->file.names.n_entries;
}

const struct ct_tensor *ct_safetensors_tensor(const struct ct_safetensors *file, int i)
{
    return &file->file.tensors[i];
}

const struct ct_tensor *ct_safetensors_find(const struct ct_safetensors *file, const char *name)
{
    return ct_tensor_file_find(&file->file, name);
}

size_t ct_safetensors_n_bytes_after(const struct ct_safetensors *file,
                                    const struct ct_tensor *tensor)
{
    return (size_t)(file->end - ((const unsigned char *)tensor->data + tensor->n_bytes));
}
