/* What the decoders share; only engine/image includes it. */
#ifndef CT_IMAGE_DECODE_INTERNAL_H
#define CT_IMAGE_DECODE_INTERNAL_H

#include "engine/image/decode.h"

/* Both decode into image as RGB, and set *orientation to 1..8, as EXIF counts; the caller frees
 * the pixels, after an error too. */
CT_MUST_CHECK enum ct_status ct_jpeg_decode(const uint8_t *data, size_t n_bytes,
                                            const struct ct_image_limits *limits,
                                            struct ct_image *image, int *orientation,
                                            struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_png_decode(const uint8_t *data, size_t n_bytes,
                                           const struct ct_image_limits *limits,
                                           struct ct_image *image, int *orientation,
                                           struct ct_error *err);

/* Takes memory for an RGB image of the declared size, if the limits allow it. CT_INVALID with the
 * numbers, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_image_take(struct ct_image *image, uint32_t width, uint32_t height,
                                           const struct ct_image_limits *limits,
                                           struct ct_error *err);

/* The orientation that n_bytes of EXIF (a TIFF header and its first directory) tell; 1, upright,
 * where they tell none or are damaged: a picture is still a picture without them. */
int ct_exif_orientation(const uint8_t *exif, size_t n_bytes);

#endif
