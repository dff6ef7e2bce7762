/* The subcommands: each is a file of this folder and a line of commands.def. */
#ifndef CT_CLI_CLI_H
#define CT_CLI_CLI_H

/* argv[0] is the subcommand's name. Results go to stdout, messages to stderr. Returns the exit code. */
#define CT_COMMAND(name, summary) int ct_cli_##name(int argc, char **argv);
#include "cli/commands.def"
#undef CT_COMMAND

/* Exit codes of every subcommand. */
enum {
    CT_EXIT_OK = 0,
    CT_EXIT_FAILED = 1, /* the work could not be done; stderr says why */
    CT_EXIT_USAGE = 2,  /* the command line is wrong */
};

#endif
