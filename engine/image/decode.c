#include "engine/image/decode.h"

#include "engine/image/decode_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- formats ---- */

typedef enum ct_status decoder(const uint8_t *data, size_t n_bytes,
                               const struct ct_image_limits *limits, struct ct_image *image,
                               int *orientation, struct ct_error *err);

/* A format is known by the bytes that stand at a place near its beginning. */
static const struct format {
    const char *name;
    size_t at, n_bytes;
    const char *bytes;
    decoder *decode; /* NULL: known by name alone */
} formats[] = {
    {"JPEG", 0, 3, "\xFF\xD8\xFF", ct_jpeg_decode},
    {"PNG", 0, 8, "\x89PNG\r\n\x1A\n", ct_png_decode},
    {"GIF", 0, 4, "GIF8", NULL},
    {"WebP", 8, 4, "WEBP", NULL},
    {"BMP", 0, 2, "BM", NULL},
    {"TIFF", 0, 4, "II*\0", NULL},
    {"TIFF", 0, 4, "MM\0*", NULL},
    {"JPEG 2000", 4, 4, "jP  ", NULL},
    {"AVIF", 4, 8, "ftypavif", NULL},
    {"HEIC", 4, 8, "ftypheic", NULL},
};

static const struct format *find_format(const uint8_t *data, size_t n_bytes)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const struct format *format = &formats[i];
        if (n_bytes >= format->at + format->n_bytes &&
            memcmp(data + format->at, format->bytes, format->n_bytes) == 0)
            return format;
    }
    return NULL;
}

/* ---- pixels ---- */

enum ct_status ct_image_take(struct ct_image *image, uint32_t width, uint32_t height,
                             const struct ct_image_limits *limits, struct ct_error *err)
{
    if (width == 0 || height == 0)
        return ct_error_set(err, CT_INVALID,
                            "the image declares %" PRIu32 " x %" PRIu32 " pixels, which is none",
                            width, height);
    if (width > (uint32_t)limits->width || height > (uint32_t)limits->height)
        return ct_error_set(err, CT_INVALID,
                            "the image declares %" PRIu32 " x %" PRIu32
                            " pixels, at most %d x %d are read",
                            width, height, limits->width, limits->height);
    if ((uint64_t)width * height > (uint64_t)limits->n_pixels)
        return ct_error_set(err, CT_INVALID,
                            "the image declares %" PRIu32 " x %" PRIu32 " pixels, at most %" PRId64
                            " in all are read",
                            width, height, limits->n_pixels);
    image->pixels = malloc((size_t)width * height * 3);
    if (image->pixels == NULL)
        return ct_error_set(err, CT_MEMORY,
                            "no memory for an image of %" PRIu32 " x %" PRIu32 " pixels", width,
                            height);
    image->width = (int)width;
    image->height = (int)height;
    image->n_channels = 3;
    return CT_OK;
}

/* RGB to gray in place, by ITU-R 601 in 16 bits, as Pillow rounds it; gray pixels stay as they
 * are. */
static void make_gray(struct ct_image *image)
{
    size_t n_pixels = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < n_pixels; i++) {
        const uint8_t *rgb = image->pixels + 3 * i;
        image->pixels[i] =
            (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
    }
    image->n_channels = 1;
}

/* Turns the image upright. EXIF's eight orientations are the mirrors of the source's axes and
 * their exchange:
 *
 *   1 .        2 x        3 x y      4 y
 *   5 swap     6 swap y   7 swap xy  8 swap x
 */
static enum ct_status turn(struct ct_image *image, int orientation, struct ct_error *err)
{
    bool mirrors_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool mirrors_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    ptrdiff_t n_channels = image->n_channels, stride = n_channels * image->width;
    ptrdiff_t step_x = mirrors_x ? -n_channels : n_channels, step_y = mirrors_y ? -stride : stride;
    struct ct_image turned = *image;
    turned.pixels = malloc((size_t)stride * (size_t)image->height);
    if (turned.pixels == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory to turn an image of %d x %d pixels",
                            image->width, image->height);
    const uint8_t *row = image->pixels + (mirrors_x ? stride - n_channels : 0) +
                         (mirrors_y ? stride * (image->height - 1) : 0);
    if (orientation >= 5) {
        turned.width = image->height;
        turned.height = image->width;
        ptrdiff_t step = step_x;
        step_x = step_y;
        step_y = step;
    }
    uint8_t *out = turned.pixels;
    for (int y = 0; y < turned.height; y++, row += step_y) {
        const uint8_t *from = row;
        for (int x = 0; x < turned.width; x++, from += step_x, out += n_channels)
            memcpy(out, from, (size_t)n_channels);
    }
    free(image->pixels);
    *image = turned;
    return CT_OK;
}

enum ct_status ct_image_decode(const uint8_t *data, size_t n_bytes, int n_channels,
                               const struct ct_image_limits *limits, struct ct_image *image,
                               struct ct_error *err)
{
    assert(n_channels == 1 || n_channels == 3);
    memset(image, 0, sizeof *image);
    if (n_bytes == 0)
        return ct_error_set(err, CT_INVALID, "the image is empty");
    if (n_bytes > limits->n_bytes)
        return ct_error_set(err, CT_TOO_LARGE, "the image has %zu bytes, at most %zu are read",
                            n_bytes, limits->n_bytes);
    const struct format *format = find_format(data, n_bytes);
    if (format == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "the image is neither JPEG nor PNG");
    if (format->decode == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "the image is %s, expected JPEG or PNG",
                            format->name);
    int orientation = 1;
    enum ct_status status = format->decode(data, n_bytes, limits, image, &orientation, err);
    if (status == CT_OK && n_channels == 1)
        make_gray(image);
    if (status == CT_OK && orientation != 1)
        status = turn(image, orientation, err);
    if (status != CT_OK)
        ct_image_deinit(image);
    return status;
}

void ct_image_deinit(struct ct_image *image)
{
    free(image->pixels);
    memset(image, 0, sizeof *image);
}
