/* What a step of a model costs on the simulated accelerator, operators of one shape together. */
#ifndef CT_CLI_GEMMINI_MODEL_H
#define CT_CLI_GEMMINI_MODEL_H

#include "engine/backend/gemmini/gem_config.h"

#include <stdbool.h>
#include <stdint.h>

/* path: a model's directory or GGUF file. n_tokens are read, behind depth others; of a vision model an image's.
 * is_dynamic: with one scale a token, all but products on the host, as the backend `gemmini` has it. page: where
 * its page of HTML goes, which has the token after a decoder's prompt, too; NULL: nowhere. */
struct ct_gemmini_model {
    const char *path;
    int64_t n_tokens, depth;
    bool is_dynamic;
    const char *page;
};

/* Prints a table, or JSON. CT_INVALID (more tokens than the context, a depth of an encoder), CT_IO (the
 * page), CT_MEMORY, and what opening the model says. */
CT_MUST_CHECK enum ct_status ct_gemmini_model_print(const struct ct_gemmini_model *model,
                                                    const struct ct_gem_config *config,
                                                    bool is_json, struct ct_error *err);

#endif
