#include "engine/format/vision_config.h"

#include "engine/base/config_json.h"
#include "engine/format/mapping.h"

#include <string.h>

/* Where config.json leaves them out, transformers' ViTConfig, DeiTConfig and Dinov2Config have these. */
static const struct defaults {
    const char *model_type;
    int n_prefix;
    int patch_size;
    double norm_eps;
} types[] = {{"vit", 1, 16, 1e-12}, {"deit", 2, 16, 1e-12}, {"dinov2", 1, 14, 1e-6}};

static const struct defaults *find_type(const char *model_type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].model_type, model_type) == 0)
            return &types[i];
    return NULL;
}

bool ct_vision_is(const char *model_type)
{
    return find_type(model_type) != NULL;
}

/* One number for both edges, or [height, width]. */
static enum ct_status read_image_size(const json_t *config, struct ct_vision *v,
                                      struct ct_error *err)
{
    const json_t *size = ct_config_key(config, "image_size");
    const bool is_pair = json_array_size(size) == 2;
    const json_t *height = is_pair ? json_array_get(size, 0) : size;
    const json_t *width = is_pair ? json_array_get(size, 1) : size;
    if (size == NULL) {
        v->height = v->width = 224;
        return CT_OK;
    }
    if (!json_is_integer(height) || !json_is_integer(width))
        return ct_config_unexpected("image_size", size, "a whole number, or two", CT_FORMAT, err);
    v->height = ct_clamp_int(json_integer_value(height));
    v->width = ct_clamp_int(json_integer_value(width));
    return CT_OK;
}

static bool has_teacher(const json_t *config)
{
    const json_t *architectures = ct_config_key(config, "architectures");
    const char *name = json_string_value(json_array_get(architectures, 0));
    return name != NULL && strcmp(name, "DeiTForImageClassificationWithTeacher") == 0;
}

static enum ct_status check(const struct ct_vision *v, struct ct_error *err)
{
    const struct {
        const char *key;
        int value, low, high;
    } ranges[] = {{"num_channels", v->n_channels, 1, CT_IMAGE_CHANNELS},
                  {"patch_size", v->patch_size, 1, 256},
                  {"image_size", v->height, v->patch_size, CT_IMAGE_EDGE},
                  {"image_size", v->width, v->patch_size, CT_IMAGE_EDGE},
                  {"classifier_hidden_size", v->n_head_hidden, 0, 65536}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return ct_error_set(err, CT_FORMAT, "%s is %d, expected %d..%d", ranges[i].key,
                                ranges[i].value, ranges[i].low, ranges[i].high);
    if (v->n_channels == 2)
        return ct_error_set(err, CT_UNSUPPORTED, "num_channels is 2, expected 1 or 3");
    return CT_OK;
}

static int n_tokens(const struct ct_vision *v)
{
    return v->n_prefix + v->height / v->patch_size * (v->width / v->patch_size);
}

/* Dinov2 says how much wider than the model its MLP is; a gated one has two thirds of that, in eights. */
static enum ct_status read_mlp(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    double ratio = 4;
    enum ct_status status = ct_config_double(config, "mlp_ratio", &ratio, err);
    if (status == CT_OK)
        status = ct_config_bool(config, "use_swiglu_ffn", &h->vision.is_gated, err);
    if (status != CT_OK)
        return status;
    if (!(ratio > 0 && ratio <= 64))
        return ct_error_set(err, CT_FORMAT, "mlp_ratio is %g, expected above 0 and at most 64",
                            ratio);
    h->d_ff = (int)(h->d_model * ratio);
    if (h->vision.is_gated)
        h->d_ff = (h->d_ff * 2 / 3 + 7) / 8 * 8;
    return CT_OK;
}

enum ct_status ct_vision_config_read(const json_t *config, struct ct_hparams *h,
                                     struct ct_error *err)
{
    const struct defaults *type = find_type(h->family);
    struct ct_vision *v = &h->vision;
    bool is_norm_first = true, has_final_norm = true;
    *v = (struct ct_vision){.n_channels = 3,
                            .patch_size = type->patch_size,
                            .n_prefix = type->n_prefix,
                            .has_teacher = has_teacher(config),
                            .has_qkv_bias = true};
    h->norm_eps = type->norm_eps;
    h->pooling.mode = CT_POOLING_CLS;
    enum ct_status status = read_image_size(config, v, err);
    if (status == CT_OK)
        status = ct_config_int(config, "num_channels", true, &v->n_channels, err);
    if (status == CT_OK)
        status = ct_config_int(config, "patch_size", true, &v->patch_size, err);
    if (status == CT_OK)
        status = ct_config_int(config, "classifier_hidden_size", true, &v->n_head_hidden, err);
    if (status == CT_OK)
        status = ct_config_bool(config, "qkv_bias", &v->has_qkv_bias, err);
    if (status == CT_OK)
        status = ct_config_bool(config, "norm_first", &is_norm_first, err);
    if (status == CT_OK)
        status = ct_config_bool(config, "use_final_layernorm", &has_final_norm, err);
    if (status == CT_OK)
        status = strcmp(h->family, "dinov2") == 0
                     ? read_mlp(config, h, err)
                     : ct_config_int(config, "intermediate_size", false, &h->d_ff, err);
    if (status == CT_OK)
        status = check(v, err);
    if (status != CT_OK)
        return status;
    v->is_post_norm = !is_norm_first;
    v->has_final_norm = is_norm_first && has_final_norm;
    v->stored_height = v->height;
    v->stored_width = v->width;
    h->context_tok = n_tokens(v);
    return CT_OK;
}

/* The one size that all images get. */
static enum ct_status find_size(const struct ct_image_options *o, struct ct_vision *v,
                                struct ct_error *err)
{
    const struct ct_image_size *size = o->do_center_crop ? &o->crop_size : &o->size;
    if (size->height == 0 || (!o->do_center_crop && !o->do_resize))
        return ct_error_set(err, CT_UNSUPPORTED,
                            "images would come out in various sizes: neither do_center_crop nor "
                            "do_resize to a height and width");
    if (size->height < v->patch_size || size->width < v->patch_size)
        return ct_error_set(err, CT_FORMAT, "images become %d x %d, less than a patch of %d",
                            size->width, size->height, v->patch_size);
    v->height = size->height;
    v->width = size->width;
    return CT_OK;
}

enum ct_status ct_vision_read_preprocessor(const char *dir, struct ct_hparams *h,
                                           struct ct_error *err)
{
    static const char name[] = "preprocessor_config.json";
    struct ct_mapping file = {0};
    struct ct_vision *v = &h->vision;
    enum ct_status status = ct_mapping_init_in(&file, dir, name, err);
    const bool is_there = status == CT_OK;
    if (status != CT_OK && status != CT_NOT_FOUND)
        return status;
    const char *text = is_there ? (const char *)file.data : "{}";
    status = ct_image_options_read(text, is_there ? file.n_bytes : 2, h->family, v->n_channels,
                                   &h->image, err);
    if (status == CT_OK && !is_there) {
        h->image.size = (struct ct_image_size){.height = v->height, .width = v->width};
        h->image.do_center_crop = false;
    }
    if (status == CT_OK)
        status = find_size(&h->image, v, err);
    if (status == CT_OK)
        h->context_tok = n_tokens(v);
    else
        ct_error_prefix(err, "%s/%s", dir, name);
    ct_mapping_deinit(&file);
    return status;
}
