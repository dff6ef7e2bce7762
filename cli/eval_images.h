/* centroid eval images: how often an image classifier is right. One thread. */
#ifndef CT_CLI_EVAL_IMAGES_H
#define CT_CLI_EVAL_IMAGES_H

#include "engine/engine.h"

#include <stdbool.h>

struct ct_image_score {
    int64_t n_images;
    int64_t n_top1, n_top5; /* whose class is the likeliest, and among the five likeliest */
};

/* Classifies the JPEG and PNG files below dir: in subfolders that are named after their classes
 * (ImageNet's layout), or in dir itself with names that begin with their class. limit > 0: that many of
 * them, spread evenly. CT_INVALID: the model is no image classifier, dir has no images, a class is none
 * of the model's labels, or a file is no image (the message names it); CT_IO, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_score_images(struct ct_engine *engine, const char *dir,
                                             int64_t limit, bool is_quiet,
                                             struct ct_image_score *score, struct ct_error *err);

#endif
