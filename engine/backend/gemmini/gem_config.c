#include "engine/backend/gemmini/gem_config.h"

#include "engine/base/file.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum key_type { KEY_INT, KEY_REAL, KEY_CHOICE };

static const struct key {
    const char *section, *name;
    enum key_type type;
    size_t offset;
    double value, low, high;
    const char *choices, *help;
} keys[] = {
#define AT(section, key) offsetof(struct ct_gem_config, section##_##key)
#define CT_GEM_INT(section, key, value, low, high, help)                                           \
    {#section, #key, KEY_INT, AT(section, key), value, low, high, NULL, help},
#define CT_GEM_REAL(section, key, value, low, high, help)                                          \
    {#section, #key, KEY_REAL, AT(section, key), value, low, high, NULL, help},
#define CT_GEM_CHOICE(section, key, value, choices, help)                                          \
    {#section, #key, KEY_CHOICE, AT(section, key), value, 0, 0, choices, help},
#include "engine/backend/gemmini/gem_config.def"
#undef CT_GEM_INT
#undef CT_GEM_REAL
#undef CT_GEM_CHOICE
};
enum { N_KEYS = sizeof keys / sizeof keys[0] };

/* What a preset changes in the defaults. The survey's machine traded scratchpad for accumulator,
 * and its study of fused operators looked at two sizes of the latter; LPDDR4 is farther away and
 * half as wide as the cache that the defaults stand for. */
static const struct {
    const char *name, *text;
} presets[] = {
    {"default", ""},
    {"ibert", "[acc]\nkb = 128\n"},
    {"survey_nas", "[spad]\nkb = 64\n[acc]\nkb = 256\n"},
    {"survey_fusion_128", "[spad]\nkb = 64\n[acc]\nkb = 128\n"},
    {"survey_fusion_256", "[spad]\nkb = 64\n[acc]\nkb = 256\n"},
    {"lpddr4", "[mem]\nlatency = 100\nbytes_per_cycle = 8\n"},
};
enum { N_PRESETS = sizeof presets / sizeof presets[0] };

static void store(const struct key *key, double value, struct ct_gem_config *config)
{
    char *field = (char *)config + key->offset;
    if (key->type == KEY_REAL)
        memcpy(field, &value, sizeof value);
    else
        memcpy(field, &(int){(int)value}, sizeof(int));
}

static double load(const struct key *key, const struct ct_gem_config *config)
{
    const char *field = (const char *)config + key->offset;
    double real;
    int integer;
    if (key->type == KEY_REAL) {
        memcpy(&real, field, sizeof real);
        return real;
    }
    memcpy(&integer, field, sizeof integer);
    return integer;
}

int ct_gem_choice_find(const char *choices, const char *word)
{
    const size_t n = strlen(word);
    int place = 0;
    for (const char *p = choices; *p != '\0'; place++) {
        const size_t n_choice = strcspn(p, "|");
        if (n_choice == n && memcmp(p, word, n) == 0)
            return place;
        p += n_choice + (p[n_choice] == '|');
    }
    return -1;
}

static enum ct_status set(const struct key *key, const char *text, struct ct_gem_config *config,
                          struct ct_error *err)
{
    if (key->type == KEY_CHOICE) {
        const int place = ct_gem_choice_find(key->choices, text);
        if (place < 0)
            return ct_error_set(err, CT_INVALID, "%s.%s is one of %s, not '%s'", key->section,
                                key->name, key->choices, text);
        store(key, place, config);
        return CT_OK;
    }
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) ||
        (key->type == KEY_INT && value != floor(value)))
        return ct_error_set(err, CT_INVALID, "%s.%s takes %s number, not '%s'", key->section,
                            key->name, key->type == KEY_INT ? "a whole" : "a", text);
    if (value < key->low || value > key->high)
        return ct_error_set(err, CT_INVALID, "%s.%s is from %g to %g, not %s", key->section,
                            key->name, key->low, key->high, text);
    store(key, value, config);
    return CT_OK;
}

/* The line without blanks at its ends and without a comment, cut in place. */
static char *trim(char *line)
{
    line[strcspn(line, "#;")] = '\0';
    line += strspn(line, " \t\r");
    for (size_t n = strlen(line); n > 0 && strchr(" \t\r", line[n - 1]) != NULL; n--)
        line[n - 1] = '\0';
    return line;
}

static bool has_section(const char *section)
{
    for (int i = 0; i < N_KEYS; i++)
        if (strcmp(keys[i].section, section) == 0)
            return true;
    return false;
}

/* A file under way. */
struct reader {
    struct ct_gem_config *config;
    int line;
    const char *section;      /* NULL before the first */
    bool is_set[N_KEYS];      /* keys that earlier lines gave */
    struct ct_gem_rule *rule; /* of the [product] section under way; NULL in others */
};

static enum ct_status begin_section(struct reader *r, const char *name, struct ct_error *err)
{
    struct ct_gem_config *config = r->config;
    r->section = name;
    r->rule = NULL;
    if (strcmp(name, "product") != 0)
        return has_section(name)
                   ? CT_OK
                   : ct_error_set(err, CT_INVALID, "no section is called [%.64s]", name);
    if (config->n_rules == CT_GEM_MAX_RULES)
        return ct_error_set(err, CT_INVALID, "more than %d [product] sections", CT_GEM_MAX_RULES);
    r->rule = &config->rules[config->n_rules++];
    *r->rule = (struct ct_gem_rule){.line = r->line};
    return CT_OK;
}

static enum ct_status parse_line(struct reader *r, char *line, struct ct_error *err)
{
    line = trim(line);
    const size_t n = strlen(line);
    if (n == 0)
        return CT_OK;
    if (line[0] == '[' && line[n - 1] == ']') {
        line[n - 1] = '\0';
        return begin_section(r, trim(line + 1), err);
    }
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return ct_error_set(err, CT_INVALID, "'%.64s' is neither [section] nor key = value", line);
    *equals = '\0';
    const char *name = trim(line), *value = trim(equals + 1);
    if (r->section == NULL)
        return ct_error_set(err, CT_INVALID, "'%.64s' stands before the first [section]", name);
    if (r->rule != NULL)
        return ct_gem_rule_set(r->rule, name, value, err);
    for (int i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].section, r->section) != 0 || strcmp(keys[i].name, name) != 0)
            continue;
        if (r->is_set[i])
            return ct_error_set(err, CT_INVALID, "%s.%s is given twice", r->section, name);
        r->is_set[i] = true;
        return set(&keys[i], value, r->config, err);
    }
    return ct_error_set(err, CT_INVALID, "[%s] has no key '%.64s'", r->section, name);
}

enum ct_status ct_gem_config_parse(const char *name, const char *text, size_t n_bytes,
                                   struct ct_gem_config *config, struct ct_error *err)
{
    struct reader reader = {.config = config, .line = 1};
    char *copy = malloc(n_bytes + 1);
    if (copy == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for %zu bytes", name, n_bytes);
    enum ct_status status = CT_OK;
    memcpy(copy, text, n_bytes);
    copy[n_bytes] = '\0';
    for (char *line = copy; line < copy + n_bytes && status == CT_OK; reader.line++) {
        char *end = memchr(line, '\n', (size_t)(copy + n_bytes - line));
        if (end == NULL)
            end = copy + n_bytes;
        *end = '\0';
        if (memchr(line, '\0', (size_t)(end - line)) != NULL)
            status = ct_error_set(err, CT_INVALID, "a line with a zero byte");
        else
            status = parse_line(&reader, line, err);
        if (status != CT_OK)
            ct_error_prefix(err, "%s:%d", name, reader.line);
        line = end + 1;
    }
    free(copy);
    if (status == CT_OK && (status = ct_gem_config_check(config, err)) != CT_OK)
        ct_error_prefix(err, "%s", name);
    return status;
}

enum ct_status ct_gem_config_check(const struct ct_gem_config *config, struct ct_error *err)
{
    const unsigned spad = ct_gem_config_spad_rows(config), acc = ct_gem_config_acc_rows(config);
    if (spad % (unsigned)config->spad_banks != 0)
        return ct_error_set(err, CT_INVALID, "spad.banks is %d, which does not divide %u rows",
                            config->spad_banks, spad);
    if (acc % (unsigned)config->acc_banks != 0)
        return ct_error_set(err, CT_INVALID, "acc.banks is %d, which does not divide %u rows",
                            config->acc_banks, acc);
    if ((config->dma_max_bytes & (config->dma_max_bytes - 1)) != 0)
        return ct_error_set(err, CT_INVALID, "dma.max_bytes is %d, which is no power of 2",
                            config->dma_max_bytes);
    if ((config->dma_bus_bytes & (config->dma_bus_bytes - 1)) != 0 ||
        config->dma_bus_bytes > config->dma_max_bytes)
        return ct_error_set(err, CT_INVALID,
                            "dma.bus_bytes is %d, not a power of 2 of at most dma.max_bytes (%d)",
                            config->dma_bus_bytes, config->dma_max_bytes);
    for (int i = 0; i < config->n_rules; i++) {
        const enum ct_status status = ct_gem_rule_check(config, &config->rules[i], err);
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

enum ct_status ct_gem_config_preset(const char *name, struct ct_gem_config *config,
                                    struct ct_error *err)
{
    *config = (struct ct_gem_config){0};
    for (int i = 0; i < N_KEYS; i++)
        store(&keys[i], keys[i].value, config);
    for (int i = 0; i < N_PRESETS; i++)
        if (strcmp(presets[i].name, name) == 0)
            return ct_gem_config_parse(name, presets[i].text, strlen(presets[i].text), config, err);
    char list[256] = "";
    for (int i = 0; i < N_PRESETS; i++) {
        strcat(list, i > 0 ? ", " : "");
        strcat(list, presets[i].name);
    }
    return ct_error_set(err, CT_NOT_FOUND, "no preset is called '%.64s'; there are %s", name, list);
}

enum ct_status ct_gem_config_lay(const char *path, struct ct_gem_config *config,
                                 struct ct_error *err)
{
    char *text;
    size_t n_bytes;
    enum ct_status status = ct_file_read(path, &text, &n_bytes, err);
    if (status != CT_OK)
        return status;
    status = ct_gem_config_parse(path, text, n_bytes, config, err);
    free(text);
    return status;
}

void ct_gem_choice_print(const char *choices, int place, FILE *file)
{
    for (; place > 0; place--)
        choices = strchr(choices, '|') + 1;
    fprintf(file, "%.*s", (int)strcspn(choices, "|"), choices);
}

void ct_gem_config_print_choice(const struct ct_gem_config *config, const char *section,
                                const char *name, FILE *file)
{
    int i = 0;
    while (i < N_KEYS && (keys[i].type != KEY_CHOICE || strcmp(keys[i].section, section) != 0 ||
                          strcmp(keys[i].name, name) != 0))
        i++;
    assert(i < N_KEYS);
    ct_gem_choice_print(keys[i].choices, (int)load(&keys[i], config), file);
}

void ct_gem_config_print(const struct ct_gem_config *config, FILE *file)
{
    for (int i = 0; i < N_KEYS; i++) {
        const struct key *key = &keys[i];
        if (i == 0 || strcmp(key->section, keys[i - 1].section) != 0)
            fprintf(file, "%s[%s]\n", i == 0 ? "" : "\n", key->section);
        fprintf(file, "# %s", key->help);
        if (key->type == KEY_CHOICE)
            fprintf(file, " (%s)\n%s = ", key->choices, key->name);
        else
            fprintf(file, " (%g to %g)\n%s = ", key->low, key->high, key->name);
        if (key->type == KEY_CHOICE)
            ct_gem_choice_print(key->choices, (int)load(key, config), file);
        else
            fprintf(file, "%.10g", load(key, config));
        fputc('\n', file);
    }
    for (int i = 0; i < config->n_rules; i++)
        ct_gem_rule_print(&config->rules[i], file);
}
