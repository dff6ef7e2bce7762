/* safetensors: what is written is read back; files that are wrong in every way we know of are
 * refused. */
#include "engine/format/safetensors.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_FILE = 4096 };

struct file_bytes {
    _Alignas(64) unsigned char data[MAX_FILE];
    size_t n;
};

/* A file of this header, padded with spaces so that data is aligned, and n_data bytes 0, 1, 2 ...
 */
static void build(struct file_bytes *b, const char *header, size_t n_data)
{
    size_t n = strlen(header);
    uint64_t n_header = (n + 8 + 63) / 64 * 64 - 8;
    assert_true(8 + n_header + n_data <= MAX_FILE);
    memcpy(b->data, &n_header, 8);
    memset(b->data + 8, ' ', n_header);
    memcpy(b->data + 8, header, n);
    for (size_t i = 0; i < n_data; i++)
        b->data[8 + n_header + i] = (unsigned char)i;
    b->n = 8 + n_header + n_data;
}

/* Opens a copy in a block of exactly this size. */
static enum ct_status try_bytes(const unsigned char *data, size_t n, struct ct_error *err)
{
    struct ct_safetensors *file = NULL;
    void *copy = NULL;
    assert_int_equal(posix_memalign(&copy, 64, n > 0 ? n : 1), 0);
    memcpy(copy, data, n);
    memset(err, 0, sizeof *err);
    enum ct_status status = ct_safetensors_open_memory(copy, n, &file, err);
    assert_true((status == CT_OK) == (file != NULL));
    assert_true((status == CT_OK) == (err->message[0] == '\0'));
    ct_safetensors_close(file);
    free(copy);
    return status;
}

static void expect(const char *header, size_t n_data, enum ct_status status, const char *part)
{
    struct file_bytes b;
    struct ct_error err;
    build(&b, header, n_data);
    enum ct_status found = try_bytes(b.data, b.n, &err);
    if (found != status || strstr(err.message, part) == NULL)
        fail_msg("%s\n%s: \"%s\", expected %s and \"%s\"", header, ct_status_name(found),
                 err.message, ct_status_name(status), part);
}

/* The second tensor comes first in the header; "scalar" has no dimension, "none" no element. */
static const char small_header[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[8,16]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
    "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[16,16]},"
    "\"scalar\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[16,17]}}";

static void test_small_file_is_read(void **state)
{
    (void)state;
    struct file_bytes b;
    struct ct_safetensors *file = NULL;
    build(&b, small_header, 17);
    assert_int_equal(ct_safetensors_open_memory(b.data, b.n, &file, NULL), CT_OK);
    assert_int_equal(ct_safetensors_n_tensors(file), 4);
    assert_string_equal(ct_safetensors_tensor(file, 0)->name, "a"); /* by place in the file */
    const struct ct_tensor *t = ct_safetensors_find(file, "b");
    assert_int_equal(t->dtype, CT_DTYPE_F16);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->n_bytes, 8);
    assert_memory_equal(t->data, "\x08\x09\x0a\x0b", 4);
    assert_int_equal(ct_safetensors_n_bytes_after(file, t), 1);
    assert_int_equal(ct_safetensors_find(file, "none")->n_bytes, 0);
    assert_int_equal(ct_safetensors_find(file, "scalar")->n_dims, 0);
    assert_null(ct_safetensors_find(file, "__metadata__"));
    ct_safetensors_close(file);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    struct file_bytes b;
    struct ct_error err;
    build(&b, small_header, 17);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(try_bytes(b.data, n, &err), CT_FORMAT);
}

static void test_header_length_set_to_ones(void **state)
{
    (void)state;
    struct file_bytes b;
    struct ct_error err;
    for (int k = 1; k <= 64; k++) {
        uint64_t ones = k == 64 ? UINT64_MAX : ((uint64_t)1 << k) - 1;
        build(&b, small_header, 17);
        memcpy(b.data, &ones, 8);
        assert_int_equal(try_bytes(b.data, b.n, &err), CT_FORMAT);
    }
}

static void test_every_byte_to_every_value(void **state)
{
    (void)state;
    struct file_bytes b;
    struct ct_error err;
    build(&b, small_header, 17);
    for (size_t at = 0; at < b.n; at++) {
        unsigned char byte = b.data[at];
        for (int value = 0; value < 256; value++) {
            b.data[at] = (unsigned char)value;
            (void)!try_bytes(b.data, b.n, &err);
        }
        b.data[at] = byte;
    }
}

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_entries_are_checked(void **state)
{
    (void)state;
    expect(ONE("\"F32\"", "[2]", "[0,8]"), 8, CT_OK, "");
    expect("{}", 0, CT_OK, "");
    expect("[]", 0, CT_FORMAT, "not an object");
    expect("", 0, CT_FORMAT, "header");
    expect("{\"t\":3}", 8, CT_FORMAT, "tensor t: not an object");
    expect(ONE("3", "[2]", "[0,8]"), 8, CT_FORMAT, "dtype");
    expect(ONE("\"F8_E4M3\"", "[8]", "[0,8]"), 8, CT_UNSUPPORTED, "F8_E4M3");
    expect(ONE("\"F32\"", "2", "[0,8]"), 8, CT_FORMAT, "shape");
    expect(ONE("\"F32\"", "[1,1,1,1,2]", "[0,8]"), 8, CT_UNSUPPORTED, "5 dimensions");
    expect(ONE("\"F32\"", "[-2]", "[0,8]"), 8, CT_FORMAT, "dimension 0");
    expect(ONE("\"F32\"", "[2.0]", "[0,8]"), 8, CT_FORMAT, "dimension 0");
    expect(ONE("\"F32\"", "[18446744073709551615]", "[0,8]"), 8, CT_FORMAT, "header");
    expect(ONE("\"F32\"", "[16,1152921504606846978]", "[0,8]"), 8, CT_FORMAT, "overflows");
    expect(ONE("\"F32\"", "[4294967296,4294967296]", "[0,8]"), 8, CT_FORMAT, "overflows");
    expect(ONE("\"F32\"", "[3]", "[0,8]"), 8, CT_FORMAT, "need 12 bytes");
    expect(ONE("\"F32\"", "[1]", "[0,8]"), 8, CT_FORMAT, "need 4 bytes");
    expect(ONE("\"F32\"", "[2]", "[0]"), 8, CT_FORMAT, "data_offsets");
    expect(ONE("\"F32\"", "[2]", "[0,8,8]"), 8, CT_FORMAT, "data_offsets");
    expect(ONE("\"F32\"", "[2]", "[8,0]"), 8, CT_FORMAT, "data_offsets");
    expect(ONE("\"F32\"", "[2]", "[-8,0]"), 8, CT_FORMAT, "data_offsets");
    expect(ONE("\"F32\"", "[2]", "[0,16]"), 8, CT_FORMAT, "data_offsets");
    expect(ONE("\"F32\"", "[2]", "[9223372036854775800,9223372036854775807]"), 8, CT_FORMAT,
           "data_offsets");
    expect(ONE("\"F32\"", "[2]", "[8,16]"), 16, CT_FORMAT, "starts at 8, expected 0");
    expect(ONE("\"F32\"", "[2]", "[0,8]"), 9, CT_FORMAT, "1 bytes follow");
    expect("{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, CT_FORMAT, "empty");
    expect("{\"a\\nb\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, CT_FORMAT,
           "control characters");
    expect("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, CT_FORMAT,
           "header");
}

#define TWO(name_b, offsets_a, offsets_b)                                                          \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":" offsets_a "}, \"" name_b            \
    "\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":" offsets_b "}}"

static void test_overlaps_holes_and_duplicates(void **state)
{
    (void)state;
    expect(TWO("b", "[0,3]", "[3,6]"), 6, CT_OK, "");
    expect(TWO("b", "[3,6]", "[0,3]"), 6, CT_OK, "");
    expect(TWO("b", "[0,3]", "[2,5]"), 6, CT_FORMAT, "tensor b: data starts at 2, expected 3");
    expect(TWO("b", "[0,3]", "[0,3]"), 3, CT_FORMAT, "expected 3");
    expect(TWO("b", "[0,3]", "[4,7]"), 7, CT_FORMAT, "starts at 4, expected 3");
    expect(TWO("a", "[0,3]", "[3,6]"), 6, CT_FORMAT, "duplicate");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
           "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[3,7]}}",
           7, CT_FORMAT, "not aligned");
}

static void test_deep_header_is_refused(void **state)
{
    (void)state;
    char header[1200] = "{\"__metadata__\":";
    size_t n = strlen(header);
    memset(header + n, '[', 1000);
    header[n + 1000] = '\0';
    expect(header, 0, CT_TOO_LARGE, "nests deeper than 64");
    /* A bracket in a string does not nest. */
    snprintf(header, sizeof header, "{\"__metadata__\":{\"k\":\"\\\"%0100d\"}}", 0);
    for (char *p = strchr(header, '0'); *p == '0'; p++)
        *p = '[';
    expect(header, 0, CT_OK, "");
}

/* ---- writing ---- */

static void test_written_file_is_read_back(void **state)
{
    const struct temp_dir *dir = *state;
    char path[TEMP_PATH];
    struct ct_error err;
    struct ct_safetensors_writer *writer = NULL;
    struct ct_safetensors *file = NULL;
    const struct ct_tensor tensors[] = {
        {.name = "x.index", .dtype = CT_DTYPE_U8, .n_dims = 3, .shape = {1, 2, 32}},
        {.name = "na\"me", .dtype = CT_DTYPE_F32, .n_dims = 1, .shape = {2, 1, 1, 1}},
        {.name = "scalar", .dtype = CT_DTYPE_I8, .n_dims = 0},
    };
    unsigned char bytes[64 + 8 + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(3 * i);
    temp_path(dir, "written.safetensors", path);
    assert_int_equal(ct_safetensors_writer_open(path, tensors, 3, &writer, &err), CT_OK);
    assert_int_equal(ct_safetensors_write(writer, bytes, 70, &err), CT_OK);
    assert_int_equal(ct_safetensors_write(writer, bytes, 4, &err), CT_INVALID);
    assert_int_equal(ct_safetensors_write(writer, bytes + 70, 3, &err), CT_OK);
    assert_int_equal(ct_safetensors_writer_close(writer, &err), CT_OK);
    assert_int_equal(ct_safetensors_open(path, &file, &err), CT_OK);
    assert_int_equal(ct_safetensors_n_tensors(file), 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(ct_safetensors_tensor(file, i)->name, tensors[i].name);
    const struct ct_tensor *index = ct_safetensors_find(file, "x.index");
    assert_int_equal((uintptr_t)index->data % 64, 0);
    assert_memory_equal(index->data, bytes, sizeof bytes);
    ct_safetensors_close(file);
}

static void test_writer_refuses_what_no_reader_takes(void **state)
{
    const struct temp_dir *dir = *state;
    char path[TEMP_PATH];
    struct ct_error err;
    struct ct_safetensors_writer *writer = NULL;
    struct ct_tensor two[] = {{.name = "a", .dtype = CT_DTYPE_U8, .n_dims = 1, .shape = {1}},
                              {.name = "a", .dtype = CT_DTYPE_U8, .n_dims = 1, .shape = {1}}};
    temp_path(dir, "refused.safetensors", path);
    assert_int_equal(ct_safetensors_writer_open(path, two, 2, &writer, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "declared twice"));
    two[1].name = "a\n";
    assert_int_equal(ct_safetensors_writer_open(path, two, 2, &writer, &err), CT_INVALID);
    two[1] = (struct ct_tensor){.name = "q", .dtype = CT_DTYPE_Q4_0, .n_dims = 1, .shape = {32}};
    assert_int_equal(ct_safetensors_writer_open(path, two, 2, &writer, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "Q4_0"));
    assert_int_equal(ct_safetensors_writer_open("/no/such/dir", two, 1, &writer, &err), CT_IO);
    assert_int_equal(ct_safetensors_writer_open(path, two, 1, &writer, &err), CT_OK);
    assert_int_equal(ct_safetensors_writer_close(writer, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "0 of 1 declared bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_file_is_read),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_header_length_set_to_ones),
        cmocka_unit_test(test_every_byte_to_every_value),
        cmocka_unit_test(test_entries_are_checked),
        cmocka_unit_test(test_overlaps_holes_and_duplicates),
        cmocka_unit_test(test_deep_header_is_refused),
        cmocka_unit_test(test_written_file_is_read_back),
        cmocka_unit_test(test_writer_refuses_what_no_reader_takes),
    };
    return cmocka_run_group_tests(tests, temp_dir_setup, temp_dir_teardown);
}
