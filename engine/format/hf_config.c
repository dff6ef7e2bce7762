/* Both sources fill the same struct; check_hparams then holds every value to its range. */
#include "engine/format/hf_config.h"

#include "engine/base/json_read.h"
#include "engine/base/json_text.h"
#include "engine/format/config_value.h"
#include "engine/format/encoder_config.h"
#include "engine/format/generation_config.h"
#include "engine/format/gguf.h"
#include "engine/format/labels.h"
#include "engine/format/model_file_internal.h"
#include "engine/format/vision_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranges ---- */

struct range {
    const char *key; /* as config.json calls it */
    int64_t value, low, high;
};

static const char *eps_key(const struct ct_hparams *h)
{
    return h->is_encoder ? "layer_norm_eps" : "rms_norm_eps";
}

static enum ct_status check_hparams(const struct ct_hparams *h, struct ct_error *err)
{
    const struct range ranges[] = {
        {"num_hidden_layers", h->n_layers, 1, 1024},
        {"hidden_size", h->d_model, 1, 65536},
        {"num_attention_heads", h->n_heads, 1, 1024},
        {"num_key_value_heads", h->n_kv_heads, 1, h->n_heads},
        {"head_dim", h->head_dim, 2, 1024},
        {"intermediate_size", h->d_ff, 1, 262144},
        {"vocab_size", h->n_vocab, h->vision.n_channels > 0 ? 0 : 1, 1 << 20},
        {"max_position_embeddings", h->context_tok, 1, 1 << 24},
        {"bos_token_id", h->bos_id, -1, (int64_t)h->n_vocab - 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return ct_error_set(err, CT_FORMAT, "%s is %" PRId64 ", expected %" PRId64 "..%" PRId64,
                                ct_encoder_key(h->family, ranges[i].key), ranges[i].value,
                                ranges[i].low, ranges[i].high);
    if (h->n_heads % h->n_kv_heads != 0)
        return ct_error_set(err, CT_FORMAT, "num_key_value_heads %d does not divide %d heads",
                            h->n_kv_heads, h->n_heads);
    if (h->head_dim % 2 != 0)
        return ct_error_set(err, CT_FORMAT, "head_dim is %d, expected an even number", h->head_dim);
    if (!(h->rope_theta >= 1 && h->rope_theta <= 1e12))
        return ct_error_set(err, CT_FORMAT, "rope_theta is %g, expected 1..1e12", h->rope_theta);
    if (!(h->norm_eps > 0 && h->norm_eps <= 1))
        return ct_error_set(err, CT_FORMAT, "%s is %g, expected above 0 and at most 1", eps_key(h),
                            h->norm_eps);
    return CT_OK;
}

/* A name for people: cut at a character's border, control characters made spaces. */
static void copy_name(struct ct_hparams *h, const char *text, size_t n_bytes)
{
    size_t n = n_bytes < sizeof h->name ? n_bytes : sizeof h->name - 1;
    while (n > 0 && n < n_bytes && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    for (size_t i = 0; i < n; i++)
        h->name[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    h->name[n] = '\0';
}

/* ---- GGUF ---- */

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
        status =
            ct_metadata_int(gguf, arch_key(h, fields[i].suffix).text, false, fields[i].value, err);
    if (status != CT_OK)
        return status;
    h->n_kv_heads = h->n_heads;
    h->head_dim = h->n_heads > 0 ? h->d_model / h->n_heads : 0;
    status = ct_metadata_int(gguf, arch_key(h, "attention.head_count_kv").text, true,
                             &h->n_kv_heads, err);
    if (status == CT_OK)
        status = ct_metadata_int(gguf, arch_key(h, "attention.key_length").text, true, &h->head_dim,
                                 err);
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
        enum ct_status status = ct_metadata_int(gguf, key.text, true, &value, err);
        if (status != CT_OK)
            return status;
        if (value != expected[i].value)
            return ct_error_set(err, CT_UNSUPPORTED, "metadata %s is %d, expected %d", key.text,
                                value, expected[i].value);
    }
    struct key key = arch_key(h, "rope.scaling.type");
    char scaling[32] = "none";
    enum ct_status status = ct_metadata_text(gguf, key.text, scaling, sizeof scaling);
    if (status == CT_FORMAT)
        return ct_metadata_failed(key.text, status, err);
    if (strcmp(scaling, "none") != 0)
        return ct_error_set(err, CT_UNSUPPORTED, "metadata %s is %s", key.text, scaling);
    return CT_OK;
}

static enum ct_status gguf_vocabulary(const struct ct_gguf *gguf, struct ct_hparams *h,
                                      struct ct_error *err)
{
    enum ct_gguf_type type;
    size_t n_tokens = 0;
    enum ct_status status = ct_gguf_array(gguf, "tokenizer.ggml.tokens", &type, &n_tokens);
    if (status == CT_FORMAT)
        return ct_metadata_failed("tokenizer.ggml.tokens", status, err);
    /* The embedding may have more rows than there are tokens (padding): logits have its size. */
    const struct ct_tensor *embedding = ct_gguf_find(gguf, "token_embd.weight");
    h->n_vocab = ct_clamp_int(embedding != NULL ? embedding->shape[0] : (int64_t)n_tokens);
    if (n_tokens > (size_t)h->n_vocab)
        return ct_error_set(err, CT_FORMAT, "%zu tokens, but token_embd.weight has %d rows",
                            n_tokens, h->n_vocab);
    return ct_metadata_int(gguf, "tokenizer.ggml.bos_token_id", true, &h->bos_id, err);
}

/* Metadata names the end of a turn; the end of a text is known by what this token is called. */
static enum ct_status gguf_end_of_text(const struct ct_gguf *gguf, struct ct_hparams *h,
                                       struct ct_error *err)
{
    static const char name[] = "<|endoftext|>";
    struct ct_gguf_array_cursor tokens;
    struct ct_gguf_text text;
    if (ct_gguf_array_begin(gguf, "tokenizer.ggml.tokens", &tokens) != CT_OK)
        return CT_OK;
    for (int64_t id = 0; ct_gguf_array_next_text(&tokens, &text); id++)
        if (text.n_bytes == strlen(name) && memcmp(text.data, name, text.n_bytes) == 0)
            return ct_generation_add_eos(h, id, err);
    return CT_OK;
}

static enum ct_status gguf_eos(const struct ct_gguf *gguf, struct ct_hparams *h,
                               struct ct_error *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    enum ct_status status = CT_OK;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && status == CT_OK; i++) {
        int id = -1;
        status = ct_metadata_int(gguf, keys[i], true, &id, err);
        if (status == CT_OK && id != -1)
            status = ct_generation_add_eos(h, id, err);
    }
    return status == CT_OK ? gguf_end_of_text(gguf, h, err) : status;
}

enum ct_status ct_hf_config_from_gguf(const struct ct_gguf *gguf, struct ct_hparams *out,
                                      struct ct_error *err)
{
    struct ct_hparams h = {.rope_theta = 10000.0, .bos_id = -1, .sampling = CT_SAMPLING_DEFAULTS};
    enum ct_status status =
        ct_metadata_text(gguf, "general.architecture", h.family, sizeof h.family);
    if (status != CT_OK)
        return ct_metadata_failed("general.architecture", status, err);
    struct ct_gguf_text name;
    if (ct_gguf_text(gguf, "general.name", &name) == CT_OK)
        copy_name(&h, name.data, name.n_bytes);
    status = gguf_shape(gguf, &h, err);
    if (status == CT_OK)
        status =
            ct_metadata_double(gguf, arch_key(&h, "rope.freq_base").text, true, &h.rope_theta, err);
    if (status == CT_OK)
        status = ct_metadata_double(gguf, arch_key(&h, "attention.layer_norm_rms_epsilon").text,
                                    false, &h.norm_eps, err);
    if (status == CT_OK)
        status = gguf_vocabulary(gguf, &h, err);
    if (status == CT_OK)
        status = check_hparams(&h, err);
    if (status == CT_OK)
        status = gguf_eos(gguf, &h, err);
    if (status == CT_OK)
        status = ct_generation_from_gguf(gguf, &h, err);
    if (status == CT_OK)
        status = gguf_unsupported(gguf, &h, err);
    h.has_tied_embeddings = ct_gguf_find(gguf, "output.weight") == NULL;
    if (status == CT_OK)
        *out = h;
    return status;
}

/* ---- config.json ---- */

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* A decoder's gate is SwiGLU; an encoder has one of several functions. */
static enum ct_status json_activation(const json_t *config, struct ct_hparams *h,
                                      struct ct_error *err)
{
    static const struct {
        const char *name;
        enum ct_activation activation;
    } known[] = {
        {"gelu", CT_ACTIVATION_GELU},
        {"gelu_new", CT_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", CT_ACTIVATION_GELU_TANH},
        {"quick_gelu", CT_ACTIVATION_QUICK_GELU},
        {"relu", CT_ACTIVATION_RELU},
        {"tanh", CT_ACTIVATION_TANH},
    };
    const char *key = ct_encoder_key(h->family, "hidden_act");
    const json_t *name = ct_config_key(config, key);
    if (name == NULL || (!h->is_encoder && is_text(name, "silu")))
        return CT_OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0] && h->is_encoder; i++)
        if (is_text(name, known[i].name)) {
            h->activation = known[i].activation;
            return CT_OK;
        }
    return ct_config_unexpected(key, name,
                                h->is_encoder ? "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, "
                                                "relu or tanh"
                                              : "silu",
                                CT_UNSUPPORTED, err);
}

/* Whatever would change the arithmetic in a way that is not built here. */
static enum ct_status json_unsupported(const json_t *config, struct ct_error *err)
{
    static const char *const must_be_false[] = {"attention_bias", "mlp_bias", "use_sliding_window",
                                                "is_decoder"};
    for (size_t i = 0; i < sizeof must_be_false / sizeof must_be_false[0]; i++) {
        const json_t *value = ct_config_key(config, must_be_false[i]);
        if (value != NULL && !json_is_false(value))
            return ct_config_unexpected(must_be_false[i], value, "false", CT_UNSUPPORTED, err);
    }
    const json_t *scaling = ct_config_key(config, "rope_scaling");
    if (scaling != NULL)
        return ct_config_unexpected("rope_scaling", scaling, "null", CT_UNSUPPORTED, err);
    const json_t *embedding = ct_config_key(config, "position_embedding_type");
    if (embedding != NULL && !is_text(embedding, "absolute"))
        return ct_config_unexpected("position_embedding_type", embedding, "absolute",
                                    CT_UNSUPPORTED, err);
    const json_t *partial = ct_config_key(config, "partial_rotary_factor");
    if (partial != NULL && json_number_value(partial) != 1.0)
        return ct_config_unexpected("partial_rotary_factor", partial, "1", CT_UNSUPPORTED, err);
    return CT_OK;
}

/* rope_theta stands at the top, or since transformers 5 in rope_parameters. */
static enum ct_status json_rope(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    const json_t *rope = ct_config_key(config, "rope_parameters");
    if (rope == NULL)
        return ct_config_double(config, "rope_theta", &h->rope_theta, err);
    const json_t *type = ct_config_key(rope, "rope_type");
    if (!json_is_object(rope) ||
        (type != NULL &&
         (!json_is_string(type) || strcmp(json_string_value(type), "default") != 0)))
        return ct_config_unexpected("rope_parameters", rope, "rope_type \"default\"",
                                    CT_UNSUPPORTED, err);
    return ct_config_double(rope, "rope_theta", &h->rope_theta, err);
}

static enum ct_status json_quantization(const json_t *config, struct ct_hparams *h,
                                        struct ct_error *err)
{
    const json_t *quantization = ct_config_key(config, "quantization_config");
    if (quantization == NULL)
        return CT_OK;
    const json_t *method = ct_config_key(quantization, "quant_method");
    if (!json_is_string(method) || strcmp(json_string_value(method), "centroid") != 0)
        return ct_config_unexpected("quantization_config.quant_method", method, "\"centroid\"",
                                    CT_UNSUPPORTED, err);
    enum ct_status status =
        ct_config_int(quantization, "version", false, &h->clustered.version, err);
    if (status == CT_OK)
        status = ct_config_int(quantization, "bits", false, &h->clustered.bits, err);
    if (status == CT_OK && h->clustered.version != 1)
        return ct_error_set(err, CT_UNSUPPORTED, "quantization_config.version is %d, expected 1",
                            h->clustered.version);
    if (status == CT_OK && (h->clustered.bits < 2 || h->clustered.bits > 8))
        return ct_error_set(err, CT_FORMAT, "quantization_config.bits is %d, expected 2..8",
                            h->clustered.bits);
    if (status != CT_OK)
        ct_error_prefix(err, "quantization_config");
    return status;
}

static enum ct_status json_shape(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    const struct {
        const char *key;
        int *value;
    } fields[] = {
        {"num_hidden_layers", &h->n_layers},  {"hidden_size", &h->d_model},
        {"num_attention_heads", &h->n_heads}, {"intermediate_size", &h->d_ff},
        {"vocab_size", &h->n_vocab},          {"max_position_embeddings", &h->context_tok},
    };
    const size_t n_fields = ct_vision_is(h->family) ? 3 : sizeof fields / sizeof fields[0];
    enum ct_status status = CT_OK;
    for (size_t i = 0; i < n_fields && status == CT_OK; i++)
        status = ct_config_int(config, ct_encoder_key(h->family, fields[i].key), false,
                               fields[i].value, err);
    if (status == CT_OK && ct_vision_is(h->family))
        status = ct_vision_config_read(config, h, err);
    if (status != CT_OK)
        return status;
    h->n_kv_heads = h->n_heads;
    h->head_dim = h->n_heads > 0 ? h->d_model / h->n_heads : 0;
    status = ct_config_int(config, "num_key_value_heads", true, &h->n_kv_heads, err);
    if (status == CT_OK)
        status = ct_config_int(config, "head_dim", true, &h->head_dim, err);
    if (status == CT_OK)
        status = ct_config_int(config, "bos_token_id", true, &h->bos_id, err);
    return status;
}

static enum ct_status read_config(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    const json_t *family = ct_config_key(config, "model_type");
    if (!json_is_string(family) || json_string_length(family) >= sizeof h->family)
        return ct_config_unexpected("model_type", family, "a short string", CT_FORMAT, err);
    snprintf(h->family, sizeof h->family, "%s", json_string_value(family));
    h->is_encoder = ct_encoder_is(h->family) || ct_vision_is(h->family);
    const char *name = json_string_value(ct_config_key(config, "_name_or_path"));
    copy_name(h, name != NULL ? name : "", name != NULL ? strlen(name) : 0);
    enum ct_status status =
        ct_config_bool(config, "tie_word_embeddings", &h->has_tied_embeddings, err);
    if (status == CT_OK)
        status = json_shape(config, h, err);
    if (status == CT_OK)
        status = json_rope(config, h, err);
    if (status == CT_OK && ct_encoder_is(h->family))
        status = ct_encoder_config_read(config, h, err);
    if (status == CT_OK)
        status = ct_config_double(config, eps_key(h), &h->norm_eps, err);
    if (status == CT_OK)
        status = json_quantization(config, h, err);
    if (status == CT_OK)
        status = json_activation(config, h, err);
    if (status == CT_OK)
        status = json_unsupported(config, err);
    if (status == CT_OK)
        status = ct_labels_read_task(config, h, err);
    if (status == CT_OK)
        status = check_hparams(h, err);
    return status == CT_OK ? ct_generation_read_eos(config, h, err) : status;
}

enum ct_status ct_hf_config_read(const json_t *config, struct ct_hparams *out, struct ct_error *err)
{
    /* Where config.json leaves them out, transformers' LlamaConfig has these. */
    struct ct_hparams h = {
        .rope_theta = 10000.0, .norm_eps = 1e-6, .bos_id = -1, .sampling = CT_SAMPLING_DEFAULTS};
    enum ct_status status = read_config(config, &h, err);
    if (status == CT_OK)
        *out = h;
    return status;
}

enum ct_status ct_hf_config_parse(const char *text, size_t n_bytes, struct ct_hparams *out,
                                  struct ct_error *err)
{
    json_t *config = NULL;
    enum ct_status status = ct_json_read(text, n_bytes, &config, err);
    if (status == CT_OK)
        status = ct_hf_config_read(config, out, err);
    json_decref(config);
    return status;
}

char *ct_hf_config_format(const struct ct_hparams *h, const char *quantization)
{
    char *text = NULL;
    json_t *eos = ct_generation_format_eos(h);
    json_t *config =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:s, s:b, s:o}",
                  "model_type", h->family, "num_hidden_layers", h->n_layers, "hidden_size",
                  h->d_model, "num_attention_heads", h->n_heads, "num_key_value_heads",
                  h->n_kv_heads, "head_dim", h->head_dim, "intermediate_size", h->d_ff,
                  "vocab_size", h->n_vocab, "max_position_embeddings", h->context_tok, "rope_theta",
                  h->rope_theta, "rms_norm_eps", h->norm_eps, "hidden_act", "silu",
                  "tie_word_embeddings", (int)h->has_tied_embeddings, "eos_token_id", eos);
    bool is_whole = config != NULL;
    if (is_whole && h->name[0] != '\0')
        is_whole = json_object_set_new(config, "_name_or_path", json_string(h->name)) == 0;
    if (is_whole && h->bos_id >= 0)
        is_whole = json_object_set_new(config, "bos_token_id", json_integer(h->bos_id)) == 0;
    if (is_whole && quantization != NULL) {
        json_error_t problem;
        json_t *value = NULL;
        is_whole = ct_json_load(quantization, strlen(quantization), &value, &problem) == CT_OK &&
                   json_object_set_new(config, "quantization_config", value) == 0;
    }
    if (is_whole)
        text = ct_json_dump(config, JSON_INDENT(2));
    json_decref(config);
    return text;
}
