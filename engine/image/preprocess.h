/* From an image's pixels to a vision model's input, as its preprocessor_config.json asks: resize,
 * crop from the middle, rescale, normalise.
 *
 * The reference is transformers' image processors over Pillow, and the values are the same to the
 * last bit: resize.c has Pillow's arithmetic, and the rest is a table of 256 values a channel,
 * because pixels are bytes until the end. Only what the crop leaves is computed. Any thread. */
#ifndef CT_IMAGE_PREPROCESS_H
#define CT_IMAGE_PREPROCESS_H

#include "engine/base/status.h"
#include "engine/image/decode.h"

#include <stdbool.h>
#include <stddef.h>

enum ct_image_filter { CT_IMAGE_NEAREST, CT_IMAGE_BILINEAR, CT_IMAGE_BICUBIC };

enum {
    CT_IMAGE_CHANNELS = 3,            /* at most */
    CT_IMAGE_EDGE = 4096,             /* longest that a configuration may ask for */
    CT_IMAGE_OUTPUT_PIXELS = 1 << 24, /* most that an image may become */
};

struct ct_image_size {
    int height, width;
    int shortest_edge; /* > 0: in their place; the other edge keeps the image's proportion */
};

/* The fields of preprocessor_config.json, under their names. */
struct ct_image_options {
    int n_channels; /* 3, or 1: gray */
    bool do_resize, do_center_crop, do_rescale, do_normalize;
    enum ct_image_filter resample;
    struct ct_image_size size, crop_size;
    double rescale_factor;
    float image_mean[CT_IMAGE_CHANNELS], image_std[CT_IMAGE_CHANNELS];
};

/* Reads the JSON text of n_bytes; "{}" does for a model without the file. A field that is missing
 * or null takes the default of the image processor that the file names, or else of model_type's
 * (vit, deit, dinov2); a field that the processor does not know is ignored. CT_FORMAT names a field
 * of a wrong type or out of range, CT_UNSUPPORTED a processor, filter or way of resizing that is
 * not built; also ct_json_read's. */
CT_MUST_CHECK enum ct_status ct_image_options_read(const char *text, size_t n_bytes,
                                                   const char *model_type, int n_channels,
                                                   struct ct_image_options *options,
                                                   struct ct_error *err);

/* What an image of width x height pixels becomes. CT_INVALID where that is too much. */
CT_MUST_CHECK enum ct_status ct_image_output_size(const struct ct_image_options *options, int width,
                                                  int height, int *out_width, int *out_height,
                                                  struct ct_error *err);

/* Writes the model's input to planes [n_channels, out_height, out_width], the caller's, of the
 * size that ct_image_output_size gives. The image has the options' n_channels. Takes for the time
 * of the call one block of image height x out_width pixels, and the filter's weights, a few times
 * the edges. CT_INVALID as above, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_image_preprocess(const struct ct_image *image,
                                                 const struct ct_image_options *options,
                                                 float *planes, struct ct_error *err);

#endif
