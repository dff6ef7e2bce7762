/* The small files beside a model's weights: config.json, and the tokenizer's. One thread. */
#ifndef CT_COMPRESS_SIDECAR_H
#define CT_COMPRESS_SIDECAR_H

#include "engine/format/model_file.h"
#include "engine/format/model_writer.h"

#include <jansson.h>

/* Writes config.json with quantization_config, which stays the caller's, and from GGUF metadata
 * also generation_config.json. A directory's own config.json keeps its other keys. CT_IO,
 * CT_FORMAT, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_sidecar_write_config(const struct ct_model_file *model,
                                                     const struct ct_model_dir *dir,
                                                     json_t *quantization,
                                                     struct ct_error *err);

/* Copies a directory's tokenizer files and generation_config.json, or writes tokenizer.json and
 * tokenizer_config.json from GGUF metadata. A model without a tokenizer gets none. CT_IO,
 * CT_FORMAT, CT_UNSUPPORTED, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_sidecar_write_tokenizer(const struct ct_model_file *model,
                                                        const struct ct_model_dir *dir,
                                                        struct ct_error *err);

#endif
