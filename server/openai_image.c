/* The fields that hold images: data URIs in JSON, files in forms, or a body that is one. */
#include "server/openai_request.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static enum ct_status refuse_image(struct ct_openai_reader *reader, const char *field,
                                   const struct ct_error *err)
{
    if (err->status == CT_MEMORY)
        return CT_MEMORY;
    const int http = err->status == CT_TOO_LARGE ? 413 : err->status == CT_UNSUPPORTED ? 415 : 400;
    return ct_refuse(reader->refusal, http,
                     http == 415 ? "unsupported_media_type" : "invalid_value", field, "%s: %s",
                     field, err->message);
}

/* Becomes a prompt whose tokens are the image's patches: they have no numbers. */
static enum ct_status add_image(struct ct_openai_reader *reader, const char *field,
                                const void *data, size_t n_bytes)
{
    struct ct_request *request = reader->request;
    const struct ct_engine_info *info = reader->model->info;
    struct ct_error err = {0};
    if (n_bytes == 0)
        return ct_refuse(reader->refusal, 400, "invalid_value", field, "%s: is empty", field);
    float *pixels = ct_arena_alloc(&request->arena, ct_image_floats(&info->image) * sizeof *pixels);
    int32_t *tokens = ct_arena_alloc(&request->arena, (size_t)info->context_tok * sizeof *tokens);
    if (pixels == NULL || tokens == NULL)
        return CT_MEMORY;
    if (ct_engine_read_image(reader->model->engine, data, n_bytes, pixels, &err) != CT_OK)
        return refuse_image(reader, field, &err);
    request->prompts[request->n_prompts++] =
        (struct ct_prompt){.tokens = tokens, .pixels = pixels, .n_tok = info->context_tok};
    return CT_OK;
}

/* data:image/png;base64,... */
static enum ct_status add_data_uri(struct ct_openai_reader *reader, const char *field,
                                   const json_t *value)
{
    static const char scheme[] = "data:image/", coding[] = ";base64,";
    const char *uri = json_string_value(value), *comma = uri ? strchr(uri, ',') : NULL;
    const size_t n_head = comma ? (size_t)(comma - uri) + 1 : 0, n_coding = sizeof coding - 1;
    if (n_head < sizeof scheme - 1 + n_coding || strncasecmp(uri, scheme, sizeof scheme - 1) != 0 ||
        strncasecmp(uri + n_head - n_coding, coding, n_coding) != 0)
        return ct_openai_refuse(reader, field, value,
                                "a data URI, \"data:image/png;base64,...\" or of a jpeg");
    const size_t n_text = json_string_length(value) - n_head;
    unsigned char *data = ct_arena_alloc(&reader->request->arena, n_text / 4 * 3);
    size_t n_bytes = 0;
    if (data == NULL)
        return CT_MEMORY;
    if (!ct_base64_decode(uri + n_head, n_text, data, &n_bytes))
        return ct_refuse(reader->refusal, 400, "invalid_value", field,
                         "%s: what follows the comma is not base64, padded and without spaces",
                         field);
    return add_image(reader, field, data, n_bytes);
}

enum ct_status ct_openai_read_image(struct ct_openai_reader *reader, const json_t *value)
{
    enum ct_status status = ct_openai_open_prompts(reader, "image", 1, true);
    return status == CT_OK ? add_data_uri(reader, "image", value) : status;
}

enum ct_status ct_openai_read_images(struct ct_openai_reader *reader, const json_t *value)
{
    const size_t n = json_array_size(value);
    if (n == 0)
        return ct_openai_refuse(reader, "images", value, "a non-empty array of data URIs");
    enum ct_status status = ct_openai_open_prompts(reader, "images", n, true);
    for (size_t i = 0; i < n && status == CT_OK; i++) {
        char field[32];
        snprintf(field, sizeof field, "images[%zu]", i);
        status = add_data_uri(reader, field, json_array_get(value, i));
    }
    return status;
}

enum ct_status ct_openai_add_files(struct ct_openai_reader *reader,
                                   const struct ct_form_file *files, int n_files)
{
    enum ct_status status = ct_openai_open_prompts(reader, "image", (size_t)n_files, true);
    for (int i = 0; i < n_files && status == CT_OK; i++)
        status = add_image(reader, "image", files[i].data, files[i].n_bytes);
    return status;
}
