/* GGUF files that are wrong in every way we know of: each is refused with a message, none is read
 * past its end. Each input is copied to an exact-size block, so that a sanitizer sees a byte too
 * far. */
#include "engine/format/gguf.h"
#include "tests/support/gguf_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { F32 = 0, Q4_0 = 2 };

/* Opens exactly these bytes; the file is closed again. */
static enum ct_status try_bytes(const unsigned char *data, size_t n, struct ct_error *err)
{
    struct ct_gguf *gguf = NULL;
    unsigned char *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    memcpy(copy, data, n);
    memset(err, 0, sizeof *err);
    enum ct_status status = ct_gguf_open_memory(copy, n, &gguf, err);
    assert_true((status == CT_OK) == (gguf != NULL));
    if (status != CT_OK)
        assert_true(err->message[0] != '\0');
    ct_gguf_close(gguf);
    free(copy);
    return status;
}

static void expect(const struct gguf_bytes *b, enum ct_status status, const char *part)
{
    struct ct_error err;
    enum ct_status found = try_bytes(b->data, b->n, &err);
    if (found != status || strstr(err.message, part) == NULL)
        fail_msg("%s: \"%s\", expected %s and \"%s\"", ct_status_name(found), err.message,
                 ct_status_name(status), part);
}

/* Metadata of each shape and two tensors: [2, 3] of F32 and [2, 32] of Q4_0. */
static void build_small(struct gguf_bytes *b)
{
    put_header(b, 2, 6);
    put_text_entry(b, "general.architecture", "llama");
    put_u32_entry(b, "general.alignment", 32);
    put_key(b, "flag", CT_GGUF_BOOL);
    put(b, "\1", 1);
    put_key(b, "texts", CT_GGUF_ARRAY);
    put_u32(b, CT_GGUF_STRING);
    put_u64(b, 2);
    put_text(b, "one");
    put_text(b, "");
    put_key(b, "numbers", CT_GGUF_ARRAY);
    put_u32(b, CT_GGUF_U16);
    put_u64(b, 2);
    put(b, "\1\0\2\0", 4);
    put_key(b, "nested", CT_GGUF_ARRAY);
    put_u32(b, CT_GGUF_ARRAY);
    put_u64(b, 1);
    put_u32(b, CT_GGUF_U8);
    put_u64(b, 1);
    put(b, "\7", 1);
    put_tensor(b, "a.weight", 2, (uint64_t[]){3, 2}, F32, 0);
    put_tensor(b, "b.weight", 2, (uint64_t[]){32, 2}, Q4_0, 32);
    pad_to(b, 32);
    for (int i = 0; i < 6; i++)
        put(b, &(float){(float)i}, 4);
    pad_to(b, 32);
    for (int i = 0; i < 36; i++)
        put(b, &(char){(char)i}, 1);
}

static void test_small_file_is_read(void **state)
{
    (void)state;
    struct gguf_bytes b;
    struct ct_gguf *gguf = NULL;
    build_small(&b);
    assert_int_equal(ct_gguf_open_memory(b.data, b.n, &gguf, NULL), CT_OK);
    assert_int_equal(ct_gguf_n_tensors(gguf), 2);
    const struct ct_tensor *a = ct_gguf_find(gguf, "a.weight");
    assert_ptr_equal(a, ct_gguf_tensor(gguf, 0));
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    assert_int_equal(a->shape[2], 1);
    assert_true(((const float *)a->data)[5] == 5.0f);
    const struct ct_tensor *q = ct_gguf_find(gguf, "b.weight");
    assert_int_equal(q->dtype, CT_DTYPE_Q4_0);
    assert_int_equal(q->n_bytes, 36);
    assert_memory_equal(q->data, "\0\1\2\3", 4);
    assert_null(ct_gguf_find(gguf, "a.weigh"));
    assert_null(ct_gguf_find(gguf, ""));
    ct_gguf_close(gguf);
    pad_to(&b, 32); /* with the last tensor's padding too */
    expect(&b, CT_OK, "");
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    struct gguf_bytes b;
    struct ct_error err;
    build_small(&b);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(try_bytes(b.data, n, &err), CT_FORMAT);
    assert_int_equal(try_bytes(b.data, b.n, &err), CT_OK);
}

/* Whether a file opens or not, it must not crash, hang or allocate what it has no bytes for. */
static void test_every_64_bits_set_to_ones(void **state)
{
    (void)state;
    struct gguf_bytes b, changed;
    struct ct_error err;
    build_small(&b);
    for (size_t at = 0; at + 8 <= b.n; at++)
        for (int k = 1; k <= 64; k++) {
            uint64_t ones = k == 64 ? UINT64_MAX : ((uint64_t)1 << k) - 1;
            memcpy(&changed, &b, sizeof b);
            memcpy(changed.data + at, &ones, sizeof ones);
            (void)!try_bytes(changed.data, changed.n, &err);
        }
}

static void test_every_byte_to_every_value(void **state)
{
    (void)state;
    struct gguf_bytes b;
    struct ct_error err;
    build_small(&b);
    for (size_t at = 0; at < b.n; at++) {
        unsigned char byte = b.data[at];
        for (int value = 0; value < 256; value++) {
            b.data[at] = (unsigned char)value;
            (void)!try_bytes(b.data, b.n, &err);
        }
        b.data[at] = byte;
    }
}

static void test_header_is_checked(void **state)
{
    (void)state;
    struct gguf_bytes b;
    put_header(&b, 0, 0);
    expect(&b, CT_OK, ""); /* metadata alone, here of nothing: a vocabulary file has no tensors */
    b.data[0] = 'X';
    expect(&b, CT_FORMAT, "not a GGUF file");
    put_header(&b, 0, 0);
    b.data[4] = 2;
    expect(&b, CT_UNSUPPORTED, "version 2");
    memcpy(b.data + 4, "\0\0\0\3", 4);
    expect(&b, CT_UNSUPPORTED, "big-endian");
    put_header(&b, 1, 0);
    expect(&b, CT_FORMAT, "number of tensors");
    put_header(&b, 0, UINT64_MAX);
    expect(&b, CT_FORMAT, "18446744073709551615");
    put_header(&b, 0, 0);
    put(&b, "more than padding", 17);
    expect(&b, CT_FORMAT, "follow");
}

static void test_metadata_is_checked(void **state)
{
    (void)state;
    struct gguf_bytes b;
    put_header(&b, 0, 1);
    put_key(&b, "key", CT_GGUF_STRING);
    put_u64(&b, (uint64_t)1 << 32);
    expect(&b, CT_FORMAT, "metadata key: string");
    struct ct_gguf *gguf = NULL; /* the status is the same when nobody asks for the message */
    assert_int_equal(ct_gguf_open_memory(b.data, b.n, &gguf, NULL), CT_FORMAT);
    put_header(&b, 0, 1);
    put_key(&b, "key", (enum ct_gguf_type)13);
    put_u64(&b, 0);
    expect(&b, CT_FORMAT, "unknown type 13");
    put_header(&b, 0, 1);
    put_u32_entry(&b, "new\nline", 0);
    expect(&b, CT_FORMAT, "control characters");
    put_header(&b, 0, 1);
    put_u32_entry(&b, "", 0);
    expect(&b, CT_FORMAT, "empty");
    put_header(&b, 0, 2);
    put_u32_entry(&b, "key", 1);
    put_u32_entry(&b, "key", 2);
    expect(&b, CT_FORMAT, "key appears twice");
    put_header(&b, 0, 1);
    put_key(&b, "key", CT_GGUF_ARRAY);
    for (int i = 0; i < 5; i++) {
        put_u32(&b, CT_GGUF_ARRAY);
        put_u64(&b, 1);
    }
    expect(&b, CT_FORMAT, "nested deeper");
}

static void test_alignment_is_checked(void **state)
{
    (void)state;
    struct gguf_bytes b;
    const uint32_t wrong[] = {0, 1, 3, 4, 24, 131072, 0x80000000u, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_header(&b, 0, 1);
        put_u32_entry(&b, "general.alignment", wrong[i]);
        expect(&b, CT_FORMAT, "general.alignment");
    }
    put_header(&b, 0, 1);
    put_text_entry(&b, "general.alignment", "32");
    expect(&b, CT_FORMAT, "general.alignment");
    put_header(&b, 1, 1);
    put_u32_entry(&b, "general.alignment", 8);
    put_tensor(&b, "t", 1, (uint64_t[]){1}, F32, 0);
    pad_to(&b, 8);
    put_u32(&b, 0);
    expect(&b, CT_OK, "");
}

/* One tensor with these dimensions and 64 bytes of data. */
static void build_tensor(struct gguf_bytes *b, const char *name, uint32_t n_dims,
                         const uint64_t *dims, uint32_t type, uint64_t offset)
{
    put_header(b, 1, 0);
    put_tensor(b, name, n_dims, dims, type, offset);
    pad_to(b, 32);
    for (int i = 0; i < 64; i++)
        put(b, "", 1);
}

static void test_tensors_are_checked(void **state)
{
    (void)state;
    struct gguf_bytes b;
    build_tensor(&b, "t", 2, (uint64_t[]){8, 2}, F32, 0);
    expect(&b, CT_OK, "");
    const struct {
        uint32_t n_dims;
        uint64_t dims[5];
        uint32_t type;
        uint64_t offset;
        enum ct_status status;
        const char *part;
    } wrong[] = {
        {0, {0}, F32, 0, CT_FORMAT, "0 dimensions"},
        {5, {1, 1, 1, 1, 1}, F32, 0, CT_FORMAT, "5 dimensions"},
        {2, {0, 2}, F32, 0, CT_FORMAT, "dimension 1 is 0"},
        {1, {(uint64_t)1 << 63}, F32, 0, CT_FORMAT, "dimension 0 is"},
        {2, {16, ((uint64_t)1 << 60) + 2}, F32, 0, CT_FORMAT, "overflow"},
        {4, {65536, 65536, 65536, 65536}, F32, 0, CT_FORMAT, "overflow"},
        {1, {(uint64_t)1 << 62}, F32, 0, CT_FORMAT, "more bytes than"},
        {2, {8, 3}, F32, 0, CT_FORMAT, "data ends"},
        {2, {8, 1}, F32, 0, CT_FORMAT, "32 bytes follow"},
        {2, {33, 1}, Q4_0, 0, CT_FORMAT, "whole Q4_0 blocks"},
        {2, {8, 2}, F32, 1, CT_FORMAT, "not a multiple"},
        {2, {8, 2}, F32, 32, CT_FORMAT, "expected 0"},
        {2, {8, 2}, F32, UINT64_MAX - 31, CT_FORMAT, "expected 0"},
        {2, {8, 2}, 4, 0, CT_UNSUPPORTED, "type 4"},
        {2, {8, 2}, UINT32_MAX, 0, CT_UNSUPPORTED, "type 4294967295"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        build_tensor(&b, "t", wrong[i].n_dims, wrong[i].dims, wrong[i].type, wrong[i].offset);
        expect(&b, wrong[i].status, wrong[i].part);
    }
    build_tensor(&b, "", 1, (uint64_t[]){16}, F32, 0);
    expect(&b, CT_FORMAT, "empty");
    build_tensor(&b, "a\033[2J", 1, (uint64_t[]){16}, F32, 0);
    expect(&b, CT_FORMAT, "control characters");
}

static void test_overlaps_holes_and_duplicates(void **state)
{
    (void)state;
    static const uint64_t dims[] = {8};
    static const uint64_t offsets[] = {0, 64, 96};
    struct gguf_bytes b;
    for (size_t i = 0; i < 3; i++) {
        put_header(&b, 2, 0);
        put_tensor(&b, "a", 1, dims, F32, 0);
        put_tensor(&b, "b", 1, dims, F32, offsets[i]);
        pad_to(&b, 32);
        for (int j = 0; j < 128; j++)
            put(&b, "", 1);
        expect(&b, CT_FORMAT, "tensor b: data offset");
    }
    put_header(&b, 2, 0);
    put_tensor(&b, "a", 1, dims, F32, 0);
    put_tensor(&b, "a", 1, dims, F32, 32);
    pad_to(&b, 32);
    for (int j = 0; j < 64; j++)
        put(&b, "", 1);
    expect(&b, CT_FORMAT, "a appears twice");
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    struct ct_gguf *gguf = NULL;
    struct ct_error err;
    assert_int_equal(ct_gguf_open(CT_TEST_DIR "/no-such.gguf", &gguf, &err), CT_NOT_FOUND);
    assert_non_null(strstr(err.message, "no-such.gguf"));
    assert_int_equal(ct_gguf_open(CT_TEST_DIR, &gguf, &err), CT_FORMAT);
    assert_int_equal(ct_gguf_open("/dev/null", &gguf, &err), CT_FORMAT);
    assert_null(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_file_is_read),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_every_64_bits_set_to_ones),
        cmocka_unit_test(test_every_byte_to_every_value),
        cmocka_unit_test(test_header_is_checked),
        cmocka_unit_test(test_metadata_is_checked),
        cmocka_unit_test(test_alignment_is_checked),
        cmocka_unit_test(test_tensors_are_checked),
        cmocka_unit_test(test_overlaps_holes_and_duplicates),
        cmocka_unit_test(test_files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
