/* centroid serve: an OpenAI-compatible server. */
#include "cli/cli.h"
#include "server/server.h"

#include <stdio.h>

int ct_cli_serve(int argc, char **argv)
{
    struct ct_config config;
    struct ct_error err = {0};
    if (ct_config_parse(&config, argc - 1, argv + 1, &err) != CT_OK) {
        fprintf(stderr, "centroid serve: %s; 'centroid serve --help' lists the options\n",
                err.message);
        return CT_EXIT_USAGE;
    }
    if (config.is_help) {
        ct_config_help(stdout);
        return CT_EXIT_OK;
    }
    const int code = ct_server_run(&config);
    ct_config_deinit(&config);
    return code == 0 ? CT_EXIT_OK : CT_EXIT_FAILED;
}
