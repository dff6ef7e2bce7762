/* Both sources fill the same struct; check_hparams then holds every value to its range. */
#include "engine/format/hf_config.h"

#include "engine/format/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- ranges
 * -------------------------------------------------------------------------------------- */

struct range {
    const char *key; /* as config.json calls it */
    int64_t value, low, high;
};

static enum ct_status check_hparams(const struct ct_hparams *h, struct ct_error *err)
{
    const struct range ranges[] = {
        {"num_hidden_layers", h->n_layers, 1, 1024},
        {"hidden_size", h->d_model, 1, 65536},
        {"num_attention_heads", h->n_heads, 1, 1024},
        {"num_key_value_heads", h->n_kv_heads, 1, h->n_heads},
        {"head_dim", h->head_dim, 2, 1024},
        {"intermediate_size", h->d_ff, 1, 262144},
        {"vocab_size", h->n_vocab, 1, 1 << 20},
        {"max_position_embeddings", h->context_tok, 1, 1 << 24},
        {"bos_token_id", h->bos_id, -1, h->n_vocab - 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return ct_error_set(err, CT_FORMAT, "%s is %" PRId64 ", expected %" PRId64 "..%" PRId64,
                                ranges[i].key, ranges[i].value, ranges[i].low, ranges[i].high);
    for (int i = 0; i < h->n_eos; i++)
        if (h->eos_ids[i] < 0 || h->eos_ids[i] >= h->n_vocab)
            return ct_error_set(err, CT_FORMAT, "eos_token_id %d is outside the vocabulary of %d",
                                h->eos_ids[i], h->n_vocab);
    if (h->n_heads % h->n_kv_heads != 0)
        return ct_error_set(err, CT_FORMAT, "num_key_value_heads %d does not divide %d heads",
                            h->n_kv_heads, h->n_heads);
    if (h->head_dim % 2 != 0)
        return ct_error_set(err, CT_FORMAT, "head_dim is %d, expected an even number", h->head_dim);
    if (!(h->rope_theta >= 1 && h->rope_theta <= 1e12))
        return ct_error_set(err, CT_FORMAT, "rope_theta is %g, expected 1..1e12", h->rope_theta);
    if (!(h->norm_eps > 0 && h->norm_eps <= 1))
        return ct_error_set(err, CT_FORMAT, "rms_norm_eps is %g, expected above 0 and at most 1",
                            h->norm_eps);
    return CT_OK;
}

/* An int64 that check_hparams has yet to see, as an int: what does not fit stays out of range. */
static int clamp_int(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int)value;
}

/* An end-of-text token, unless it is there already. */
static void add_eos(struct ct_hparams *h, int id)
{
    for (int i = 0; i < h->n_eos; i++)
        if (h->eos_ids[i] == id)
            return;
    if (h->n_eos < CT_MAX_EOS)
        h->eos_ids[h->n_eos++] = id;
}

/* ---- GGUF
 * ---------------------------------------------------------------------------------------- */

/* "llama" + ".block_count" */
struct key {
    char text[96];
};

static struct key arch_key(const struct ct_hparams *h, const char *suffix)
{
    struct key key;
    snprintf(key.text, sizeof key.text, "%s.%s", h->family, suffix);
    return key;
}

static enum ct_status gguf_failed(const char *key, enum ct_status status, struct ct_error *err)
{
    return ct_error_set(err, CT_FORMAT, "metadata %s is %s", key,
                        status == CT_NOT_FOUND ? "missing" : "not of the expected type");
}

/* An integer key; a missing one keeps the value it has when has_default. */
static enum ct_status gguf_int(const struct ct_gguf *gguf, const char *key, bool has_default,
                               int *value, struct ct_error *err)
{
    int64_t found = 0;
    enum ct_status status = ct_gguf_int(gguf, key, &found);
    if (status == CT_NOT_FOUND && has_default)
        return CT_OK;
    if (status != CT_OK)
        return gguf_failed(key, status, err);
    *value = clamp_int(found);
    return CT_OK;
}

static enum ct_status gguf_double(const struct ct_gguf *gguf, const char *key, bool has_default,
                                  double *value, struct ct_error *err)
{
    enum ct_status status = ct_gguf_float(gguf, key, value);
    if (status == CT_OK || (status == CT_NOT_FOUND && has_default))
        return CT_OK;
    return gguf_failed(key, status, err);
}

/* Copies metadata text; longer text is cut. */
static enum ct_status gguf_text(const struct ct_gguf *gguf, const char *key, char *out,
                                size_t capacity)
{
    struct ct_gguf_text text;
    enum ct_status status = ct_gguf_text(gguf, key, &text);
    if (status != CT_OK)
        return status;
    size_t n = text.n_bytes < capacity ? text.n_bytes : capacity - 1;
    memcpy(out, text.data, n);
    out[n] = '\0';
    return CT_OK;
}

static enum ct_status gguf_shape(const struct ct_gguf *gguf, struct ct_hparams *h,
                                 struct ct_error *err)
{
    const struct {
        const char *suffix;
        int *value;
    } fields[] = {
        {"block_count", &h->n_layers},         {"embedding_length", &h->d_model},
        {"attention.head_count", &h->n_heads}, {"feed_forward_length", &h->d_ff},
        {"context_length", &h->context_tok},
    };
    enum ct_status status = CT_OK;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && status == CT_OK; i++)
        status = gguf_int(gguf, arch_key(h, fields[i].suffix).text, false, fields[i].value, err);
    if (status != CT_OK)
        return status;
    h->n_kv_heads = h->n_heads;
    h->head_dim = h->n_heads > 0 ? h->d_model / h->n_heads : 0;
    status = gguf_int(gguf, arch_key(h, "attention.head_count_kv").text, true, &h->n_kv_heads, err);
    if (status == CT_OK)
        status = gguf_int(gguf, arch_key(h, "attention.key_length").text, true, &h->head_dim, err);
    return status;
}

/* Whatever would change the arithmetic in a way that is not built here. */
static enum ct_status gguf_unsupported(const struct ct_gguf *gguf, const struct ct_hparams *h,
                                       struct ct_error *err)
{
    const struct {
        const char *suffix;
        int value;
    } expected[] = {
        {"attention.value_length", h->head_dim},
        {"rope.dimension_count", h->head_dim},
        {"expert_count", 0},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct key key = arch_key(h, expected[i].suffix);
        int value = expected[i].value;
        enum ct_status status = gguf_int(gguf, key.text, true, &value, err);
        if (status != CT_OK)
            return status;
        if (value != expected[i].value)
            return ct_error_set(err, CT_UNSUPPORTED, "metadata %s is %d, expected %d", key.text,
                                value, expected[i].value);
    }
    struct key key = arch_key(h, "rope.scaling.type");
    char scaling[32] = "none";
    enum ct_status status = gguf_text(gguf, key.text, scaling, sizeof scaling);
    if (status == CT_FORMAT)
        return gguf_failed(key.text, status, err);
    if (strcmp(scaling, "none") != 0)
        return ct_error_set(err, CT_UNSUPPORTED, "metadata %s is %s", key.text, scaling);
    return CT_OK;
}

static enum ct_status gguf_vocabulary(const struct ct_gguf *gguf, struct ct_hparams *h,
                                      struct ct_error *err)
{
    static const char *const eos_keys[] = {"tokenizer.ggml.eos_token_id",
                                           "tokenizer.ggml.eot_token_id",
                                           "tokenizer.ggml.eom_token_id"};
    enum ct_gguf_type type;
    size_t n_tokens = 0;
    enum ct_status status = ct_gguf_array(gguf, "tokenizer.ggml.tokens", &type, &n_tokens);
    if (status == CT_FORMAT)
        return gguf_failed("tokenizer.ggml.tokens", status, err);
    /* The embedding may have more rows than there are tokens (padding): logits have its size. */
    const struct ct_tensor *embedding = ct_gguf_find(gguf, "token_embd.weight");
    h->n_vocab = clamp_int(embedding != NULL ? embedding->shape[0] : (int64_t)n_tokens);
    if (n_tokens > (size_t)h->n_vocab)
        return ct_error_set(err, CT_FORMAT, "%zu tokens, but token_embd.weight has %d rows",
                            n_tokens, h->n_vocab);
    status = gguf_int(gguf, "tokenizer.ggml.bos_token_id", true, &h->bos_id, err);
    for (size_t i = 0; i < sizeof eos_keys / sizeof eos_keys[0] && status == CT_OK; i++) {
        int id = -1;
        status = gguf_int(gguf, eos_keys[i], true, &id, err);
        if (status == CT_OK && id != -1)
            add_eos(h, id);
    }
    return status;
}

enum ct_status ct_hf_config_from_gguf(const struct ct_gguf *gguf, struct ct_hparams *out,
                                      struct ct_error *err)
{
    struct ct_hparams h = {.rope_theta = 10000.0, .bos_id = -1};
    enum ct_status status = gguf_text(gguf, "general.architecture", h.family, sizeof h.family);
    if (status != CT_OK)
        return gguf_failed("general.architecture", status, err);
    if (gguf_text(gguf, "general.name", h.name, sizeof h.name) == CT_FORMAT)
        return gguf_failed("general.name", CT_FORMAT, err);
    status = gguf_shape(gguf, &h, err);
    if (status == CT_OK)
        status = gguf_double(gguf, arch_key(&h, "rope.freq_base").text, true, &h.rope_theta, err);
    if (status == CT_OK)
        status = gguf_double(gguf, arch_key(&h, "attention.layer_norm_rms_epsilon").text, false,
                             &h.norm_eps, err);
    if (status == CT_OK)
        status = gguf_vocabulary(gguf, &h, err);
    if (status == CT_OK)
        status = check_hparams(&h, err);
    if (status == CT_OK)
        status = gguf_unsupported(gguf, &h, err);
    h.has_tied_embeddings = ct_gguf_find(gguf, "output.weight") == NULL;
    if (status == CT_OK)
        *out = h;
    return status;
}
