#include "engine/compress/sidecar.h"

#include "engine/base/json_text.h"
#include "engine/format/generation_config.h"
#include "engine/format/gguf.h"
#include "engine/format/json_file.h"
#include "engine/format/mapping.h"
#include "engine/format/pooling.h"
#include "engine/tokenizer/bpe.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files of a directory that say how text becomes tokens and how to draw them, or what becomes of an
 * image; each is copied where it is there. */
static const char *const tokenizer_files[] = {"tokenizer.json",
                                              "tokenizer_config.json",
                                              "chat_template.jinja",
                                              "special_tokens_map.json",
                                              "added_tokens.json",
                                              "vocab.json",
                                              "merges.txt",
                                              "vocab.txt",
                                              "generation_config.json",
                                              "preprocessor_config.json"};

static enum ct_status write_text(const struct ct_model_dir *dir, const char *name, char *text,
                                 struct ct_error *err)
{
    if (text == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %s", name);
    enum ct_status status = ct_model_dir_write(dir, name, text, strlen(text), err);
    free(text);
    return status;
}

/* ---- config.json ---- */

enum ct_status ct_sidecar_write_config(const struct ct_model_file *model,
                                       const struct ct_model_dir *dir, json_t *quantization,
                                       struct ct_error *err)
{
    char *text = NULL;
    if (ct_model_file_gguf(model) != NULL) {
        char *quantization_text = ct_json_dump(quantization, JSON_COMPACT);
        if (quantization_text != NULL)
            text = ct_hf_config_format(ct_model_file_hparams(model), quantization_text);
        free(quantization_text);
    } else {
        const struct ct_hparams *hparams = ct_model_file_hparams(model);
        json_t *config;
        enum ct_status status =
            ct_json_file_read(ct_model_file_path(model), "config.json", ct_json_read, &config, err);
        if (status != CT_OK)
            return status;
        /* Shared, as json_deep_copy leaves out what it has no memory for. */
        if (json_object_set(config, "quantization_config", quantization) == 0 &&
            (hparams->task != CT_TASK_EMBED || ct_pooling_write(hparams, config) == CT_OK))
            text = ct_json_dump(config, JSON_INDENT(2));
        json_decref(config);
    }
    enum ct_status status = write_text(dir, "config.json", text, err);
    if (status == CT_OK && ct_model_file_gguf(model) != NULL)
        status = write_text(dir, "generation_config.json",
                            ct_generation_format(ct_model_file_hparams(model)), err);
    return status;
}

/* ---- the tokenizer ---- */

static enum ct_status copy_files(const struct ct_model_file *model, const struct ct_model_dir *dir,
                                 struct ct_error *err)
{
    for (size_t i = 0; i < sizeof tokenizer_files / sizeof tokenizer_files[0]; i++) {
        struct ct_mapping mapping = {0};
        enum ct_status status =
            ct_mapping_init_in(&mapping, ct_model_file_path(model), tokenizer_files[i], err);
        if (status == CT_NOT_FOUND)
            continue;
        if (status == CT_OK)
            status =
                ct_model_dir_write(dir, tokenizer_files[i], mapping.data, mapping.n_bytes, err);
        ct_mapping_deinit(&mapping);
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

/* Sets key to the text of token id, where there is one. */
static int set_token(json_t *config, const char *key, const struct ct_gguf *gguf, int id)
{
    struct ct_gguf_array_cursor cursor;
    struct ct_gguf_text text;
    if (id < 0 || ct_gguf_array_begin(gguf, "tokenizer.ggml.tokens", &cursor) != CT_OK)
        return 0;
    for (int i = 0; ct_gguf_array_next_text(&cursor, &text); i++)
        if (i == id)
            return json_object_set_new(config, key, json_stringn(text.data, text.n_bytes));
    return 0;
}

/* tokenizer_config.json as transformers reads it; NULL when memory is short or a text is not UTF-8.
 */
static char *format_tokenizer_config(const struct ct_gguf *gguf, const struct ct_hparams *hparams)
{
    struct ct_gguf_text chat_template;
    bool wants_bos = false;
    if (ct_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &wants_bos) != CT_OK)
        wants_bos = false;
    json_t *config = json_pack("{s:s, s:b, s:b, s:i}", "tokenizer_class", "PreTrainedTokenizerFast",
                               "add_bos_token", (int)wants_bos, "clean_up_tokenization_spaces", 0,
                               "model_max_length", hparams->context_tok);
    int failed = config == NULL || set_token(config, "bos_token", gguf, hparams->bos_id) ||
                 (hparams->n_eos > 0 && set_token(config, "eos_token", gguf, hparams->eos_ids[0]));
    if (!failed && ct_gguf_text(gguf, "tokenizer.chat_template", &chat_template) == CT_OK)
        failed = json_object_set_new(config, "chat_template",
                                     json_stringn(chat_template.data, chat_template.n_bytes));
    char *text = failed ? NULL : ct_json_dump(config, JSON_INDENT(2));
    json_decref(config);
    return text;
}

enum ct_status ct_sidecar_write_tokenizer(const struct ct_model_file *model,
                                          const struct ct_model_dir *dir, struct ct_error *err)
{
    const struct ct_gguf *gguf = ct_model_file_gguf(model);
    struct ct_gguf_text tokenizer_model;
    struct ct_bpe *bpe = NULL;
    if (gguf == NULL)
        return copy_files(model, dir, err);
    if (ct_gguf_text(gguf, "tokenizer.ggml.model", &tokenizer_model) == CT_NOT_FOUND)
        return CT_OK;
    enum ct_status status = ct_bpe_open_gguf(gguf, &bpe, err);
    if (status == CT_OK)
        status = write_text(dir, "tokenizer.json", ct_bpe_format_json(bpe), err);
    if (status == CT_OK)
        status = write_text(dir, "tokenizer_config.json",
                            format_tokenizer_config(gguf, ct_model_file_hparams(model)), err);
    ct_bpe_close(bpe);
    return status;
}
