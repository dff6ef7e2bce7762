/* Calibration: what a text, or images, show of the inputs of each matrix, so that compression can spend its
 * precision where outputs feel it and feed its errors back (engine/compress/hessian.h). The model
 * runs over the text product by product (engine/runtime/layerwise.h), and each matrix is seen to
 * the weights that were compressed before it. */
#ifndef CT_CLI_CALIBRATE_H
#define CT_CLI_CALIBRATE_H

#include "engine/base/pool.h"
#include "engine/compress/recipe.h"

struct ct_calibration;

/* At most this many tokens of the text are run, or about as many patches of images. */
enum { CT_CALIBRATION_TOK = 8192, CT_CALIBRATION_PATCHES = 16384 };

/* path: a text, or of a vision model a folder of images (image_folder.h). model and pool outlive it. What
 * ct_layerwise_open says, the tokenizer, and ct_vision_read_image; CT_IO; CT_INVALID when the text is
 * empty, or no image is there. */
CT_MUST_CHECK enum ct_status ct_calibration_open(const struct ct_model_file *model,
                                                 const char *path, struct ct_pool *pool,
                                                 struct ct_calibration **out, struct ct_error *err);
void ct_calibration_close(struct ct_calibration *calibration);

/* For a recipe; lives as long as the calibration. */
const struct ct_calibrator *ct_calibration_calibrator(const struct ct_calibration *calibration);

#endif
