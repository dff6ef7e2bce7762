/* The image side of a model: from an encoded image to the input of its graph. Any thread. */
#include "engine/image/preprocess.h"
#include "engine/runtime/engine_internal.h"

enum ct_status ct_engine_read_image(const struct ct_engine *engine, const uint8_t *data,
                                    size_t n_bytes, float *planes, struct ct_error *err)
{
    const struct ct_image_options *options = &ct_model_file_hparams(engine->file)->image;
    const struct ct_image_limits limits = CT_IMAGE_LIMITS;
    const struct ct_image_shape *shape = &engine->info.image;
    struct ct_image image = {0};
    int width, height;
    if (shape->n_channels == 0)
        return ct_error_set(err, CT_INVALID, "the model reads text, not images");
    enum ct_status status = ct_image_decode(data, n_bytes, shape->n_channels, &limits, &image, err);
    if (status == CT_OK)
        status = ct_image_output_size(options, image.width, image.height, &width, &height, err);
    if (status == CT_OK && (width != shape->width || height != shape->height))
        status = ct_error_set(
            err, CT_INVALID, "the image of %d x %d pixels becomes %d x %d, the model takes %d x %d",
            image.width, image.height, width, height, shape->width, shape->height);
    if (status == CT_OK)
        status = ct_image_preprocess(&image, options, planes, err);
    ct_image_deinit(&image);
    return status;
}
