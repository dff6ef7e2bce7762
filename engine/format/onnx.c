/* Reading an ONNX file's initialisers. Each is a Tensor message, of which all but the data is
 * unpacked; the data stays where it lies in the mapped file, at any alignment. */
#include "engine/format/mapping.h"
#include "engine/format/onnx_internal.h"

#include <onnx.pb-c.h>

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STRUCTURE = 1 << 20 }; /* bytes of a tensor's message without its data */

/* ---- messages ---- */

uint32_t ct_onnx_number(const ProtobufCMessageDescriptor *message, const char *field)
{
    return protobuf_c_message_descriptor_get_field_by_name(message, field)->id;
}

static void *alloc_or_note(void *is_short, size_t n_bytes)
{
    void *block = malloc(n_bytes > 0 ? n_bytes : 1);
    if (block == NULL)
        *(bool *)is_short = true;
    return block;
}

static void free_block(void *is_short, void *block)
{
    (void)is_short;
    free(block);
}

enum ct_status ct_onnx_unpack(const ProtobufCMessageDescriptor *message, const unsigned char *data,
                              size_t n_bytes, void **out, struct ct_error *err)
{
    bool is_short = false;
    ProtobufCAllocator allocator = {alloc_or_note, free_block, &is_short};
    *out = protobuf_c_message_unpack(message, &allocator, n_bytes, data);
    if (*out != NULL)
        return CT_OK;
    return is_short ? ct_error_set(err, CT_MEMORY, "no memory for a %s", message->short_name)
                    : ct_error_set(err, CT_FORMAT, "a %s of %zu bytes is broken",
                                   message->short_name, n_bytes);
}

/* ---- a tensor ---- */

/* Element types by ONNX's number; integers, bool and strings are no weights. */
static enum ct_dtype weight_dtype(int32_t data_type)
{
    switch (data_type) {
    case 1:
        return CT_DTYPE_F32;
    case 10:
        return CT_DTYPE_F16;
    case 11:
        return CT_DTYPE_F64;
    case 16:
        return CT_DTYPE_BF16;
    default:
        return CT_N_DTYPES;
    }
}

static bool is_no_weight(int32_t data_type)
{
    return (data_type >= 2 && data_type <= 9) || data_type == 12 || data_type == 13;
}

/* Where a tensor's message has its values. */
struct values {
    struct ct_wire_field raw;
    int n_floats; /* fields of float_data, which are as good as raw when there is one, packed */
    bool has_others;
};

/* Copies all but the values to `structure`, [*n_bytes at least]; sets *n_bytes to what was needed.
 */
static enum ct_status split(const struct ct_wire_field *message, struct values *values,
                            unsigned char *structure, size_t *n_bytes, struct ct_error *err)
{
    const ProtobufCMessageDescriptor *type = &onnx__tensor__descriptor;
    const uint32_t raw = ct_onnx_number(type, "raw_data"),
                   floats = ct_onnx_number(type, "float_data");
    const uint32_t others[] = {
        ct_onnx_number(type, "int32_data"), ct_onnx_number(type, "int64_data"),
        ct_onnx_number(type, "double_data"), ct_onnx_number(type, "uint64_data")};
    struct ct_wire wire = {message->data, message->data + message->n_bytes, false};
    struct ct_wire_field field;
    size_t n = 0;
    *values = (struct values){.raw.data = message->data}; /* of a tensor without values */
    while (ct_wire_next(&wire, &field)) {
        bool is_other = false;
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
            is_other |= field.number == others[i];
        if (field.number == raw || field.number == floats) {
            values->raw = field;
            values->n_floats += field.number == floats;
        } else if (is_other) {
            values->has_others = true;
        } else {
            size_t n_field = (size_t)(field.end - field.begin);
            if (n_field > *n_bytes - n)
                return ct_error_set(err, CT_TOO_LARGE,
                                    "a tensor has more than %zu bytes besides its values",
                                    *n_bytes);
            memcpy(structure + n, field.begin, n_field);
            n += n_field;
        }
    }
    *n_bytes = n;
    return wire.is_broken ? ct_error_set(err, CT_FORMAT, "a tensor's message is broken") : CT_OK;
}

static enum ct_status read_shape(const Onnx__Tensor *message, struct ct_tensor *tensor,
                                 struct ct_error *err)
{
    if (message->n_dims > CT_MAX_DIMS)
        return ct_error_set(err, CT_UNSUPPORTED, "%zu dimensions, at most %d", message->n_dims,
                            CT_MAX_DIMS);
    int64_t n = ct_dtype_block_bytes(tensor->dtype);
    tensor->n_dims = (int)message->n_dims;
    for (size_t i = 0; i < CT_MAX_DIMS; i++) {
        tensor->shape[i] = i < message->n_dims ? message->dims[i] : 1;
        if (tensor->shape[i] < 0)
            return ct_error_set(err, CT_FORMAT, "dimension %zu is %" PRId64, i, tensor->shape[i]);
        if (__builtin_mul_overflow(n, tensor->shape[i], &n))
            return ct_error_set(err, CT_FORMAT, "the shape's product overflows");
    }
    tensor->n_bytes = (size_t)n;
    return CT_OK;
}

/* The values, which are in the file itself. */
static enum ct_status read_inline(const struct values *values, struct ct_tensor *tensor,
                                  struct ct_error *err)
{
    if (values->has_others || values->n_floats > 1 ||
        (values->raw.begin != NULL && !values->raw.has_bytes))
        return ct_error_set(err, CT_UNSUPPORTED,
                            "its values are neither raw_data nor one packed float_data");
    if (values->n_floats > 0 && tensor->dtype != CT_DTYPE_F32)
        return ct_error_set(err, CT_FORMAT, "float_data of type %s", ct_dtype_name(tensor->dtype));
    if (values->raw.n_bytes != tensor->n_bytes)
        return ct_error_set(err, CT_FORMAT, "%zu bytes of values, type and shape need %zu",
                            values->raw.n_bytes, tensor->n_bytes);
    tensor->data = values->raw.data;
    return CT_OK;
}

static enum ct_status read_whole(const char *text, const char *key, uint64_t *out,
                                 struct ct_error *err)
{
    const size_t n_digits = strspn(text, "0123456789");
    if (n_digits < 1 || n_digits > 18 || text[n_digits] != '\0')
        return ct_error_set(err, CT_FORMAT, "external_data: %s is %.32s", key, text);
    *out = strtoull(text, NULL, 10);
    return CT_OK;
}

static enum ct_status read_external(struct ct_onnx *onnx, const Onnx__Tensor *message,
                                    struct ct_onnx_external *external, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    const char *location = "";
    external->n_bytes = UINT64_MAX;
    for (size_t i = 0; i < message->n_external_data && status == CT_OK; i++) {
        const Onnx__Entry *entry = message->external_data[i];
        if (strcmp(entry->key, "location") == 0)
            location = entry->value;
        else if (strcmp(entry->key, "offset") == 0)
            status = read_whole(entry->value, "offset", &external->offset, err);
        else if (strcmp(entry->key, "length") == 0)
            status = read_whole(entry->value, "length", &external->n_bytes, err);
    }
    if (status != CT_OK)
        return status;
    if (!ct_name_is_file(location, strlen(location)))
        return ct_error_set(err, CT_FORMAT,
                            "external_data: location \"%.64s\" is not a file beside the model",
                            location);
    external->location = ct_arena_text(&onnx->file.arena, location, strlen(location));
    return external->location == NULL ? ct_error_set(err, CT_MEMORY, "no memory for names") : CT_OK;
}

/* The next tensor, from its message without values; nothing where it is no weight. */
static enum ct_status add_tensor(struct ct_onnx *onnx, const Onnx__Tensor *message,
                                 const struct values *values, struct ct_error *err)
{
    const int i = onnx->file.names.n_entries;
    struct ct_tensor *tensor = &onnx->file.tensors[i];
    const size_t n_name = strlen(message->name);
    if (is_no_weight(message->data_type))
        return CT_OK;
    if (!ct_name_is_plain(message->name, n_name))
        return ct_error_set(err, CT_FORMAT,
                            "an initialiser's name (%zu bytes) is empty, longer than %d bytes or "
                            "has control characters",
                            n_name, CT_MAX_NAME);
    tensor->name = ct_arena_text(&onnx->file.arena, message->name, n_name);
    tensor->dtype = weight_dtype(message->data_type);
    if (tensor->name == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for tensor names");
    enum ct_status status = CT_OK;
    if (tensor->dtype == CT_N_DTYPES)
        status = ct_error_set(err, CT_UNSUPPORTED, "element type %d", (int)message->data_type);
    if (status == CT_OK)
        status = read_shape(message, tensor, err);
    if (status == CT_OK && message->data_location == 0)
        status = read_inline(values, tensor, err);
    else if (status == CT_OK)
        status = read_external(onnx, message, &onnx->externals[i], err);
    if (status != CT_OK)
        return ct_error_prefix(err, "tensor %s", tensor->name);
    ct_name_index_add(&onnx->file.names, tensor->name, n_name);
    return CT_OK;
}

static enum ct_status read_tensor(struct ct_onnx *onnx, const struct ct_wire_field *field,
                                  unsigned char *structure, struct ct_error *err)
{
    struct values values;
    void *message = NULL;
    size_t n_bytes = MAX_STRUCTURE;
    enum ct_status status = split(field, &values, structure, &n_bytes, err);
    if (status == CT_OK)
        status = ct_onnx_unpack(&onnx__tensor__descriptor, structure, n_bytes, &message, err);
    if (status == CT_OK)
        status = add_tensor(onnx, message, &values, err);
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, NULL);
    return status;
}

/* ---- the graph ---- */

/* All initialisers; a tensor that others' names are found by must be there before the nodes are
 * read. */
static enum ct_status read_tensors(struct ct_onnx *onnx, struct ct_wire graph, struct ct_error *err)
{
    const uint32_t initializer = ct_onnx_number(&onnx__graph__descriptor, "initializer");
    struct ct_wire wire = graph;
    struct ct_wire_field field;
    size_t n_tensors = 0;
    while (ct_wire_next(&wire, &field))
        n_tensors += field.number == initializer && field.has_bytes;
    if (wire.is_broken)
        return ct_error_set(err, CT_FORMAT, "the graph's message is broken");
    if (n_tensors > CT_ONNX_MOST)
        return ct_error_set(err, CT_TOO_LARGE, "%zu initialisers, at most %d", n_tensors,
                            CT_ONNX_MOST);
    enum ct_status status = ct_tensor_file_reserve(&onnx->file, n_tensors, err);
    unsigned char *structure = malloc(MAX_STRUCTURE);
    onnx->externals = calloc(n_tensors + 1, sizeof *onnx->externals);
    if (status == CT_OK && (structure == NULL || onnx->externals == NULL))
        status = ct_error_set(err, CT_MEMORY, "no memory for %zu tensors", n_tensors);
    for (wire = graph; status == CT_OK && ct_wire_next(&wire, &field);)
        if (field.number == initializer && field.has_bytes)
            status = read_tensor(onnx, &field, structure, err);
    free(structure);
    if (status != CT_OK)
        return status;
    const struct ct_name_entry *twice = ct_name_index_sort(&onnx->file.names);
    return twice == NULL
               ? CT_OK
               : ct_error_set(err, CT_FORMAT, "initialiser %s appears twice", twice->text);
}

/* The Graph message within a Model. */
static enum ct_status find_graph(const void *data, size_t n_bytes, struct ct_wire *graph,
                                 struct ct_error *err)
{
    const uint32_t number = ct_onnx_number(&onnx__model__descriptor, "graph");
    struct ct_wire wire = {data, (const unsigned char *)data + n_bytes, false};
    struct ct_wire_field field;
    int n_graphs = 0;
    while (ct_wire_next(&wire, &field))
        if (field.number == number && field.has_bytes) {
            *graph = (struct ct_wire){field.data, field.data + field.n_bytes, false};
            n_graphs++;
        }
    if (wire.is_broken || n_graphs != 1)
        return ct_error_set(err, CT_FORMAT, "no ONNX model, or cut short: byte %td of %zu is %s",
                            wire.at - (const unsigned char *)data, n_bytes,
                            wire.is_broken ? "no field" : "its end, and there is not one graph");
    return CT_OK;
}

/* ---- other files ---- */

/* The other files' names, each once. */
static enum ct_status list_externals(struct ct_onnx *onnx, struct ct_error *err)
{
    const int n_tensors = onnx->file.names.n_entries;
    struct ct_name_index *names = &onnx->external_names;
    if (ct_name_index_init(names, n_tensors) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "no memory for file names");
    for (int i = 0; i < n_tensors; i++)
        if (onnx->externals[i].location != NULL)
            ct_name_index_add(names, onnx->externals[i].location,
                              strlen(onnx->externals[i].location));
    ct_name_index_unique(names);
    onnx->mappings = calloc((size_t)names->n_entries + 1, sizeof *onnx->mappings);
    return onnx->mappings == NULL ? ct_error_set(err, CT_MEMORY, "no memory for file names")
                                  : CT_OK;
}

static enum ct_status view_external(struct ct_tensor *tensor, const struct ct_mapping *mapping,
                                    const struct ct_onnx_external *external, struct ct_error *err)
{
    if (external->n_bytes != UINT64_MAX && external->n_bytes != tensor->n_bytes)
        return ct_error_set(err, CT_FORMAT,
                            "tensor %s: external_data: length is %" PRIu64
                            ", type and shape need %zu",
                            tensor->name, external->n_bytes, tensor->n_bytes);
    if (external->offset > mapping->n_bytes ||
        tensor->n_bytes > mapping->n_bytes - external->offset)
        return ct_error_set(
            err, CT_FORMAT,
            "tensor %s: external_data: %zu bytes from %" PRIu64 " are not within the %zu of %s",
            tensor->name, tensor->n_bytes, external->offset, mapping->n_bytes, external->location);
    tensor->data = mapping->data + external->offset;
    return CT_OK;
}

/* Maps the other files, which are beside `path` (NULL: there is no such place). */
static enum ct_status open_externals(struct ct_onnx *onnx, const char *path, struct ct_error *err)
{
    enum ct_status status = list_externals(onnx, err);
    const struct ct_name_index *names = &onnx->external_names;
    if (status == CT_OK && names->n_entries > 0 && path == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "external_data: %s is not at hand",
                            names->entries[0].text);
    for (int i = 0; i < names->n_entries && status == CT_OK; i++) {
        char beside[PATH_MAX];
        const char *slash = strrchr(path, '/');
        if (snprintf(beside, sizeof beside, "%.*s%s", slash == NULL ? 0 : (int)(slash - path) + 1,
                     path, names->entries[i].text) >= (int)sizeof beside)
            return ct_error_set(err, CT_INVALID, "external_data: the path is too long");
        status = ct_mapping_init(&onnx->mappings[i], beside, err);
        if (status != CT_OK)
            ct_error_prefix(err, "external_data: %s", names->entries[i].text);
    }
    for (int i = 0; i < onnx->file.names.n_entries && status == CT_OK; i++) {
        const struct ct_onnx_external *external = &onnx->externals[i];
        if (external->location == NULL)
            continue;
        const int file = ct_name_index_find(names, external->location, strlen(external->location));
        status = view_external(&onnx->file.tensors[i], &onnx->mappings[file], external, err);
    }
    return status;
}

/* ---- opening ---- */

static enum ct_status read_bytes(struct ct_onnx *onnx, const void *data, size_t n_bytes,
                                 const char *path, struct ct_error *err)
{
    struct ct_wire graph;
    enum ct_status status = find_graph(data, n_bytes, &graph, err);
    if (status == CT_OK)
        status = read_tensors(onnx, graph, err);
    if (status == CT_OK)
        status = open_externals(onnx, path, err);
    if (status == CT_OK)
        status = ct_onnx_find_names(onnx, graph, err);
    return status;
}

enum ct_status ct_onnx_open_memory(const void *data, size_t n_bytes, struct ct_onnx **out,
                                   struct ct_error *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for an ONNX file");
    enum ct_status status = read_bytes(*out, data, n_bytes, NULL, err);
    if (status != CT_OK) {
        ct_onnx_close(*out);
        *out = NULL;
    }
    return status;
}

enum ct_status ct_onnx_open(const char *path, struct ct_onnx **out, struct ct_error *err)
{
    struct ct_mapping *mapping;
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory", path);
    mapping = &(*out)->file.mapping;
    enum ct_status status = ct_mapping_init(mapping, path, err);
    if (status == CT_OK)
        status = read_bytes(*out, mapping->data, mapping->n_bytes, path, err);
    if (status == CT_OK)
        return CT_OK;
    ct_onnx_close(*out);
    *out = NULL;
    return ct_error_prefix(err, "%s", path);
}

void ct_onnx_close(struct ct_onnx *onnx)
{
    if (onnx == NULL)
        return;
    for (int i = 0; onnx->mappings != NULL && i < onnx->external_names.n_entries; i++)
        ct_mapping_deinit(&onnx->mappings[i]);
    free(onnx->mappings);
    ct_name_index_deinit(&onnx->external_names);
    free(onnx->externals);
    free(onnx->weights);
    ct_tensor_file_deinit(&onnx->file);
    free(onnx);
}

int ct_onnx_n_weights(const struct ct_onnx *onnx)
{
    return onnx->n_weights;
}

const struct ct_onnx_weight *ct_onnx_weight(const struct ct_onnx *onnx, int i)
{
    return &onnx->weights[i];
}
