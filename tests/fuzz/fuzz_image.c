/* Images and their configuration: bytes that begin with '{' are read as preprocessor_config.json
 * and what opened is applied to a small picture; all others are decoded as an image, in colour and
 * gray, and what opened goes through resize and crop. */
#include "engine/image/preprocess.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { OUTPUT_PIXELS = 1 << 16 };

static void preprocess(const struct ct_image *image, const struct ct_image_options *options)
{
    struct ct_error err;
    int width, height;
    if (ct_image_output_size(options, image->width, image->height, &width, &height, &err) !=
            CT_OK ||
        (int64_t)width * height > OUTPUT_PIXELS)
        return;
    float *planes =
        malloc((size_t)width * (size_t)height * (size_t)image->n_channels * sizeof *planes);
    if (planes == NULL || ct_image_preprocess(image, options, planes, &err) != CT_OK)
        abort();
    free(planes);
}

static void read_config(const uint8_t *data, size_t n_bytes)
{
    static const char *const types[] = {"vit", "deit", "dinov2"};
    for (int i = 0; i < 3; i++)
        for (int n_channels = 1; n_channels <= 3; n_channels += 2) {
            uint8_t pixels[5 * 4 * 3] = {1, 255, 3};
            struct ct_image image = {pixels, 5, 4, n_channels};
            struct ct_image_options options;
            struct ct_error err;
            if (ct_image_options_read((const char *)data, n_bytes, types[i], n_channels, &options,
                                      &err) == CT_OK)
                preprocess(&image, &options);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const struct ct_image_limits limits = {
        .n_bytes = 1 << 20, .width = 500, .height = 400, .n_pixels = 10000};
    static const char config[] = "{\"size\":{\"shortest_edge\":19},\"crop_size\":14}";
    if (n_bytes > 0 && data[0] == '{') {
        read_config(data, n_bytes);
        return 0;
    }
    for (int n_channels = 1; n_channels <= 3; n_channels += 2) {
        struct ct_image image;
        struct ct_image_options options;
        struct ct_error err;
        if (ct_image_decode(data, n_bytes, n_channels, &limits, &image, &err) != CT_OK) {
            if (image.pixels != NULL || err.message[0] == '\0')
                abort();
            return 0;
        }
        if (ct_image_options_read(config, sizeof config - 1, "dinov2", n_channels, &options,
                                  &err) != CT_OK)
            abort();
        preprocess(&image, &options);
        ct_image_deinit(&image);
    }
    return 0;
}
