/* A model on disk, whatever its form: tensors under their Hugging Face names, hyperparameters, and
 * where the tokenizer is.
 *
 * Opens a GGUF file, or a directory with config.json, model.safetensors (one file, or shards with
 * model.safetensors.index.json) or else model.onnx or onnx/model.onnx and, where it has one,
 * generation_config.json. Tensor names are the Hugging Face ones in all cases: a GGUF file's names
 * are translated by the family's name table (engine/graph/family.h hands it in), an ONNX file's are
 * found by onnx.h. Views of matrices whose rows llama.cpp permuted (q and k of llama), or that are
 * stored transposed, say so. Immutable once open; any thread. */
#ifndef CT_FORMAT_MODEL_FILE_H
#define CT_FORMAT_MODEL_FILE_H

#include "engine/base/status.h"
#include "engine/base/tensor.h"
#include "engine/format/clustered.h"
#include "engine/format/hf_config.h"

#include <stdbool.h>

struct ct_gguf;
struct ct_model_file;

/* Where a GGUF tensor goes: "{}" stands for the layer number in both names. */
struct ct_name_map {
    const char *hf;   /* "model.layers.{}.self_attn.q_proj.weight"; NULL ends the table */
    const char *gguf; /* "blk.{}.attn_q.weight" */
    /* 0, or the number of heads whose rows llama.cpp interleaved for its rotary form: 1 says
     * n_heads, 2 says n_kv_heads. */
    int permuted_heads;
};

struct ct_weight {
    struct ct_tensor tensor; /* name is the Hugging Face name */
    int n_permuted_heads;    /* 0: rows are in order; else see ct_weight_row */
    /* 0, or the matrix is stored transposed: elements from a row's value to its next. */
    int64_t column_stride;
    bool is_owned; /* in memory of its own, not a mapped file's */
};

/* Where an ONNX file's tensor goes that has not Hugging Face's name. In both names "{}" stands for
 * the layer number and "*" at the end for "weight" or "bias". Neither begins with the family's name,
 * which is in front of hf where a model has a head. */
struct ct_part_map {
    const char *hf;      /* "encoder.layer.{}.attention.attention.key.*"; NULL ends the table */
    const char *foreign; /* "blocks.{}.attn.qkv.*", or the place where it is used: onnx.h */
    enum ct_part_kind {
        CT_PART_ALL,
        CT_PART_HEAD,    /* all, and hf is of the head */
        CT_PART_OF_ROWS, /* hf is part `part` of three equal ones of foreign's rows */
        CT_PART_IN_ROWS, /* foreign is part `part` of two of hf's rows: the table has both in turn */
    } kind;
    int part;
};

/* The known families' tables, ended by a NULL family. */
struct ct_foreign_names {
    const char *family;              /* and GGUF's architecture */
    const struct ct_name_map *gguf;  /* NULL: not read from GGUF files */
    const struct ct_part_map *parts; /* NULL: an ONNX file has Hugging Face's names */
};

/* CT_NOT_FOUND, CT_FORMAT, CT_UNSUPPORTED (architecture), CT_IO, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_model_file_open(const char *path,
                                                const struct ct_foreign_names *families,
                                                struct ct_model_file **out, struct ct_error *err);
void ct_model_file_close(struct ct_model_file *file);

const struct ct_hparams *ct_model_file_hparams(const struct ct_model_file *file);

/* What class i of a classifier is called, 0 <= i < n_labels. */
const char *ct_model_file_label(const struct ct_model_file *file, int i);

/* The tensors as stored, in file order; of a clustered matrix, its parts. */
int ct_model_file_n_weights(const struct ct_model_file *file);
const struct ct_weight *ct_model_file_weight(const struct ct_model_file *file, int i);
const struct ct_weight *ct_model_file_find(const struct ct_model_file *file, const char *name);

/* Whether the stored bytes are the Hugging Face tensor as it is. */
bool ct_weight_is_plain(const struct ct_weight *weight);

/* The place in the stored tensor of row `row` of the Hugging Face matrix, undoing the
 * interleaving; of a matrix that is not stored transposed. */
int64_t ct_weight_row(const struct ct_weight *weight, int64_t row);

/* One row of a dense or block-quantised tensor, as the matrix that ct_tensor_matrix makes of it, as
 * f32. out: [k]. */
void ct_weight_row_f32(const struct ct_weight *weight, int64_t row, float *out);

/* The clustered matrices ("X.weight"), in the order of config.json; all were checked at opening. */
int ct_model_file_n_clustered(const struct ct_model_file *file);
const char *ct_model_file_clustered_name(const struct ct_model_file *file, int i);

/* The clustered matrix `name` ("X.weight"). CT_NOT_FOUND when it is not clustered. */
CT_MUST_CHECK enum ct_status ct_model_file_clustered(const struct ct_model_file *file,
                                                     const char *name, struct ct_clustered *out,
                                                     struct ct_error *err);

/* The open GGUF file behind it, or NULL for a directory; the path as given, for tokenizer files. */
const struct ct_gguf *ct_model_file_gguf(const struct ct_model_file *file);
const char *ct_model_file_path(const struct ct_model_file *file);

/* Total bytes of tensor data. */
size_t ct_model_file_n_bytes(const struct ct_model_file *file);

/* Asks the system to start reading all tensors from disk: a hint, for who will use them all. */
void ct_model_file_prefetch(const struct ct_model_file *file);

/* Gives the memory of a weight's pages back; they are read again when touched. For who passes over
 * a large model once, tensor after tensor. */
void ct_model_file_forget(const struct ct_model_file *file, const struct ct_weight *weight);

#endif
