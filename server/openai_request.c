#include "server/openai_request.h"

#include "engine/base/json_text.h"
#include "server/json.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMPLETION = 1 << CT_REQUEST_COMPLETION,
    CHAT = 1 << CT_REQUEST_CHAT,
    EMBEDDING = 1 << CT_REQUEST_EMBEDDING,
    CLASSIFY = 1 << CT_REQUEST_CLASSIFY,
    RERANK = 1 << CT_REQUEST_RERANK,
    BOTH = COMPLETION | CHAT,
    ROWS = EMBEDDING | CLASSIFY | RERANK,
    ALL = BOTH | ROWS,
};
enum kind { KIND_READ, KIND_INT, KIND_NUMBER, KIND_BOOL, KIND_TEXT, KIND_NEUTRAL };

typedef enum ct_status reader_fn(struct ct_openai_reader *reader, const json_t *value);

struct field {
    const char *name;
    int where;
    enum kind kind;
    bool is_required;
    double min, max;
    size_t offset; /* of the member in struct ct_request */
    reader_fn *read;
    const char *values; /* JSON texts with | between them */
};

enum ct_status ct_openai_refuse(struct ct_openai_reader *reader, const char *field,
                                const json_t *value, const char *expected)
{
    char quoted[48];
    ct_json_quote(value, quoted);
    return ct_refuse(reader->refusal, 400, "invalid_value", field, "%s: %s is not %s", field,
                     quoted, expected);
}

/* A whole number within [min, max]. */
static enum ct_status read_int(struct ct_openai_reader *reader, const char *field,
                               const json_t *value, int64_t min, int64_t max, int64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        char expected[96];
        snprintf(expected, sizeof expected, "a whole number within %lld..%lld", (long long)min,
                 (long long)max);
        return ct_openai_refuse(reader, field, value, expected);
    }
    *out = json_integer_value(value);
    return CT_OK;
}

static enum ct_status read_number(struct ct_openai_reader *reader, const char *field,
                                  const json_t *value, double min, double max, double *out)
{
    if (!json_is_number(value) ||
        !(json_number_value(value) >= min && json_number_value(value) <= max)) {
        char expected[96];
        snprintf(expected, sizeof expected, "a number within %.15g..%.15g", min, max);
        return ct_openai_refuse(reader, field, value, expected);
    }
    *out = json_number_value(value);
    return CT_OK;
}

/* ---- readers of single fields ---- */

/* Names the models that there are, as many as fit. */
static enum ct_status refuse_model(struct ct_openai_reader *reader, const json_t *value)
{
    char quoted[48], names[320] = "";
    size_t n = 0;
    for (int i = 0; i < reader->models->n; i++) {
        const char *name = reader->models->all[i].name;
        if (n + strlen(name) + sizeof ", \"\", ..." > sizeof names) {
            snprintf(names + n, sizeof names - n, ", ...");
            break;
        }
        n += (size_t)snprintf(names + n, sizeof names - n, i ? ", \"%s\"" : "\"%s\"", name);
    }
    ct_json_quote(value, quoted);
    return ct_refuse(reader->refusal, 404, "model_not_found", "model",
                     "model: %s does not exist; this server has %s", quoted, names);
}

/* Whether the model does what is asked for. */
static enum ct_status check_task(struct ct_openai_reader *reader)
{
    static const char *const made[] = {[CT_TASK_GENERATE] = "text",
                                       [CT_TASK_EMBED] = "embeddings",
                                       [CT_TASK_CLASSIFY] = "probabilities of labels"};
    static const char *const wanted[] = {"text", "text", "embeddings", "probabilities of labels",
                                         "a relevance"};
    if (ct_model_answers(reader->model, reader->request->kind))
        return CT_OK;
    return ct_refuse(reader->refusal, 400, "unsupported_value", "model",
                     "model: \"%s\" makes %s, not %s", reader->model->name,
                     made[reader->model->info->task], wanted[reader->request->kind]);
}

static enum ct_status read_model(struct ct_openai_reader *reader, const json_t *value)
{
    struct ct_request *request = reader->request;
    if (!json_is_string(value))
        return ct_openai_refuse(reader, "model", value, "a string");
    reader->model = request->model = ct_models_find(reader->models, json_string_value(value));
    if (reader->model == NULL)
        return refuse_model(reader, value);
    const uint64_t seed = request->sampling.seed; /* drawn already */
    request->sampling = reader->model->info->sampling;
    request->sampling.seed = seed;
    request->is_simulated = reader->model->info->simulated != NULL;
    return check_task(reader);
}

static enum ct_status read_stream_options(struct ct_openai_reader *reader, const json_t *value)
{
    if (!json_is_object(value))
        return ct_openai_refuse(reader, "stream_options", value, "an object");
    if (!reader->request->is_stream)
        return ct_refuse(reader->refusal, 400, "invalid_value", "stream_options",
                         "stream_options: only allowed where stream is true");
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member)
    {
        char field[64];
        snprintf(field, sizeof field, "stream_options.%.40s", key);
        if (strcmp(key, "include_usage") == 0 && (json_is_boolean(member) || json_is_null(member)))
            reader->request->has_usage = json_is_true(member);
        else if (strcmp(key, "include_usage") == 0)
            return ct_openai_refuse(reader, field, member, "true or false");
        else if (strcmp(key, "include_obfuscation") != 0)
            return ct_refuse(reader->refusal, 400, "unknown_field", field,
                             "%s: there is no such field", field);
        else if (!json_is_false(member) && !json_is_null(member))
            return ct_openai_refuse(reader, field, member, "false; no other value is supported");
    }
    return CT_OK;
}

/* The CPU, or the machine that the model was given. */
static enum ct_status read_backend(struct ct_openai_reader *reader, const json_t *value)
{
    const char *simulated = reader->model->info->simulated;
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    char expected[192];
    reader->request->is_simulated = simulated != NULL && strcmp(name, simulated) == 0;
    if (reader->request->is_simulated || strcmp(name, "cpu") == 0)
        return CT_OK;
    if (simulated != NULL)
        snprintf(expected, sizeof expected, "\"cpu\" or \"%s\", which %.96s runs on", simulated,
                 reader->model->name);
    else
        snprintf(expected, sizeof expected, "\"cpu\", all that %.96s was given (serve --backend)",
                 reader->model->name);
    return ct_openai_refuse(reader, "backend", value, expected);
}

static enum ct_status read_seed(struct ct_openai_reader *reader, const json_t *value)
{
    int64_t seed = 0;
    if (read_int(reader, "seed", value, INT64_MIN, INT64_MAX, &seed) != CT_OK)
        return CT_INVALID;
    reader->request->sampling.seed = (uint64_t)seed;
    return CT_OK;
}

static enum ct_status read_stop_text(struct ct_openai_reader *reader, const char *field,
                                     const json_t *value)
{
    struct ct_request *request = reader->request;
    size_t n_bytes = json_is_string(value) ? json_string_length(value) : 0;
    if (n_bytes == 0 || n_bytes > CT_MAX_STOP_BYTES) {
        char expected[64];
        snprintf(expected, sizeof expected, "a string of 1..%d bytes", CT_MAX_STOP_BYTES);
        return ct_openai_refuse(reader, field, value, expected);
    }
    struct ct_stop_text *stop = &request->stops[request->n_stops++];
    stop->n_bytes = n_bytes;
    stop->bytes = ct_arena_text(&request->arena, json_string_value(value), n_bytes);
    return stop->bytes ? CT_OK : CT_MEMORY;
}

static enum ct_status read_stop(struct ct_openai_reader *reader, const json_t *value)
{
    if (json_is_string(value))
        return read_stop_text(reader, "stop", value);
    if (!json_is_array(value))
        return ct_openai_refuse(reader, "stop", value, "a string or an array of strings");
    size_t n = json_array_size(value);
    if (n > CT_MAX_STOPS)
        return ct_refuse(reader->refusal, 400, "invalid_value", "stop",
                         "stop: %zu strings are more than %d", n, CT_MAX_STOPS);
    for (size_t i = 0; i < n; i++) {
        char field[32];
        snprintf(field, sizeof field, "stop[%zu]", i);
        enum ct_status status = read_stop_text(reader, field, json_array_get(value, i));
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

/* {"<token id>": -100..100} */
static enum ct_status read_logit_bias(struct ct_openai_reader *reader, const json_t *value)
{
    enum { MAX_BIASES = 1024 };
    struct ct_request *request = reader->request;
    if (!json_is_object(value) || json_object_size(value) > MAX_BIASES)
        return ct_openai_refuse(reader, "logit_bias", value, "an object of at most 1024 token ids");
    size_t n = json_object_size(value);
    int32_t *ids = ct_arena_alloc(&request->arena, n * sizeof *ids);
    float *bias = ct_arena_alloc(&request->arena, n * sizeof *bias);
    if (ids == NULL || bias == NULL)
        return CT_MEMORY;
    int i = 0;
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member)
    {
        char field[64], *end = NULL;
        snprintf(field, sizeof field, "logit_bias.%.40s", key);
        bool is_digits = key[0] != '\0' && strspn(key, "0123456789") == strlen(key);
        long id = is_digits && strlen(key) < 10 ? strtol(key, &end, 10) : -1;
        if (id < 0 || id >= reader->model->info->n_vocab)
            return ct_refuse(reader->refusal, 400, "invalid_value", field,
                             "%s: not a token id within 0..%d", field,
                             reader->model->info->n_vocab - 1);
        double number = 0;
        if (read_number(reader, field, member, -100, 100, &number) != CT_OK)
            return CT_INVALID;
        ids[i] = (int32_t)id;
        bias[i++] = (float)number;
    }
    request->sampling.n_bias = i;
    request->sampling.bias_ids = ids;
    request->sampling.bias = bias;
    return CT_OK;
}

/* Chat: a boolean. Completions: how many of the likeliest tokens to list. */
static enum ct_status read_logprobs(struct ct_openai_reader *reader, const json_t *value)
{
    struct ct_request *request = reader->request;
    if (request->kind == CT_REQUEST_CHAT) {
        if (!json_is_boolean(value))
            return ct_openai_refuse(reader, "logprobs", value, "true or false");
        request->has_logprobs = json_is_true(value);
        return CT_OK;
    }
    int64_t n = 0;
    if (read_int(reader, "logprobs", value, 0, 5, &n) != CT_OK)
        return CT_INVALID;
    request->has_logprobs = true;
    request->n_top_logprobs = (int)n;
    return CT_OK;
}

static enum ct_status read_top_logprobs(struct ct_openai_reader *reader, const json_t *value)
{
    int64_t n = 0;
    if (read_int(reader, "top_logprobs", value, 0, CT_MAX_TOP_LOGPROBS, &n) != CT_OK)
        return CT_INVALID;
    if (!reader->request->has_logprobs)
        return ct_refuse(reader->refusal, 400, "invalid_value", "top_logprobs",
                         "top_logprobs: only allowed where logprobs is true");
    reader->request->n_top_logprobs = (int)n;
    return CT_OK;
}

/* Only what asks for no more than n answers: choosing the best of more is not offered. */
static enum ct_status read_best_of(struct ct_openai_reader *reader, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) != reader->request->n_choices)
        return ct_openai_refuse(reader, "best_of", value, "n; no other value is supported");
    return CT_OK;
}

/* OpenAI keeps metadata with stored completions. Nothing is stored here, so a well-formed object
 * has nothing to do. */
static enum ct_status read_metadata(struct ct_openai_reader *reader, const json_t *value)
{
    if (!json_is_object(value) || json_object_size(value) > 16)
        return ct_openai_refuse(reader, "metadata", value, "an object of at most 16 strings");
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member)
    {
        char field[64];
        snprintf(field, sizeof field, "metadata.%.40s", key);
        if (!json_is_string(member) || json_string_length(member) > 512 || strlen(key) > 64)
            return ct_openai_refuse(reader, field, member,
                                    "a string of at most 512 bytes under a key of 64");
    }
    return CT_OK;
}

static enum ct_status read_prompt(struct ct_openai_reader *reader, const json_t *value)
{
    return ct_openai_read_prompt(reader, "prompt", value);
}

static enum ct_status read_input(struct ct_openai_reader *reader, const json_t *value)
{
    return ct_openai_read_prompt(reader, "input", value);
}

static enum ct_status read_query(struct ct_openai_reader *reader, const json_t *value)
{
    reader->query = value;
    return json_string_length(value) > 0
               ? CT_OK
               : ct_openai_refuse(reader, "query", value, "a non-empty string");
}

static enum ct_status read_documents(struct ct_openai_reader *reader, const json_t *value)
{
    return ct_openai_read_documents(reader, value);
}

static enum ct_status read_encoding_format(struct ct_openai_reader *reader, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL || (strcmp(text, "float") != 0 && strcmp(text, "base64") != 0))
        return ct_openai_refuse(reader, "encoding_format", value, "\"float\" or \"base64\"");
    reader->request->is_base64 = strcmp(text, "base64") == 0;
    return CT_OK;
}

static enum ct_status read_image(struct ct_openai_reader *reader, const json_t *value)
{
    return ct_openai_read_image(reader, value);
}

static enum ct_status read_images(struct ct_openai_reader *reader, const json_t *value)
{
    return ct_openai_read_images(reader, value);
}

static enum ct_status read_messages(struct ct_openai_reader *reader, const json_t *value)
{
    return ct_openai_read_messages(reader, value);
}

/* ---- the table ---- */

#define MEMBER(member) offsetof(struct ct_request, member)
#define CT_FIELD_READ(name, where, required, reader)                                               \
    {#name, where, KIND_READ, required, 0, 0, 0, read_##reader, NULL},
#define CT_FIELD_INT(name, where, min, max, member)                                                \
    {#name, where, KIND_INT, false, min, max, MEMBER(member), NULL, NULL},
#define CT_FIELD_NUMBER(name, where, min, max, member)                                             \
    {#name, where, KIND_NUMBER, false, min, max, MEMBER(member), NULL, NULL},
#define CT_FIELD_BOOL(name, where, member)                                                         \
    {#name, where, KIND_BOOL, false, 0, 0, MEMBER(member), NULL, NULL},
#define CT_FIELD_TEXT(name, where) {#name, where, KIND_TEXT, false, 0, 0, 0, NULL, NULL},
#define CT_FIELD_NEUTRAL(name, where, values)                                                      \
    {#name, where, KIND_NEUTRAL, false, 0, 0, 0, NULL, values},
static const struct field fields[] = {
#include "server/openai_fields.def"
};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static enum ct_status read_neutral(struct ct_openai_reader *reader, const struct field *field,
                                   const json_t *value)
{
    for (const char *p = field->values; *p != '\0';) {
        size_t n = strcspn(p, "|");
        json_error_t problem;
        json_t *neutral = NULL;
        enum ct_status status = ct_json_load(p, n, &neutral, &problem);
        if (status != CT_OK)
            return status;
        bool is_equal = json_equal((json_t *)value, neutral);
        json_decref(neutral);
        if (is_equal)
            return CT_OK;
        p += n + (p[n] == '|');
    }
    char quoted[48];
    ct_json_quote(value, quoted);
    return ct_refuse(reader->refusal, 400, "unsupported_value", field->name,
                     "%s: %s is not supported; only %s is", field->name, quoted, field->values);
}

static enum ct_status read_field(struct ct_openai_reader *reader, const struct field *field,
                                 const json_t *value)
{
    void *member = (char *)reader->request + field->offset;
    switch (field->kind) {
    case KIND_READ:
        return field->read(reader, value);
    case KIND_INT: {
        int64_t max = field->max > 0 ? (int64_t)field->max : reader->model->info->context_tok;
        int64_t number = 0;
        if (read_int(reader, field->name, value, (int64_t)field->min, max, &number) != CT_OK)
            return CT_INVALID;
        *(int *)member = (int)number;
        return CT_OK;
    }
    case KIND_NUMBER:
        return read_number(reader, field->name, value, field->min, field->max, member);
    case KIND_BOOL:
        if (!json_is_boolean(value))
            return ct_openai_refuse(reader, field->name, value, "true or false");
        *(bool *)member = json_is_true(value);
        return CT_OK;
    case KIND_TEXT:
        return json_is_string(value) ? CT_OK
                                     : ct_openai_refuse(reader, field->name, value, "a string");
    case KIND_NEUTRAL:
        return read_neutral(reader, field, value);
    }
    return CT_INTERNAL;
}

/* A form has strings alone: a number or a boolean is read from its text. */
static enum ct_status read_value(struct ct_openai_reader *reader, const struct field *field,
                                 const json_t *value)
{
    const bool is_plain =
        field->kind == KIND_INT || field->kind == KIND_NUMBER || field->kind == KIND_BOOL;
    if (!reader->is_form || !is_plain)
        return read_field(reader, field, value);
    json_error_t problem;
    json_t *plain = NULL;
    enum ct_status status =
        ct_json_load(json_string_value(value), json_string_length(value), &plain, &problem);
    if (status == CT_MEMORY)
        return status;
    status = read_field(reader, field, plain != NULL ? plain : value);
    json_decref(plain);
    return status;
}

static enum ct_status check_names(struct ct_openai_reader *reader, const json_t *root, int where)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        int i = 0;
        while (i < N_FIELDS && ((fields[i].where & where) == 0 || strcmp(fields[i].name, key) != 0))
            i++;
        if (i == N_FIELDS)
            return ct_refuse(reader->refusal, 400, "unknown_field", key,
                             "%.64s: there is no such field", key);
    }
    return CT_OK;
}

int ct_openai_max_texts(const struct ct_openai_reader *reader)
{
    const int most = ct_request_is_text(reader->request) ? CT_MAX_TEXTS : CT_MAX_SEQUENCES;
    return reader->model->max_in_flight < most ? reader->model->max_in_flight : most;
}

/* Fields that limit each other, and defaults that depend on others. */
static enum ct_status settle(struct ct_openai_reader *reader)
{
    struct ct_request *request = reader->request;
    int context_tok = reader->model->info->context_tok;
    int n_sequences = request->n_prompts * request->n_choices;
    int limit = ct_openai_max_texts(reader);
    if (n_sequences > limit)
        return ct_refuse(reader->refusal, 400, "invalid_value", "n",
                         "n: %d prompts with %d answers each are more than the %d that one request "
                         "may ask for",
                         request->n_prompts, request->n_choices, limit);
    if (request->max_completion_tokens > 0) {
        if (request->max_tokens > 0 && request->max_tokens != request->max_completion_tokens)
            return ct_refuse(reader->refusal, 400, "invalid_value", "max_tokens",
                             "max_tokens: %d contradicts max_completion_tokens, %d",
                             request->max_tokens, request->max_completion_tokens);
        request->max_tokens = request->max_completion_tokens;
    }
    if (request->n_prompts == 0) {
        const char *field = reader->model->info->image.n_channels > 0 ? "image" : "input";
        return ct_refuse(reader->refusal, 400, "missing_field", field, "%s: is required", field);
    }
    if (request->n_dimensions > reader->model->info->n_outputs)
        return ct_refuse(reader->refusal, 400, "invalid_value", "dimensions",
                         "dimensions: %d is not a whole number within 1..%d", request->n_dimensions,
                         reader->model->info->n_outputs);
    if (!ct_request_is_text(request))
        return CT_OK;
    const char *field = request->kind == CT_REQUEST_CHAT ? "messages" : "prompt";
    for (int p = 0; p < request->n_prompts; p++) {
        int n_prompt = request->prompts[p].n_tok;
        int n_wanted = request->max_tokens > 0 ? request->max_tokens : 1;
        if (n_prompt + n_wanted > context_tok)
            return ct_refuse(
                reader->refusal, 400, "context_length_exceeded", field,
                "%s: %d tokens and %d to generate are more than the context of %d tokens", field,
                n_prompt, n_wanted, context_tok);
    }
    return CT_OK;
}

/* An estimate is asked for with the body of any kind: its own field says which, and the model what
 * is done with an input. */
static enum ct_status find_kind(struct ct_openai_reader *reader, const json_t *root)
{
    const char *name = json_string_value(json_object_get(root, "model"));
    const struct ct_model *model = name ? ct_models_find(reader->models, name) : NULL;
    const enum ct_request_kind input_kind =
        model != NULL && ct_model_answers(model, CT_REQUEST_CLASSIFY) ? CT_REQUEST_CLASSIFY
                                                                      : CT_REQUEST_EMBEDDING;
    const struct {
        const char *field;
        enum ct_request_kind kind;
    } kinds[] = {{"messages", CT_REQUEST_CHAT}, {"documents", CT_REQUEST_RERANK},
                 {"input", input_kind},         {"image", input_kind},
                 {"images", input_kind},        {"prompt", CT_REQUEST_COMPLETION}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (json_object_get(root, kinds[i].field) != NULL) {
            reader->request->kind = kinds[i].kind;
            return CT_OK;
        }
    return ct_refuse(reader->refusal, 400, "missing_field", "prompt",
                     "prompt: it, messages, input, image, images or documents is required");
}

/* The fields of a body of any kind, and the files of a form; what is not JSON may also have fields
 * in its target. */
static enum ct_status open_body(const struct ct_body *body, struct ct_form *form,
                                struct ct_refusal *refusal)
{
    const char *data = body->bytes.data;
    const size_t n_bytes = body->bytes.n_bytes;
    if (body->media == CT_MEDIA_JSON)
        return ct_json_parse(data, n_bytes, &form->fields, refusal);
    enum ct_status status = ct_form_read_query(form, body->query, refusal);
    if (status == CT_OK && body->media == CT_MEDIA_FORM)
        return ct_form_read_parts(form, data, n_bytes, body->boundary, refusal);
    form->files[0] = (struct ct_form_file){data, n_bytes};
    form->n_files = 1;
    return status;
}

static enum ct_status read_fields(struct ct_openai_reader *reader, const json_t *root)
{
    const int where = 1 << reader->request->kind;
    enum ct_status status = check_names(reader, root, where);
    for (int i = 0; i < N_FIELDS && status == CT_OK; i++) {
        const struct field *field = &fields[i];
        const json_t *value = json_object_get(root, field->name);
        if ((field->where & where) == 0)
            continue;
        if (value != NULL && !json_is_null(value))
            status = read_value(reader, field, value);
        else if (field->is_required)
            status = ct_refuse(reader->refusal, 400, "missing_field", field->name,
                               "%s: is required", field->name);
    }
    return status;
}

enum ct_status ct_openai_request_read(struct ct_request *request, const struct ct_body *body,
                                      const struct ct_models *models, struct ct_refusal *refusal)
{
    struct ct_openai_reader reader = {.request = request,
                                      .models = models,
                                      .refusal = refusal,
                                      .is_form = body->media != CT_MEDIA_JSON};
    struct ct_form form = {0};
    enum ct_status status = open_body(body, &form, refusal);
    if (status == CT_OK && request->is_estimate)
        status = find_kind(&reader, form.fields);
    if (status == CT_OK)
        status = read_fields(&reader, form.fields);
    if (status == CT_OK && form.n_files > 0)
        status = ct_openai_add_files(&reader, form.files, form.n_files);
    if (status == CT_OK)
        status = settle(&reader);
    if (status == CT_OK)
        status = ct_request_arm(request);
    if (status != CT_OK && status != CT_INVALID)
        ct_refuse(refusal, ct_status_http(status), NULL, NULL, "%s", ct_status_text(status));
    json_decref(form.fields);
    return status;
}
