#include "engine/runtime/bind.h"

#include "engine/base/f16.h"
#include "engine/runtime/places.h"

#include <stdlib.h>

void *ct_binding_own(struct ct_binding *b, size_t n_bytes)
{
    void *block = aligned_alloc(64, (n_bytes + 64) & ~(size_t)63);
    if (block != NULL)
        b->owned[b->n_owned++] = block;
    return block;
}

/* All rows of a weight as f32, in Hugging Face's order. */
static float *rows_f32(struct ct_binding *b, const struct ct_weight *weight, int64_t n, int64_t k)
{
    float *rows = ct_binding_own(b, (size_t)n * (size_t)k * sizeof *rows);
    for (int64_t i = 0; rows != NULL && i < n; i++)
        ct_weight_row_f32(weight, i, rows + i * k);
    return rows;
}

static enum ct_status bind_clustered(struct ct_binding *b, const struct ct_slot *slot,
                                     struct ct_matrix *m, struct ct_error *err)
{
    struct ct_clustered *c = &m->clustered;
    if (c->n != slot->n || c->k != slot->k)
        return ct_error_set(err, CT_FORMAT, "%s: shape [%lld, %lld], expected [%lld, %lld]",
                            slot->name, (long long)c->n, (long long)c->k, (long long)slot->n,
                            (long long)slot->k);
    m->kind = CT_MATRIX_CLUSTERED;
    m->n_bytes = ct_clustered_n_bytes(c);
    if (c->codebook_f32 != NULL)
        return CT_OK;
    int64_t n = c->n_codebooks << c->bits;
    float *codebook = ct_binding_own(b, (size_t)n * sizeof *codebook);
    if (codebook == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for its codebook", slot->name);
    for (int64_t i = 0; i < n; i++)
        codebook[i] = c->codebook_i8[i];
    c->codebook_f32 = codebook;
    return CT_OK;
}

enum ct_status ct_binding_check(const struct ct_slot *slot, const struct ct_weight *weight,
                                struct ct_error *err)
{
    if (weight == NULL)
        return ct_error_set(err, CT_FORMAT, "weight %s is missing", slot->name);
    int64_t n, k;
    const bool is_vector = slot->n == 0;
    ct_tensor_matrix(&weight->tensor, &n, &k);
    const bool fits = is_vector ? n * k == slot->k : n == slot->n && k == slot->k;
    if (fits)
        return CT_OK;
    return ct_error_set(err, CT_FORMAT, "%s: shape [%lld, %lld], expected [%lld, %lld]", slot->name,
                        (long long)n, (long long)k, (long long)(is_vector ? 1 : slot->n),
                        (long long)slot->k);
}

enum ct_status ct_binding_read_places(const struct ct_patches *p, const struct ct_slot *slot,
                                      const struct ct_weight *weight, float *table,
                                      struct ct_error *err)
{
    struct ct_slot stored = *slot;
    stored.n = p->n_prefix + (int64_t)p->stored_lines * p->stored_columns;
    enum ct_status status = ct_binding_check(&stored, weight, err);
    if (status != CT_OK)
        return status;
    float *rows = malloc((size_t)(stored.n * slot->k) * sizeof *rows);
    if (rows == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for its %lld places", slot->name,
                            (long long)stored.n);
    for (int64_t i = 0; i < stored.n; i++)
        ct_weight_row_f32(weight, i, rows + i * slot->k);
    ct_places_resize(p, slot->k, rows, table);
    free(rows);
    return CT_OK;
}

static enum ct_status bind_places(struct ct_binding *b, const struct ct_patches *p,
                                  const struct ct_slot *slot, const struct ct_weight *weight,
                                  struct ct_matrix *m, struct ct_error *err)
{
    float *table = ct_binding_own(b, (size_t)(slot->n * slot->k) * sizeof *table);
    if (table == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for %lld places", slot->name,
                            (long long)slot->n);
    enum ct_status status = ct_binding_read_places(p, slot, weight, table, err);
    *m = (struct ct_matrix){.kind = CT_MATRIX_DENSE,
                            .n = slot->n,
                            .k = slot->k,
                            .dense = table,
                            .dense_type = CT_DTYPE_F32,
                            .n_bytes = status == CT_OK ? weight->tensor.n_bytes : 0};
    return status;
}

static enum ct_status bind_plain(struct ct_binding *b, const struct ct_model_file *file,
                                 const struct ct_slot *slot, const struct ct_weight *weight,
                                 struct ct_matrix *m, struct ct_error *err)
{
    const struct ct_tensor *t = &weight->tensor;
    const bool is_vector = slot->n == 0;
    const int64_t n = is_vector ? 1 : slot->n;
    m->n_bytes = t->n_bytes;
    m->kind = is_vector ? CT_MATRIX_VECTOR : CT_MATRIX_DENSE;
    m->dense_type = CT_DTYPE_F32;
    const bool can_view = (uintptr_t)t->data % 4 == 0 && ct_weight_is_plain(weight);
    if (can_view && t->dtype == CT_DTYPE_F32) {
        m->dense = t->data;
    } else if (can_view && !is_vector && (t->dtype == CT_DTYPE_F16 || t->dtype == CT_DTYPE_BF16)) {
        m->dense = t->data;
        m->dense_type = t->dtype;
    } else {
        m->dense = rows_f32(b, weight, n, slot->k);
        ct_model_file_forget(file, weight); /* the copy is what is read from now on */
    }
    if (m->dense == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for its %lld values", slot->name,
                            (long long)(n * slot->k));
    m->vector = is_vector ? m->dense : NULL;
    return CT_OK;
}

enum ct_status ct_binding_init(struct ct_binding *b, const struct ct_graph *graph,
                               const struct ct_model_file *file, struct ct_error *err)
{
    *b = (struct ct_binding){0};
    b->matrices = calloc((size_t)graph->n_slots + 1, sizeof *b->matrices);
    b->owned = calloc(3 * (size_t)graph->n_slots + 1, sizeof *b->owned);
    enum ct_status status = CT_OK;
    if (b->matrices == NULL || b->owned == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %d weights", graph->n_slots);
    for (int i = 0; status == CT_OK && i < graph->n_slots; i++) {
        const struct ct_slot *slot = &graph->slots[i];
        struct ct_matrix *m = &b->matrices[i];
        m->n = slot->n;
        m->k = slot->k;
        status = ct_model_file_clustered(file, slot->name, &m->clustered, err);
        const struct ct_weight *weight = ct_model_file_find(file, slot->name);
        if (status == CT_OK) {
            status = bind_clustered(b, slot, m, err);
        } else if (status == CT_NOT_FOUND && slot->is_grid) {
            status = bind_places(b, &graph->patches, slot, weight, m, err);
        } else if (status == CT_NOT_FOUND) {
            status = ct_binding_check(slot, weight, err);
            if (status == CT_OK)
                status = bind_plain(b, file, slot, weight, m, err);
        }
        b->n_parameters += (slot->n > 0 ? slot->n : 1) * slot->k;
        b->n_bytes += (int64_t)m->n_bytes;
    }
    if (status != CT_OK)
        ct_binding_deinit(b);
    return status;
}

void ct_binding_row(const struct ct_matrix *w, int64_t row, float *out)
{
    if (w->kind == CT_MATRIX_CLUSTERED) {
        ct_clustered_row_f32(&w->clustered, row, out);
        return;
    }
    const uint16_t *half = (const uint16_t *)w->dense + row * w->k;
    for (int64_t j = 0; j < w->k; j++)
        out[j] = w->dense_type == CT_DTYPE_F32   ? ((const float *)w->dense)[row * w->k + j]
                 : w->dense_type == CT_DTYPE_F16 ? ct_f16_to_f32(half[j])
                                                 : ct_bf16_to_f32(half[j]);
}

void ct_binding_deinit(struct ct_binding *b)
{
    for (int i = 0; i < b->n_owned; i++)
        free(b->owned[i]);
    free(b->owned);
    free(b->matrices);
    *b = (struct ct_binding){0};
}
