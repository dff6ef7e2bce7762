#include "engine/backend/gemmini/gem_rule.h"

#include "engine/backend/gemmini/gem_config.h"

#include <stdlib.h>
#include <string.h>

enum key_type { KEY_RANGE, KEY_TILE, KEY_CHOICE };

static const struct key {
    const char *name;
    enum key_type type;
    size_t offset;
    const char *choices; /* their place in the list is the value */
} keys[] = {
    {"m", KEY_RANGE, offsetof(struct ct_gem_rule, m), NULL},
    {"n", KEY_RANGE, offsetof(struct ct_gem_rule, n), NULL},
    {"k", KEY_RANGE, offsetof(struct ct_gem_rule, k), NULL},
    {"role", KEY_CHOICE, offsetof(struct ct_gem_rule, role), "any|qk|av|wout|w2"},
    {"tile", KEY_TILE, offsetof(struct ct_gem_rule, tile), NULL},
    {"dataflow", KEY_CHOICE, offsetof(struct ct_gem_rule, dataflow), "auto|ws|os"},
    {"order", KEY_CHOICE, offsetof(struct ct_gem_rule, order), "auto|ijk|jik"},
    {"fuse", KEY_CHOICE, offsetof(struct ct_gem_rule, fuse), "auto|0|1"},
};
enum { N_KEYS = sizeof keys / sizeof keys[0], MAX_EXTENT = 1 << 24, MAX_BLOCKS = 65535 };

/* A whole number from 1 to high at *text, which moves behind it. */
static bool read_number(const char **text, unsigned long high, unsigned *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    const unsigned long value = strtoul(*text, &end, 10);
    *text = end;
    *out = (unsigned)value;
    return value >= 1 && value <= high;
}

static enum ct_status set_range(const char *name, const char *text, struct ct_gem_range *range,
                                struct ct_error *err)
{
    const char *at = text;
    *range = (struct ct_gem_range){0};
    if (strcmp(text, "*") == 0)
        return CT_OK;
    bool is_good = read_number(&at, MAX_EXTENT, &range->low);
    range->high = range->low;
    if (is_good && strncmp(at, "..", 2) == 0) {
        at += 2;
        is_good = read_number(&at, MAX_EXTENT, &range->high) && range->low <= range->high;
    }
    if (!is_good || *at != '\0')
        return ct_error_set(err, CT_INVALID,
                            "product.%s is a number from 1 to %d, LOW..HIGH or *, not '%.64s'",
                            name, MAX_EXTENT, text);
    return CT_OK;
}

static enum ct_status set_tile(const char *text, struct ct_gem_tiles *tile, struct ct_error *err)
{
    const char *at = text;
    unsigned blocks[3] = {0};
    bool is_good = true;
    for (int i = 0; i < 3 && is_good; i++) {
        is_good = read_number(&at, MAX_BLOCKS, &blocks[i]) && *at == (i < 2 ? 'x' : '\0');
        at++;
    }
    if (!is_good)
        return ct_error_set(err, CT_INVALID,
                            "product.tile is IxJxK blocks of 16, each from 1 to %d, not '%.64s'",
                            MAX_BLOCKS, text);
    *tile = (struct ct_gem_tiles){blocks[0], blocks[1], blocks[2]};
    return CT_OK;
}

enum ct_status ct_gem_rule_set(struct ct_gem_rule *rule, const char *key, const char *text,
                               struct ct_error *err)
{
    for (unsigned i = 0; i < N_KEYS; i++) {
        void *field = (char *)rule + keys[i].offset;
        if (strcmp(keys[i].name, key) != 0)
            continue;
        if ((rule->given >> i & 1) != 0)
            return ct_error_set(err, CT_INVALID, "product.%s is given twice", key);
        rule->given |= 1U << i;
        if (keys[i].type == KEY_RANGE)
            return set_range(key, text, field, err);
        if (keys[i].type == KEY_TILE)
            return set_tile(text, field, err);
        const int place = ct_gem_choice_find(keys[i].choices, text);
        if (place < 0)
            return ct_error_set(err, CT_INVALID, "product.%s is one of %s, not '%.64s'", key,
                                keys[i].choices, text);
        *(int *)field = place;
        return CT_OK;
    }
    return ct_error_set(err, CT_INVALID, "[product] has no key '%.64s'", key);
}

enum ct_status ct_gem_tiles_check(const struct ct_gem_config *config,
                                  const struct ct_gem_tiles *tiles, bool is_os,
                                  struct ct_error *err)
{
    const size_t spad = ct_gem_config_spad_blocks(config, is_os);
    const size_t acc = ct_gem_config_acc_blocks(config, is_os);
    const size_t operands = (tiles->i + tiles->j) * tiles->k, results = tiles->i * tiles->j;
    if (operands <= spad && results <= acc)
        return CT_OK;
    const bool is_spad = operands > spad;
    return ct_error_set(err, CT_INVALID,
                        "a tile of %zux%zux%zu blocks takes %zu blocks of the %s, and has %zu",
                        tiles->i, tiles->j, tiles->k, is_spad ? operands : results,
                        is_spad ? "scratchpad" : "accumulator", is_spad ? spad : acc);
}

bool ct_gem_rule_is_os(const struct ct_gem_config *config, const struct ct_gem_rule *rule)
{
    if (rule == NULL || rule->dataflow == 0)
        return config->array_dataflow == CT_GEM_DATAFLOW_OS;
    return rule->dataflow == CT_GEM_DATAFLOW_OS;
}

enum ct_status ct_gem_rule_check(const struct ct_gem_config *config, const struct ct_gem_rule *rule,
                                 struct ct_error *err)
{
    enum ct_status status = CT_OK;
    const bool is_os = ct_gem_rule_is_os(config, rule);
    if (config->array_dataflow == (is_os ? CT_GEM_DATAFLOW_WS : CT_GEM_DATAFLOW_OS))
        status = ct_error_set(err, CT_INVALID, "dataflow is %s, but array.dataflow is %s",
                              is_os ? "os" : "ws", is_os ? "ws" : "os");
    else if (rule->tile.i > 0)
        status = ct_gem_tiles_check(config, &rule->tile, is_os, err);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "[product] of line %d", rule->line);
}

static bool has(const struct ct_gem_range *range, size_t n)
{
    return range->high == 0 || (n >= range->low && n <= range->high);
}

const struct ct_gem_rule *ct_gem_rule_find(const struct ct_gem_config *config,
                                           enum ct_gem_role role, size_t m, size_t n, size_t k)
{
    for (int i = config->n_rules - 1; i >= 0; i--) {
        const struct ct_gem_rule *rule = &config->rules[i];
        if ((rule->role == 0 || rule->role == (int)role) && has(&rule->m, m) && has(&rule->n, n) &&
            has(&rule->k, k))
            return rule;
    }
    return NULL;
}

void ct_gem_rule_print(const struct ct_gem_rule *rule, FILE *file)
{
    fputs("\n[product]\n", file);
    for (unsigned i = 0; i < N_KEYS; i++) {
        const void *field = (const char *)rule + keys[i].offset;
        if ((rule->given >> i & 1) == 0)
            continue;
        fprintf(file, "%s = ", keys[i].name);
        if (keys[i].type == KEY_CHOICE) {
            ct_gem_choice_print(keys[i].choices, *(const int *)field, file);
        } else if (keys[i].type == KEY_TILE) {
            fprintf(file, "%zux%zux%zu", rule->tile.i, rule->tile.j, rule->tile.k);
        } else {
            const struct ct_gem_range *range = field;
            if (range->high == 0)
                fputc('*', file);
            else
                fprintf(file, "%u..%u", range->low, range->high);
        }
        fputc('\n', file);
    }
}
