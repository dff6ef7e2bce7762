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

/* [NAME=]DIR: a NAME has no slash, so that a directory with a = in its path can be given. */
static enum ct_status split_model(struct ct_config *config, struct ct_error *err)
{
    const char *text = config->models.values[0];
    size_t n_name = strcspn(text, "=/");
    config->model_path = text;
    if (text[n_name] != '=')
        return CT_OK;
    if (n_name == 0 || n_name >= sizeof config->model_name)
        return ct_error_set(err, CT_INVALID,
                            "--model: the name before the = has %zu bytes, not 1..%zu", n_name,
                            sizeof config->model_name - 1);
    memcpy(config->model_name, text, n_name);
    config->model_path = text + n_name + 1;
    return CT_OK;
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
    if (config->models.n != 1)
        return ct_error_set(err, CT_INVALID,
                            config->models.n == 0 ? "--model is required"
                                                  : "--model: one model can be served, not %d",
                            config->models.n);
    config->is_loopback = strcmp(config->host, "localhost") == 0 ||
                          strcmp(config->host, "::1") == 0 || strncmp(config->host, "127.", 4) == 0;
    if (!config->is_loopback && !config->is_public)
        return ct_error_set(err, CT_INVALID,
                            "--host: other machines can reach %s and there are no keys; "
                            "--allow-public says that this is meant",
                            config->host);
    return split_model(config, err);
}

void ct_config_help(FILE *file)
{
    struct ct_config config;
    struct ct_option options[MAX_OPTIONS];
    make_options(&config, options);
    fputs("usage: centroid serve --model [NAME=]DIR [OPTION...]\n\n"
          "Serves a model over HTTP with an OpenAI-compatible API, see docs/api.md.\n\n",
          file);
    ct_options_print(options, file);
}
