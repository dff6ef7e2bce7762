/* The subcommands: each is a file of this folder and a line of commands.def. Results go to stdout,
 * messages to stderr. */
#ifndef CT_CLI_CLI_H
#define CT_CLI_CLI_H

#include "engine/base/json_text.h"
#include "engine/base/options.h"
#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* argv[0] is the subcommand's name. Each returns the exit code. */
#define CT_COMMAND(name, summary) int ct_cli_##name(int argc, char **argv);
#include "cli/commands.def"
#undef CT_COMMAND

/* Exit codes of every subcommand. */
enum {
    CT_EXIT_OK = 0,
    CT_EXIT_FAILED = 1, /* the work could not be done; stderr says why */
    CT_EXIT_USAGE = 2,  /* the command line is wrong */
};

/* What --help says above the options, and what is asked for. */
struct ct_cli_usage {
    const char *line; /* "run MODEL [OPTION...]" */
    const char *text;
    int min_positional;
    const char *missing; /* how the first missing argument is called: "MODEL" */
};

/* Parses a subcommand's line. False: help or an error was printed, end with *exit_code. wants_help
 * is the target of the table's --help flag. */
bool ct_cli_parse(const struct ct_cli_usage *usage, const struct ct_option *options, int argc,
                  char **argv, const bool *wants_help, const char **positional, int max_positional,
                  int *n_positional, int *exit_code);

/* Prints "centroid COMMAND: message" and returns CT_EXIT_FAILED. */
int ct_cli_fail(const char *command, const struct ct_error *err);

/* The numbers of an option such as "8,16,32", each within [low, high]. CT_INVALID names the option. */
enum { CT_CLI_LIST_MAX = 32 };
struct ct_cli_list {
    int n;
    int values[CT_CLI_LIST_MAX];
};
CT_MUST_CHECK enum ct_status ct_cli_parse_list(const char *option, const char *text, int low,
                                               int high, struct ct_cli_list *list,
                                               struct ct_error *err);

/* Sorts values [n], n > 0, and returns their median. */
double ct_cli_median(double *values, int n);

/* Prints json, which is taken over, as jansson's flags say. CT_MEMORY: it could not be made whole, or written;
 * the message says that there is no memory for `what`. */
CT_MUST_CHECK enum ct_status ct_cli_print_json(json_t *json, bool is_whole, size_t flags,
                                               const char *what, struct ct_error *err);

/* Puts text [n_bytes] at path in one go: whatever was there stays until all is written. What is no plain
 * file, as a pipe, is written to. CT_IO names the path. */
CT_MUST_CHECK enum ct_status ct_cli_replace_file(const char *path, const char *text, size_t n_bytes,
                                                 struct ct_error *err);

/* The tokens of a text file, special tokens included, to be freed. CT_IO, CT_MEMORY, and what
 * ct_engine_tokenize says. */
struct ct_engine;
CT_MUST_CHECK enum ct_status ct_cli_read_tokens(const struct ct_engine *engine, const char *path,
                                                int32_t **ids, size_t *n_ids, struct ct_error *err);

/* A file as an image of a vision model: planes of ct_image_floats, the caller's. CT_IO, and what
 * ct_engine_read_image says; the message names the file. */
CT_MUST_CHECK enum ct_status ct_cli_read_image(const struct ct_engine *engine, const char *path,
                                               float *planes, struct ct_error *err);

#endif
