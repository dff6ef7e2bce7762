#include "engine/base/config_json.h"
#include "engine/base/json_read.h"
#include "engine/image/preprocess.h"

#include <math.h>
#include <string.h>

/* ---- image processors ---- */

/* What an image processor takes where the file is silent. */
struct processor {
    const char *model_type, *name; /* name: without "ImageProcessor", or "FeatureExtractor" */
    enum ct_image_filter resample;
    bool is_square; /* a size of one number: of both edges, or of the shorter one */
    bool do_center_crop;
    int size, crop_size;
    float image_mean[CT_IMAGE_CHANNELS], image_std[CT_IMAGE_CHANNELS];
};

static const struct processor processors[] = {
    {.model_type = "vit",
     .name = "ViT",
     .resample = CT_IMAGE_BILINEAR,
     .is_square = true,
     .size = 224,
     .image_mean = {0.5f, 0.5f, 0.5f},
     .image_std = {0.5f, 0.5f, 0.5f}},
    {.model_type = "deit",
     .name = "DeiT",
     .resample = CT_IMAGE_BICUBIC,
     .is_square = true,
     .do_center_crop = true,
     .size = 256,
     .crop_size = 224,
     .image_mean = {0.5f, 0.5f, 0.5f},
     .image_std = {0.5f, 0.5f, 0.5f}},
    {.model_type = "dinov2",
     .name = "Bit",
     .resample = CT_IMAGE_BICUBIC,
     .do_center_crop = true,
     .size = 224,
     .crop_size = 224,
     .image_mean = {0.48145466f, 0.4578275f, 0.40821073f},
     .image_std = {0.26862954f, 0.26130258f, 0.27577711f}},
};

/* ViTImageProcessor, ViTImageProcessorFast and ViTFeatureExtractor are all ViT. */
static bool is_named(const struct processor *processor, const char *type)
{
    size_t n = strlen(processor->name);
    return strncmp(type, processor->name, n) == 0 &&
           (strncmp(type + n, "ImageProcessor", 14) == 0 ||
            strncmp(type + n, "FeatureExtractor", 16) == 0);
}

static enum ct_status find_processor(const json_t *config, const char *model_type,
                                     const struct processor **out, struct ct_error *err)
{
    const char *key = "image_processor_type";
    if (ct_config_key(config, key) == NULL)
        key = "feature_extractor_type";
    const json_t *type = ct_config_key(config, key);
    if (type != NULL && !json_is_string(type))
        return ct_config_unexpected(key, type, "text", CT_FORMAT, err);
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++) {
        *out = &processors[i];
        if (type != NULL ? is_named(*out, json_string_value(type))
                         : strcmp((*out)->model_type, model_type) == 0)
            return CT_OK;
    }
    if (type == NULL)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "no image processor is built for models of type %s", model_type);
    return ct_config_unexpected(key, type, "the image processor of ViT, DeiT or Bit",
                                CT_UNSUPPORTED, err);
}

/* ---- fields ---- */

/* As PIL.Image.Resampling counts. */
static enum ct_status read_filter(const json_t *config, enum ct_image_filter *filter,
                                  struct ct_error *err)
{
    const char *key = "resample";
    const json_t *found = ct_config_key(config, key);
    if (found == NULL)
        return CT_OK;
    json_int_t value = json_is_integer(found) ? json_integer_value(found) : -1;
    switch (value) {
    case 0:
        *filter = CT_IMAGE_NEAREST;
        return CT_OK;
    case 2:
        *filter = CT_IMAGE_BILINEAR;
        return CT_OK;
    case 3:
        *filter = CT_IMAGE_BICUBIC;
        return CT_OK;
    case 1: /* Lanczos */
    case 4: /* box */
    case 5: /* Hamming */
        return ct_config_unexpected(key, found, "0 (nearest), 2 (bilinear) or 3 (bicubic)",
                                    CT_UNSUPPORTED, err);
    default:
        return ct_config_unexpected(key, found, "a whole number within 0..5", CT_FORMAT, err);
    }
}

static enum ct_status read_edge(const json_t *object, const char *key, int *edge,
                                struct ct_error *err)
{
    enum ct_status status = ct_config_int(object, key, false, edge, err);
    if (status == CT_OK && (*edge < 1 || *edge > CT_IMAGE_EDGE))
        status =
            ct_error_set(err, CT_FORMAT, "%s is %d, expected 1..%d", key, *edge, CT_IMAGE_EDGE);
    return status;
}

/* size and crop_size: one number, {height, width} or {shortest_edge}. */
static enum ct_status read_size(const json_t *config, const char *key, bool is_square,
                                struct ct_image_size *size, struct ct_error *err)
{
    static const char *const unbuilt[] = {"longest_edge", "max_height", "max_width"};
    const json_t *found = ct_config_key(config, key);
    if (found == NULL)
        return CT_OK;
    struct ct_image_size read = {0};
    enum ct_status status;
    if (json_is_object(found)) {
        for (size_t i = 0; i < sizeof unbuilt / sizeof unbuilt[0]; i++)
            if (ct_config_key(found, unbuilt[i]) != NULL)
                return ct_config_unexpected(key, found, "height and width, or shortest_edge",
                                            CT_UNSUPPORTED, err);
        if (ct_config_key(found, "shortest_edge") != NULL) {
            status = read_edge(found, "shortest_edge", &read.shortest_edge, err);
        } else {
            status = read_edge(found, "height", &read.height, err);
            if (status == CT_OK)
                status = read_edge(found, "width", &read.width, err);
        }
        if (status != CT_OK)
            ct_error_prefix(err, "%s", key);
    } else {
        status = read_edge(config, key, is_square ? &read.height : &read.shortest_edge, err);
        read.width = read.height;
    }
    if (status == CT_OK)
        *size = read;
    return status;
}

/* A number for all channels, or a list with one for each. */
static enum ct_status read_channels(const json_t *config, const char *key, int n_channels,
                                    float values[CT_IMAGE_CHANNELS], struct ct_error *err)
{
    const json_t *found = ct_config_key(config, key);
    if (found == NULL)
        return CT_OK;
    if (!json_is_number(found) && json_array_size(found) != (size_t)n_channels)
        return ct_config_unexpected(
            key, found, n_channels == 1 ? "a number" : "a number, or a list of 3", CT_FORMAT, err);
    for (int c = 0; c < n_channels; c++) {
        const json_t *value = json_is_array(found) ? json_array_get(found, (size_t)c) : found;
        values[c] = (float)json_number_value(value);
        if (!json_is_number(value) || !isfinite(values[c]))
            return ct_config_unexpected(key, found, "finite numbers", CT_FORMAT, err);
    }
    return CT_OK;
}

/* ---- the file ---- */

static enum ct_status read_fields(const json_t *config, bool is_square,
                                  struct ct_image_options *options, struct ct_error *err)
{
    bool does_pad = false, converts = true; /* the second asks for what is always done */
    const struct {
        const char *key;
        bool *value;
    } flags[] = {
        {"do_resize", &options->do_resize},   {"do_center_crop", &options->do_center_crop},
        {"do_rescale", &options->do_rescale}, {"do_normalize", &options->do_normalize},
        {"do_convert_rgb", &converts},        {"do_pad", &does_pad},
    };
    enum ct_status status = CT_OK;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && status == CT_OK; i++)
        status = ct_config_bool(config, flags[i].key, flags[i].value, err);
    if (status == CT_OK && does_pad)
        status = ct_error_set(err, CT_UNSUPPORTED, "do_pad is true, expected false");
    if (status == CT_OK)
        status = read_filter(config, &options->resample, err);
    if (status == CT_OK)
        status = read_size(config, "size", is_square, &options->size, err);
    if (status == CT_OK)
        status = read_size(config, "crop_size", true, &options->crop_size, err);
    if (status == CT_OK)
        status = ct_config_double(config, "rescale_factor", &options->rescale_factor, err);
    if (status == CT_OK)
        status = read_channels(config, "image_mean", options->n_channels, options->image_mean, err);
    if (status == CT_OK)
        status = read_channels(config, "image_std", options->n_channels, options->image_std, err);
    return status;
}

/* What single fields cannot tell. */
static enum ct_status check(const struct ct_image_options *options, struct ct_error *err)
{
    if (options->do_center_crop && options->crop_size.height == 0)
        return ct_error_set(err, CT_FORMAT,
                            "do_center_crop is true, but crop_size has no height and width");
    for (int c = 0; c < options->n_channels; c++)
        if (options->do_normalize && options->image_std[c] == 0)
            return ct_error_set(err, CT_FORMAT, "image_std has a 0, which would divide");
    return CT_OK;
}

enum ct_status ct_image_options_read(const char *text, size_t n_bytes, const char *model_type,
                                     int n_channels, struct ct_image_options *options,
                                     struct ct_error *err)
{
    json_t *config = NULL;
    const struct processor *p = NULL;
    memset(options, 0, sizeof *options);
    enum ct_status status = ct_json_read(text, n_bytes, &config, err);
    if (status == CT_OK)
        status = find_processor(config, model_type, &p, err);
    if (status == CT_OK) {
        *options = (struct ct_image_options){
            .n_channels = n_channels,
            .do_resize = true,
            .do_center_crop = p->do_center_crop,
            .do_rescale = true,
            .do_normalize = true,
            .resample = p->resample,
            .size = {.shortest_edge = p->size},
            .crop_size = {.height = p->crop_size, .width = p->crop_size},
            .rescale_factor = 1 / 255.0,
        };
        if (p->is_square)
            options->size = (struct ct_image_size){.height = p->size, .width = p->size};
        memcpy(options->image_mean, p->image_mean, sizeof options->image_mean);
        memcpy(options->image_std, p->image_std, sizeof options->image_std);
        status = read_fields(config, p->is_square, options, err);
    }
    if (status == CT_OK)
        status = check(options, err);
    json_decref(config);
    return status;
}
