/* Reads a tokenizer from GGUF metadata: tokenizer.ggml.{model,pre,tokens,token_type,merges}.
 *
 * GGUF says which tokens are control tokens and names the pre-tokenizer; the rest of
 * tokenizer.json's settings follow from that name: that it is NFC for Qwen 2, say. */
#include "engine/format/gguf.h"
#include "engine/tokenizer/bpe_internal.h"

#include <string.h>

/* Values of tokenizer.ggml.token_type that matter here. */
enum { TOKEN_CONTROL = 3, TOKEN_USER_DEFINED = 4, TOKEN_UNUSED = 5 };

static enum ct_status missing(struct ct_error *err, enum ct_status status, const char *key)
{
    return ct_error_set(err, status == CT_NOT_FOUND ? CT_FORMAT : status, "%s: %s", key,
                        status == CT_NOT_FOUND ? "missing" : "not of the expected type");
}

static enum ct_status read_settings(const struct ct_gguf *gguf, struct ct_bpe *bpe,
                                    struct ct_error *err)
{
    struct ct_gguf_text model, pre;
    enum ct_status status = ct_gguf_text(gguf, "tokenizer.ggml.model", &model);
    if (status != CT_OK)
        return missing(err, status, "tokenizer.ggml.model");
    if (model.n_bytes != 4 || memcmp(model.data, "gpt2", 4) != 0)
        return ct_error_set(err, CT_UNSUPPORTED, "tokenizer.ggml.model \"%.*s\"",
                            (int)(model.n_bytes < 64 ? model.n_bytes : 64), model.data);
    status = ct_gguf_text(gguf, "tokenizer.ggml.pre", &pre);
    if (status == CT_NOT_FOUND)
        pre = (struct ct_gguf_text){"default", strlen("default")};
    else if (status != CT_OK)
        return missing(err, status, "tokenizer.ggml.pre");
    bpe->has_nfc = pre.n_bytes == 5 && memcmp(pre.data, "qwen2", 5) == 0;
    bpe->has_whole_words = pre.n_bytes == 9 && memcmp(pre.data, "llama-bpe", 9) == 0;
    status = ct_pretokenizer_add_named(bpe->pre, pre.data, pre.n_bytes, err);
    return status == CT_UNSUPPORTED ? ct_error_prefix(err, "tokenizer.ggml.pre") : status;
}

static enum ct_status begin(const struct ct_gguf *gguf, const char *key,
                            struct ct_gguf_array_cursor *cursor, struct ct_error *err)
{
    enum ct_status status = ct_gguf_array_begin(gguf, key, cursor);
    return status == CT_OK ? CT_OK : missing(err, status, key);
}

/* Tokens and their types; an unused one is an id that nothing has. */
static enum ct_status read_tokens(const struct ct_gguf *gguf, struct ct_bpe *bpe,
                                  struct ct_error *err)
{
    struct ct_gguf_array_cursor tokens, types;
    enum ct_status status = begin(gguf, "tokenizer.ggml.tokens", &tokens, err);
    if (status == CT_OK)
        status = begin(gguf, "tokenizer.ggml.token_type", &types, err);
    if (status != CT_OK)
        return status;
    if (types.n_left != tokens.n_left)
        return ct_error_set(err, CT_FORMAT, "tokenizer.ggml.token_type: %zu values for %zu tokens",
                            types.n_left, tokens.n_left);
    struct ct_gguf_text text;
    int64_t type;
    for (int64_t id = 0; status == CT_OK && ct_gguf_array_next_text(&tokens, &text) &&
                         ct_gguf_array_next_int(&types, &type);
         id++) {
        if (type == TOKEN_UNUSED)
            continue;
        status = ct_bpe_add_token(bpe, id, CT_BPE_MAX_VOCAB, text.data, text.n_bytes, err);
        if (status == CT_OK && (type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED))
            status = ct_bpe_add_added(bpe, (int32_t)id, type == TOKEN_CONTROL, false);
    }
    if (status == CT_OK && tokens.n_left > 0)
        return missing(err, CT_FORMAT, "tokenizer.ggml.tokens");
    if (status == CT_OK && types.n_left > 0)
        return missing(err, CT_FORMAT, "tokenizer.ggml.token_type");
    return status == CT_OK ? ct_bpe_index_tokens(bpe, err) : status;
}

static enum ct_status read_merges(const struct ct_gguf *gguf, struct ct_bpe *bpe,
                                  struct ct_error *err)
{
    struct ct_gguf_array_cursor merges;
    struct ct_gguf_text line;
    enum ct_status status = begin(gguf, "tokenizer.ggml.merges", &merges, err);
    while (status == CT_OK && ct_gguf_array_next_text(&merges, &line))
        status = ct_bpe_add_merge_line(bpe, line.data, line.n_bytes, err);
    if (status == CT_OK && merges.n_left > 0)
        return missing(err, CT_FORMAT, "tokenizer.ggml.merges");
    return status;
}

enum ct_status ct_bpe_open_gguf(const struct ct_gguf *gguf, struct ct_bpe **out,
                                struct ct_error *err)
{
    struct ct_bpe *bpe = NULL;
    enum ct_status status = ct_bpe_open_empty(&bpe);
    if (status == CT_OK)
        status = read_settings(gguf, bpe, err);
    if (status == CT_OK)
        status = read_tokens(gguf, bpe, err);
    if (status == CT_OK)
        status = read_merges(gguf, bpe, err);
    if (status == CT_OK)
        status = ct_bpe_finish(bpe);
    if (status == CT_OK) {
        *out = bpe;
        return CT_OK;
    }
    ct_bpe_close(bpe);
    if (status == CT_MEMORY)
        return ct_error_set(err, CT_MEMORY, "tokenizer: out of memory");
    return status;
}
