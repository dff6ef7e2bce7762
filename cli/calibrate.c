#include "cli/calibrate.h"

#include "cli/cli.h"
#include "cli/image_folder.h"
#include "engine/base/file.h"
#include "engine/engine.h"
#include "engine/runtime/layerwise.h"
#include "engine/runtime/text.h"
#include "engine/runtime/vision.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_ROWS = 512,  /* added to a Hessian at once */
    WINDOW_TOK = 512,  /* of a text that goes on */
    SENTENCE_TOK = 64, /* of what an encoder reads at once */
};

/* What a text does not show counts like this share of what it shows on average. */
static const double damping = 0.01;

struct ct_calibration {
    struct ct_calibrator calibrator;
    struct ct_layerwise *run;
    struct ct_pool *pool;
    /* Of the product in front of which the run stands: */
    int place; /* -1: none yet */
    bool is_known;
    struct ct_hessian hessian;
    float *importance; /* [k] */
};

static int find_place(void *context, const char *name)
{
    const struct ct_calibration *calibration = context;
    return ct_layerwise_place(calibration->run, name);
}

/* The Hessian of the next product's input, factored, and the importance of its features: their mean
 * squares, with the mean 1. */
static enum ct_status look_at_input(struct ct_calibration *calibration, int64_t k)
{
    struct ct_hessian *h = &calibration->hessian;
    int64_t n_rows;
    const float *x = ct_layerwise_input(calibration->run, &n_rows);
    ct_hessian_deinit(h);
    free(calibration->importance);
    calibration->importance = malloc((size_t)k * sizeof *calibration->importance);
    enum ct_status status = ct_hessian_init(h, k);
    if (calibration->importance == NULL)
        status = CT_MEMORY;
    for (int64_t t = 0; t < n_rows && status == CT_OK; t += CHUNK_ROWS) {
        const int64_t n_left = n_rows - t;
        status = ct_hessian_add(h, calibration->pool, x + t * k, k,
                                n_left < CHUNK_ROWS ? n_left : CHUNK_ROWS);
    }
    if (status != CT_OK)
        return status;
    calibration->is_known = ct_hessian_finish(h);
    if (!calibration->is_known)
        return CT_OK;
    double sum = 0;
    for (int64_t j = 0; j < k; j++)
        sum += h->diagonal[j];
    for (int64_t j = 0; j < k; j++)
        calibration->importance[j] = (float)(h->diagonal[j] * (double)k / sum + damping);
    return ct_hessian_factor(h, calibration->pool, damping);
}

static enum ct_status calibrate(void *context, const char *name, struct ct_source *matrix,
                                struct ct_error *err)
{
    struct ct_calibration *calibration = context;
    const int place = ct_layerwise_place(calibration->run, name);
    if (place != calibration->place) {
        enum ct_status status = ct_layerwise_seek(calibration->run, place, err);
        if (status != CT_OK)
            return status;
        int64_t n, k;
        ct_tensor_matrix(&matrix->weight->tensor, &n, &k);
        status = look_at_input(calibration, k);
        if (status != CT_OK)
            return ct_error_set(err, status, "%s: no memory to calibrate it", name);
        calibration->place = place;
    }
    matrix->decoded = ct_layerwise_weight(calibration->run, name);
    if (calibration->is_known) {
        matrix->importance = calibration->importance;
        matrix->hessian = &calibration->hessian;
    }
    return CT_OK;
}

static enum ct_status read_tokens(const struct ct_text *text, const char *path, bool has_special,
                                  int32_t **ids, size_t *n_ids, struct ct_error *err)
{
    char *bytes = NULL;
    size_t n_bytes = 0;
    enum ct_status status = ct_file_read(path, &bytes, &n_bytes, err);
    const size_t capacity = 3 * n_bytes + CT_AROUND_TOK;
    if (status == CT_OK && (*ids = malloc(capacity * sizeof **ids)) == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for the tokens of %zu bytes", n_bytes);
    if (status == CT_OK && (status = ct_text_tokenize(text, bytes, n_bytes, has_special, *ids,
                                                      capacity, n_ids)) != CT_OK)
        ct_error_set(err, status, "%s: %s", path, ct_status_text(status));
    if (status == CT_OK && *n_ids == 0)
        status = ct_error_set(err, CT_INVALID, "--calibrate %s: the text is empty", path);
    free(bytes);
    return status;
}

/* Cuts ids [n] into sequences of SENTENCE_TOK as an encoder reads them, with the tokens in front and
 * behind that it has for an empty text; the end of the text may be left over. */
static enum ct_status cut_sentences(const struct ct_text *text, int32_t **ids, size_t *n,
                                    struct ct_error *err)
{
    enum { INNER_TOK = SENTENCE_TOK - 2 };
    int32_t ends[2];
    size_t n_ends = 0, n_cut = 0;
    enum ct_status status = ct_text_tokenize(text, "", 0, true, ends, 2, &n_ends);
    if (status != CT_OK || n_ends != 2 || *n < INNER_TOK)
        return status;
    int32_t *cut = malloc((*n / INNER_TOK * SENTENCE_TOK) * sizeof *cut);
    if (cut == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu tokens", *n);
    for (size_t i = 0; i + INNER_TOK <= *n; i += INNER_TOK, n_cut += SENTENCE_TOK) {
        cut[n_cut] = ends[0];
        memcpy(cut + n_cut + 1, *ids + i, INNER_TOK * sizeof *cut);
        cut[n_cut + SENTENCE_TOK - 1] = ends[1];
    }
    free(*ids);
    *ids = cut;
    *n = n_cut;
    return CT_OK;
}

/* What the run reads of a file. */
static enum ct_status read_text(const struct ct_model_file *model, const char *path, int32_t **ids,
                                size_t *n_ids, struct ct_error *err)
{
    const bool is_encoder = ct_model_file_hparams(model)->is_encoder;
    struct ct_text text;
    enum ct_status status = ct_text_init(&text, model, err);
    if (status != CT_OK)
        return status;
    status = read_tokens(&text, path, !is_encoder, ids, n_ids, err);
    if (status == CT_OK && is_encoder)
        status = cut_sentences(&text, ids, n_ids, err);
    ct_text_deinit(&text);
    return status;
}

static enum ct_status open_text(struct ct_calibration *calibration,
                                const struct ct_model_file *model, const char *path,
                                struct ct_error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    enum ct_status status = read_text(model, path, &ids, &n_ids, err);
    const struct ct_layerwise_text text = {
        .tokens = ids,
        .n_tokens = n_ids < CT_CALIBRATION_TOK ? (int64_t)n_ids : CT_CALIBRATION_TOK,
        .window_tok = ct_model_file_hparams(model)->is_encoder ? SENTENCE_TOK : WINDOW_TOK,
    };
    if (status == CT_OK)
        status = ct_layerwise_open(model, &text, calibration->pool, &calibration->run, err);
    free(ids);
    return status;
}

/* Images of a folder, spread evenly, as many as have CT_CALIBRATION_PATCHES. */
static enum ct_status open_images(struct ct_calibration *calibration,
                                  const struct ct_model_file *model, const char *dir,
                                  struct ct_error *err)
{
    const struct ct_hparams *h = ct_model_file_hparams(model);
    const size_t n_pixels =
        (size_t)h->vision.n_channels * (size_t)h->vision.height * (size_t)h->vision.width;
    struct ct_image_folder folder;
    enum ct_status status = ct_image_folder_init(&folder, dir, err);
    if (status != CT_OK)
        return status;
    const int n_most = (CT_CALIBRATION_PATCHES + h->context_tok - 1) / h->context_tok;
    const int n = folder.n_files < n_most ? folder.n_files : n_most;
    float *images = malloc((size_t)n * n_pixels * sizeof *images);
    if (images == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %d images", n);
    for (int i = 0; i < n && status == CT_OK; i++) {
        const char *path = folder.files[(int64_t)i * folder.n_files / n].path;
        char *bytes = NULL;
        size_t n_bytes;
        status = ct_file_read(path, &bytes, &n_bytes, err);
        if (status == CT_OK &&
            (status = ct_vision_read_image(h, (const uint8_t *)bytes, n_bytes,
                                           images + (size_t)i * n_pixels, err)) != CT_OK)
            ct_error_prefix(err, "%s", path);
        free(bytes);
    }
    const struct ct_layerwise_text text = {.images = images, .n_images = n};
    if (status == CT_OK)
        status = ct_layerwise_open(model, &text, calibration->pool, &calibration->run, err);
    free(images);
    ct_image_folder_deinit(&folder);
    return status;
}

enum ct_status ct_calibration_open(const struct ct_model_file *model, const char *path,
                                   struct ct_pool *pool, struct ct_calibration **out,
                                   struct ct_error *err)
{
    *out = NULL;
    struct ct_calibration *calibration = calloc(1, sizeof *calibration);
    if (calibration == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory to calibrate");
    calibration->calibrator = (struct ct_calibrator){find_place, calibrate, calibration};
    calibration->pool = pool;
    calibration->place = -1;
    const bool is_vision = ct_model_file_hparams(model)->vision.n_channels > 0;
    enum ct_status status = is_vision ? open_images(calibration, model, path, err)
                                      : open_text(calibration, model, path, err);
    if (status != CT_OK) {
        ct_calibration_close(calibration);
        return status;
    }
    *out = calibration;
    return CT_OK;
}

void ct_calibration_close(struct ct_calibration *calibration)
{
    if (calibration == NULL)
        return;
    ct_layerwise_close(calibration->run);
    ct_hessian_deinit(&calibration->hessian);
    free(calibration->importance);
    free(calibration);
}

const struct ct_calibrator *ct_calibration_calibrator(const struct ct_calibration *calibration)
{
    return &calibration->calibrator;
}
