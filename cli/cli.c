#include "cli/cli.h"

#include "engine/base/file.h"
#include "engine/engine.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool ct_cli_parse(const struct ct_cli_usage *usage, const struct ct_option *options, int argc,
                  char **argv, const bool *wants_help, const char **positional, int max_positional,
                  int *n_positional, int *exit_code)
{
    struct ct_error err;
    *exit_code = CT_EXIT_USAGE;
    enum ct_status status = ct_options_parse(options, argc - 1, argv + 1, positional,
                                             max_positional, n_positional, &err);
    if (*wants_help) {
        printf("usage: centroid %s\n\n%s\n\noptions:\n", usage->line, usage->text);
        ct_options_print(options, stdout);
        *exit_code = CT_EXIT_OK;
        return false;
    }
    if (status == CT_OK && *n_positional < usage->min_positional)
        status = ct_error_set(&err, CT_INVALID, "%s is missing", usage->missing);
    if (status == CT_OK)
        return true;
    fprintf(stderr, "centroid %s: %s\n'centroid %s --help' says more\n", argv[0], err.message,
            argv[0]);
    return false;
}

int ct_cli_fail(const char *command, const struct ct_error *err)
{
    fprintf(stderr, "centroid %s: %s\n", command, err->message);
    return CT_EXIT_FAILED;
}

enum ct_status ct_cli_parse_list(const char *option, const char *text, int low, int high,
                                 struct ct_cli_list *list, struct ct_error *err)
{
    list->n = 0;
    for (const char *p = text; list->n < CT_CLI_LIST_MAX; p++) {
        char *end;
        const long value = strtol(p, &end, 10);
        if (end == p || value < low || value > high)
            break;
        list->values[list->n++] = (int)value;
        if (*end == '\0')
            return CT_OK;
        if (*end != ',')
            break;
        p = end;
    }
    return ct_error_set(err, CT_INVALID,
                        "--%s: '%s' is not a list of at most %d numbers from %d to %d, such as %d",
                        option, text, CT_CLI_LIST_MAX, low, high, low > 0 ? low : high);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ct_cli_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

enum ct_status ct_cli_print_json(json_t *json, bool is_whole, size_t flags, const char *what,
                                 struct ct_error *err)
{
    char *text = is_whole ? ct_json_dump(json, flags) : NULL;
    json_decref(json);
    if (text == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %s", what);
    puts(text);
    free(text);
    return CT_OK;
}

enum ct_status ct_cli_replace_file(const char *path, const char *text, size_t n_bytes,
                                   struct ct_error *err)
{
    char temporary[PATH_MAX];
    struct stat found;
    const bool is_plain = lstat(path, &found) != 0 || S_ISREG(found.st_mode);
    const int n = is_plain
                      ? snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid())
                      : snprintf(temporary, sizeof temporary, "%s", path);
    if (n >= (int)sizeof temporary)
        return ct_error_set(err, CT_IO, "%.256s: the path is too long", path);
    FILE *file = fopen(temporary, "wb");
    if (file == NULL)
        return ct_error_set(err, CT_IO, "%s: %s", path, strerror(errno));
    errno = 0;
    bool is_written = fwrite(text, 1, n_bytes, file) == n_bytes;
    is_written = fclose(file) == 0 && is_written;
    if (is_written && (!is_plain || rename(temporary, path) == 0))
        return CT_OK;
    ct_error_set(err, CT_IO, "%s: %s", path, errno != 0 ? strerror(errno) : "cannot be written");
    if (is_plain)
        unlink(temporary);
    return CT_IO;
}

enum ct_status ct_cli_read_tokens(const struct ct_engine *engine, const char *path, int32_t **ids,
                                  size_t *n_ids, struct ct_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    *ids = NULL;
    enum ct_status status = ct_file_read(path, &text, &n_bytes, err);
    if (status != CT_OK)
        return status;
    const size_t capacity = 3 * n_bytes + CT_AROUND_TOK;
    *ids = malloc(capacity * sizeof **ids);
    if (*ids == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for the tokens of %zu bytes", n_bytes);
    else if ((status = ct_engine_tokenize(engine, text, n_bytes, true, *ids, capacity, n_ids)) !=
             CT_OK)
        ct_error_set(err, status, "%s: %s", path, ct_status_text(status));
    free(text);
    return status;
}

enum ct_status ct_cli_read_image(const struct ct_engine *engine, const char *path, float *planes,
                                 struct ct_error *err)
{
    char *bytes;
    size_t n_bytes;
    enum ct_status status = ct_file_read(path, &bytes, &n_bytes, err);
    if (status != CT_OK)
        return status;
    status = ct_engine_read_image(engine, (const uint8_t *)bytes, n_bytes, planes, err);
    free(bytes);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%s", path);
}
