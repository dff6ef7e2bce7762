/* config.json: what is read, what is refused and why, and that what is written is read back. */
#include "engine/format/gguf.h"
#include "engine/format/hf_config.h"
#include "tests/support/gguf_bytes.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char good[] =
    "{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":64,\"num_attention_heads\":"
    "4,"
    "\"num_key_value_heads\":2,\"intermediate_size\":96,\"vocab_size\":100,"
    "\"max_position_embeddings\":128,\"rope_theta\":5e4,\"rms_norm_eps\":1e-5,\"hidden_act\":"
    "\"silu\","
    "\"bos_token_id\":1,\"eos_token_id\":[2,7,2],\"tie_word_embeddings\":true,"
    "\"rope_scaling\":null,\"attention_bias\":false,\"torch_dtype\":\"bfloat16\"}";

/* `good` with one key set to the JSON of `value`, or without it where value is NULL. */
static enum ct_status parse_with(const char *key, const char *value, struct ct_hparams *h,
                                 struct ct_error *err)
{
    json_t *config = json_loads(good, 0, NULL);
    assert_non_null(config);
    if (value == NULL)
        json_object_del(config, key);
    else
        assert_int_equal(json_object_set_new(config, key, json_loads(value, JSON_DECODE_ANY, NULL)),
                         0);
    char *text = json_dumps(config, 0);
    memset(err, 0, sizeof *err);
    enum ct_status status = ct_hf_config_parse(text, strlen(text), h, err);
    free(text);
    json_decref(config);
    return status;
}

static void expect(const char *key, const char *value, enum ct_status status, const char *part)
{
    struct ct_hparams h;
    struct ct_error err;
    enum ct_status found = parse_with(key, value, &h, &err);
    if (found != status || strstr(err.message, part) == NULL)
        fail_msg("%s: %s gives %s: \"%s\", expected %s and \"%s\"", key, value,
                 ct_status_name(found), err.message, ct_status_name(status), part);
}

static void test_every_key_is_read(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(ct_hf_config_parse(good, strlen(good), &h, &err), CT_OK);
    assert_string_equal(h.family, "llama");
    assert_string_equal(h.name, "");
    assert_int_equal(h.n_layers, 2);
    assert_int_equal(h.d_model, 64);
    assert_int_equal(h.n_heads, 4);
    assert_int_equal(h.n_kv_heads, 2);
    assert_int_equal(h.head_dim, 16);
    assert_int_equal(h.d_ff, 96);
    assert_int_equal(h.n_vocab, 100);
    assert_int_equal(h.context_tok, 128);
    assert_true(h.rope_theta == 5e4 && h.norm_eps == 1e-5);
    assert_true(h.has_tied_embeddings);
    assert_int_equal(h.bos_id, 1);
    assert_int_equal(h.n_eos, 2);
    assert_int_equal(h.eos_ids[0], 2);
    assert_int_equal(h.eos_ids[1], 7);
    assert_int_equal(h.clustered.bits, 0);
}

static void test_absent_keys_have_defaults(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(parse_with("num_key_value_heads", NULL, &h, &err), CT_OK);
    assert_int_equal(h.n_kv_heads, 4);
    assert_int_equal(parse_with("rope_theta", NULL, &h, &err), CT_OK);
    assert_true(h.rope_theta == 10000.0);
    assert_int_equal(parse_with("rms_norm_eps", "null", &h, &err), CT_OK);
    assert_true(h.norm_eps == 1e-6);
    assert_int_equal(parse_with("bos_token_id", NULL, &h, &err), CT_OK);
    assert_int_equal(h.bos_id, -1);
    assert_int_equal(parse_with("eos_token_id", "null", &h, &err), CT_OK);
    assert_int_equal(h.n_eos, 0);
    assert_int_equal(parse_with("eos_token_id", "5", &h, &err), CT_OK);
    assert_true(h.n_eos == 1 && h.eos_ids[0] == 5);
    assert_int_equal(parse_with("tie_word_embeddings", NULL, &h, &err), CT_OK);
    assert_false(h.has_tied_embeddings);
    assert_int_equal(parse_with("head_dim", "32", &h, &err), CT_OK);
    assert_int_equal(h.head_dim, 32);
    assert_int_equal(
        parse_with("rope_parameters", "{\"rope_type\":\"default\",\"rope_theta\":7.0}", &h, &err),
        CT_OK);
    assert_true(h.rope_theta == 7.0);
}

static void test_numbers_have_ranges(void **state)
{
    (void)state;
    static const char *const counts[] = {
        "num_hidden_layers", "hidden_size", "num_attention_heads",     "num_key_value_heads",
        "intermediate_size", "vocab_size",  "max_position_embeddings", "head_dim",
    };
    static const char *const wrong[] = {"0",   "-1",    "2147483648",  "4294967297",
                                        "1.5", "\"2\"", "[]",          "9223372036854775807",
                                        "{}",  "true",  "-2147483649", "1e308"};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++)
            expect(counts[i], wrong[j], CT_FORMAT, counts[i]);
    expect("num_hidden_layers", NULL, CT_FORMAT, "num_hidden_layers is nothing");
    expect("num_hidden_layers", "1025", CT_FORMAT, "is 1025, expected 1..1024");
    expect("num_key_value_heads", "3", CT_FORMAT, "does not divide 4");
    expect("head_dim", "17", CT_FORMAT, "even");
    expect("rope_theta", "0", CT_FORMAT, "rope_theta");
    expect("rope_theta", "\"x\"", CT_FORMAT, "rope_theta");
    expect("rms_norm_eps", "-1e-5", CT_FORMAT, "rms_norm_eps");
    expect("rms_norm_eps", "0", CT_FORMAT, "rms_norm_eps");
    expect("bos_token_id", "100", CT_FORMAT, "bos_token_id");
    expect("eos_token_id", "100", CT_FORMAT, "eos_token_id 100");
    expect("eos_token_id", "-1", CT_FORMAT, "eos_token_id -1");
    expect("eos_token_id", "\"2\"", CT_FORMAT, "eos_token_id");
    expect("eos_token_id", "[1,2,3,4,5,6,7,8,9]", CT_FORMAT, "more than 8 entries");
    expect("model_type", "3", CT_FORMAT, "model_type");
    expect("model_type", NULL, CT_FORMAT, "model_type");
    expect("tie_word_embeddings", "1", CT_FORMAT, "tie_word_embeddings");
}

static void test_other_arithmetic_is_refused(void **state)
{
    (void)state;
    expect("rope_scaling", "{\"rope_type\":\"llama3\"}", CT_UNSUPPORTED, "llama3");
    expect("rope_parameters", "{\"rope_type\":\"yarn\"}", CT_UNSUPPORTED, "yarn");
    expect("rope_parameters", "3", CT_UNSUPPORTED, "rope_parameters");
    expect("attention_bias", "true", CT_UNSUPPORTED, "attention_bias is true");
    expect("mlp_bias", "true", CT_UNSUPPORTED, "mlp_bias");
    expect("use_sliding_window", "true", CT_UNSUPPORTED, "use_sliding_window is true");
    expect("hidden_act", "\"gelu\"", CT_UNSUPPORTED, "hidden_act is \"gelu\"");
    expect("partial_rotary_factor", "0.5", CT_UNSUPPORTED, "partial_rotary_factor");
    expect("quantization_config", "{\"quant_method\":\"gptq\"}", CT_UNSUPPORTED, "gptq");
    expect("quantization_config", "{}", CT_UNSUPPORTED, "quant_method");
    expect("quantization_config", "{\"quant_method\":\"centroid\",\"version\":2,\"bits\":6}",
           CT_UNSUPPORTED, "version is 2");
    expect("quantization_config", "{\"quant_method\":\"centroid\",\"version\":1,\"bits\":9}",
           CT_FORMAT, "bits is 9");
    expect("quantization_config", "{\"quant_method\":\"centroid\",\"version\":1}", CT_FORMAT,
           "bits");
    expect("quantization_config", "{\"quant_method\":\"centroid\",\"version\":1,\"bits\":4}", CT_OK,
           "");
}

/* Qwen2.5-Coder-0.5B-Instruct's own, where what is not read is left in. */
static void test_qwen2(void **state)
{
    (void)state;
    static const char text[] =
        "{\"architectures\":[\"Qwen2ForCausalLM\"],\"attention_dropout\":0.0,\"bos_token_id\":"
        "151643,"
        "\"eos_token_id\":151645,\"hidden_act\":\"silu\",\"hidden_size\":896,"
        "\"initializer_range\":0.02,\"intermediate_size\":4864,\"max_position_embeddings\":32768,"
        "\"max_window_layers\":24,\"model_type\":\"qwen2\",\"num_attention_heads\":14,"
        "\"num_hidden_layers\":24,\"num_key_value_heads\":2,\"rms_norm_eps\":1e-06,"
        "\"rope_theta\":1000000.0,\"sliding_window\":32768,\"tie_word_embeddings\":true,"
        "\"torch_dtype\":\"bfloat16\",\"use_cache\":true,\"use_sliding_window\":false,"
        "\"vocab_size\":151936}";
    struct ct_hparams h;
    struct ct_error err = {0};
    if (ct_hf_config_parse(text, strlen(text), &h, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_string_equal(h.family, "qwen2");
    assert_true(h.head_dim == 64 && h.n_heads == 14 && h.n_kv_heads == 2);
    assert_true(h.rope_theta == 1e6 && h.norm_eps == 1e-6 && h.has_tied_embeddings);
    char *written = ct_hf_config_format(&h, NULL);
    assert_non_null(written);
    assert_null(strstr(written, "bias")); /* this family's is no setting */
    free(written);
}

/* config.json of all-MiniLM-L6-v2. */
static void test_bert(void **state)
{
    (void)state;
#define BERT(act, embedding)                                                                       \
    "{\"model_type\":\"bert\",\"hidden_size\":384,\"intermediate_size\":1536,"                     \
    "\"num_attention_heads\":12,\"num_hidden_layers\":6,\"max_position_embeddings\":512,"          \
    "\"vocab_size\":30522,\"type_vocab_size\":2,\"layer_norm_eps\":1e-7,\"hidden_act\":\"" act     \
    "\",\"position_embedding_type\":\"" embedding "\"}"
    static const char minilm[] = BERT("gelu", "absolute");
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(ct_hf_config_parse(minilm, strlen(minilm), &h, &err), CT_OK);
    assert_true(h.is_encoder);
    assert_int_equal(h.n_types, 2);
    assert_int_equal(h.head_dim, 32);
    assert_int_equal(h.pooling.mode, CT_POOLING_MEAN);
    assert_true(h.norm_eps == 1e-7);
    assert_int_equal(h.activation, CT_ACTIVATION_GELU);
    static const char relu[] = BERT("relu", "absolute"), quick[] = BERT("quick_gelu", "absolute");
    static const char new[] = BERT("gelu_new", "absolute");
    static const char pytorch[] = BERT("gelu_pytorch_tanh", "absolute");
    static const struct {
        const char *config;
        enum ct_activation activation;
    } activations[] = {{relu, CT_ACTIVATION_RELU},
                       {quick, CT_ACTIVATION_QUICK_GELU},
                       {new, CT_ACTIVATION_GELU_TANH},
                       {pytorch, CT_ACTIVATION_GELU_TANH}};
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        const char *config = activations[i].config;
        assert_int_equal(ct_hf_config_parse(config, strlen(config), &h, &err), CT_OK);
        assert_int_equal(h.activation, activations[i].activation);
    }
    static const char *const others[][2] = {{BERT("silu", "absolute"), "hidden_act"},
                                            {BERT("gelu", "relative_key"), "position_embedding"}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ct_hf_config_parse(others[i][0], strlen(others[i][0]), &h, &err),
                         CT_UNSUPPORTED);
        assert_non_null(strstr(err.message, others[i][1]));
    }
}

/* Relatives of BERT: distilbert/distilbert-base-uncased's and microsoft/mpnet-base's sizes. */
static void test_relatives_of_bert(void **state)
{
    (void)state;
#define DISTILBERT(layers)                                                                         \
    "{\"model_type\":\"distilbert\",\"dim\":768,\"hidden_dim\":3072,\"n_heads\":12," layers        \
    "\"max_position_embeddings\":512,\"vocab_size\":30522,\"activation\":\"relu\"}"
#define MPNET(buckets)                                                                             \
    "{\"model_type\":\"mpnet\",\"hidden_size\":768,\"intermediate_size\":3072,"                    \
    "\"num_attention_heads\":12,\"num_hidden_layers\":12,\"max_position_embeddings\":514,"         \
    "\"vocab_size\":30527,\"layer_norm_eps\":1e-5,\"relative_attention_num_buckets\":" buckets "}"
    static const char distilbert[] = DISTILBERT("\"n_layers\":6,"), mpnet[] = MPNET("32");
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(ct_hf_config_parse(distilbert, strlen(distilbert), &h, &err), CT_OK);
    assert_true(h.is_encoder && h.n_layers == 6 && h.d_model == 768 && h.d_ff == 3072);
    assert_true(h.n_types == 0 && h.first_place == 0 && h.context_tok == 512);
    assert_true(h.activation == CT_ACTIVATION_RELU && h.norm_eps == 1e-12);
    assert_int_equal(ct_hf_config_parse(mpnet, strlen(mpnet), &h, &err), CT_OK);
    assert_true(h.n_types == 0 && h.first_place == 2 && h.context_tok == 512);
    assert_true(h.activation == CT_ACTIVATION_GELU && h.norm_eps == 1e-5);
    static const struct {
        const char *text;
        enum ct_status status;
        const char *message;
    } others[] = {
        {DISTILBERT(""), CT_FORMAT, "n_layers is nothing"},
        {DISTILBERT("\"n_layers\":1025,"), CT_FORMAT, "n_layers is 1025, expected 1..1024"},
        {MPNET("64"), CT_UNSUPPORTED, "relative_attention_num_buckets is 64, expected 32"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(ct_hf_config_parse(others[i].text, strlen(others[i].text), &h, &err),
                         others[i].status);
        assert_non_null(strstr(err.message, others[i].message));
    }
}

static void test_text_that_is_no_config(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    const char *wrong[] = {"", "{", "[]", "null",
                           "{\"model_type\":\"llama\",\"model_type\":\"x\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(ct_hf_config_parse(wrong[i], strlen(wrong[i]), &h, &err), CT_FORMAT);
    for (size_t n = 0; n < strlen(good); n++)
        assert_int_equal(ct_hf_config_parse(good, n, &h, &err), CT_FORMAT);
    static char deep[200000];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"x\":", 5);
    assert_int_equal(ct_hf_config_parse(deep, sizeof deep, &h, &err), CT_TOO_LARGE);
}

static void test_written_config_is_read_back(void **state)
{
    (void)state;
    struct ct_hparams h, again;
    struct ct_error err;
    assert_int_equal(ct_hf_config_parse(good, strlen(good), &h, &err), CT_OK);
    strcpy(h.name, "a \"model\"");
    for (h.n_eos = 0; h.n_eos <= 2; h.n_eos++) {
        memset(&again, 0, sizeof again);
        char *text = ct_hf_config_format(
            &h, "{\"quant_method\":\"centroid\",\"version\":1,\"bits\":5,\"tensors\":{}}");
        assert_non_null(text);
        assert_int_equal(ct_hf_config_parse(text, strlen(text), &again, &err), CT_OK);
        free(text);
        assert_string_equal(again.name, h.name);
        assert_int_equal(again.n_eos, h.n_eos);
        assert_true(again.n_layers == h.n_layers && again.d_model == h.d_model &&
                    again.n_heads == h.n_heads && again.n_kv_heads == h.n_kv_heads &&
                    again.head_dim == h.head_dim && again.d_ff == h.d_ff &&
                    again.n_vocab == h.n_vocab && again.context_tok == h.context_tok &&
                    again.bos_id == h.bos_id);
        assert_true(again.rope_theta == h.rope_theta && again.norm_eps == h.norm_eps);
        assert_true(again.has_tied_embeddings);
        assert_true(again.clustered.bits == 5 && again.clustered.version == 1);
    }
    assert_null(ct_hf_config_format(&h, "{not json"));
}

/* ---- GGUF metadata ---- */

/* A small llama's metadata, with one key of it left out, or given another value, and no tensors. */
static enum ct_status from_gguf(const char *key, int64_t value, struct ct_hparams *h,
                                struct ct_error *err)
{
    static const struct {
        const char *key;
        uint32_t value;
    } entries[] = {
        {"llama.block_count", 2},           {"llama.embedding_length", 64},
        {"llama.attention.head_count", 4},  {"llama.attention.head_count_kv", 2},
        {"llama.feed_forward_length", 96},  {"llama.context_length", 128},
        {"llama.rope.dimension_count", 16}, {"tokenizer.ggml.bos_token_id", 1},
        {"tokenizer.ggml.eos_token_id", 2},
    };
    enum { N_ENTRIES = sizeof entries / sizeof entries[0] };
    static struct gguf_bytes b;
    uint64_t n = 4; /* and those below */
    put_header(&b, 0, 0);
    put_text_entry(&b, "general.architecture", "llama");
    char name[128];
    snprintf(name, sizeof name, "%091d\nx\xc3\xb6\xc3\xb6\xc3\xb6", 90);
    put_text_entry(&b, "general.name", name);
    put_f32_entry(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    put_key(&b, "tokenizer.ggml.tokens", CT_GGUF_ARRAY);
    put_u32(&b, CT_GGUF_STRING);
    put_u64(&b, 3);
    put_text(&b, "a");
    put_text(&b, "b");
    put_text(&b, "<|endoftext|>");
    bool is_known = false;
    for (size_t i = 0; i < N_ENTRIES; i++) {
        bool is_this = key != NULL && strcmp(key, entries[i].key) == 0;
        is_known = is_known || is_this;
        if (is_this && value < 0)
            continue;
        put_u32_entry(&b, entries[i].key, is_this ? (uint32_t)value : entries[i].value);
        n++;
    }
    if (key != NULL && !is_known) {
        put_u32_entry(&b, key, (uint32_t)value);
        n++;
    }
    memcpy(b.data + 16, &n, 8);
    struct ct_gguf *gguf = NULL;
    assert_int_equal(ct_gguf_open_memory(b.data, b.n, &gguf, err), CT_OK);
    memset(err, 0, sizeof *err);
    enum ct_status status = ct_hf_config_from_gguf(gguf, h, err);
    ct_gguf_close(gguf);
    return status;
}

static void test_gguf_metadata_is_read(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    if (from_gguf(NULL, 0, &h, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_string_equal(h.family, "llama");
    /* 95 bytes at most, cut before a character rather than inside it, one line. */
    assert_int_equal(strlen(h.name), 95);
    assert_string_equal(h.name + 89, "90 x\xc3\xb6");
    assert_int_equal(h.head_dim, 16);
    assert_int_equal(h.n_kv_heads, 2);
    assert_int_equal(h.n_vocab, 3);
    assert_true(h.rope_theta == 10000.0 && h.norm_eps == (double)1e-5f);
    assert_true(h.bos_id == 1 && h.n_eos == 1 && h.eos_ids[0] == 2);
    assert_int_equal(from_gguf("tokenizer.ggml.eos_token_id", 1, &h, &err), CT_OK);
    assert_true(h.n_eos == 2 && h.eos_ids[0] == 1 && h.eos_ids[1] == 2); /* <|endoftext|> too */
    assert_true(h.has_tied_embeddings);
    assert_int_equal(from_gguf("llama.attention.head_count_kv", -1, &h, &err), CT_OK);
    assert_int_equal(h.n_kv_heads, 4);
    assert_int_equal(from_gguf("tokenizer.ggml.eot_token_id", 0, &h, &err), CT_OK);
    assert_true(h.n_eos == 2 && h.eos_ids[1] == 0);
}

static void test_gguf_metadata_is_checked(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(from_gguf("llama.block_count", -1, &h, &err), CT_FORMAT);
    assert_string_equal(err.message, "metadata llama.block_count is missing");
    assert_int_equal(from_gguf("llama.block_count", 0, &h, &err), CT_FORMAT);
    assert_int_equal(from_gguf("llama.embedding_length", 0xffffffff, &h, &err), CT_FORMAT);
    assert_int_equal(from_gguf("llama.attention.head_count", 0, &h, &err), CT_FORMAT);
    assert_int_equal(from_gguf("llama.rope.dimension_count", 8, &h, &err), CT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "rope.dimension_count is 8, expected 16"));
    assert_int_equal(from_gguf("llama.expert_count", 8, &h, &err), CT_UNSUPPORTED);
    assert_int_equal(from_gguf("tokenizer.ggml.eos_token_id", 3, &h, &err), CT_FORMAT);
    assert_int_equal(from_gguf("llama.rope.scaling.type", 1, &h, &err), CT_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_is_read),
        cmocka_unit_test(test_absent_keys_have_defaults),
        cmocka_unit_test(test_numbers_have_ranges),
        cmocka_unit_test(test_other_arithmetic_is_refused),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_relatives_of_bert),
        cmocka_unit_test(test_text_that_is_no_config),
        cmocka_unit_test(test_written_config_is_read_back),
        cmocka_unit_test(test_gguf_metadata_is_read),
        cmocka_unit_test(test_gguf_metadata_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
