/* A model family: how one architecture becomes a graph. Each file of models/ defines one; the list
 * is models/families.c. The engine finds a family by name and never names one. */
#ifndef CT_GRAPH_FAMILY_H
#define CT_GRAPH_FAMILY_H

#include "engine/base/status.h"
#include "engine/format/model_file.h"

struct ct_graph;

struct ct_family {
    const char *name; /* Hugging Face model_type, and GGUF's general.architecture */
    const struct ct_name_map *names; /* NULL: not read from GGUF files */
    const struct ct_part_map *parts; /* of ONNX files; NULL: none but Hugging Face's names */
    /* Adds the family's nodes to an empty graph. CT_UNSUPPORTED, CT_MEMORY. */
    enum ct_status (*build)(const struct ct_hparams *hparams, struct ct_graph *graph,
                            struct ct_error *err);
};

/* Ended by NULL. */
extern const struct ct_family *const ct_families[];

/* By name, or NULL. */
const struct ct_family *ct_family_find(const char *name);

/* The families' tables of names, for ct_model_file_open. */
const struct ct_foreign_names *ct_family_foreign_names(void);

#endif
