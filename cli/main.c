/* centroid: one binary with subcommands. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
#define CT_COMMAND(name, summary) {#name, summary, ct_cli_##name},
#include "cli/commands.def"
#undef CT_COMMAND
    {NULL, NULL, NULL},
};

static void print_help(FILE *file)
{
    fputs("usage: centroid COMMAND [OPTION...]\n\n"
          "Serves compressed Transformer models.\n\ncommands:\n",
          file);
    for (const struct command *c = commands; c->name != NULL; c++)
        fprintf(file, "  %-10s %s\n", c->name, c->summary);
    fputs("\n'centroid COMMAND --help' lists a command's options. 'centroid --version' prints the "
          "version.\n",
          file);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CT_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CT_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("centroid " CENTROID_VERSION);
        return CT_EXIT_OK;
    }
    for (const struct command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, argv[1]) == 0)
            return c->run(argc - 1, argv + 1);
    fprintf(stderr, "centroid: unknown command '%s'; 'centroid --help' lists them\n", argv[1]);
    return CT_EXIT_USAGE;
}
