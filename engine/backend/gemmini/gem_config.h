/* The configuration of the simulated machine: an INI file over a preset.
 *
 *     # a comment, also with ;
 *     [mem]
 *     latency = 100
 *
 * gem_config.def lists every key with its limits; each is a field called section_key. An unknown
 * section or key, a key given twice, and a value out of its limits are errors that name file and
 * line. [product] sections, as many as CT_GEM_MAX_RULES, say how products are mapped (gem_rule.h); a
 * mapping file is one with nothing else in it. Plain data; any thread. */
#ifndef CT_BACKEND_GEMMINI_GEM_CONFIG_H
#define CT_BACKEND_GEMMINI_GEM_CONFIG_H

#include "engine/backend/gemmini/gem_rule.h"

enum { CT_GEM_MAX_RULES = 64 };

struct ct_gem_config {
#define CT_GEM_INT(section, key, value, low, high, help)  int section##_##key;
#define CT_GEM_REAL(section, key, value, low, high, help) double section##_##key;
#define CT_GEM_CHOICE(section, key, value, choices, help) int section##_##key;
#include "engine/backend/gemmini/gem_config.def"
#undef CT_GEM_INT
#undef CT_GEM_REAL
#undef CT_GEM_CHOICE
    struct ct_gem_rule rules[CT_GEM_MAX_RULES]; /* the [product] sections, in order */
    int n_rules;
};

/* Values of the choices that code asks for, in the order of gem_config.def. */
enum { CT_GEM_DATAFLOW_BOTH, CT_GEM_DATAFLOW_WS, CT_GEM_DATAFLOW_OS };

/* default, ibert, survey_nas, survey_fusion_128, survey_fusion_256, lpddr4. CT_NOT_FOUND lists
 * them. */
CT_MUST_CHECK enum ct_status ct_gem_config_preset(const char *name, struct ct_gem_config *config,
                                                  struct ct_error *err);

/* Lays the settings of an INI text [n_bytes] over *config, which holds a preset before; its [product]
 * sections come behind those that are there. name is the file's, for messages. CT_INVALID; *config is
 * then half changed. */
CT_MUST_CHECK enum ct_status ct_gem_config_parse(const char *name, const char *text, size_t n_bytes,
                                                 struct ct_gem_config *config,
                                                 struct ct_error *err);

/* The same of the file at path; also CT_IO. */
CT_MUST_CHECK enum ct_status ct_gem_config_lay(const char *path, struct ct_gem_config *config,
                                               struct ct_error *err);

/* What no single key's limits say, for configurations that were set by code: banks divide their
 * memory, a bus moves whole requests, tiles fit. ct_gem_config_parse asks this too. CT_INVALID. */
CT_MUST_CHECK enum ct_status ct_gem_config_check(const struct ct_gem_config *config,
                                                 struct ct_error *err);

/* Prints the word that a key of choices has: "lpddr4" of ("energy", "dram"). Asserts that there is such a
 * key. */
void ct_gem_config_print_choice(const struct ct_gem_config *config, const char *section,
                                const char *name, FILE *file);

/* All keys as an INI text with their help, which ct_gem_config_parse reads back. */
void ct_gem_config_print(const struct ct_gem_config *config, FILE *file);

static inline unsigned ct_gem_config_spad_rows(const struct ct_gem_config *config)
{
    return (unsigned)config->spad_kb * 64;
}

static inline unsigned ct_gem_config_acc_rows(const struct ct_gem_config *config)
{
    return (unsigned)config->acc_kb * 16;
}

/* Blocks of 16 rows of either memory that a tile may take: a loop's share, or all of it where tiles are
 * written out (output stationary). */
static inline size_t ct_gem_config_spad_blocks(const struct ct_gem_config *config, bool is_os)
{
    return ct_gem_config_spad_rows(config) / (is_os ? 1U : (unsigned)config->rob_loops_in_flight) /
           16;
}

static inline size_t ct_gem_config_acc_blocks(const struct ct_gem_config *config, bool is_os)
{
    return ct_gem_config_acc_rows(config) / (is_os ? 1U : (unsigned)config->rob_loops_in_flight) /
           16;
}

/* Choices "a|b|c": the place of a word, or -1; and a word by its place. */
int ct_gem_choice_find(const char *choices, const char *word);
void ct_gem_choice_print(const char *choices, int place, FILE *file);

#endif
