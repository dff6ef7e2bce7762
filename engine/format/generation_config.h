/* What a model says of generating: the tokens that end a text, and how tokens are drawn where a
 * request leaves it out. A directory has generation_config.json for it, a GGUF file the metadata
 * general.sampling.*. Settings that are not built here and would change the text (a repetition
 * penalty, say) are named in not_applied, so that whoever opens the model can say so. */
#ifndef CT_FORMAT_GENERATION_CONFIG_H
#define CT_FORMAT_GENERATION_CONFIG_H

#include "engine/format/hf_config.h"

#include <jansson.h>

/* Where a model says nothing: the OpenAI API's own. */
#define CT_SAMPLING_DEFAULTS                                                                       \
    {                                                                                              \
        .temperature = 1, .top_p = 1                                                               \
    }

/* Both add to hparams, whose n_vocab is known. CT_FORMAT names the key, the limit and the value. */
CT_MUST_CHECK enum ct_status ct_generation_from_json(const json_t *config, struct ct_hparams *h,
                                                     struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_generation_from_gguf(const struct ct_gguf *gguf,
                                                     struct ct_hparams *h, struct ct_error *err);

/* generation_config.json's text, to be freed; NULL when memory is short. */
char *ct_generation_format(const struct ct_hparams *h);

/* One more token that ends a text, unless it is there already. CT_FORMAT: outside the vocabulary,
 * or one too many. */
CT_MUST_CHECK enum ct_status ct_generation_add_eos(struct ct_hparams *h, int64_t id,
                                                   struct ct_error *err);

/* eos_token_id of config.json and generation_config.json alike: null, a number, or a list. */
CT_MUST_CHECK enum ct_status ct_generation_read_eos(const json_t *config, struct ct_hparams *h,
                                                    struct ct_error *err);
json_t *ct_generation_format_eos(const struct ct_hparams *h); /* NULL when memory is short */

#endif
