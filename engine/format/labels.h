/* What a model is for, and what a classifier calls its classes: config.json's architectures,
 * id2label (or num_labels, or neither: then two) and problem_type. */
#ifndef CT_FORMAT_LABELS_H
#define CT_FORMAT_LABELS_H

#include "engine/base/arena.h"
#include "engine/format/hf_config.h"

#include <jansson.h>

/* Fills task, n_labels and is_multi_label; hparams->is_encoder is known. CT_UNSUPPORTED names an
 * architecture whose head is not built here, CT_FORMAT the key, the limit and the value found. */
CT_MUST_CHECK enum ct_status ct_labels_read_task(const json_t *config, struct ct_hparams *hparams,
                                                 struct ct_error *err);

/* The labels [hparams->n_labels], each in the arena as they are, "LABEL_0" and so on where id2label
 * is absent. CT_FORMAT where its keys are not 0, 1, 2 ... or a value is no text; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_labels_read(const json_t *config, const struct ct_hparams *hparams,
                                            struct ct_arena *arena, const char ***out,
                                            struct ct_error *err);

#endif
