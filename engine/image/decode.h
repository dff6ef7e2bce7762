/* Images as they arrive, JPEG or PNG, to 8-bit pixels.
 *
 * The format is told by the first bytes, never by a name. A header is read first and held against
 * the limits, and only then is memory taken for pixels; a file that ends early or is damaged is an
 * error, never half an image. Pixels are those of Pillow's open(), exif_transpose() and
 * convert("RGB"): alpha is dropped, an animated PNG gives its default image, CMYK goes by Adobe's
 * convention. One thing differs: 16-bit gray keeps its high byte, as 16-bit colour does in both,
 * where Pillow turns everything above 255 white. Any thread.
 *
 *   bytes -> jpeg.c | png.c -> RGB rows -> gray, where one channel is wanted -> turned upright
 */
#ifndef CT_IMAGE_DECODE_H
#define CT_IMAGE_DECODE_H

#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* What a header may declare. Decoding holds at most 11 bytes for each pixel at a time: three of the
 * picture, and up to eight more while a progressive JPEG is read, or three while it is turned. */
struct ct_image_limits {
    size_t n_bytes; /* of the encoded image */
    int width, height;
    int64_t n_pixels;
};

/* Room for the photos of today's phones. */
#define CT_IMAGE_LIMITS                                                                            \
    ((struct ct_image_limits){                                                                     \
        .n_bytes = 32u << 20, .width = 16384, .height = 16384, .n_pixels = 50000000})

struct ct_image {
    uint8_t *pixels; /* [height, width, n_channels], owned */
    int width, height, n_channels;
};

/* Decodes n_bytes at data into *image; n_channels is 3 for RGB or 1 for gray. CT_TOO_LARGE where
 * n_bytes passes its limit; CT_INVALID names what is damaged, or the limit of width, height or
 * pixels and what the header declares; CT_UNSUPPORTED for another format, or a kind of JPEG or PNG
 * that is not read; CT_MEMORY. *image is empty after an error. */
CT_MUST_CHECK enum ct_status ct_image_decode(const uint8_t *data, size_t n_bytes, int n_channels,
                                             const struct ct_image_limits *limits,
                                             struct ct_image *image, struct ct_error *err);

/* Frees the pixels; an empty or zeroed image is allowed. */
void ct_image_deinit(struct ct_image *image);

#endif
