#include "server/config.h"

#include <string.h>

enum { MAX_OPTIONS = 32 };

/* The table for the parser, with its targets in config; defaults are set. */
static void make_options(struct ct_config *config, struct ct_option options[MAX_OPTIONS])
{
    int n = 0;
#define CT_OPTION_LIST(member, name, value, help)                                                  \
    options[n++] =                                                                                 \
        (struct ct_option){name, value, help, CT_OPTION_LIST, &config->member, 0, 0, NULL};
#define CT_OPTION_TEXT(member, name, value, preset, help)                                          \
    config->member = preset;                                                                       \
    options[n++] =                                                                                 \
        (struct ct_option){name, value, help, CT_OPTION_TEXT, &config->member, 0, 0, NULL};
#define CT_OPTION_INT(member, name, value, preset, min, max, help)                                 \
    config->member = preset;                                                                       \
    options[n++] =                                                                                 \
        (struct ct_option){name, value, help, CT_OPTION_INT, &config->member, min, max, NULL};
#define CT_OPTION_SIZE(member, name, value, preset, min, max, help)                                \
    config->member = preset;                                                                       \
    options[n++] =                                                                                 \
        (struct ct_option){name, value, help, CT_OPTION_SIZE, &config->member, min, max, NULL};
#define CT_OPTION_FLAG(member, name, help)                                                         \
    options[n++] =                                                                                 \
        (struct ct_option){name, NULL, help, CT_OPTION_FLAG, &config->member, 0, 0, NULL};
#define CT_OPTION_CHOICE(member, name, choices, help)                                              \
    options[n++] =                                                                                 \
        (struct ct_option){name, choices, help, CT_OPTION_CHOICE, &config->member, 0, 0, choices};
#include "server/options.def"
    options[n] = (struct ct_option){0};
}

/* Options of a simulated machine are for models that run on one. */
static enum ct_status check_machine(const struct ct_config *config, struct ct_error *err)
{
    const char *option = config->gemmini_preset != NULL   ? "--gemmini-preset"
                         : config->gemmini_config != NULL ? "--gemmini-config"
                                                          : NULL;
    for (int i = 0; i < config->list.n && option != NULL; i++)
        if (strcmp(config->list.places[i].backend, "cpu") != 0)
            option = NULL;
    return option == NULL
               ? CT_OK
               : ct_error_set(err, CT_INVALID,
                              "%s: no model runs on a simulated machine (--backend)", option);
}

enum ct_status ct_config_parse(struct ct_config *config, int argc, char **argv,
                               struct ct_error *err)
{
    struct ct_option options[MAX_OPTIONS];
    int n_positional = 0;
    *config = (struct ct_config){.log_level = CT_LOG_INFO};
    make_options(config, options);
    enum ct_status status = ct_options_parse(options, argc, argv, NULL, 0, &n_positional, err);
    if (status != CT_OK || config->is_help)
        return status;
    config->is_loopback = strcmp(config->host, "localhost") == 0 ||
                          strcmp(config->host, "::1") == 0 || strncmp(config->host, "127.", 4) == 0;
    if (!config->is_loopback && !config->is_public)
        return ct_error_set(err, CT_INVALID,
                            "--host: other machines can reach %s and there are no keys; "
                            "--allow-public says that this is meant",
                            config->host);
    status = ct_model_list_init(&config->list, &config->models, &config->folders, err);
    if (status != CT_OK)
        return status;
    status = ct_model_list_choose(&config->list, &config->backends, err);
    if (status == CT_OK)
        status = check_machine(config, err);
    if (status != CT_OK)
        ct_model_list_deinit(&config->list);
    return status;
}

void ct_config_deinit(struct ct_config *config)
{
    ct_model_list_deinit(&config->list);
}

void ct_config_help(FILE *file)
{
    struct ct_config config;
    struct ct_option options[MAX_OPTIONS];
    make_options(&config, options);
    fputs("usage: centroid serve --model [NAME=]DIR [--model ...] [--models DIR] [OPTION...]\n\n"
          "Serves models over HTTP with an OpenAI-compatible API, see docs/api.md.\n\n",
          file);
    ct_options_print(options, file);
}
