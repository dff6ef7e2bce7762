/* Hyperparameters: what a model's config.json (or GGUF metadata) says of its shape.
 *
 * Every value is range-checked here, so that code above multiplies them without fear. */
#ifndef CT_FORMAT_HF_CONFIG_H
#define CT_FORMAT_HF_CONFIG_H

#include "engine/base/activation.h"
#include "engine/base/status.h"
#include "engine/base/task.h"
#include "engine/image/preprocess.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_gguf;

enum { CT_MAX_EOS = 8 };

struct ct_hparams {
    char family[32]; /* Hugging Face model_type: "llama" */
    char name[96];   /* general.name or _name_or_path, for people; may be empty */
    int n_layers;    /* 1..1024 */
    int d_model;     /* 1..65536 */
    int n_heads;     /* 1..1024 */
    int n_kv_heads;  /* 1..n_heads, divides n_heads */
    int head_dim;    /* even, 2..1024 */
    int d_ff;        /* 1..262144 */
    int n_vocab;     /* 1..2^20 */
    int context_tok; /* 1..2^24: the longest context it was trained for */
    double rope_theta;
    double norm_eps;
    bool has_tied_embeddings;
    /* Of an encoder: every token sees all others, and a sequence gives one vector; norm_eps is that of
     * LayerNorm, rope_theta has no meaning. */
    bool is_encoder;
    int n_types;                   /* token types, 1..64; 0: it tells none apart */
    int first_place;               /* the row of the table of places that a sequence begins with */
    bool is_prefixed;              /* weights but the head's are called FAMILY.NAME */
    enum ct_activation activation; /* hidden_act */
    struct ct_pooling {
        enum ct_pooling_mode { CT_POOLING_MEAN, CT_POOLING_CLS } mode;
        bool is_unit; /* the vector is divided by its length */
    } pooling;
    /* Of a vision model, which is an encoder of one image a sequence: see vision_config.h. */
    struct ct_vision {
        int n_channels; /* 1 or 3; 0: the model reads tokens */
        int patch_size;
        int height, width;               /* of its input */
        int stored_height, stored_width; /* of the images that its table of places is for */
        int n_prefix;                    /* tokens in front of the patches: class, distillation */
        int n_head_hidden; /* classifier_hidden_size: units between the vector and the labels, or 0 */
        bool has_teacher; /* DeiTForImageClassificationWithTeacher: a head for each of two tokens */
        bool has_qkv_bias;
        bool is_post_norm;   /* norm_first false: norms come after attention and MLP */
        bool has_final_norm; /* use_final_layernorm; not of a model with is_post_norm */
        bool is_gated;       /* use_swiglu_ffn */
    } vision;
    struct ct_image_options image; /* how an image becomes its input */
    enum ct_task task;
    int n_labels;        /* of a classifier, 1..2^20 */
    bool is_multi_label; /* a sequence can have any number of its labels */
    int bos_id;          /* -1: none */
    int eos_ids[CT_MAX_EOS];
    int n_eos;
    /* How tokens are drawn where a request leaves it out; see generation_config.h. */
    struct ct_sampling_defaults {
        double temperature; /* 0..100; 0: greedy */
        double top_p;       /* 0..1; 1: all */
        double min_p;       /* 0..1; 0: all */
        int top_k;          /* 0: all */
    } sampling;
    char not_applied[96]; /* what the model asks for there and does not get; mostly empty */
    /* quantization_config with quant_method "centroid"; bits 0: the model is not clustered. */
    struct ct_clustered_config {
        int bits;
        int version;
    } clustered;
};

/* Reads config.json's text. Unknown keys are ignored, except those that change the arithmetic in a
 * way not built here (rope_scaling, attention_bias, mlp_bias, use_sliding_window or is_decoder true,
 * another hidden_act, position_embedding_type, quant_method, or head in architectures):
 * CT_UNSUPPORTED naming the key and its value. CT_FORMAT names the key, the limit and the value
 * found. */
CT_MUST_CHECK enum ct_status ct_hf_config_parse(const char *text, size_t n_bytes,
                                                struct ct_hparams *out, struct ct_error *err);

/* The same from GGUF metadata ("llama.block_count" and so on). */
CT_MUST_CHECK enum ct_status ct_hf_config_from_gguf(const struct ct_gguf *gguf,
                                                    struct ct_hparams *out, struct ct_error *err);

/* config.json's text for a model of these hyperparameters, to be freed; quantization is the
 * quantization_config object's JSON text, or NULL. NULL when memory is short. */
char *ct_hf_config_format(const struct ct_hparams *hparams, const char *quantization);

#endif
