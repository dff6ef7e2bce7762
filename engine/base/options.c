#include "engine/base/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum ct_status ct_size_parse(const char *text, int64_t *n_bytes)
{
    char *end = NULL;
    if (!isdigit((unsigned char)text[0]))
        return CT_INVALID;
    double number = strtod(text, &end);
    static const char units[] = "KMGT";
    double factor = 1;
    if (*end != '\0') {
        const char *unit = strchr(units, toupper((unsigned char)*end));
        if (unit != NULL) {
            factor = ldexp(1, 10 * (int)(unit - units + 1));
            end++;
            if (*end == 'i')
                end++;
        }
        if (*end == 'B')
            end++;
    }
    if (*end != '\0' || !(number * factor <= 0x1p62))
        return CT_INVALID;
    *n_bytes = (int64_t)(number * factor);
    return CT_OK;
}

static enum ct_status out_of_range(const struct ct_option *o, const char *value,
                                   struct ct_error *err)
{
    return ct_error_set(err, CT_INVALID, "--%s: %s is outside %.15g..%.15g", o->name, value, o->min,
                        o->max);
}

static bool is_in_range(const struct ct_option *o, double x)
{
    return (o->min == 0 && o->max == 0) || (x >= o->min && x <= o->max);
}

static enum ct_status store_choice(const struct ct_option *o, const char *value,
                                   struct ct_error *err)
{
    const char *p = o->choices;
    for (int i = 0;; i++) {
        size_t n = strcspn(p, "|");
        if (strlen(value) == n && memcmp(p, value, n) == 0) {
            *(int *)o->target = i;
            return CT_OK;
        }
        if (p[n] == '\0')
            return ct_error_set(err, CT_INVALID, "--%s: '%s' is none of %s", o->name, value,
                                o->choices);
        p += n + 1;
    }
}

static enum ct_status store(const struct ct_option *o, const char *value, struct ct_error *err)
{
    char *end = NULL;
    errno = 0;
    switch (o->type) {
    case CT_OPTION_FLAG:
        *(bool *)o->target = true;
        return CT_OK;
    case CT_OPTION_TEXT:
        *(const char **)o->target = value;
        return CT_OK;
    case CT_OPTION_CHOICE:
        return store_choice(o, value, err);
    case CT_OPTION_LIST: {
        struct ct_option_list *list = o->target;
        if (list->n == CT_OPTION_LIST_MAX)
            return ct_error_set(err, CT_INVALID, "--%s: more than %d times", o->name,
                                CT_OPTION_LIST_MAX);
        list->values[list->n++] = value;
        return CT_OK;
    }
    case CT_OPTION_INT: {
        long long x = strtoll(value, &end, 10);
        if (end == value || *end != '\0' || errno != 0)
            return ct_error_set(err, CT_INVALID, "--%s: '%s' is not a whole number", o->name,
                                value);
        if (!is_in_range(o, (double)x))
            return out_of_range(o, value, err);
        *(int64_t *)o->target = x;
        return CT_OK;
    }
    case CT_OPTION_FLOAT: {
        double x = strtod(value, &end);
        if (end == value || *end != '\0' || !isfinite(x))
            return ct_error_set(err, CT_INVALID, "--%s: '%s' is not a number", o->name, value);
        if (!is_in_range(o, x))
            return out_of_range(o, value, err);
        *(double *)o->target = x;
        return CT_OK;
    }
    case CT_OPTION_SIZE: {
        int64_t n_bytes = 0;
        if (ct_size_parse(value, &n_bytes) != CT_OK)
            return ct_error_set(err, CT_INVALID, "--%s: '%s' is not a size such as 512M or 2G",
                                o->name, value);
        if (!is_in_range(o, (double)n_bytes))
            return out_of_range(o, value, err);
        *(int64_t *)o->target = n_bytes;
        return CT_OK;
    }
    }
    return CT_INTERNAL;
}

static const struct ct_option *find(const struct ct_option *options, const char *name, size_t n)
{
    for (const struct ct_option *o = options; o->name != NULL; o++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

enum ct_status ct_options_parse(const struct ct_option *options, int argc, char **argv,
                                const char **positional, int max_positional, int *n_positional,
                                struct ct_error *err)
{
    bool is_option_allowed = true;
    *n_positional = 0;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (is_option_allowed && strcmp(word, "--") == 0) {
            is_option_allowed = false;
            continue;
        }
        if (!is_option_allowed || word[0] != '-' || word[1] == '\0') {
            if (*n_positional == max_positional)
                return ct_error_set(err, CT_INVALID, "unexpected argument '%s'", word);
            positional[(*n_positional)++] = word;
            continue;
        }
        const char *name = word + (word[1] == '-' ? 2 : 1);
        size_t n = strcspn(name, "=");
        const struct ct_option *o = word[1] == '-' ? find(options, name, n) : NULL;
        if (o == NULL)
            return ct_error_set(err, CT_INVALID, "unknown option '%s'", word);
        const char *value = name[n] == '=' ? name + n + 1 : NULL;
        if (o->type == CT_OPTION_FLAG && value != NULL)
            return ct_error_set(err, CT_INVALID, "--%s takes no value", o->name);
        if (o->type != CT_OPTION_FLAG && value == NULL) {
            if (i + 1 == argc)
                return ct_error_set(err, CT_INVALID, "--%s needs a value: %s", o->name, o->value);
            value = argv[++i];
        }
        enum ct_status status = store(o, value, err);
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

void ct_options_print(const struct ct_option *options, FILE *file)
{
    enum { INDENT = 28, WIDTH = 80 };
    for (const struct ct_option *o = options; o->name != NULL; o++) {
        int column =
            fprintf(file, "  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        if (column >= INDENT) {
            fputc('\n', file);
            column = 0;
        }
        column += fprintf(file, "%*s", INDENT - column, "");
        for (const char *p = o->help; *p != '\0';) {
            int n = (int)strcspn(p, " ");
            if (column + n >= WIDTH) {
                fprintf(file, "\n%*s", INDENT, "");
                column = INDENT;
            }
            column += fprintf(file, "%.*s ", n, p);
            p += n;
            p += strspn(p, " ");
        }
        fputc('\n', file);
    }
}
