/* What a layer of an encoder costs on the simulated accelerator, operator by operator. */
#ifndef CT_CLI_GEMMINI_LAYER_H
#define CT_CLI_GEMMINI_LAYER_H

#include "engine/backend/gemmini/gem_config.h"

#include <stdbool.h>
#include <stdint.h>

/* As the command line says it. bits: of the indices of clustered weights; 0: int8 weights. page: where
 * its page of HTML goes; NULL: nowhere. */
struct ct_gemmini_layer {
    int64_t d_model, n_heads, d_ff, n_tokens, bits;
    const char *page;
};

/* Prints a table, or JSON. CT_INVALID (heads do not divide d_model), CT_IO (the page), CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gemmini_layer_print(const struct ct_gemmini_layer *layer,
                                                    const struct ct_gem_config *config,
                                                    bool is_json, struct ct_error *err);

#endif
