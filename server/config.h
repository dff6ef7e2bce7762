/* The server's configuration: options.def as a struct, with defaults, checks and --help. Immutable
 * once parsed. */
#ifndef CT_SERVER_CONFIG_H
#define CT_SERVER_CONFIG_H

#include "engine/base/log.h"
#include "engine/base/options.h"
#include "server/model_list.h"

#include <stdbool.h>
#include <stdint.h>

struct ct_config {
#define CT_OPTION_LIST(member, name, value, help)                   struct ct_option_list member;
#define CT_OPTION_TEXT(member, name, value, preset, help)           const char *member;
#define CT_OPTION_INT(member, name, value, preset, min, max, help)  int64_t member;
#define CT_OPTION_SIZE(member, name, value, preset, min, max, help) int64_t member;
#define CT_OPTION_FLAG(member, name, help)                          bool member;
#define CT_OPTION_CHOICE(member, name, choices, help)               int member;
#include "server/options.def"
#undef CT_OPTION_LIST
#undef CT_OPTION_TEXT
#undef CT_OPTION_INT
#undef CT_OPTION_SIZE
#undef CT_OPTION_FLAG
#undef CT_OPTION_CHOICE
    struct ct_model_list list; /* of models and folders */
    bool is_loopback;          /* host is this machine only */
};

/* argv without the command's name, kept by the caller. CT_INVALID and as ct_model_list_init; then
 * there is nothing to deinit. With --help nothing else is checked. */
CT_MUST_CHECK enum ct_status ct_config_parse(struct ct_config *config, int argc, char **argv,
                                             struct ct_error *err);
void ct_config_deinit(struct ct_config *config);
void ct_config_help(FILE *file);

#endif
