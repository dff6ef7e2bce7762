/* The text side of a model: tokenizer, chat template and special tokens. Immutable once made; any
 * thread. */
#ifndef CT_RUNTIME_TEXT_H
#define CT_RUNTIME_TEXT_H

#include "engine/base/status.h"
#include "engine/format/model_file.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/template.h"
#include "engine/tokenizer/wordpiece.h"

struct ct_text {
    struct ct_bpe *bpe;                /* the tokenizer is this one, */
    struct ct_wordpiece *wordpiece;    /* or this; others are NULL, and both of a vision model */
    struct ct_template *chat_template; /* NULL: the model has none */
    bool wants_bos;
    int bos_id; /* -1: none */
    char bos[64];
    char eos[64];
};

/* Reads tokenizer and template of an open model file. */
CT_MUST_CHECK enum ct_status ct_text_init(struct ct_text *text, const struct ct_model_file *file,
                                          struct ct_error *err);
void ct_text_deinit(struct ct_text *text);

/* See ct_engine_tokenize. */
CT_MUST_CHECK enum ct_status ct_text_tokenize(const struct ct_text *text, const char *bytes,
                                              size_t n_bytes, bool has_special, int32_t *ids,
                                              size_t capacity, size_t *n_ids);

/* See ct_wordpiece_encode_pair. CT_UNSUPPORTED where the tokenizer is another. */
CT_MUST_CHECK enum ct_status ct_text_tokenize_pair(const struct ct_text *text, const char *first,
                                                   size_t n_first_bytes, const char *second,
                                                   size_t n_second_bytes, int32_t *ids,
                                                   int32_t *types, size_t capacity, size_t *n_ids);

#endif
