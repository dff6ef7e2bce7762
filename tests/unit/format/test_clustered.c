/* Clustered matrices: rows equal what tests/golden/make_clustered.py packed with code of its own,
 * and views of parts that do not fit are refused. */
#include "engine/format/clustered.h"
#include "engine/format/model_file.h"
#include "engine/format/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN CT_TEST_DIR "/golden/clustered"

static void check_matrix(const struct ct_clustered *w, const struct ct_tensor *expected)
{
    assert_int_equal(expected->shape[0], w->n);
    assert_int_equal(expected->shape[1], w->k);
    float *row = malloc((size_t)w->k * sizeof *row);
    assert_non_null(row);
    for (int64_t i = 0; i < w->n; i++) {
        ct_clustered_row_f32(w, i, row);
        for (int64_t j = 0; j < w->k; j++)
            assert_true(row[j] == ((const float *)expected->data)[i * w->k + j]);
    }
    free(row);
}

static void test_rows_equal_the_golden_ones(void **state)
{
    (void)state;
    struct ct_model_file *file = NULL;
    struct ct_safetensors *expected = NULL;
    struct ct_error err;
    if (ct_model_file_open(GOLDEN, NULL, &file, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ct_safetensors_open(GOLDEN "/expected.safetensors", &expected, &err), CT_OK);
    assert_int_equal(ct_model_file_n_clustered(file), 8);
    assert_int_equal(ct_model_file_hparams(file)->clustered.bits, 6);
    for (int i = 0; i < ct_model_file_n_clustered(file); i++) {
        const char *name = ct_model_file_clustered_name(file, i);
        struct ct_clustered w;
        assert_int_equal(ct_model_file_clustered(file, name, &w, &err), CT_OK);
        check_matrix(&w, ct_safetensors_find(expected, name));
        assert_null(ct_model_file_find(file, name));
    }
    struct ct_clustered w;
    assert_int_equal(ct_model_file_clustered(file, "model.norm.weight", &w, &err), CT_NOT_FOUND);
    assert_non_null(ct_model_file_find(file, "model.norm.weight"));
    /* Padding is not a weight. */
    for (int i = 0; i < ct_model_file_n_weights(file); i++)
        assert_null(strstr(ct_model_file_weight(file, i)->tensor.name, "pad"));
    ct_safetensors_close(expected);
    ct_model_file_close(file);
}

/* The parts of a [20, 70] matrix of 6 bits in groups of 64, which single tests spoil. */
struct parts {
    struct ct_tensor index, codebook, scale, offset;
    int64_t n, k;
    int bits, group;
};

static struct parts good_parts(void)
{
    static _Alignas(64) unsigned char data[2 * 18 * 48];
    return (struct parts){
        .index = {"index", CT_DTYPE_U8, 3, {2, 18, 48, 1}, data, 2 * 18 * 48},
        .codebook = {"codebook", CT_DTYPE_I8, 2, {1, 64, 1, 1}, data, 64},
        .scale = {"scale", CT_DTYPE_F16, 3, {2, 2, 16, 1}, data, 128},
        .offset = {"offset", CT_DTYPE_F16, 3, {2, 2, 16, 1}, data, 128},
        .n = 20,
        .k = 70,
        .bits = 6,
        .group = 64,
    };
}

static enum ct_status view(const struct parts *p, bool has_scale, struct ct_clustered *out,
                           struct ct_error *err)
{
    memset(err, 0, sizeof *err);
    return ct_clustered_view("m", p->n, p->k, p->bits, p->group, &p->index, &p->codebook,
                             has_scale ? &p->scale : NULL, &p->offset, out, err);
}

static void expect(const struct parts *p, const char *part)
{
    struct ct_clustered w;
    struct ct_error err;
    assert_int_equal(view(p, true, &w, &err), CT_FORMAT);
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

static void test_sizes(void **state)
{
    (void)state;
    struct parts p = good_parts();
    struct ct_clustered w;
    struct ct_error err;
    assert_int_equal(view(&p, true, &w, &err), CT_OK);
    assert_int_equal(w.n_codebooks, 1);
    assert_int_equal(ct_clustered_index_bytes(&w), 2 * 18 * 48);
    assert_int_equal(ct_clustered_scale_bytes(&w), 2 * 2 * 16 * 2);
    assert_int_equal(ct_clustered_n_bytes(&w), 2 * 18 * 48 + 2 * 128 + 64);
}

static void test_parts_that_do_not_fit(void **state)
{
    (void)state;
    struct parts p = good_parts();
    p.n = 0;
    expect(&p, "n 0");
    p = good_parts();
    p.k = INT64_MAX;
    expect(&p, "k 9223372036854775807");
    p = good_parts();
    p.n = 33; /* a third row of tiles */
    expect(&p, "m.index is U8 [2, 18, 48], expected U8 [3, 18, 48]");
    p = good_parts();
    p.bits = 9;
    expect(&p, "bits 9");
    p = good_parts();
    p.bits = 5;
    expect(&p, "expected U8 [2, 18, 40]");
    const int groups[] = {0, -64, 1, 16, 48, 70, 256};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        p = good_parts();
        p.group = groups[i];
        expect(&p, "group");
    }
    p = good_parts();
    p.group = 32;
    expect(&p, "m.scale is F16 [2, 2, 16], expected F16 [2, 3, 16]");
    p = good_parts();
    p.index.dtype = CT_DTYPE_I8;
    expect(&p, "m.index is I8");
    p = good_parts();
    p.codebook.shape[1] = 32;
    expect(&p, "m.codebook is I8 [1, 32], expected I8 [1, 64]");
    p = good_parts();
    p.codebook.shape[0] = 20; /* of a row each: rows are padded */
    expect(&p, "expected I8 [32, 64]");
    p = good_parts();
    p.codebook.dtype = CT_DTYPE_F16;
    expect(&p, "m.codebook is F16");
    p = good_parts();
    p.codebook.n_dims = 0;
    expect(&p, "m.codebook");
    p = good_parts();
    p.offset.shape[2] = 15;
    expect(&p, "m.offset");
}

static void test_integer_codebook_needs_a_scale(void **state)
{
    (void)state;
    struct parts p = good_parts();
    struct ct_clustered w;
    struct ct_error err;
    assert_int_equal(view(&p, false, &w, &err), CT_FORMAT);
    assert_non_null(strstr(err.message, "m.scale is missing"));
    p.codebook.dtype = CT_DTYPE_F32;
    assert_int_equal(view(&p, false, &w, &err), CT_OK);
    assert_null(w.scale);
    assert_null(w.codebook_i8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_equal_the_golden_ones),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_parts_that_do_not_fit),
        cmocka_unit_test(test_integer_codebook_needs_a_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
