/* Writing safetensors: the header from the declared tensors, then their data as it comes. */
#include "engine/base/json_text.h"
#include "engine/base/tensor.h"
#include "engine/format/name_index.h"
#include "engine/format/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGNMENT = 64, PREFIX_BYTES = 8 };

struct ct_safetensors_writer {
    char *path;
    int fd;
    size_t n_declared, n_written; /* bytes of data */
};

static enum ct_status write_all(struct ct_safetensors_writer *writer, const void *data,
                                size_t n_bytes, struct ct_error *err)
{
    const unsigned char *p = data;
    while (n_bytes > 0) {
        ssize_t n = write(writer->fd, p, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ct_error_set(err, CT_IO, "%s: cannot write: %s", writer->path, strerror(errno));
        p += n;
        n_bytes -= (size_t)n;
    }
    return CT_OK;
}

/* One tensor's entry; *end is where its data begins, and is moved to where it ends. */
static json_t *tensor_entry(const struct ct_tensor *tensor, size_t *end)
{
    json_t *shape = json_array();
    int failed = shape == NULL;
    for (int i = 0; i < tensor->n_dims && !failed; i++)
        failed = json_array_append_new(shape, json_integer(tensor->shape[i]));
    size_t begin = *end;
    *end += (size_t)ct_tensor_n_elements(tensor) * (size_t)ct_dtype_block_bytes(tensor->dtype);
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", ct_dtype_safetensors_name(tensor->dtype),
                  "shape", shape, "data_offsets", (json_int_t)begin, (json_int_t)*end);
    if (failed) {
        json_decref(entry);
        return NULL;
    }
    return entry;
}

/* The header's text, to be freed, NULL when memory is short. "format": "pt" is what Hugging Face's
 * loader asks for. */
static char *format_header(const struct ct_tensor *tensors, int n_tensors, size_t *n_data)
{
    char *text = NULL;
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    *n_data = 0;
    for (int i = 0; i < n_tensors; i++)
        if (json_object_set_new(header, tensors[i].name, tensor_entry(&tensors[i], n_data)) != 0)
            goto out;
    text = ct_json_dump(header, JSON_COMPACT);
out:
    json_decref(header);
    return text;
}

static enum ct_status check_declared(const char *path, const struct ct_tensor *tensors,
                                     int n_tensors, struct ct_error *err)
{
    struct ct_name_index names;
    if (ct_name_index_init(&names, n_tensors) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for %d tensors", path, n_tensors);
    enum ct_status status = CT_OK;
    for (int i = 0; i < n_tensors && status == CT_OK; i++) {
        const char *name = tensors[i].name;
        if (!ct_name_is_plain(name, strlen(name)))
            status = ct_error_set(err, CT_INVALID, "%s: tensor %d has an unfit name", path, i);
        else if (ct_dtype_safetensors_name(tensors[i].dtype) == NULL)
            status = ct_error_set(err, CT_INVALID, "%s: tensor %s: safetensors has no type %s",
                                  path, name, ct_dtype_name(tensors[i].dtype));
        ct_name_index_add(&names, name, strlen(name));
    }
    const struct ct_name_entry *twice = status == CT_OK ? ct_name_index_sort(&names) : NULL;
    if (twice != NULL)
        status =
            ct_error_set(err, CT_INVALID, "%s: tensor %s is declared twice", path, twice->text);
    ct_name_index_deinit(&names);
    return status;
}

/* The length, the header, and spaces until the data starts aligned. */
static enum ct_status write_header(struct ct_safetensors_writer *writer,
                                   const struct ct_tensor *tensors, int n_tensors,
                                   struct ct_error *err)
{
    char spaces[ALIGNMENT];
    memset(spaces, ' ', sizeof spaces);
    char *text = format_header(tensors, n_tensors, &writer->n_declared);
    if (text == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for the header, or a name is not UTF-8",
                            writer->path);
    size_t n_text = strlen(text);
    size_t n_padding = (ALIGNMENT - (PREFIX_BYTES + n_text) % ALIGNMENT) % ALIGNMENT;
    uint64_t n_header = n_text + n_padding;
    enum ct_status status = write_all(writer, &n_header, sizeof n_header, err);
    if (status == CT_OK)
        status = write_all(writer, text, n_text, err);
    if (status == CT_OK)
        status = write_all(writer, spaces, n_padding, err);
    free(text);
    return status;
}

static void free_writer(struct ct_safetensors_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    free(writer->path);
    free(writer);
}

enum ct_status ct_safetensors_writer_open(const char *path, const struct ct_tensor *tensors,
                                          int n_tensors, struct ct_safetensors_writer **out,
                                          struct ct_error *err)
{
    *out = NULL;
    enum ct_status status = check_declared(path, tensors, n_tensors, err);
    if (status != CT_OK)
        return status;
    struct ct_safetensors_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory", path);
    writer->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    writer->path = strdup(path);
    if (writer->fd < 0)
        status = ct_error_set(err, CT_IO, "%s: cannot create: %s", path, strerror(errno));
    else if (writer->path == NULL)
        status = ct_error_set(err, CT_MEMORY, "%s: no memory", path);
    else
        status = write_header(writer, tensors, n_tensors, err);
    if (status != CT_OK) {
        free_writer(writer);
        return status;
    }
    *out = writer;
    return CT_OK;
}

enum ct_status ct_safetensors_write(struct ct_safetensors_writer *writer, const void *data,
                                    size_t n_bytes, struct ct_error *err)
{
    size_t n_left = writer->n_declared - writer->n_written;
    if (n_bytes > n_left)
        return ct_error_set(err, CT_INVALID, "%s: %zu bytes written where %zu were declared",
                            writer->path, n_bytes, n_left);
    enum ct_status status = write_all(writer, data, n_bytes, err);
    if (status == CT_OK)
        writer->n_written += n_bytes;
    return status;
}

enum ct_status ct_safetensors_writer_close(struct ct_safetensors_writer *writer,
                                           struct ct_error *err)
{
    enum ct_status status = CT_OK;
    if (writer->n_written != writer->n_declared)
        status = ct_error_set(err, CT_INVALID, "%s: %zu of %zu declared bytes were written",
                              writer->path, writer->n_written, writer->n_declared);
    else if (fsync(writer->fd) != 0)
        status = ct_error_set(err, CT_IO, "%s: cannot sync: %s", writer->path, strerror(errno));
    free_writer(writer);
    return status;
}
