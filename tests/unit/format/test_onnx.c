/* ONNX files: weights get their names, whatever the exporter left of them, and files that are wrong
 * are refused with a message that says where. */
#include "engine/format/model_file.h"
#include "engine/format/onnx.h"
#include "engine/graph/family.h"
#include "tests/support/onnx_bytes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include <stdlib.h>
#include <sys/stat.h>

#define GOLDEN CT_TEST_DIR "/golden/"

enum { FLOAT = 1, INT64 = 7, FLOAT16 = 10, FLOAT8 = 17 };

static const float six[] = {1, 2, 3, 4, 5, 6};
static const int64_t three_by_two[] = {3, 2};

/* Opens a copy in a block of exactly this size. */
static enum ct_status try_bytes(const void *data, size_t n, struct ct_onnx **out,
                                struct ct_error *err)
{
    static void *copy;
    free(copy);
    copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    memcpy(copy, data, n);
    memset(err, 0, sizeof *err);
    enum ct_status status = ct_onnx_open_memory(copy, n, out, err);
    assert_true((status == CT_OK) == (*out != NULL));
    assert_true((status == CT_OK) == (err->message[0] == '\0'));
    return status;
}

static struct ct_onnx *open_graph(const struct onnx_bytes *graph)
{
    struct onnx_bytes model = {.n = 0};
    struct ct_onnx *onnx = NULL;
    struct ct_error err;
    onnx_model(&model, graph);
    assert_int_equal(try_bytes(model.data, model.n, &onnx, &err), CT_OK);
    return onnx;
}

static void expect_error(const struct onnx_bytes *graph, enum ct_status status, const char *part)
{
    struct onnx_bytes model = {.n = 0};
    struct ct_onnx *onnx = NULL;
    struct ct_error err;
    onnx_model(&model, graph);
    assert_int_equal(try_bytes(model.data, model.n, &onnx, &err), status);
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" has no \"%s\"", err.message, part);
}

static const struct ct_onnx_weight *find(const struct ct_onnx *onnx, const char *name)
{
    for (int i = 0; i < ct_onnx_n_weights(onnx); i++)
        if (strcmp(ct_onnx_weight(onnx, i)->tensor.name, name) == 0)
            return ct_onnx_weight(onnx, i);
    return NULL;
}

/* ---- names ---- */

static void test_product_plus_bias(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0};
    onnx_node(&graph, "MatMul", "node_1", (const char *[]){"x", "val_2", NULL}, "y");
    onnx_node(&graph, "Add", "node_2", (const char *[]){"y", "a.0.bias", NULL}, "z");
    onnx_tensor(&graph, "val_2", FLOAT, 2, three_by_two, six, sizeof six);
    onnx_tensor(&graph, "a.0.bias", FLOAT, 1, (int64_t[]){2}, six, 8);
    struct ct_onnx *onnx = open_graph(&graph);
    const struct ct_onnx_weight *weight = find(onnx, "a.0.weight");
    assert_int_equal(ct_onnx_n_weights(onnx), 2);
    assert_true(weight->is_transposed);
    assert_int_equal(weight->tensor.shape[0], 3);
    assert_memory_equal(weight->tensor.data, six, sizeof six);
    assert_false(find(onnx, "a.0.bias")->is_transposed);
    ct_onnx_close(onnx);
}

static void test_path_of_the_node(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0};
    onnx_node(&graph, "MatMul", "/blocks/blocks.3/attn/qkv/MatMul",
              (const char *[]){"x", "onnx::MatMul_7", NULL}, "y");
    onnx_node(&graph, "Concat", "/embeddings/Concat_2",
              (const char *[]){"onnx::Concat_9", "x", NULL}, "z");
    onnx_tensor(&graph, "onnx::MatMul_7", FLOAT, 2, three_by_two, six, sizeof six);
    onnx_tensor(&graph, "onnx::Concat_9", FLOAT, 2, three_by_two, six, sizeof six);
    struct ct_onnx *onnx = open_graph(&graph);
    assert_true(find(onnx, "blocks.3.attn.qkv.weight")->is_transposed);
    assert_true(find(onnx, "embeddings.Concat")->is_placed);
    ct_onnx_close(onnx);
}

/* One tensor, two layers: exporters store equal values once. */
static void test_identity_and_shared_values(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0};
    onnx_node(&graph, "Identity", "Identity_1", (const char *[]){"a.bias", NULL, NULL}, "b.bias");
    onnx_node(&graph, "MatMul", "", (const char *[]){"x", "onnx::MatMul_7", NULL}, "y");
    onnx_node(&graph, "Add", "", (const char *[]){"a.bias", "y", NULL}, "z");
    onnx_node(&graph, "MatMul", "", (const char *[]){"z", "onnx::MatMul_7", NULL}, "v");
    onnx_node(&graph, "Add", "", (const char *[]){"b.bias", "v", NULL}, "w");
    onnx_tensor(&graph, "a.bias", FLOAT, 1, (int64_t[]){2}, six, 8);
    onnx_tensor(&graph, "onnx::MatMul_7", FLOAT, 2, three_by_two, six, sizeof six);
    struct ct_onnx *onnx = open_graph(&graph);
    assert_int_equal(ct_onnx_n_weights(onnx), 4);
    assert_ptr_equal(find(onnx, "a.weight")->tensor.data, find(onnx, "b.weight")->tensor.data);
    assert_ptr_equal(find(onnx, "a.bias")->tensor.data, find(onnx, "b.bias")->tensor.data);
    ct_onnx_close(onnx);
}

static void test_gemm(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0}, node = {.n = 0}, attribute = {.n = 0};
    onnx_node(&graph, "Gemm", "", (const char *[]){"x", "val_1", "a.bias"}, "y");
    onnx_text(&node, 1, "y");
    onnx_text(&node, 1, "b.weight");
    onnx_text(&node, 1, "b.bias");
    onnx_text(&node, 2, "z");
    onnx_text(&node, 4, "Gemm");
    onnx_text(&attribute, 1, "transB");
    onnx_number(&attribute, 3, 1);
    onnx_block(&node, 5, attribute.data, attribute.n);
    onnx_block(&graph, 1, node.data, node.n);
    onnx_tensor(&graph, "val_1", FLOAT, 2, three_by_two, six, sizeof six);
    onnx_tensor(&graph, "b.weight", FLOAT, 2, three_by_two, six, sizeof six);
    struct ct_onnx *onnx = open_graph(&graph);
    assert_true(find(onnx, "a.weight")->is_transposed);
    assert_false(find(onnx, "b.weight")->is_transposed);
    ct_onnx_close(onnx);
}

/* ---- types and values ---- */

static void test_types(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0}, packed = {.n = 0};
    onnx_tensor(&graph, "ids", INT64, 5, (int64_t[]){1, 1, 1, 1, 0}, "", 0);
    onnx_tensor(&graph, "a.b", FLOAT16, 1, (int64_t[]){12}, six, sizeof six);
    onnx_number(&packed, 1, 6);
    onnx_number(&packed, 2, FLOAT);
    onnx_block(&packed, 4, six, sizeof six);
    onnx_text(&packed, 8, "c.d");
    onnx_block(&graph, 5, packed.data, packed.n);
    struct ct_onnx *onnx = open_graph(&graph);
    assert_int_equal(ct_onnx_n_weights(onnx), 2);
    assert_int_equal(find(onnx, "a.b")->tensor.dtype, CT_DTYPE_F16);
    assert_memory_equal(find(onnx, "c.d")->tensor.data, six, sizeof six);
    ct_onnx_close(onnx);
}

static void expect_tensor_error(int type, int n_dims, const int64_t *dims, size_t n_bytes,
                                enum ct_status status, const char *part)
{
    static const unsigned char zeros[64];
    struct onnx_bytes graph = {.n = 0};
    onnx_tensor(&graph, "a.b", type, n_dims, dims, zeros, n_bytes);
    expect_error(&graph, status, "a.b");
    expect_error(&graph, status, part);
}

static void test_wrong_tensors(void **state)
{
    (void)state;
    const int64_t ones[1000] = {1};
    expect_tensor_error(FLOAT, 1, (int64_t[]){4}, 12, CT_FORMAT, "12 bytes of values");
    expect_tensor_error(FLOAT, 1, (int64_t[]){4}, 20, CT_FORMAT, "need 16");
    expect_tensor_error(FLOAT, 1, (int64_t[]){-1}, 4, CT_FORMAT, "dimension 0 is -1");
    expect_tensor_error(FLOAT, 2, (int64_t[]){16, INT64_MAX / 8}, 4, CT_FORMAT, "overflows");
    expect_tensor_error(FLOAT, 1000, ones, 4, CT_UNSUPPORTED, "1000 dimensions");
    expect_tensor_error(FLOAT8, 1, (int64_t[]){4}, 4, CT_UNSUPPORTED, "element type 17");
    expect_tensor_error(0, 1, (int64_t[]){4}, 4, CT_UNSUPPORTED, "element type 0");
}

static void test_values_in_another_field(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0}, tensor = {.n = 0};
    onnx_number(&tensor, 1, 1);
    onnx_number(&tensor, 2, FLOAT16);
    onnx_number(&tensor, 5, 15360);
    onnx_text(&tensor, 8, "a.b");
    onnx_block(&graph, 5, tensor.data, tensor.n);
    expect_error(&graph, CT_UNSUPPORTED, "neither raw_data");
}

static void test_wrong_graphs(void **state)
{
    (void)state;
    struct onnx_bytes twice = {.n = 0}, nameless = {.n = 0}, same = {.n = 0}, broken = {.n = 0};
    onnx_tensor(&twice, "a.b", FLOAT, 1, (int64_t[]){1}, six, 4);
    onnx_tensor(&twice, "a.b", FLOAT, 1, (int64_t[]){1}, six, 4);
    expect_error(&twice, CT_FORMAT, "a.b appears twice");
    onnx_tensor(&nameless, "", FLOAT, 1, (int64_t[]){1}, six, 4);
    expect_error(&nameless, CT_FORMAT, "name (0 bytes)");
    onnx_tensor(&same, "w", FLOAT, 2, three_by_two, six, sizeof six);
    onnx_node(&same, "MatMul", "", (const char *[]){"x", "w", NULL}, "y");
    onnx_node(&same, "MatMul", "", (const char *[]){"y", "w", NULL}, "y");
    expect_error(&same, CT_FORMAT, "two nodes make y");
    onnx_block(&broken, 1,
               "\x0a\x05"
               "ab",
               4); /* an input of 5 bytes, of which there are 2 */
    expect_error(&broken, CT_FORMAT, "Node of 4 bytes is broken");
}

/* Values that lead back to themselves are no trouble: nothing follows them. */
static void test_cycle(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0};
    onnx_tensor(&graph, "a.bias", FLOAT, 1, (int64_t[]){2}, six, 8);
    onnx_node(&graph, "Identity", "", (const char *[]){"c.bias", NULL, NULL}, "d.bias");
    onnx_node(&graph, "Identity", "", (const char *[]){"d.bias", NULL, NULL}, "c.bias");
    struct ct_onnx *onnx = open_graph(&graph);
    assert_int_equal(ct_onnx_n_weights(onnx), 1);
    ct_onnx_close(onnx);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    struct onnx_bytes graph = {.n = 0}, model = {.n = 0};
    struct ct_onnx *onnx = NULL;
    struct ct_error err;
    onnx_node(&graph, "MatMul", "/a/MatMul", (const char *[]){"x", "val_2", NULL}, "y");
    onnx_tensor(&graph, "val_2", FLOAT, 2, three_by_two, six, sizeof six);
    onnx_model(&model, &graph);
    for (size_t n = 0; n < model.n; n++)
        assert_int_equal(try_bytes(model.data, n, &onnx, &err), CT_FORMAT);
    assert_int_equal(try_bytes(model.data, model.n, &onnx, &err), CT_OK);
    ct_onnx_close(onnx);
}

/* ---- data in another file ---- */

static void write_external(const struct temp_dir *dir, const char *location, const char *offset,
                           const char *length)
{
    const char *const pairs[3][2] = {
        {"location", location}, {"offset", offset}, {"length", length}};
    struct onnx_bytes graph = {.n = 0}, tensor = {.n = 0}, model = {.n = 0};
    onnx_number(&tensor, 1, 6);
    onnx_number(&tensor, 2, FLOAT);
    onnx_text(&tensor, 8, "a.b");
    for (int i = 0; i < 3; i++) {
        struct onnx_bytes entry = {.n = 0};
        if (pairs[i][1] == NULL)
            continue;
        onnx_text(&entry, 1, pairs[i][0]);
        onnx_text(&entry, 2, pairs[i][1]);
        onnx_block(&tensor, 13, entry.data, entry.n);
    }
    onnx_number(&tensor, 14, 1);
    onnx_block(&graph, 5, tensor.data, tensor.n);
    onnx_model(&model, &graph);
    assert_int_equal(temp_write(dir, "model.onnx", model.data, model.n), 0);
}

static void test_external_data(void **state)
{
    static const struct {
        const char *location, *offset, *length, *part;
        enum ct_status status;
    } rows[] = {
        {"data", "8", "24", NULL, CT_OK},
        {"data", "8", NULL, NULL, CT_OK},
        {"data", "9", "24", "24 bytes from 9", CT_FORMAT},
        {"data", "999999999999999999", NULL, "not within the 32", CT_FORMAT},
        {"data", "8", "25", "length is 25", CT_FORMAT},
        {"data", "-8", NULL, "offset is -8", CT_FORMAT},
        {"data", "18446744073709551615", NULL, "offset is", CT_FORMAT},
        {"nothing", "8", "24", "nothing", CT_NOT_FOUND},
        {"../data", "8", "24", "\"../data\" is not a file beside", CT_FORMAT},
        {"/etc/passwd", "0", "24", "is not a file beside", CT_FORMAT},
        {"..", "0", "24", "is not a file beside", CT_FORMAT},
        {NULL, "0", "24", "is not a file beside", CT_FORMAT},
    };
    const struct temp_dir *dir = *state;
    char path[TEMP_PATH];
    struct ct_error err;
    unsigned char data[32] = {0};
    memcpy(data + 8, six, sizeof six);
    assert_int_equal(temp_write(dir, "data", data, sizeof data), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ct_onnx *onnx = NULL;
        write_external(dir, rows[i].location, rows[i].offset, rows[i].length);
        assert_int_equal(ct_onnx_open(temp_path(dir, "model.onnx", path), &onnx, &err),
                         rows[i].status);
        if (rows[i].status == CT_OK)
            assert_memory_equal(find(onnx, "a.b")->tensor.data, six, sizeof six);
        else if (strstr(err.message, rows[i].part) == NULL ||
                 strstr(err.message, "model.onnx") == NULL)
            fail_msg("\"%s\" has no \"%s\"", err.message, rows[i].part);
        ct_onnx_close(onnx);
    }
}

/* ---- models ---- */

static void copy(const struct temp_dir *dir, const char *folder, const char *from, const char *to)
{
    char path[TEMP_PATH];
    size_t n = 0;
    snprintf(path, sizeof path, "%s%s", folder, from);
    void *data = read_whole_file(path, &n);
    assert_non_null(data);
    assert_int_equal(temp_write(dir, to, data, n), 0);
    free(data);
}

static struct ct_model_file *open_model(const char *path)
{
    struct ct_model_file *file = NULL;
    struct ct_error err = {0};
    if (ct_model_file_open(path, ct_family_foreign_names(), &file, &err) != CT_OK)
        fail_msg("%s", err.message);
    return file;
}

/* All weights of the one model are those of the other. */
static void compare(const struct ct_model_file *a, const struct ct_model_file *b)
{
    float x[64], y[64];
    for (int i = 0; i < ct_model_file_n_weights(a); i++) {
        const struct ct_weight *left = ct_model_file_weight(a, i);
        const struct ct_weight *right = ct_model_file_find(b, left->tensor.name);
        if (right == NULL)
            fail_msg("%s is missing", left->tensor.name);
        int64_t n, k;
        ct_tensor_matrix(&left->tensor, &n, &k);
        assert_int_equal(right->tensor.n_dims, left->tensor.n_dims);
        assert_memory_equal(right->tensor.shape, left->tensor.shape, sizeof left->tensor.shape);
        for (int64_t row = 0; row < n; row++) {
            ct_weight_row_f32(left, row, x);
            ct_weight_row_f32(right, row, y);
            assert_memory_equal(x, y, (size_t)k * sizeof *x);
        }
    }
}

static void expect_equal_weights(const struct temp_dir *dir, const char *folder,
                                 const char *const *names)
{
    struct ct_model_file *expected = open_model(folder);
    copy(dir, folder, "config.json", "config.json");
    for (; *names != NULL; names++) {
        copy(dir, folder, *names, "model.onnx");
        struct ct_model_file *file = open_model(dir->path);
        compare(expected, file);
        ct_model_file_close(file);
    }
    ct_model_file_close(expected);
}

static void test_exporters(void **state)
{
    const char *const names[] = {"torchscript.onnx", "torchscript_unfolded.onnx", "dynamo.onnx",
                                 "external.onnx", NULL};
    copy(*state, GOLDEN "onnx/", "external.onnx.data", "external.onnx.data");
    expect_equal_weights(*state, GOLDEN "onnx/", names);
}

/* Optimum's place for it; what is beside the file is there too. */
static void test_a_folder_for_onnx(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err = {0};
    struct ct_model_file *file = NULL, *expected = open_model(GOLDEN "onnx/");
    char path[TEMP_PATH];
    copy(dir, GOLDEN "onnx/", "config.json", "config.json");
    assert_int_equal(ct_model_file_open(dir->path, ct_family_foreign_names(), &file, &err),
                     CT_NOT_FOUND);
    assert_non_null(strstr(err.message, "neither model.safetensors nor model.onnx"));
    assert_int_equal(mkdir(temp_path(dir, "onnx", path), 0700), 0);
    copy(dir, GOLDEN "onnx/", "external.onnx", "onnx/model.onnx");
    copy(dir, GOLDEN "onnx/", "external.onnx.data", "onnx/external.onnx.data");
    file = open_model(dir->path);
    compare(expected, file);
    ct_model_file_close(file);
    ct_model_file_close(expected);
}

static void test_names_of_others(void **state)
{
    const char *const names[] = {"transformers.onnx", "timm.onnx", NULL};
    expect_equal_weights(*state, GOLDEN "onnx_vit/", names);
}

static void write_dinov2(const struct temp_dir *dir, const struct onnx_bytes *graph)
{
    struct onnx_bytes model = {.n = 0};
    onnx_model(&model, graph);
    assert_int_equal(temp_write(dir, "model.onnx", model.data, model.n), 0);
    assert_int_equal(
        temp_write_text(dir, "config.json",
                        "{\"model_type\": \"dinov2\", \"architectures\": [\"Dinov2Model\"],"
                        "\"hidden_size\": 2, \"num_hidden_layers\": 1,"
                        "\"num_attention_heads\": 1, \"image_size\": 28, \"patch_size\": 14}"),
        0);
}

static void test_places_in_two_pieces(void **state)
{
    const struct temp_dir *dir = *state;
    struct onnx_bytes graph = {.n = 0};
    float row[2];
    onnx_tensor(&graph, "net.embeddings.cls_token", FLOAT, 3, (int64_t[]){1, 1, 2}, six, 8);
    onnx_tensor(&graph, "onnx::Concat_9", FLOAT, 3, (int64_t[]){1, 1, 2}, six, 8);
    onnx_tensor(&graph, "onnx::Reshape_8", FLOAT, 3, (int64_t[]){1, 2, 2}, six + 2, 16);
    onnx_tensor(&graph, "decoder.bias", FLOAT, 1, (int64_t[]){2}, six, 8);
    onnx_node(&graph, "Concat", "/net/embeddings/Concat_7",
              (const char *[]){"onnx::Concat_9", "y", NULL}, "z");
    onnx_node(&graph, "Reshape", "/net/embeddings/Reshape_1",
              (const char *[]){"onnx::Reshape_8", "s", NULL}, "y");
    write_dinov2(dir, &graph);
    struct ct_model_file *file = open_model(dir->path);
    const struct ct_weight *places = ct_model_file_find(file, "embeddings.position_embeddings");
    assert_int_equal(ct_model_file_n_weights(file), 2);
    assert_int_equal(places->tensor.shape[1], 3);
    ct_model_file_forget(file, places); /* this memory is not a file's */
    for (int64_t i = 0; i < 3; i++) {
        ct_weight_row_f32(places, i, row);
        assert_memory_equal(row, six + 2 * i, sizeof row);
    }
    ct_model_file_close(file);
}

static void test_rows_that_are_not_three_parts(void **state)
{
    const struct temp_dir *dir = *state;
    struct onnx_bytes graph = {.n = 0};
    struct ct_model_file *file = NULL;
    struct ct_error err = {0};
    onnx_tensor(&graph, "blocks.0.attn.qkv.bias", FLOAT, 1, (int64_t[]){5}, six, 20);
    write_dinov2(dir, &graph);
    assert_int_equal(ct_model_file_open(dir->path, ct_family_foreign_names(), &file, &err),
                     CT_FORMAT);
    assert_non_null(strstr(err.message, "blocks.0.attn.qkv.bias has 5 rows"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product_plus_bias),
        cmocka_unit_test(test_path_of_the_node),
        cmocka_unit_test(test_identity_and_shared_values),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_wrong_tensors),
        cmocka_unit_test(test_values_in_another_field),
        cmocka_unit_test(test_wrong_graphs),
        cmocka_unit_test(test_cycle),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test_setup_teardown(test_external_data, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_exporters, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_for_onnx, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_names_of_others, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_places_in_two_pieces, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_rows_that_are_not_three_parts, temp_dir_setup,
                                        temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
