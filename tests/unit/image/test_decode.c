/* Decoded images against Pillow's (tests/golden/make_images.py), and files that are broken, cut,
 * too large, or of another format. */
#include "tests/support/unit.h"

#include "engine/image/decode.h"
#include "tests/support/whole_file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ct_image_limits limits = {
    .n_bytes = 1 << 16, .width = 100, .height = 90, .n_pixels = 5000};

static uint8_t *read_golden(const char *name, size_t *n_bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/golden/images/%s", CT_TEST_DIR, name);
    char *data = read_whole_file(path, n_bytes);
    if (data == NULL)
        fail_msg("%s cannot be read", path);
    return (uint8_t *)data;
}

/* Calls visit for each "decode" line of the index, with the place of its pixels. */
static void each_file(void (*visit)(const char *name, int width, int height, const uint8_t *pixels))
{
    size_t n_index, n_pixels, at = 0;
    char *index = (char *)read_golden("index.txt", &n_index);
    uint8_t *pixels = read_golden("pixels.bin", &n_pixels);
    int n_files = 0;
    for (char *line = strtok(index, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char name[64];
        int width, height;
        if (sscanf(line, "decode %63s %d %d", name, &width, &height) != 3)
            continue;
        size_t n = (size_t)(width * height);
        assert_true(at + 4 * n <= n_pixels);
        visit(name, width, height, pixels + at);
        at += 4 * n;
        n_files++;
    }
    assert_int_equal(at, n_pixels);
    assert_true(n_files > 40);
    free(pixels);
    free(index);
}

static enum ct_status decode(const void *data, size_t n_bytes, int n_channels,
                             struct ct_image *image, struct ct_error *err)
{
    /* A block of exactly that size, so that a sanitizer sees a read past its end. */
    uint8_t *copy = malloc(n_bytes > 0 ? n_bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, n_bytes);
    memset(err, 0, sizeof *err);
    enum ct_status status = ct_image_decode(copy, n_bytes, n_channels, &limits, image, err);
    free(copy);
    return status;
}

static void refuse(const void *data, size_t n_bytes, enum ct_status status, const char *message)
{
    struct ct_image image;
    struct ct_error err;
    assert_int_equal(decode(data, n_bytes, 3, &image, &err), status);
    assert_string_equal(err.message, message);
    assert_null(image.pixels);
}

/* ---- what Pillow makes of it ---- */

static void compare(const char *name, int width, int height, const uint8_t *pixels)
{
    size_t n_bytes;
    uint8_t *data = read_golden(name, &n_bytes);
    for (int n_channels = 3; n_channels >= 1; n_channels -= 2) {
        struct ct_image image;
        struct ct_error err;
        if (decode(data, n_bytes, n_channels, &image, &err) != CT_OK)
            fail_msg("%s: %s", name, err.message);
        size_t n = (size_t)(width * height * n_channels);
        if (image.width != width || image.height != height || image.n_channels != n_channels)
            fail_msg("%s: %d x %d x %d", name, image.width, image.height, image.n_channels);
        for (size_t i = 0; i < n; i++)
            if (image.pixels[i] != pixels[i])
                fail_msg("%s: sample %zu of %d channels is %d, expected %d", name, i, n_channels,
                         image.pixels[i], pixels[i]);
        pixels += n;
        ct_image_deinit(&image);
    }
    free(data);
}

static void test_every_kind(void **state)
{
    (void)state;
    each_file(compare);
}

/* ---- damage ---- */

static void cut(const char *name, int width, int height, const uint8_t *pixels)
{
    (void)width, (void)height, (void)pixels;
    size_t n_bytes;
    uint8_t *data = read_golden(name, &n_bytes);
    bool is_png = data[0] == 0x89;
    size_t n_magic = is_png ? 8 : 3;
    /* The last four bytes of a PNG are the CRC of an empty chunk: libspng does without. */
    for (size_t n = 0; n < n_bytes - (is_png ? 4 : 0); n++) {
        struct ct_image image;
        struct ct_error err;
        enum ct_status status = decode(data, n, 3, &image, &err);
        if (status != (n > 0 && n < n_magic ? CT_UNSUPPORTED : CT_INVALID))
            fail_msg("%s cut to %zu of %zu bytes: %s: %s", name, n, n_bytes, ct_status_name(status),
                     err.message);
        assert_true(err.message[0] != '\0' && image.pixels == NULL);
    }
    free(data);
}

static void test_a_file_that_is_cut_anywhere_is_an_error(void **state)
{
    (void)state;
    each_file(cut);
}

static void damage(const char *name, int width, int height, const uint8_t *pixels)
{
    (void)width, (void)height, (void)pixels;
    size_t n_bytes;
    uint8_t *data = read_golden(name, &n_bytes);
    for (size_t i = 0; i < n_bytes; i++) {
        struct ct_image image;
        struct ct_error err;
        uint8_t byte = data[i];
        data[i] = (uint8_t)(byte ^ (1 + i % 255));
        enum ct_status status = decode(data, n_bytes, 3, &image, &err);
        assert_true((status == CT_OK) == (image.pixels != NULL));
        assert_true(status == CT_OK || status == CT_INVALID || status == CT_UNSUPPORTED);
        ct_image_deinit(&image);
        data[i] = byte;
    }
    free(data);
}

static void test_any_wrong_byte_is_survived(void **state)
{
    (void)state;
    each_file(damage);
}

static void test_damage_is_named(void **state)
{
    (void)state;
    size_t n_bytes;
    uint8_t *data = read_golden("rgb.png", &n_bytes);
    refuse(data, n_bytes - 5, CT_INVALID, "PNG: the file ends early");
    data[91]++; /* of the CRC of the first of the parts with pixels */
    refuse(data, n_bytes, CT_INVALID, "PNG: invalid chunk checksum");
    free(data);
    data = read_golden("420.jpg", &n_bytes);
    refuse(data, n_bytes - 1, CT_INVALID, "JPEG: Premature end of JPEG file");
    refuse(data, n_bytes - 20, CT_INVALID, "JPEG: Premature end of JPEG file");
    free(data);
}

/* ---- declared sizes ---- */

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t crc32_of(const uint8_t *data, size_t n_bytes)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < 8 * n_bytes; i++) {
        crc ^= i % 8 == 0 ? data[i / 8] : 0;
        crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static void declare_png(uint32_t width, uint32_t height, const char *message)
{
    size_t n_bytes;
    uint8_t *data = read_golden("rgb.png", &n_bytes);
    put_u32(data + 16, width);
    put_u32(data + 20, height);
    put_u32(data + 29, crc32_of(data + 12, 17));
    refuse(data, n_bytes, CT_INVALID, message);
    free(data);
}

static void declare_jpeg(uint16_t width, uint16_t height, const char *message)
{
    size_t n_bytes, at = 0;
    uint8_t *data = read_golden("420.jpg", &n_bytes);
    while (memcmp(data + at, "\xFF\xC0\x00\x11\x08", 5) != 0)
        at++;
    put_u32(data + at + 5, (uint32_t)height << 16 | width);
    refuse(data, n_bytes, CT_INVALID, message);
    free(data);
}

static void test_the_declared_size_is_limited(void **state)
{
    (void)state;
    const char *bomb = "the image declares 30000 x 30000 pixels, at most 100 x 90 are read";
    declare_png(30000, 30000, bomb);
    declare_jpeg(30000, 30000, bomb);
    declare_png(101, 1, "the image declares 101 x 1 pixels, at most 100 x 90 are read");
    declare_jpeg(1, 91, "the image declares 1 x 91 pixels, at most 100 x 90 are read");
    declare_png(100, 90, "the image declares 100 x 90 pixels, at most 5000 in all are read");
    declare_png(0, 5, "PNG: invalid image width");
    declare_png(5, 0, "PNG: invalid image height");
    declare_png(UINT32_MAX, 5, "PNG: invalid image width");
    declare_jpeg(0, 5, "JPEG: Empty JPEG image (DNL not supported)");
    declare_jpeg(5, 0, "JPEG: Empty JPEG image (DNL not supported)");
    /* more than there is */
    declare_jpeg(50, 90, "JPEG: Corrupt JPEG data: premature end of data segment");
}

static void test_the_encoded_size_is_limited(void **state)
{
    (void)state;
    static const uint8_t data[(1 << 16) + 1] = "\xFF\xD8\xFF";
    refuse(data, sizeof data, CT_TOO_LARGE, "the image has 65537 bytes, at most 65536 are read");
    refuse(data, 0, CT_INVALID, "the image is empty");
}

/* ---- other formats ---- */

static void test_other_formats_are_named(void **state)
{
    (void)state;
    refuse("GIF89a\1\0\1\0", 10, CT_UNSUPPORTED, "the image is GIF, expected JPEG or PNG");
    refuse("RIFF\x24\0\0\0WEBPVP8 ", 16, CT_UNSUPPORTED, "the image is WebP, expected JPEG or PNG");
    refuse("BM\x46\0\0\0", 6, CT_UNSUPPORTED, "the image is BMP, expected JPEG or PNG");
    refuse("\0\0\0\x18"
           "ftypheic",
           12, CT_UNSUPPORTED, "the image is HEIC, expected JPEG or PNG");
    refuse("<html>", 6, CT_UNSUPPORTED, "the image is neither JPEG nor PNG");
    refuse("\xFF\xD8", 2, CT_UNSUPPORTED, "the image is neither JPEG nor PNG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_a_file_that_is_cut_anywhere_is_an_error),
        cmocka_unit_test(test_any_wrong_byte_is_survived),
        cmocka_unit_test(test_damage_is_named),
        cmocka_unit_test(test_the_declared_size_is_limited),
        cmocka_unit_test(test_the_encoded_size_is_limited),
        cmocka_unit_test(test_other_formats_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
