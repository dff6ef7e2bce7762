/* What the forms of a model on disk share: model_gguf.c, model_dir.c and, for it, model_onnx.c
 * fill, model_file.c serves. */
#ifndef CT_FORMAT_MODEL_FILE_INTERNAL_H
#define CT_FORMAT_MODEL_FILE_INTERNAL_H

#include "engine/base/arena.h"
#include "engine/format/model_file.h"
#include "engine/format/name_index.h"

#include <jansson.h>

struct ct_onnx;
struct ct_safetensors;

struct ct_clustered_matrix {
    const char *name; /* "X.weight" */
    struct ct_clustered view;
};

struct ct_model_file {
    char *path;
    struct ct_hparams hparams;
    struct ct_arena arena; /* names */
    const char **labels;   /* [hparams.n_labels], in the arena */

    struct ct_gguf *gguf;           /* one of these three forms */
    struct ct_onnx *onnx;
    struct ct_safetensors **shards; /* [n_shards] */
    int n_shards;

    struct ct_weight *weights; /* [names.n_entries] */
    struct ct_name_index names;
    struct ct_clustered_matrix *clustered; /* [clustered_names.n_entries] */
    struct ct_name_index clustered_names;
};

/* Room for the weights. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_model_file_reserve(struct ct_model_file *file, int n_weights,
                                                   struct ct_error *err);
/* Within the room; the tensor's name is kept by the file. */
void ct_model_file_add(struct ct_model_file *file, const struct ct_weight *weight);
/* After the last add: CT_FORMAT when there are no weights or a name appears twice. */
CT_MUST_CHECK enum ct_status ct_model_file_index(struct ct_model_file *file, struct ct_error *err);

/* Fill gguf or shards, hparams, weights and clustered. On failure ct_model_file_close releases what
 * is there. */
CT_MUST_CHECK enum ct_status ct_model_gguf_read(struct ct_model_file *file,
                                                const struct ct_foreign_names *families,
                                                struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_model_dir_read(struct ct_model_file *file,
                                               const struct ct_foreign_names *families,
                                               struct ct_error *err);

/* Fills onnx and weights from path/model.onnx or path/onnx/model.onnx. CT_NOT_FOUND when there is
 * neither; what ct_onnx_open says. The message names the file. */
CT_MUST_CHECK enum ct_status ct_model_onnx_read(struct ct_model_file *file,
                                                const struct ct_foreign_names *families,
                                                struct ct_error *err);

/* Whether `name` is `pattern`, "{}" in it standing for a decimal number without leading zeros,
 * which goes to *layer (-1 without one), and "*" at its end for "weight" or "bias". */
bool ct_name_matches(const char *pattern, const char *name, int *layer);

/* What a map makes of a name: the other pattern, with the layer's number and the name's last part.
 * NULL when memory is short or the name is too long. */
const char *ct_name_fill(struct ct_arena *arena, const char *pattern, int layer, const char *name);

/* ct_hf_config_parse, of JSON that was read already. */
CT_MUST_CHECK enum ct_status ct_hf_config_read(const json_t *config, struct ct_hparams *out,
                                               struct ct_error *err);

#endif
