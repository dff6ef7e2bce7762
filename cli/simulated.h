/* What the commands that run a model share about simulated machines: their options, and what they print. */
#ifndef CT_CLI_SIMULATED_H
#define CT_CLI_SIMULATED_H

#include "engine/base/options.h"
#include "engine/engine.h"

#include <jansson.h>

/* Values of the options; zeroed before. */
struct ct_cli_machine {
    const char *backend, *preset, *config_path;
};

/* Rows of an option table. */
struct ct_option ct_cli_backend_option(struct ct_cli_machine *machine);
struct ct_option ct_cli_preset_option(struct ct_cli_machine *machine);
struct ct_option ct_cli_config_option(struct ct_cli_machine *machine);

/* Sets what options say of a machine. CT_NOT_FOUND: no such backend. */
CT_MUST_CHECK enum ct_status ct_cli_choose_machine(const struct ct_cli_machine *machine,
                                                   struct ct_engine_options *options,
                                                   struct ct_error *err);

/* On stderr, of an engine that simulates: a line for each phase [n], "prefill" and so on. */
void ct_cli_print_simulated(const struct ct_engine_info *info, int n, const char *const *phases,
                            const struct ct_cost *const *costs);

/* The same of one phase, with the keys of the server's answers; null for an engine that simulates
 * nothing. NULL: no memory. */
json_t *ct_cli_simulated_json(const struct ct_engine_info *info, const struct ct_cost *cost);

#endif
