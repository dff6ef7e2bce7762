/* What is particular to the config.json of text encoders: bert, distilbert and mpnet. */
#ifndef CT_FORMAT_ENCODER_CONFIG_H
#define CT_FORMAT_ENCODER_CONFIG_H

#include "engine/format/hf_config.h"

#include <jansson.h>

/* Whether models of this model_type are such. */
bool ct_encoder_is(const char *model_type);

/* What config.json of this model_type calls what others call `key`: distilbert has n_layers for
 * num_hidden_layers. */
const char *ct_encoder_key(const char *model_type, const char *key);

/* Fills n_types, first_place and norm_eps, and takes the places that no token has off context_tok.
 * CT_FORMAT and CT_UNSUPPORTED as ct_hf_config_parse. */
CT_MUST_CHECK enum ct_status
ct_encoder_config_read(const json_t *config, struct ct_hparams *hparams, struct ct_error *err);

#endif
