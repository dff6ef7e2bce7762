/* Command-line options from a table: each subcommand lists its options once, and parsing, checking
 * and
 * --help all read that list.
 *
 * Long options only: --name VALUE or --name=VALUE; "--" ends them. An unknown option, a missing or
 * malformed value, and a value out of range give an error that names the option, the limit and the
 * value. Any thread. */
#ifndef CT_BASE_OPTIONS_H
#define CT_BASE_OPTIONS_H

#include "engine/base/status.h"

#include <stdint.h>
#include <stdio.h>

enum ct_option_type {
    CT_OPTION_FLAG,   /* bool; takes no value */
    CT_OPTION_INT,    /* int64_t within [min, max] */
    CT_OPTION_FLOAT,  /* double within [min, max] */
    CT_OPTION_TEXT,   /* const char *, points into argv */
    CT_OPTION_SIZE,   /* int64_t bytes: 512M, 2G, 1.5GiB, 1048576 */
    CT_OPTION_CHOICE, /* int: the place in choices, a list such as "int8|float" */
    CT_OPTION_LIST,   /* struct ct_option_list: may be given again */
};

enum { CT_OPTION_LIST_MAX = 64 };
struct ct_option_list {
    int n;
    const char *values[CT_OPTION_LIST_MAX];
};

struct ct_option {
    const char *name;  /* without the dashes */
    const char *value; /* how --help calls its value; NULL for a flag */
    const char *help;  /* one or a few sentences, with the default */
    enum ct_option_type type;
    void *target;        /* where the parsed value goes; holds the default before */
    double min, max;     /* INT, FLOAT and SIZE; both 0: no limit */
    const char *choices; /* CHOICE */
};

/* Parses argv[0..argc). The options end where an entry's name is NULL. Positional arguments are
 * stored in positional (at most max_positional) and counted in *n_positional. CT_INVALID with a
 * message.
 * --help is the caller's, an ordinary FLAG of its table. */
CT_MUST_CHECK enum ct_status ct_options_parse(const struct ct_option *options, int argc,
                                              char **argv, const char **positional,
                                              int max_positional, int *n_positional,
                                              struct ct_error *err);

/* Prints each option with its help, wrapped to 80 columns. */
void ct_options_print(const struct ct_option *options, FILE *file);

/* "1.5G" -> bytes; the suffixes K M G T and KiB MiB GiB TiB are powers of 1024. CT_INVALID. */
CT_MUST_CHECK enum ct_status ct_size_parse(const char *text, int64_t *n_bytes);

#endif
