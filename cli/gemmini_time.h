/* centroid gemmini time: what a program costs, as text or JSON on stdout. */
#ifndef CT_CLI_GEMMINI_TIME_H
#define CT_CLI_GEMMINI_TIME_H

#include "engine/backend/gemmini/command.h"
#include "engine/backend/gemmini/gem_config.h"

/* Times commands [n_commands]. What ct_gem_time says; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gemmini_print_time(const struct ct_gem_config *config,
                                                   const struct ct_gem_command *commands,
                                                   size_t n_commands, bool is_json,
                                                   struct ct_error *err);

#endif
