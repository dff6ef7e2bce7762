/* The fields that hold the text: prompt and input in their four forms and in pairs, documents with
 * their query, and messages through the chat template. */
#include "server/json.h"
#include "server/openai_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum ct_status ct_openai_open_prompts(struct ct_openai_reader *reader, const char *name, size_t n,
                                      bool is_images)
{
    struct ct_request *request = reader->request;
    int most = ct_openai_max_texts(reader);
    if (is_images && most > CT_MAX_IMAGES)
        most = CT_MAX_IMAGES;
    if (request->prompts != NULL)
        return ct_refuse(reader->refusal, 400, "invalid_value", name,
                         "%s: only one of input, image and images can be given", name);
    if (is_images != (reader->model->info->image.n_channels > 0))
        return ct_refuse(reader->refusal, 400, "unsupported_value", name, "%s: \"%s\" reads %s",
                         name, reader->model->name,
                         is_images ? "text, not images" : "images, not text");
    if (n > (size_t)most)
        return ct_refuse(reader->refusal, 400, "invalid_value", name,
                         "%s: %zu %s are more than the %d that one request may have", name, n,
                         is_images ? "images" : "texts", most);
    request->prompts = ct_arena_alloc(&request->arena, n * sizeof *request->prompts);
    return request->prompts ? CT_OK : CT_MEMORY;
}

static enum ct_status refuse_length(struct ct_openai_reader *reader, const char *field,
                                    size_t n_tokens)
{
    return ct_refuse(reader->refusal, 400, "context_length_exceeded", field,
                     "%s: %zu tokens are more than the context of %d tokens", field, n_tokens,
                     reader->model->info->context_tok);
}

/* A prompt of ids [n_ids], with types or NULL: all of it, or the front and the token that ends it.
 */
static enum ct_status add_ids(struct ct_openai_reader *reader, const char *field,
                              const int32_t *ids, const int32_t *types, size_t n_ids,
                              bool can_truncate)
{
    struct ct_request *request = reader->request;
    const size_t context_tok = (size_t)reader->model->info->context_tok;
    const size_t n = n_ids < context_tok ? n_ids : context_tok;
    if (n_ids == 0)
        return ct_refuse(reader->refusal, 400, "invalid_value", field, "%s: is empty", field);
    if (n_ids > context_tok && !can_truncate)
        return refuse_length(reader, field, n_ids);
    int32_t *kept = ct_arena_alloc(&request->arena, (types != NULL ? 2 : 1) * n * sizeof *kept);
    if (kept == NULL)
        return CT_MEMORY;
    memcpy(kept, ids, (n - 1) * sizeof *kept);
    kept[n - 1] = ids[n_ids - 1];
    if (types != NULL) {
        memcpy(kept + n, types, (n - 1) * sizeof *kept);
        kept[2 * n - 1] = types[n_ids - 1];
    }
    request->prompts[request->n_prompts++] =
        (struct ct_prompt){.tokens = kept,
                           .types = types != NULL ? kept + n : NULL,
                           .n_tok = (int)n,
                           .is_truncated = n_ids > n};
    return CT_OK;
}

/* query: NULL, or a string that is read in front of the text, as a pair. */
static enum ct_status add_text(struct ct_openai_reader *reader, const char *field,
                               const json_t *query, const char *text, size_t n_bytes,
                               bool can_truncate)
{
    struct ct_engine *engine = reader->model->engine;
    const size_t context_tok = (size_t)reader->model->info->context_tok;
    size_t capacity = 3 * (n_bytes + json_string_length(query)) + CT_AROUND_TOK, n_ids = 0;
    if (n_bytes == 0 && !ct_request_is_text(reader->request))
        return ct_refuse(reader->refusal, 400, "invalid_value", field, "%s: is empty", field);
    if (capacity > context_tok && !can_truncate)
        capacity = context_tok;
    int32_t *ids = malloc(2 * capacity * sizeof *ids),
            *types = query != NULL ? ids + capacity : NULL;
    if (ids == NULL)
        return CT_MEMORY;
    enum ct_status status =
        query == NULL
            ? ct_engine_tokenize(engine, text, n_bytes, true, ids, capacity, &n_ids)
            : ct_engine_tokenize_pair(engine, json_string_value(query), json_string_length(query),
                                      text, n_bytes, ids, types, capacity, &n_ids);
    if (status == CT_OK)
        status = add_ids(reader, field, ids, types, n_ids, can_truncate);
    free(ids);
    return status;
}

static enum ct_status add_string(struct ct_openai_reader *reader, const char *field,
                                 const json_t *string)
{
    return add_text(reader, field, NULL, json_string_value(string), json_string_length(string),
                    reader->request->can_truncate);
}

static enum ct_status add_tokens(struct ct_openai_reader *reader, const char *field,
                                 const json_t *array)
{
    const size_t n = json_array_size(array);
    enum ct_status status = CT_OK;
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    if (ids == NULL)
        return CT_MEMORY;
    for (size_t i = 0; i < n && status == CT_OK; i++) {
        const json_t *value = json_array_get(array, i);
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= reader->model->info->n_vocab) {
            char name[64], expected[64];
            snprintf(name, sizeof name, "%.40s[%zu]", field, i);
            snprintf(expected, sizeof expected, "a token id within 0..%d",
                     reader->model->info->n_vocab - 1);
            status = ct_openai_refuse(reader, name, value, expected);
        }
        ids[i] = (int32_t)id;
    }
    if (status == CT_OK)
        status = add_ids(reader, field, ids, NULL, n, reader->request->can_truncate);
    free(ids);
    return status;
}

/* The text in front of another: it is never cut, and has a limit in bytes, as it may be read as often as
 * there are others. Alone, as a prompt of its own. */
static enum ct_status add_front(struct ct_openai_reader *reader, const char *field,
                                const json_t *text)
{
    const size_t n_bytes = json_string_length(text);
    if (n_bytes > CT_MAX_QUERY_BYTES)
        return ct_refuse(reader->refusal, 400, "invalid_value", field,
                         "%s: %zu bytes are more than %d", field, n_bytes, CT_MAX_QUERY_BYTES);
    return add_text(reader, field, NULL, json_string_value(text), n_bytes, false);
}

/* Takes that prompt back, once it is known to leave room for what follows it in a pair. */
static enum ct_status drop_front(struct ct_openai_reader *reader, const char *field)
{
    enum { LEAST_TOK = 3 }; /* of what follows: a token, and what may be around it */
    const int context_tok = reader->model->info->context_tok;
    const int n_tok = reader->request->prompts[--reader->request->n_prompts].n_tok;
    if (n_tok + LEAST_TOK > context_tok)
        return ct_refuse(reader->refusal, 400, "context_length_exceeded", field,
                         "%s: %d tokens leave no room for another text in the context of %d tokens",
                         field, n_tok, context_tok);
    return CT_OK;
}

static enum ct_status add_pair(struct ct_openai_reader *reader, const char *field,
                               const json_t *value)
{
    const json_t *text = json_object_get(value, "text"),
                 *pair = json_object_get(value, "text_pair");
    char text_field[48];
    if (!json_is_string(text) || !json_is_string(pair) || json_object_size(value) != 2)
        return ct_openai_refuse(reader, field, value,
                                "{\"text\": a string, \"text_pair\": a string}");
    snprintf(text_field, sizeof text_field, "%.40s.text", field);
    enum ct_status status = add_front(reader, text_field, text);
    if (status == CT_OK)
        status = drop_front(reader, text_field);
    return status != CT_OK ? status
                           : add_text(reader, field, text, json_string_value(pair),
                                      json_string_length(pair), reader->request->can_truncate);
}

enum ct_status ct_openai_read_prompt(struct ct_openai_reader *reader, const char *name,
                                     const json_t *value)
{
    const json_t *first = json_array_get(value, 0);
    const bool can_pair = reader->request->kind == CT_REQUEST_CLASSIFY;
    const bool is_pair = can_pair && json_is_object(value);
    bool is_single = json_is_string(value) || json_is_integer(first) || is_pair;
    if (!is_single && !json_is_string(first) && !json_is_array(first) &&
        !(can_pair && json_is_object(first)))
        return ct_openai_refuse(
            reader, name, value,
            can_pair ? "a string, token ids, a pair, or a non-empty array of strings, of arrays of "
                       "token ids or of pairs"
                     : "a string, token ids, or a non-empty array of strings or of arrays of token "
                       "ids");
    enum ct_status status =
        ct_openai_open_prompts(reader, name, is_single ? 1 : json_array_size(value), false);
    if (status != CT_OK)
        return status;
    if (json_is_string(value))
        return add_string(reader, name, value);
    if (is_pair)
        return add_pair(reader, name, value);
    if (is_single)
        return add_tokens(reader, name, value);
    for (size_t i = 0; i < json_array_size(value) && status == CT_OK; i++) {
        const json_t *prompt = json_array_get(value, i);
        char field[32], first_field[32];
        snprintf(field, sizeof field, "%s[%zu]", name, i);
        snprintf(first_field, sizeof first_field, "of the same kind as %s[0]", name);
        if (json_is_string(first) && json_is_string(prompt))
            status = add_string(reader, field, prompt);
        else if (json_is_array(first) && json_is_array(prompt))
            status = add_tokens(reader, field, prompt);
        else if (json_is_object(first) && json_is_object(prompt))
            status = add_pair(reader, field, prompt);
        else
            status = ct_openai_refuse(reader, field, prompt, first_field);
    }
    return status;
}

/* ---- documents ---- */

/* The first prompt where vectors are compared, and in front of each document where a model reads
 * pairs. */
static enum ct_status read_query(struct ct_openai_reader *reader)
{
    enum ct_status status = add_front(reader, "query", reader->query);
    if (status != CT_OK || ct_request_is_by_vectors(reader->request))
        return status;
    return drop_front(reader, "query");
}

static enum ct_status read_document(struct ct_openai_reader *reader, const char *field,
                                    const json_t *value)
{
    struct ct_request *request = reader->request;
    const bool is_object = json_object_size(value) == 1;
    const json_t *text = is_object ? json_object_get(value, "text") : value;
    if (!json_is_string(text))
        return ct_openai_refuse(reader, field, value, "a string or {\"text\": a string}");
    return add_text(reader, field, ct_request_is_by_vectors(request) ? NULL : reader->query,
                    json_string_value(text), json_string_length(text), request->can_truncate);
}

static enum ct_status keep_documents(struct ct_request *request, const json_t *array)
{
    const size_t n = json_array_size(array);
    request->documents = ct_arena_alloc(&request->arena, n * sizeof *request->documents);
    for (size_t i = 0; request->documents != NULL && i < n; i++) {
        const json_t *value = json_array_get(array, i);
        const json_t *text = json_is_object(value) ? json_object_get(value, "text") : value;
        request->documents[i] =
            ct_arena_text(&request->arena, json_string_value(text), json_string_length(text));
        if (request->documents[i] == NULL)
            return CT_MEMORY;
    }
    return request->documents ? CT_OK : CT_MEMORY;
}

enum ct_status ct_openai_read_documents(struct ct_openai_reader *reader, const json_t *value)
{
    struct ct_request *request = reader->request;
    const size_t n = json_array_size(value);
    if (n == 0)
        return ct_openai_refuse(reader, "documents", value, "a non-empty array");
    enum ct_status status = ct_openai_open_prompts(reader, "documents", n + 1, false);
    if (status == CT_OK)
        status = read_query(reader);
    for (size_t i = 0; i < n && status == CT_OK; i++) {
        char field[32];
        snprintf(field, sizeof field, "documents[%zu]", i);
        status = read_document(reader, field, json_array_get(value, i));
    }
    return status == CT_OK && request->has_documents ? keep_documents(request, value) : status;
}

/* ---- messages ---- */

/* [{"type": "text", "text": "..."}], the texts one after the other. */
static enum ct_status read_parts(struct ct_openai_reader *reader, const char *name,
                                 const json_t *parts, struct ct_message *message)
{
    size_t n_parts = json_array_size(parts), n_bytes = 0;
    for (size_t i = 0; i < n_parts; i++) {
        const json_t *part = json_array_get(parts, i);
        const json_t *type = json_object_get(part, "type"), *text = json_object_get(part, "text");
        char field[80];
        snprintf(field, sizeof field, "%.40s[%zu]", name, i);
        if (!json_is_object(part))
            return ct_openai_refuse(reader, field, part, "an object");
        snprintf(field, sizeof field, "%.40s[%zu].type", name, i);
        if (!json_is_string(type) || strcmp(json_string_value(type), "text") != 0)
            return ct_refuse(reader->refusal, 400, "unsupported_value", field,
                             "%s: only parts of type \"text\" are supported", field);
        snprintf(field, sizeof field, "%.40s[%zu].text", name, i);
        if (!json_is_string(text) || json_object_size(part) != 2)
            return ct_refuse(reader->refusal, 400, "invalid_value", field,
                             "%s: a part is a type and a string, no more", field);
        n_bytes += json_string_length(text);
    }
    char *content = ct_arena_alloc(&reader->request->arena, n_bytes + 1);
    if (content == NULL)
        return CT_MEMORY;
    message->content = content;
    message->n_bytes = n_bytes;
    for (size_t i = 0; i < n_parts; i++) {
        const json_t *text = json_object_get(json_array_get(parts, i), "text");
        memcpy(content, json_string_value(text), json_string_length(text));
        content += json_string_length(text);
    }
    return CT_OK;
}

/* The other members of a message ask for nothing where they are null or empty. */
static enum ct_status check_members(struct ct_openai_reader *reader, size_t i, const json_t *object)
{
    static const char *const optional[] = {"name", "refusal", "audio", "function_call",
                                           "tool_calls"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        char field[80];
        snprintf(field, sizeof field, "messages[%zu].%.40s", i, key);
        if (strcmp(key, "role") == 0 || strcmp(key, "content") == 0)
            continue;
        size_t k = 0;
        while (k < sizeof optional / sizeof optional[0] && strcmp(optional[k], key) != 0)
            k++;
        if (k == sizeof optional / sizeof optional[0])
            return ct_refuse(reader->refusal, 400, "unknown_field", field,
                             "%s: there is no such field", field);
        bool is_empty =
            json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
        if (!is_empty)
            return ct_refuse(reader->refusal, 400, "unsupported_value", field,
                             "%s: is not supported", field);
    }
    return CT_OK;
}

static enum ct_status read_message(struct ct_openai_reader *reader, size_t i, const json_t *object,
                                   struct ct_message *message)
{
    /* "developer" is OpenAI's newer name for what models know as the system's message. */
    static const char *const roles[][2] = {{"system", "system"},
                                           {"developer", "system"},
                                           {"user", "user"},
                                           {"assistant", "assistant"}};
    char field[64];
    snprintf(field, sizeof field, "messages[%zu]", i);
    if (!json_is_object(object))
        return ct_openai_refuse(reader, field, object, "an object");
    enum ct_status status = check_members(reader, i, object);
    if (status != CT_OK)
        return status;
    const json_t *role = json_object_get(object, "role"),
                 *content = json_object_get(object, "content");
    snprintf(field, sizeof field, "messages[%zu].role", i);
    message->role = NULL;
    for (size_t r = 0; r < 4 && json_is_string(role); r++)
        if (strcmp(json_string_value(role), roles[r][0]) == 0)
            message->role = roles[r][1];
    if (message->role == NULL)
        return role ? ct_openai_refuse(reader, field, role, "system, developer, user or assistant")
                    : ct_refuse(reader->refusal, 400, "missing_field", field, "%s: is required",
                                field);
    snprintf(field, sizeof field, "messages[%zu].content", i);
    if (json_is_array(content))
        return read_parts(reader, field, content, message);
    if (!json_is_string(content))
        return content
                   ? ct_openai_refuse(reader, field, content, "a string or an array of text parts")
                   : ct_refuse(reader->refusal, 400, "missing_field", field, "%s: is required",
                               field);
    message->content = json_string_value(content); /* lives as long as the body's tree */
    message->n_bytes = json_string_length(content);
    return CT_OK;
}

enum ct_status ct_openai_read_messages(struct ct_openai_reader *reader, const json_t *value)
{
    size_t n = json_array_size(value);
    if (n == 0)
        return ct_openai_refuse(reader, "messages", value, "a non-empty array");
    struct ct_message *messages = ct_arena_alloc(&reader->request->arena, n * sizeof *messages);
    if (messages == NULL)
        return CT_MEMORY;
    enum ct_status status = ct_openai_open_prompts(reader, "messages", 1, false);
    for (size_t i = 0; i < n && status == CT_OK; i++)
        status = read_message(reader, i, json_array_get(value, i), &messages[i]);
    if (status != CT_OK)
        return status;

    char *text = NULL;
    size_t n_bytes = 0;
    struct ct_error err = {0};
    status = ct_engine_chat(reader->model->engine, messages, n, &text, &n_bytes, &err);
    if (status == CT_OK)
        status = add_text(reader, "messages", NULL, text, n_bytes, false);
    else if (status != CT_MEMORY)
        status = ct_refuse(reader->refusal, 400, "invalid_value", "messages", "messages: %s",
                           err.message);
    free(text);
    return status;
}
