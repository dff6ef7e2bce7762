/* What a mapping file says of products: a [product] section each, read with the configuration.
 *
 *     [product]            # those with one row of activations
 *     m = 1
 *     tile = 1x8x32        # i x j x k blocks of 16
 *     order = jik
 *
 * m, n, k (a number, LOW..HIGH, or * for any) and role say which products a section is about, the other
 * keys how these are cut and fused; what it leaves out is as without a section. Where several are about
 * a product, the last one decides alone. Plain data; any thread. */
#ifndef CT_BACKEND_GEMMINI_GEM_RULE_H
#define CT_BACKEND_GEMMINI_GEM_RULE_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct ct_gem_config;

/* What a product is in a Transformer; [sw] and rules may fuse some with the normalisation behind them. */
enum ct_gem_role {
    CT_GEM_ROLE_NONE,
    CT_GEM_ROLE_QK,
    CT_GEM_ROLE_AV,
    CT_GEM_ROLE_WOUT,
    CT_GEM_ROLE_W2
};

/* In blocks of 16. */
struct ct_gem_tiles {
    size_t i, j, k;
};

/* In which order tiles are gone through. k is always innermost, as the accumulator holds one tile at a
 * time. With all of k in a tile, IJK loads A once and JIK loads B once; AUTO is the reference software's:
 * IJK, and only what lies in two tiles altogether is loaded once. */
enum ct_gem_order { CT_GEM_ORDER_AUTO, CT_GEM_ORDER_IJK, CT_GEM_ORDER_JIK };

enum ct_gem_fuse { CT_GEM_FUSE_AUTO, CT_GEM_FUSE_NO, CT_GEM_FUSE_YES };

struct ct_gem_range {
    unsigned low, high; /* high 0: any */
};

struct ct_gem_rule {
    int line;       /* of its section */
    unsigned given; /* the keys that its lines gave, by their place in gem_rule.c's table */
    struct ct_gem_range m, n, k;
    struct ct_gem_tiles tile; /* i 0: as large as fits */
    int role;                 /* 0: any; otherwise enum ct_gem_role */
    int dataflow;             /* 0: the array's; 1: weight, 2: output stationary */
    int order;                /* enum ct_gem_order */
    int fuse;                 /* enum ct_gem_fuse; AUTO: as [sw] says */
};

/* Sets key of rule from text. CT_INVALID (no such key, given twice, or not within its limits). */
CT_MUST_CHECK enum ct_status ct_gem_rule_set(struct ct_gem_rule *rule, const char *key,
                                             const char *text, struct ct_error *err);

/* Whether the machine can do it: the tile fits, the array has the dataflow. CT_INVALID. */
CT_MUST_CHECK enum ct_status ct_gem_rule_check(const struct ct_gem_config *config,
                                               const struct ct_gem_rule *rule,
                                               struct ct_error *err);

/* Whether a tile fits. CT_INVALID, with what it takes and what there is. */
CT_MUST_CHECK enum ct_status ct_gem_tiles_check(const struct ct_gem_config *config,
                                                const struct ct_gem_tiles *tiles, bool is_os,
                                                struct ct_error *err);

/* Whether products are output stationary by rule; rule NULL: by config alone. */
bool ct_gem_rule_is_os(const struct ct_gem_config *config, const struct ct_gem_rule *rule);

/* The rule of config that decides about a product; NULL: none is about it. */
const struct ct_gem_rule *ct_gem_rule_find(const struct ct_gem_config *config,
                                           enum ct_gem_role role, size_t m, size_t n, size_t k);

/* As a section that reads back. */
void ct_gem_rule_print(const struct ct_gem_rule *rule, FILE *file);

#endif
