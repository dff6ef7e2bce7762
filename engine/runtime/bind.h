/* Binding: the graph's slots to the model file's weights.
 *
 * Plain and clustered weights are used where they lie in the mapped file. What the kernels cannot
 * read there is made once, in memory of the binding: blocks of GGUF become f32, rows that GGUF
 * interleaves are put in order, vectors become f32, and a codebook of int8 gets its float form. */
#ifndef CT_RUNTIME_BIND_H
#define CT_RUNTIME_BIND_H

#include "engine/backend/backend.h"
#include "engine/format/model_file.h"

struct ct_binding {
    struct ct_matrix *matrices; /* [graph->n_slots] */
    void **owned;               /* [n_owned] blocks made here */
    int n_owned;
    int64_t n_parameters;
    int64_t n_bytes; /* as stored */
};

/* CT_FORMAT names the weight that is missing or has another shape; CT_MEMORY. The file outlives it.
 */
CT_MUST_CHECK enum ct_status ct_binding_init(struct ct_binding *binding,
                                             const struct ct_graph *graph,
                                             const struct ct_model_file *file,
                                             struct ct_error *err);
/* A 64-byte aligned block that lives as long as the binding, with room for three a weight and one
 * beside; NULL when memory is short. */
void *ct_binding_own(struct ct_binding *binding, size_t n_bytes);

void ct_binding_deinit(struct ct_binding *binding);

/* Row `row` of a matrix as floats: out [k]. */
void ct_binding_row(const struct ct_matrix *matrix, int64_t row, float *out);

/* CT_FORMAT where a plain weight is not there (NULL) or has another shape than its slot. */
CT_MUST_CHECK enum ct_status ct_binding_check(const struct ct_slot *slot,
                                              const struct ct_weight *weight, struct ct_error *err);

/* The rows of a slot that is_grid, [slot->n, k], made of those that are stored: places.h. CT_FORMAT,
 * CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_binding_read_places(const struct ct_patches *patches,
                                                    const struct ct_slot *slot,
                                                    const struct ct_weight *weight, float *table,
                                                    struct ct_error *err);

#endif
