#include "engine/compress/recipe.h"

#include "engine/base/clock.h"
#include "engine/compress/parts.h"
#include "engine/compress/sidecar.h"
#include "engine/format/model_writer.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
    const struct ct_weight *weight;
    enum ct_treatment treatment;
    struct ct_plan plan; /* not of a copied tensor */
    int place;           /* the calibrator's, or -1 */
    struct ct_report_row *row;
};

struct run {
    const struct ct_recipe *recipe;
    const struct ct_model_file *model;
    struct ct_quantizer *quantizer;
    struct ct_parts parts;
    struct item *items;
    int n_items;
    int64_t n_weights, n_done; /* weights times passes */
    const char *name;          /* of the tensor in work */
};

/* ---- what becomes of each tensor ---- */

enum { LEAST_WEIGHTS = 1024 };

/* Of less than a tile of rows the indices and scales take as much as the weights, and among few
 * weights there is little to find: a table of token types, or of distances, or the last matrix of a
 * classifier of a few classes. */
static bool is_clusterable(const struct ct_tensor *tensor)
{
    switch (tensor->dtype) {
    case CT_DTYPE_F64:
    case CT_DTYPE_I8:
    case CT_DTYPE_U8:
    case CT_DTYPE_I16:
    case CT_DTYPE_I32:
    case CT_DTYPE_I64:
        return false;
    default:
        return (tensor->n_dims == 2 || tensor->n_dims == CT_MAX_DIMS) && /* or a convolution's */
               tensor->shape[0] >= CT_TILE_ROWS && ct_tensor_n_elements(tensor) >= LEAST_WEIGHTS;
    }
}

/* Whether a tensor's bytes go into the file as they are. Others become F32: those of a type that
 * safetensors does not have, and those that are stored in another order. */
static bool is_copied(const struct ct_weight *weight)
{
    return ct_dtype_safetensors_name(weight->tensor.dtype) != NULL && ct_weight_is_plain(weight);
}

static enum ct_dtype copied_dtype(const struct ct_weight *weight)
{
    return is_copied(weight) ? weight->tensor.dtype : CT_DTYPE_F32;
}

static void add_item(struct run *run, const struct ct_weight *weight)
{
    const struct ct_recipe *recipe = run->recipe;
    const struct ct_calibrator *calibrator = recipe->calibrator;
    struct item *item = &run->items[run->n_items++];
    *item = (struct item){.weight = weight, .place = -1};
    if (calibrator != NULL)
        item->place = calibrator->place(calibrator->context, weight->tensor.name);
    if (!is_clusterable(&weight->tensor))
        return;
    bool is_kept = recipe->keeps_blocks && ct_can_keep(weight);
    item->treatment = is_kept ? CT_KEPT : CT_CLUSTERED;
    item->plan = is_kept ? ct_plan_kept(weight) : ct_plan_matrix(&recipe->quantize, weight);
    run->n_weights +=
        item->plan.n * item->plan.k * (is_kept ? 1 : ct_quantize_passes(&recipe->quantize));
}

/* Layer 2 before layer 10: the file is laid out as a step reads it, more or less, and exactly where
 * a calibrator knows. */
static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return strverscmp(x->weight->tensor.name, y->weight->tensor.name);
}

static enum ct_status add_items(struct run *run, struct ct_error *err)
{
    const struct ct_hparams *hparams = ct_model_file_hparams(run->model);
    int n = ct_model_file_n_weights(run->model);
    run->items = calloc((size_t)n, sizeof *run->items);
    if (run->items == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %d tensors", n);
    for (int i = 0; i < n; i++) {
        const struct ct_weight *weight = ct_model_file_weight(run->model, i);
        /* Tied embeddings are stored once, also where a file has them twice. */
        if (hparams->has_tied_embeddings && strcmp(weight->tensor.name, "lm_head.weight") == 0)
            continue;
        add_item(run, weight);
    }
    if (run->n_items > 0)
        qsort(run->items, (size_t)run->n_items, sizeof *run->items, compare_items);
    return CT_OK;
}

/* ---- the file's parts ---- */

static enum ct_status declare_matrix(struct ct_parts *parts, const char *name,
                                     const struct ct_plan *plan)
{
    struct ct_clustered view = ct_plan_view(plan);
    enum ct_dtype centroid = plan->has_float_centroids ? CT_DTYPE_F32 : CT_DTYPE_I8;
    const int64_t tiles = ct_clustered_tiles_n(&view);
    const int64_t index[] = {tiles, ct_clustered_tiles_k(&view), 8 * plan->bits};
    const int64_t codebook[] = {plan->n_codebooks, (int64_t)1 << plan->bits};
    const int64_t scale[] = {tiles, ct_clustered_groups(&view), CT_TILE_ROWS};
    enum ct_status status = ct_parts_add(parts, name, "index", CT_DTYPE_U8, 3, index);
    if (status == CT_OK && plan->n_codebooks > 0)
        status = ct_parts_add(parts, name, "codebook", centroid, 2, codebook);
    if (status == CT_OK && plan->has_scale)
        status = ct_parts_add(parts, name, "scale", CT_DTYPE_F16, 3, scale);
    if (status == CT_OK && plan->has_offset)
        status = ct_parts_add(parts, name, "offset", CT_DTYPE_F16, 3, scale);
    return status;
}

static bool has_model_codebook(const struct run *run)
{
    for (int i = 0; i < run->n_items; i++)
        if (run->items[i].treatment == CT_CLUSTERED && run->items[i].plan.n_codebooks == 0)
            return true;
    return false;
}

/* In the order in which they will be written. */
static enum ct_status declare_parts(struct run *run, struct ct_error *err)
{
    const struct ct_quantize *quantize = &run->recipe->quantize;
    enum ct_status status = CT_OK;
    if (has_model_codebook(run))
        status = ct_parts_add(&run->parts, "centroid", "codebook",
                              quantize->has_float_centroids ? CT_DTYPE_F32 : CT_DTYPE_I8, 2,
                              (int64_t[]){1, (int64_t)1 << quantize->bits});
    for (int i = 0; i < run->n_items && status == CT_OK; i++) {
        const struct ct_weight *weight = run->items[i].weight;
        const struct ct_tensor *tensor = &weight->tensor;
        status = run->items[i].treatment != CT_COPIED
                     ? declare_matrix(&run->parts, tensor->name, &run->items[i].plan)
                     : ct_parts_add(&run->parts, tensor->name, NULL, copied_dtype(weight),
                                    tensor->n_dims, tensor->shape);
    }
    return status == CT_OK ? CT_OK : ct_error_set(err, status, "no memory for the file's header");
}

static json_t *describe_shape(const struct ct_tensor *tensor)
{
    json_t *shape = json_array();
    int failed = shape == NULL;
    for (int i = 0; i < tensor->n_dims && !failed; i++)
        failed = json_array_append_new(shape, json_integer(tensor->shape[i]));
    if (!failed)
        return shape;
    json_decref(shape);
    return NULL;
}

/* quantization_config: what a reader needs to know of each matrix. NULL when memory is short. */
static json_t *describe(const struct run *run)
{
    json_t *tensors = json_object();
    int failed = tensors == NULL;
    int bits = run->recipe->quantize.bits;
    for (int i = 0; i < run->n_items && !failed; i++) {
        const struct ct_plan *plan = &run->items[i].plan;
        if (run->items[i].treatment == CT_COPIED)
            continue;
        const struct ct_tensor *tensor = &run->items[i].weight->tensor;
        json_t *entry = json_pack("{s:I, s:I, s:i, s:i}", "n", (json_int_t)plan->n, "k",
                                  (json_int_t)plan->k, "bits", plan->bits, "group", plan->group);
        if (tensor->n_dims > 2 && entry != NULL)
            failed = json_object_set_new(entry, "shape", describe_shape(tensor));
        failed |= json_object_set_new(tensors, tensor->name, entry);
    }
    json_t *config = json_pack("{s:s, s:i, s:i, s:o}", "quant_method", "centroid", "version", 1,
                               "bits", bits, "tensors", tensors);
    if (!failed)
        return config;
    json_decref(config);
    return NULL;
}

/* ---- progress ---- */

static enum ct_status on_progress(void *context, const struct ct_source *matrix, int64_t n_weights,
                                  struct ct_error *err)
{
    struct run *run = context;
    ct_model_file_forget(run->model, matrix->weight);
    run->n_done += n_weights;
    if (run->recipe->progress == NULL ||
        run->recipe->progress(run->recipe->progress_context, run->name,
                              (double)run->n_done / (double)run->n_weights))
        return CT_OK;
    return ct_error_set(err, CT_CANCELLED, "cancelled");
}

/* ---- writing ---- */

static enum ct_status write_index(void *context, const uint8_t *bytes, size_t n_bytes,
                                  struct ct_error *err)
{
    struct run *run = context;
    return ct_parts_write(&run->parts, bytes, n_bytes, err);
}

static enum ct_status write_part(struct run *run, const void *data, size_t n_bytes,
                                 struct ct_error *err)
{
    if (data == NULL)
        return CT_OK;
    enum ct_status status = ct_parts_begin(&run->parts, err);
    return status == CT_OK ? ct_parts_write(&run->parts, data, n_bytes, err) : status;
}

static enum ct_status write_matrix(struct run *run, struct item *item,
                                   const struct ct_source *matrix,
                                   const struct ct_codebook *codebook, struct ct_error *err)
{
    const struct ct_plan *plan = &item->plan;
    struct ct_clustered view = ct_plan_view(plan);
    size_t n_centroids = (size_t)plan->n_codebooks << plan->bits;
    size_t scale_bytes = ct_clustered_scale_bytes(&view);
    struct ct_encoded encoded = {0};
    enum ct_status status = ct_parts_begin(&run->parts, err);
    if (status == CT_OK)
        status = ct_quantizer_encode(run->quantizer, plan, matrix, codebook, &encoded, write_index,
                                     run, err);
    if (status == CT_OK)
        status = write_part(run, encoded.codebook_i8, n_centroids, err);
    if (status == CT_OK)
        status = write_part(run, encoded.codebook_f32, n_centroids * sizeof(float), err);
    if (status == CT_OK)
        status = write_part(run, encoded.scale, scale_bytes, err);
    if (status == CT_OK)
        status = write_part(run, encoded.offset, scale_bytes, err);
    item->row->bits = plan->bits;
    item->row->bytes_after = ct_clustered_index_bytes(&view) +
                             n_centroids * (plan->has_float_centroids ? sizeof(float) : 1) +
                             scale_bytes * ((size_t)plan->has_scale + (size_t)plan->has_offset);
    item->row->sum_square = encoded.sum_square;
    item->row->sum_error = encoded.sum_error;
    ct_encoded_deinit(&encoded);
    return status;
}

static enum ct_status write_copy(struct run *run, struct item *item, struct ct_error *err)
{
    const struct ct_tensor *tensor = &item->weight->tensor;
    enum ct_status status = ct_parts_begin(&run->parts, err);
    item->row->bytes_after = (size_t)ct_tensor_n_elements(tensor) *
                             (size_t)ct_dtype_block_bytes(copied_dtype(item->weight));
    if (status != CT_OK || is_copied(item->weight))
        return status == CT_OK ? ct_parts_write(&run->parts, tensor->data, tensor->n_bytes, err)
                               : status;
    int64_t n_rows, k;
    ct_tensor_matrix(tensor, &n_rows, &k);
    float *row = malloc((size_t)k * sizeof *row);
    if (row == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory to copy it", tensor->name);
    for (int64_t i = 0; i < n_rows && status == CT_OK; i++) {
        ct_weight_row_f32(item->weight, i, row);
        status = ct_parts_write(&run->parts, row, (size_t)k * sizeof *row, err);
    }
    free(row);
    return status;
}

/* The codebook of the whole model, from all matrices that are clustered. Their inputs are not known
 * so early. */
static enum ct_status learn_model(struct run *run, struct ct_codebook *codebook,
                                  struct ct_report *report, struct ct_error *err)
{
    const struct ct_quantize *quantize = &run->recipe->quantize;
    struct ct_source *matrices = calloc((size_t)run->n_items, sizeof *matrices);
    if (matrices == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %d matrices", run->n_items);
    int n = 0;
    for (int i = 0; i < run->n_items; i++)
        if (run->items[i].treatment == CT_CLUSTERED)
            matrices[n++] = (struct ct_source){.weight = run->items[i].weight};
    run->name = "the codebook";
    enum ct_status status = ct_quantizer_learn(run->quantizer, matrices, n, codebook, err);
    free(matrices);
    size_t n_centroids = (size_t)1 << quantize->bits;
    report->shared_bytes = n_centroids * (quantize->has_float_centroids ? sizeof(float) : 1);
    if (status != CT_OK)
        return status;
    return quantize->has_float_centroids ? write_part(run, codebook->f32, report->shared_bytes, err)
                                         : write_part(run, codebook->i8, report->shared_bytes, err);
}

static enum ct_status write_item(struct run *run, struct item *item, struct ct_codebook *codebook,
                                 struct ct_error *err)
{
    const struct ct_calibrator *calibrator = run->recipe->calibrator;
    const enum ct_scope scope = run->recipe->quantize.scope;
    struct ct_source matrix = {.weight = item->weight};
    enum ct_status status = CT_OK;
    if (item->treatment == CT_COPIED)
        return write_copy(run, item, err);
    if (item->treatment == CT_KEPT)
        return write_matrix(run, item, &matrix, NULL, err);
    if (item->place >= 0)
        status = calibrator->calibrate(calibrator->context, run->name, &matrix, err);
    if (status == CT_OK && scope == CT_SCOPE_TENSOR)
        status = ct_quantizer_learn(run->quantizer, &matrix, 1, codebook, err);
    if (status == CT_OK)
        status = write_matrix(run, item, &matrix, scope != CT_SCOPE_ROW ? codebook : NULL, err);
    return status;
}

static enum ct_status write_items(struct run *run, struct ct_report *report, struct ct_error *err)
{
    struct ct_codebook codebook;
    enum ct_status status = CT_OK;
    if (has_model_codebook(run))
        status = learn_model(run, &codebook, report, err);
    for (int i = 0; i < run->n_items && status == CT_OK; i++) {
        struct item *item = &run->items[i];
        const struct ct_tensor *tensor = &item->weight->tensor;
        run->name = tensor->name;
        item->row = ct_report_add(report, tensor->name);
        if (item->row == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for the report");
        item->row->treatment = item->treatment;
        item->row->dtype = tensor->dtype;
        item->row->n_weights = ct_tensor_n_elements(tensor);
        item->row->bytes_before = tensor->n_bytes;
        status = write_item(run, item, &codebook, err);
    }
    return status;
}

static enum ct_status write_dir(struct run *run, const struct ct_model_dir *dir,
                                struct ct_report *report, struct ct_error *err)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/model.safetensors", ct_model_dir_path(dir));
    /* The small files first: a tokenizer that cannot be read fails at once. */
    json_t *quantization = describe(run);
    enum ct_status status = quantization != NULL
                                ? ct_sidecar_write_config(run->model, dir, quantization, err)
                                : ct_error_set(err, CT_MEMORY, "no memory for config.json");
    json_decref(quantization);
    if (status == CT_OK)
        status = ct_sidecar_write_tokenizer(run->model, dir, err);
    if (status == CT_OK)
        status = declare_parts(run, err);
    if (status == CT_OK)
        status = ct_parts_open(&run->parts, path, err);
    if (status == CT_OK)
        status = write_items(run, report, err);
    return status == CT_OK ? ct_parts_close(&run->parts, err) : status;
}

static enum ct_status open_quantizer(struct run *run, struct ct_pool *pool, struct ct_error *err)
{
    int64_t max_k = 1;
    for (int i = 0; i < run->n_items; i++)
        if (run->items[i].plan.k > max_k)
            max_k = run->items[i].plan.k;
    struct ct_quantize quantize = run->recipe->quantize;
    quantize.progress = on_progress;
    quantize.progress_context = run;
    enum ct_status status = ct_quantizer_open(&quantize, max_k, pool, &run->quantizer);
    return status == CT_OK ? CT_OK : ct_error_set(err, status, "no memory for the workers");
}

enum ct_status ct_recipe_run(const struct ct_recipe *recipe, const struct ct_model_file *model,
                             struct ct_pool *pool, const char *path, struct ct_report *report,
                             struct ct_error *err)
{
    uint64_t start_ns = ct_clock_ns();
    struct run run = {.recipe = recipe, .model = model};
    struct ct_model_dir *dir = NULL;
    ct_parts_init(&run.parts);
    enum ct_status status = ct_report_init(report, ct_model_file_n_weights(model));
    if (status != CT_OK)
        ct_error_set(err, status, "no memory for the report");
    else if (ct_model_file_hparams(model)->clustered.bits > 0)
        status =
            ct_error_set(err, CT_UNSUPPORTED, "%s is clustered already", ct_model_file_path(model));
    if (status == CT_OK)
        status = add_items(&run, err);
    if (status == CT_OK)
        status = open_quantizer(&run, pool, err);
    if (status == CT_OK)
        status = ct_model_dir_begin(path, &dir, err);
    if (status == CT_OK)
        status = write_dir(&run, dir, report, err);
    if (status == CT_OK) {
        status = ct_model_dir_commit(dir, err);
        dir = NULL;
    }
    report->seconds = (double)(ct_clock_ns() - start_ns) * 1e-9;
    ct_model_dir_abort(dir);
    ct_quantizer_close(run.quantizer);
    free(run.items);
    ct_parts_deinit(&run.parts);
    if (status != CT_OK)
        ct_report_deinit(report);
    return status;
}
