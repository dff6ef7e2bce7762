/* The text side of a model: where its tokenizer and chat template come from, and the engine's text
 * functions. A GGUF file holds both in its metadata; a directory has tokenizer.json, or vocab.txt
 * in old models of the BERT family, and the template in tokenizer_config.json or
 * chat_template.jinja. Any thread. */
#include "engine/base/log.h"
#include "engine/format/gguf.h"
#include "engine/format/json_file.h"
#include "engine/format/mapping.h"
#include "engine/runtime/engine_internal.h"

#include <string.h>

static int n_vocab_of(const struct ct_text *text)
{
    if (text->wordpiece != NULL)
        return ct_wordpiece_n_vocab(text->wordpiece);
    return text->bpe != NULL ? ct_bpe_n_vocab(text->bpe) : 0;
}

static void set_token_text(const struct ct_text *text, int id, char *out, size_t capacity)
{
    size_t n_bytes = 0;
    const char *bytes = "";
    if (id >= 0 && id < n_vocab_of(text))
        bytes = text->wordpiece != NULL ? ct_wordpiece_token_text(text->wordpiece, id, &n_bytes)
                                        : ct_bpe_token_text(text->bpe, id, &n_bytes);
    if (n_bytes >= capacity)
        n_bytes = 0;
    memcpy(out, bytes, n_bytes);
    out[n_bytes] = '\0';
}

/* A template that cannot be used does not keep the model from serving completions: it is a warning,
 * and chat says that there is none. CT_MEMORY. */
static enum ct_status parse_template(struct ct_text *text, const char *data, size_t n_bytes,
                                     struct ct_error *err)
{
    enum ct_status status = ct_template_parse(data, n_bytes, &text->chat_template, err);
    if (status == CT_OK || status == CT_MEMORY)
        return status;
    ct_log(CT_LOG_WARN, "the model's chat template is not used: %s", err->message);
    return CT_OK;
}

static enum ct_status init_from_gguf(struct ct_text *text, const struct ct_gguf *gguf,
                                     struct ct_error *err)
{
    enum ct_status status = ct_bpe_open_gguf(gguf, &text->bpe, err);
    if (status != CT_OK)
        return status;
    if (ct_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &text->wants_bos) != CT_OK)
        text->wants_bos = false;
    struct ct_gguf_text source;
    if (ct_gguf_text(gguf, "tokenizer.chat_template", &source) == CT_OK)
        status = parse_template(text, source.data, source.n_bytes, err);
    return status;
}

static enum ct_status read_tokenizer_config(struct ct_text *text, const char *dir,
                                            struct ct_error *err)
{
    json_t *config;
    enum ct_status status =
        ct_json_file_read(dir, "tokenizer_config.json", ct_json_read, &config, err);
    if (status != CT_OK)
        return status == CT_NOT_FOUND ? CT_OK : status;
    text->wants_bos = json_is_true(json_object_get(config, "add_bos_token"));
    const json_t *source = json_object_get(config, "chat_template");
    if (json_is_string(source))
        status = parse_template(text, json_string_value(source), json_string_length(source), err);
    json_decref(config);
    return status;
}

static enum ct_status open_vocab(struct ct_text *text, const char *dir, struct ct_error *err)
{
    struct ct_mapping vocab, config = {0};
    enum ct_status status = ct_mapping_init_in(&vocab, dir, "vocab.txt", err);
    if (status == CT_NOT_FOUND)
        return ct_error_set(err, status, "%s: neither tokenizer.json nor vocab.txt", dir);
    if (status == CT_OK)
        status = ct_mapping_init_in(&config, dir, "tokenizer_config.json", err);
    if (status == CT_OK || status == CT_NOT_FOUND)
        status = ct_wordpiece_open_vocab((const char *)vocab.data, vocab.n_bytes,
                                         (const char *)config.data, config.n_bytes,
                                         &text->wordpiece, err);
    ct_mapping_deinit(&config);
    ct_mapping_deinit(&vocab);
    return status;
}

static enum ct_status open_tokenizer(struct ct_text *text, const char *dir, struct ct_error *err)
{
    struct ct_mapping file;
    enum ct_status status = ct_mapping_init_in(&file, dir, "tokenizer.json", err);
    if (status != CT_OK)
        return status == CT_NOT_FOUND ? open_vocab(text, dir, err) : status;
    const char *json = (const char *)file.data;
    status = ct_wordpiece_is_json(json, file.n_bytes)
                 ? ct_wordpiece_open_json(json, file.n_bytes, &text->wordpiece, err)
                 : ct_bpe_open_json(json, file.n_bytes, &text->bpe, err);
    ct_mapping_deinit(&file);
    return status;
}

static enum ct_status init_from_directory(struct ct_text *text, const char *dir,
                                          struct ct_error *err)
{
    struct ct_mapping file;
    enum ct_status status = open_tokenizer(text, dir, err);
    if (status == CT_OK)
        status = read_tokenizer_config(text, dir, err);
    if (status != CT_OK || text->chat_template != NULL)
        return status;
    status = ct_mapping_init_in(&file, dir, "chat_template.jinja", err);
    if (status == CT_OK)
        status = parse_template(text, (const char *)file.data, file.n_bytes, err);
    ct_mapping_deinit(&file);
    return status == CT_NOT_FOUND ? CT_OK : status;
}

enum ct_status ct_text_init(struct ct_text *text, const struct ct_model_file *file,
                            struct ct_error *err)
{
    const struct ct_hparams *hparams = ct_model_file_hparams(file);
    const struct ct_gguf *gguf = ct_model_file_gguf(file);
    *text = (struct ct_text){.bos_id = hparams->bos_id};
    if (hparams->vision.n_channels > 0)
        return CT_OK; /* it reads no text */
    enum ct_status status = gguf != NULL ? init_from_gguf(text, gguf, err)
                                         : init_from_directory(text, ct_model_file_path(file), err);
    if (status == CT_OK && n_vocab_of(text) > hparams->n_vocab)
        status = ct_error_set(err, CT_FORMAT, "the tokenizer has %d tokens, the model only %d",
                              n_vocab_of(text), hparams->n_vocab);
    if (status != CT_OK) {
        ct_text_deinit(text);
        return status;
    }
    set_token_text(text, text->bos_id, text->bos, sizeof text->bos);
    set_token_text(text, hparams->n_eos > 0 ? hparams->eos_ids[0] : -1, text->eos,
                   sizeof text->eos);
    return CT_OK;
}

void ct_text_deinit(struct ct_text *text)
{
    ct_bpe_close(text->bpe);
    ct_wordpiece_close(text->wordpiece);
    ct_template_free(text->chat_template);
    *text = (struct ct_text){0};
}

_Static_assert((int)CT_AROUND_TOK >= (int)CT_WORDPIECE_MAX_AROUND, "see ct_engine_tokenize");

enum ct_status ct_text_tokenize(const struct ct_text *text, const char *bytes, size_t n_bytes,
                                bool has_special, int32_t *ids, size_t capacity, size_t *n_ids)
{
    if (text->wordpiece != NULL)
        return ct_wordpiece_encode(text->wordpiece, bytes, n_bytes, has_special, ids, capacity,
                                   n_ids);
    if (text->bpe == NULL) {
        *n_ids = 0;
        return CT_UNSUPPORTED;
    }
    const size_t n_bos = strlen(text->bos);
    const bool starts_with_bos =
        n_bos > 0 && n_bytes >= n_bos && memcmp(bytes, text->bos, n_bos) == 0;
    const size_t n_front =
        has_special && text->wants_bos && text->bos_id >= 0 && !starts_with_bos ? 1 : 0;
    if (n_front > 0 && capacity > 0)
        ids[0] = text->bos_id;
    const size_t n_used = n_front < capacity ? n_front : capacity;
    enum ct_status status =
        ct_bpe_encode(text->bpe, bytes, n_bytes, has_special,
                      n_used < capacity ? ids + n_used : NULL, capacity - n_used, n_ids);
    *n_ids += n_front;
    return status;
}

enum ct_status ct_text_tokenize_pair(const struct ct_text *text, const char *first,
                                     size_t n_first_bytes, const char *second,
                                     size_t n_second_bytes, int32_t *ids, int32_t *types,
                                     size_t capacity, size_t *n_ids)
{
    *n_ids = 0;
    if (text->wordpiece == NULL)
        return CT_UNSUPPORTED;
    return ct_wordpiece_encode_pair(text->wordpiece, first, n_first_bytes, second, n_second_bytes,
                                    ids, types, capacity, n_ids);
}

enum ct_status ct_engine_tokenize(const struct ct_engine *engine, const char *text, size_t n_bytes,
                                  bool has_special, int32_t *ids, size_t capacity, size_t *n_ids)
{
    return ct_text_tokenize(&engine->text, text, n_bytes, has_special, ids, capacity, n_ids);
}

enum ct_status ct_engine_tokenize_pair(const struct ct_engine *engine, const char *first,
                                       size_t n_first_bytes, const char *second,
                                       size_t n_second_bytes, int32_t *ids, int32_t *types,
                                       size_t capacity, size_t *n_ids)
{
    return ct_text_tokenize_pair(&engine->text, first, n_first_bytes, second, n_second_bytes, ids,
                                 types, capacity, n_ids);
}

const char *ct_engine_token_bytes(const struct ct_engine *engine, int id, size_t *n_bytes)
{
    const struct ct_text *text = &engine->text;
    *n_bytes = 0;
    if (id >= n_vocab_of(text)) /* a model may have more rows than its tokenizer has tokens */
        return "";
    return text->wordpiece != NULL ? ct_wordpiece_token_bytes(text->wordpiece, id, n_bytes)
                                   : ct_bpe_token_bytes(text->bpe, id, n_bytes);
}

bool ct_engine_is_eos(const struct ct_engine *engine, int id)
{
    const struct ct_hparams *hparams = ct_model_file_hparams(engine->file);
    for (int i = 0; i < hparams->n_eos; i++)
        if (hparams->eos_ids[i] == id)
            return true;
    return false;
}

enum ct_status ct_engine_chat(const struct ct_engine *engine, const struct ct_message *messages,
                              size_t n_messages, char **out, size_t *n_out, struct ct_error *err)
{
    *out = NULL;
    if (engine->text.chat_template == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "the model has no chat template");
    return ct_template_render(engine->text.chat_template, messages, n_messages, true,
                              engine->text.bos, engine->text.eos, out, n_out, err);
}
