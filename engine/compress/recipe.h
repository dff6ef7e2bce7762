/* Compressing a whole model: what becomes of each tensor, in what order, and the directory that
 * comes out.
 *
 *   matrices [n, k]    clustered (or their blocks kept)       engine/compress/quantize.h
 *   everything else    copied as it is                        norms, and matrices of few weights
 *   config.json, tokenizer.json, ...                          engine/compress/sidecar.h
 *
 * The model's file is read through its mapping, tensor after tensor, and pages that are done with
 * are given back, so that memory stays near the largest stored tensor, however large the model. The
 * output appears whole or not at all (engine/format/model_writer.h). One thread calls. */
#ifndef CT_COMPRESS_RECIPE_H
#define CT_COMPRESS_RECIPE_H

#include "engine/base/pool.h"
#include "engine/compress/quantize.h"
#include "engine/compress/report.h"
#include "engine/format/model_file.h"

#include <stdbool.h>

/* What is known of the inputs of a model's matrices. */
struct ct_calibrator {
    /* Matrices are worked off in the order of their places; -1 where nothing is known. */
    int (*place)(void *context, const char *name);
    /* Fills in all but the weight; what it points to is valid until the next call. Any status but
     * CT_OK ends the recipe with it. */
    enum ct_status (*calibrate)(void *context, const char *name, struct ct_source *matrix,
                                struct ct_error *err);
    void *context;
};

/* Hears how far the work is, 0..1, and on which tensor; false cancels it. */
typedef bool ct_recipe_progress(void *context, const char *name, double done);

struct ct_recipe {
    struct ct_quantize quantize;
    bool keeps_blocks;
    const struct ct_calibrator *calibrator; /* or NULL */
    ct_recipe_progress *progress;           /* or NULL */
    void *progress_context;
};

/* Compresses `model` into the directory `path`. report is initialised here, and the caller's to
 * free when CT_OK. CT_UNSUPPORTED (already clustered), CT_FORMAT (values that are not finite),
 * CT_CANCELLED, and what model_writer.h says. */
CT_MUST_CHECK enum ct_status ct_recipe_run(const struct ct_recipe *recipe,
                                           const struct ct_model_file *model, struct ct_pool *pool,
                                           const char *path, struct ct_report *report,
                                           struct ct_error *err);

#endif
