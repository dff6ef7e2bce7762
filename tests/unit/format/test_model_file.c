/* Models on disk: a GGUF file with translated names and rows back in order, a directory with one
 * file or shards, and clustered matrices; and those that are refused. */
#include "engine/format/model_file.h"
#include "engine/format/safetensors.h"
#include "engine/graph/family.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

static enum ct_status open_model(const struct temp_dir *dir, const char *name,
                                 struct ct_model_file **file, struct ct_error *err)
{
    char path[TEMP_PATH];
    memset(err, 0, sizeof *err);
    return ct_model_file_open(temp_path(dir, name, path), ct_family_foreign_names(), file, err);
}

static void expect(const struct temp_dir *dir, const char *name, enum ct_status status,
                   const char *part)
{
    struct ct_model_file *file = NULL;
    struct ct_error err;
    enum ct_status found = open_model(dir, name, &file, &err);
    ct_model_file_close(file);
    if (found != status || strstr(err.message, part) == NULL)
        fail_msg("%s: \"%s\", expected %s and \"%s\"", ct_status_name(found), err.message,
                 ct_status_name(status), part);
    if (status != CT_OK)
        assert_non_null(strstr(err.message, dir->path)); /* the message says which file */
}

/* ---- GGUF ---- */

enum { N_HEADS = 3, HEAD_DIM = 4, D_MODEL = N_HEADS * HEAD_DIM };

/* A llama of one layer without an MLP, with an F32 tensor more: [rows, 8], element (i, j) is 8 i +
 * j. */
static void write_gguf(const struct temp_dir *dir, const char *architecture, const char *name,
                       uint64_t rows)
{
    static struct gguf_bytes b;
    static const struct {
        const char *key;
        uint32_t value;
    } entries[] = {
        {"llama.block_count", 1},          {"llama.embedding_length", D_MODEL},
        {"llama.feed_forward_length", 16}, {"llama.attention.head_count", N_HEADS},
        {"llama.context_length", 64},      {"llama.attention.head_count_kv", 1},
    };
    enum { N_ENTRIES = sizeof entries / sizeof entries[0] };
    bool is_split = strcmp(architecture, "split llama") == 0;
    put_header(&b, name == NULL ? 0 : 2, N_ENTRIES + 3 + is_split);
    if (is_split)
        put_u32_entry(&b, "split.count", 2);
    put_text_entry(&b, "general.architecture", is_split ? "llama" : architecture);
    put_f32_entry(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    put_key(&b, "tokenizer.ggml.tokens", CT_GGUF_ARRAY);
    put_u32(&b, CT_GGUF_STRING);
    put_u64(&b, 1);
    put_text(&b, "x");
    for (size_t i = 0; i < N_ENTRIES; i++)
        put_u32_entry(&b, entries[i].key, entries[i].value);
    if (name != NULL) {
        put_tensor(&b, "output_norm.weight", 1, (uint64_t[]){8}, 0, 0);
        put_tensor(&b, name, 2, (uint64_t[]){8, rows}, 0, 32);
        pad_to(&b, 32);
        for (uint64_t i = 0; i < 8 + 8 * rows; i++)
            put(&b, &(float){(float)i - 8}, 4);
    }
    assert_int_equal(temp_write(dir, "m.gguf", b.data, b.n), 0);
}

static void test_gguf_names_and_rows(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_model_file *file = NULL;
    struct ct_error err;
    float row[8];
    write_gguf(dir, "llama", "blk.0.attn_q.weight", D_MODEL);
    if (open_model(dir, "m.gguf", &file, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ct_model_file_n_weights(file), 2);
    assert_int_equal(ct_model_file_n_bytes(file), 32 + D_MODEL * 32);
    assert_int_equal(ct_model_file_n_clustered(file), 0);
    assert_non_null(ct_model_file_gguf(file));
    assert_non_null(strstr(ct_model_file_path(file), "m.gguf"));
    const struct ct_weight *q = ct_model_file_find(file, "model.layers.0.self_attn.q_proj.weight");
    assert_non_null(q);
    assert_int_equal(q->n_permuted_heads, N_HEADS);
    assert_null(ct_model_file_find(file, "blk.0.attn_q.weight"));
    /* llama.cpp's converter stores a head's rows 0 1 | 2 3 as 0 2 1 3. */
    static const int stored[D_MODEL] = {0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11};
    for (int i = 0; i < D_MODEL; i++) {
        assert_int_equal(ct_weight_row(q, i), stored[i]);
        ct_weight_row_f32(q, i, row);
        assert_true(row[0] == 8.0f * (float)stored[i] && row[7] == row[0] + 7);
    }
    const struct ct_weight *norm = ct_model_file_find(file, "model.norm.weight");
    ct_weight_row_f32(norm, 0, row);
    assert_true(row[0] == -8.0f && row[7] == -1.0f);
    ct_model_file_prefetch(file);
    ct_model_file_close(file);
}

static void test_gguf_that_is_refused(void **state)
{
    const struct temp_dir *dir = *state;
    write_gguf(dir, "llama", "blk.0.ffn_up.weight", 16);
    expect(dir, "m.gguf", CT_OK, "");
    write_gguf(dir, "llama", "blk.0.attn_q.weight", 8);
    expect(dir, "m.gguf", CT_FORMAT, "has 8 rows, expected 3 heads of 4");
    write_gguf(dir, "llama", "blk.1.ffn_up.weight", 16);
    expect(dir, "m.gguf", CT_FORMAT, "of layer 1, but there are 1 layers");
    write_gguf(dir, "llama", "blk.00.ffn_up.weight", 16);
    expect(dir, "m.gguf", CT_UNSUPPORTED, "blk.00.ffn_up.weight is not one of family llama");
    write_gguf(dir, "llama", "blk.99999999999.ffn_up.weight", 16);
    expect(dir, "m.gguf", CT_UNSUPPORTED, "is not one of family llama");
    write_gguf(dir, "llama", "rope_freqs.weight", 16);
    expect(dir, "m.gguf", CT_UNSUPPORTED, "rope_freqs.weight");
    write_gguf(dir, "mamba", "blk.0.ffn_up.weight", 16);
    expect(dir, "m.gguf", CT_UNSUPPORTED, "architecture mamba");
    write_gguf(dir, "split llama", "blk.0.ffn_up.weight", 16);
    expect(dir, "m.gguf", CT_UNSUPPORTED, "one of 2 files");
    write_gguf(dir, "llama", NULL, 0);
    expect(dir, "m.gguf", CT_FORMAT, "no tensors");
    assert_int_equal(temp_write_text(dir, "m.gguf", "text"), 0);
    expect(dir, "m.gguf", CT_FORMAT, "not a GGUF file");
    expect(dir, "none.gguf", CT_NOT_FOUND, "none.gguf");
}

/* ---- directories ---- */

#define CONFIG                                                                                     \
    "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":8,"                         \
    "\"num_attention_heads\":1,\"intermediate_size\":8,\"vocab_size\":8,"                          \
    "\"max_position_embeddings\":8"

static void write_config(const struct temp_dir *dir, const char *quantization)
{
    char path[TEMP_PATH], text[2048];
    mkdir(temp_path(dir, "m", path), 0755);
    snprintf(text, sizeof text, CONFIG "%s%s}",
             quantization != NULL ? ",\"quantization_config\":" : "",
             quantization != NULL ? quantization : "");
    assert_int_equal(temp_write_text(dir, "m/config.json", text), 0);
}

/* A safetensors file of these tensors, all bytes 0. */
static void write_tensors(const struct temp_dir *dir, const char *name,
                          const struct ct_tensor *tensors, int n_tensors)
{
    static const unsigned char zeros[4096];
    struct ct_safetensors_writer *writer = NULL;
    struct ct_error err;
    char path[TEMP_PATH];
    temp_path(dir, name, path);
    assert_int_equal(ct_safetensors_writer_open(path, tensors, n_tensors, &writer, &err), CT_OK);
    for (int i = 0; i < n_tensors; i++) {
        size_t n = (size_t)ct_tensor_n_elements(&tensors[i]) *
                   (size_t)ct_dtype_block_bytes(tensors[i].dtype);
        assert_true(n <= sizeof zeros);
        assert_int_equal(ct_safetensors_write(writer, zeros, n, &err), CT_OK);
    }
    assert_int_equal(ct_safetensors_writer_close(writer, &err), CT_OK);
}

static struct ct_tensor plain(const char *name)
{
    return (struct ct_tensor){.name = name, .dtype = CT_DTYPE_F32, .n_dims = 2, .shape = {2, 3}};
}

static void test_directory_with_one_file(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_model_file *file = NULL;
    struct ct_error err;
    write_config(dir, NULL);
    expect(dir, "m", CT_NOT_FOUND, "model.safetensors");
    write_tensors(dir, "m/model.safetensors", (struct ct_tensor[]){plain("b"), plain("a")}, 2);
    assert_int_equal(open_model(dir, "m", &file, &err), CT_OK);
    assert_int_equal(ct_model_file_n_weights(file), 2);
    assert_string_equal(ct_model_file_weight(file, 0)->tensor.name, "b");
    assert_int_equal(ct_model_file_find(file, "a")->n_permuted_heads, 0);
    assert_null(ct_model_file_gguf(file));
    assert_int_equal(ct_model_file_hparams(file)->d_model, 8);
    ct_model_file_close(file);
    assert_int_equal(
        temp_write_text(dir, "m/generation_config.json",
                        "{\"eos_token_id\":[3,5],\"temperature\":0.5,\"typical_p\":0.9}"),
        0);
    assert_int_equal(open_model(dir, "m", &file, &err), CT_OK);
    assert_int_equal(ct_model_file_hparams(file)->n_eos, 2);
    assert_true(ct_model_file_hparams(file)->sampling.temperature == 0.5);
    assert_string_equal(ct_model_file_hparams(file)->not_applied, "typical_p 0.9");
    ct_model_file_close(file);
    assert_int_equal(temp_write_text(dir, "m/generation_config.json", "{\"top_p\":2}"), 0);
    expect(dir, "m", CT_FORMAT, "m/generation_config.json: top_p is 2");
    assert_int_equal(temp_write_text(dir, "m/generation_config.json", "{}"), 0);
    write_tensors(dir, "m/model.safetensors", NULL, 0);
    expect(dir, "m", CT_FORMAT, "no tensors");
    assert_int_equal(temp_write_text(dir, "m/config.json", "{"), 0);
    expect(dir, "m", CT_FORMAT, "config.json");
    assert_int_equal(temp_write_text(dir, "m/config.json", "{}"), 0);
    expect(dir, "m", CT_FORMAT, "model_type");
}

static void write_index(const struct temp_dir *dir, const char *text)
{
    assert_int_equal(temp_write_text(dir, "m/model.safetensors.index.json", text), 0);
}

static void test_directory_with_shards(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_model_file *file = NULL;
    struct ct_error err;
    write_config(dir, NULL);
    write_tensors(dir, "m/one.safetensors", (struct ct_tensor[]){plain("a"), plain("b")}, 2);
    write_tensors(dir, "m/two.safetensors", (struct ct_tensor[]){plain("c")}, 1);
    write_index(dir, "{\"metadata\":{\"total_size\":72},\"weight_map\":{\"c\":\"two.safetensors\","
                     "\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}}");
    if (open_model(dir, "m", &file, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ct_model_file_n_weights(file), 3);
    assert_non_null(ct_model_file_find(file, "c"));
    assert_int_equal(ct_model_file_n_bytes(file), 72);
    ct_model_file_close(file);
    write_index(dir, "{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}");
    expect(dir, "m", CT_FORMAT, "the shards hold 3 tensors, weight_map names 2");
    write_index(dir, "{\"weight_map\":{\"a\":\"two.safetensors\",\"c\":\"two.safetensors\"}}");
    expect(dir, "m", CT_FORMAT, "two.safetensors has no tensor a");
    write_index(dir, "{\"weight_map\":{\"a\":\"none.safetensors\"}}");
    expect(dir, "m", CT_NOT_FOUND, "none.safetensors");
    write_tensors(dir, "m/two.safetensors", (struct ct_tensor[]){plain("b"), plain("c")}, 2);
    write_index(dir, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\","
                     "\"c\":\"two.safetensors\",\"d\":\"two.safetensors\"}}");
    expect(dir, "m", CT_FORMAT, "no tensor d");
}

static void test_shards_stay_in_the_directory(void **state)
{
    const struct temp_dir *dir = *state;
    static const char *const wrong[] = {"\"../m/one.safetensors\"",
                                        "\"/etc/passwd\"",
                                        "\"..\"",
                                        "\"a/b\"",
                                        "\"\"",
                                        "\".hidden\"",
                                        "\"a\\u001b[2J\"",
                                        "3"};
    char text[256];
    write_config(dir, NULL);
    write_tensors(dir, "m/one.safetensors", (struct ct_tensor[]){plain("a")}, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(text, sizeof text, "{\"weight_map\":{\"a\":%s}}", wrong[i]);
        write_index(dir, text);
        expect(dir, "m", CT_FORMAT, "not a plain file name");
    }
    write_index(dir, "{\"weight_map\":{}}");
    expect(dir, "m", CT_FORMAT, "names 0 files");
    write_index(dir, "{\"weight_map\":[]}");
    expect(dir, "m", CT_FORMAT, "weight_map is not an object");
    write_index(dir, "{\"weight_map\":{\"a\":\"x\\u0000.safetensors\"}}");
    expect(dir, "m", CT_FORMAT, "index.json");
}

static void test_same_tensor_in_two_shards(void **state)
{
    const struct temp_dir *dir = *state;
    write_config(dir, NULL);
    write_tensors(dir, "m/one.safetensors", (struct ct_tensor[]){plain("a")}, 1);
    write_tensors(dir, "m/two.safetensors", (struct ct_tensor[]){plain("a"), plain("b")}, 2);
    write_index(dir, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    expect(dir, "m", CT_FORMAT, "the shards hold 3 tensors");
    /* The counts agree: a third name is there that neither shard has. */
    write_tensors(dir, "m/two.safetensors", (struct ct_tensor[]){plain("a")}, 1);
    write_index(dir, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    expect(dir, "m", CT_FORMAT, "no tensor b");
}

/* ---- clustered ---- */

#define MATRIX(entry)                                                                              \
    "{\"quant_method\":\"centroid\",\"version\":1,\"bits\":2,\"tensors\":{\"w\":" entry "}}"
#define GOOD_MATRIX MATRIX("{\"n\":16,\"k\":32,\"bits\":2,\"group\":32}")

static void test_clustered_matrix_is_checked(void **state)
{
    const struct temp_dir *dir = *state;
    const struct ct_tensor index = {
        .name = "w.index", .dtype = CT_DTYPE_U8, .n_dims = 3, .shape = {1, 8, 16}};
    const struct ct_tensor scale = {
        .name = "w.scale", .dtype = CT_DTYPE_F16, .n_dims = 3, .shape = {1, 1, 16}};
    const struct ct_tensor codebook = {
        .name = "w.codebook", .dtype = CT_DTYPE_I8, .n_dims = 2, .shape = {1, 4}};
    const struct ct_tensor pad = {
        .name = "centroid.pad.0", .dtype = CT_DTYPE_U8, .n_dims = 1, .shape = {28}};
    const char *file = "m/model.safetensors";
    write_config(dir, GOOD_MATRIX);
    write_tensors(dir, file, (struct ct_tensor[]){index, scale, codebook, pad}, 4);
    expect(dir, "m", CT_OK, "");
    write_tensors(dir, file, (struct ct_tensor[]){index, scale, codebook}, 3);
    expect(dir, "m", CT_FORMAT, "w.index: 36 bytes of data follow it, at least 64");
    write_tensors(dir, file, (struct ct_tensor[]){codebook, pad, scale, index}, 4);
    expect(dir, "m", CT_FORMAT, "w.scale starts 32 bytes after a multiple of 64");
    write_tensors(dir, file, (struct ct_tensor[]){codebook, pad, index, scale, plain("w")}, 5);
    expect(dir, "m", CT_FORMAT, "w is there both clustered and plain");
    write_tensors(dir, file, (struct ct_tensor[]){codebook, scale}, 2);
    expect(dir, "m", CT_FORMAT, "w.index is missing");
    write_tensors(dir, file, (struct ct_tensor[]){index, scale, pad}, 3);
    expect(dir, "m", CT_FORMAT, "w.codebook is missing");
    write_tensors(dir, file, (struct ct_tensor[]){index, codebook, plain("x"), plain("y"), pad}, 5);
    expect(dir, "m", CT_FORMAT, "w.scale is missing");
}

static void test_quantization_entries_are_checked(void **state)
{
    const struct temp_dir *dir = *state;
    static const char *const wrong[] = {
        MATRIX("3"),
        MATRIX("{}"),
        MATRIX("{\"n\":16,\"k\":32,\"bits\":2}"),
        MATRIX("{\"n\":-1,\"k\":32,\"bits\":2,\"group\":32}"),
        MATRIX("{\"n\":16,\"k\":32,\"bits\":2,\"group\":4294967328}"),
        MATRIX("{\"n\":16.0,\"k\":32,\"bits\":2,\"group\":32}"),
    };
    write_tensors(dir, "m/model.safetensors", (struct ct_tensor[]){plain("a")}, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_config(dir, wrong[i]);
        expect(dir, "m", CT_FORMAT, "of w is not a whole number from 1 up");
    }
    write_config(dir, "{\"quant_method\":\"centroid\",\"version\":1,\"bits\":2}");
    expect(dir, "m", CT_FORMAT, "tensors is not an object");
    write_config(dir,
                 "{\"quant_method\":\"centroid\",\"version\":1,\"bits\":2,\"tensors\":{\"\":{}}}");
    expect(dir, "m", CT_FORMAT, "unfit name");
}

static int setup(void **state)
{
    char path[TEMP_PATH];
    return temp_dir_setup(state) == 0 ? mkdir(temp_path(*state, "m", path), 0755) : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_gguf_names_and_rows),          TEST(test_gguf_that_is_refused),
        TEST(test_directory_with_one_file),      TEST(test_directory_with_shards),
        TEST(test_shards_stay_in_the_directory), TEST(test_same_tensor_in_two_shards),
        TEST(test_clustered_matrix_is_checked),  TEST(test_quantization_entries_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
