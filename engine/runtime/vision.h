/* The image side of a model. Any thread. */
#ifndef CT_RUNTIME_VISION_H
#define CT_RUNTIME_VISION_H

#include "engine/format/hf_config.h"

#include <stddef.h>
#include <stdint.h>

/* See ct_engine_read_image; hparams are those of a vision model. */
CT_MUST_CHECK enum ct_status ct_vision_read_image(const struct ct_hparams *hparams,
                                                  const uint8_t *data, size_t n_bytes,
                                                  float *planes, struct ct_error *err);

#endif
