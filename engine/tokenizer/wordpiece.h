/* WordPiece, the tokenizer of the BERT family, giving the same ids as Hugging Face's `tokenizers`.
 *
 * text -> added tokens split off -> normalized (bert_normalizer.h) -> words -> each word the longest
 * pieces from its left, or the unknown token as a whole -> ids, with the special tokens around that
 * the model's post-processor asks for: [CLS] a [SEP], or [CLS] a [SEP] b [SEP] for two texts.
 * Schuster and Nakajima 2012; Devlin et al. 2019.
 *
 * Built from tokenizer.json, or from vocab.txt. Immutable once open; any thread may encode, and
 * encoding allocates nothing. */
#ifndef CT_TOKENIZER_WORDPIECE_H
#define CT_TOKENIZER_WORDPIECE_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_wordpiece;

enum { CT_WORDPIECE_MAX_AROUND = 16 }; /* no model has more ids around its texts */

/* Whether this tokenizer.json is a WordPiece's. False where it is not even JSON. */
bool ct_wordpiece_is_json(const char *text, size_t n_bytes);

/* text: the whole of tokenizer.json. Its "truncation" and "padding" are left to the caller.
 * CT_FORMAT and CT_UNSUPPORTED name the field; CT_TOO_LARGE as ct_json_read; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_wordpiece_open_json(const char *text, size_t n_bytes,
                                                    struct ct_wordpiece **out,
                                                    struct ct_error *err);

/* vocab: the whole of vocab.txt, a token a line, and BERT's special tokens among them. config: the
 * whole of tokenizer_config.json, or NULL for an uncased model. Statuses as above. */
CT_MUST_CHECK enum ct_status ct_wordpiece_open_vocab(const char *vocab, size_t n_vocab_bytes,
                                                     const char *config, size_t n_config_bytes,
                                                     struct ct_wordpiece **out,
                                                     struct ct_error *err);
void ct_wordpiece_close(struct ct_wordpiece *wordpiece);

int ct_wordpiece_n_vocab(const struct ct_wordpiece *wordpiece);

/* The id of a token by its text as in the vocabulary ("##ing"), or -1. */
int ct_wordpiece_token_id(const struct ct_wordpiece *wordpiece, const char *text, size_t n_bytes);

/* Whether id is a special token ("[SEP]"). */
bool ct_wordpiece_is_special(const struct ct_wordpiece *wordpiece, int id);

/* A token's text as in the vocabulary; empty where no token has this id. Points into the tokenizer;
 * *n_bytes is its length. id is within the vocabulary. */
const char *ct_wordpiece_token_text(const struct ct_wordpiece *wordpiece, int id, size_t *n_bytes);

/* The same without the mark of a piece inside a word ("ing"), and empty for a special token. */
const char *ct_wordpiece_token_bytes(const struct ct_wordpiece *wordpiece, int id, size_t *n_bytes);

/* The most ids that one text (is_pair: the second of two) gets around it. */
size_t ct_wordpiece_n_around(const struct ct_wordpiece *wordpiece, bool is_pair);

/* ids of text. Invalid UTF-8 is read as ct_utf8_repair repairs it. Where has_special, special tokens
 * written in the text become their ids, and the tokens of a single text stand around it. Writes at
 * most capacity ids; *n_ids is how many there are in all, at most n_bytes, and
 * ct_wordpiece_n_around more where has_special. CT_TOO_LARGE when the text has more than 2^30
 * bytes. */
CT_MUST_CHECK enum ct_status ct_wordpiece_encode(const struct ct_wordpiece *wordpiece,
                                                 const char *text, size_t n_bytes, bool has_special,
                                                 int32_t *ids, size_t capacity, size_t *n_ids);

/* Two texts as one sequence, as a cross-encoder reads them, with has_special; types [capacity] gets
 * the token type of each (0 first text, 1 second). As ct_wordpiece_encode. */
CT_MUST_CHECK enum ct_status ct_wordpiece_encode_pair(const struct ct_wordpiece *wordpiece,
                                                      const char *first, size_t n_first_bytes,
                                                      const char *second, size_t n_second_bytes,
                                                      int32_t *ids, int32_t *types, size_t capacity,
                                                      size_t *n_ids);

#endif
