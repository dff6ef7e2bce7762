/* What a vision model's files say of its images: image_size, patch_size and their like in config.json,
 * and preprocessor_config.json. Any thread. */
#ifndef CT_FORMAT_VISION_CONFIG_H
#define CT_FORMAT_VISION_CONFIG_H

#include "engine/base/status.h"
#include "engine/format/hf_config.h"

#include <jansson.h>

/* Whether models of this type see images: vit, deit and dinov2. */
bool ct_vision_is(const char *model_type);

/* Fills hparams->vision from config.json, and the sizes that it says in its own way: d_ff of mlp_ratio,
 * context_tok of the patches. CT_FORMAT names the key, the limit and the value; CT_UNSUPPORTED. */
CT_MUST_CHECK enum ct_status ct_vision_config_read(const json_t *config, struct ct_hparams *hparams,
                                                   struct ct_error *err);

/* Fills hparams->image from preprocessor_config.json in dir (without it: transformers' defaults for the
 * type, at image_size), and what follows from it: height, width and context_tok. CT_FORMAT and
 * CT_UNSUPPORTED name the file and the field, also where images would come out in various sizes. */
CT_MUST_CHECK enum ct_status
ct_vision_read_preprocessor(const char *dir, struct ct_hparams *hparams, struct ct_error *err);

#endif
