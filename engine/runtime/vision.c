/* From an encoded image to the input of a model's graph. */
#include "engine/runtime/vision.h"

#include "engine/image/preprocess.h"
#include "engine/runtime/engine_internal.h"

enum ct_status ct_vision_read_image(const struct ct_hparams *hparams, const uint8_t *data,
                                    size_t n_bytes, float *planes, struct ct_error *err)
{
    const struct ct_image_limits limits = CT_IMAGE_LIMITS;
    const struct ct_vision *v = &hparams->vision;
    struct ct_image image = {0};
    int width, height;
    enum ct_status status = ct_image_decode(data, n_bytes, v->n_channels, &limits, &image, err);
    if (status == CT_OK)
        status =
            ct_image_output_size(&hparams->image, image.width, image.height, &width, &height, err);
    if (status == CT_OK && (width != v->width || height != v->height))
        status = ct_error_set(
            err, CT_INVALID, "the image of %d x %d pixels becomes %d x %d, the model takes %d x %d",
            image.width, image.height, width, height, v->width, v->height);
    if (status == CT_OK)
        status = ct_image_preprocess(&image, &hparams->image, planes, err);
    ct_image_deinit(&image);
    return status;
}

enum ct_status ct_engine_read_image(const struct ct_engine *engine, const uint8_t *data,
                                    size_t n_bytes, float *planes, struct ct_error *err)
{
    if (engine->info.image.n_channels == 0)
        return ct_error_set(err, CT_INVALID, "the model reads text, not images");
    return ct_vision_read_image(ct_model_file_hparams(engine->file), data, n_bytes, planes, err);
}
