/* Byte-level BPE, giving the same ids as Hugging Face's `tokenizers`.
 *
 * text -> special tokens split off -> NFC where asked for -> pre-tokenizer (PCRE2) -> bytes as
 * printable characters -> merges by rank -> ids; and back, by streaming, never half a character.
 * Built from GGUF metadata (tokenizer.ggml.*) or from tokenizer.json. Immutable once open; any
 * thread may encode and decode. */
#ifndef CT_TOKENIZER_BPE_H
#define CT_TOKENIZER_BPE_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_bpe;
struct ct_gguf;

/* CT_FORMAT and CT_UNSUPPORTED name the key; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_bpe_open_gguf(const struct ct_gguf *gguf, struct ct_bpe **out,
                                              struct ct_error *err);
/* text: the whole of tokenizer.json. Also CT_TOO_LARGE when it nests deeper than 64 levels. */
CT_MUST_CHECK enum ct_status ct_bpe_open_json(const char *text, size_t n_bytes, struct ct_bpe **out,
                                              struct ct_error *err);
void ct_bpe_close(struct ct_bpe *bpe);

/* tokenizer.json's text for this tokenizer, to be freed: what `tokenizers` reads with equal
 * results. NULL when memory is short. */
char *ct_bpe_format_json(const struct ct_bpe *bpe);

int ct_bpe_n_vocab(const struct ct_bpe *bpe);

/* The id of a token by its text as in the vocabulary file ("<|im_end|>"), or -1. */
int ct_bpe_token_id(const struct ct_bpe *bpe, const char *text, size_t n_bytes);

/* Whether id is a control token, which decoding leaves out. */
bool ct_bpe_is_special(const struct ct_bpe *bpe, int id);

/* ids of text. Invalid UTF-8 is replaced as Python's errors="replace" does before encoding. Special
 * tokens written in the text become their ids only where has_special. Writes at most capacity ids;
 * *n_ids is how many there are in all, at most 3 * n_bytes (repaired and normalized text may be so
 * much longer). CT_MEMORY;
 * CT_TOO_LARGE when the text has more than 2^30 bytes, or when a pattern goes past its limits (runs
 * of white space of 10 MB and more can, with Llama 3's and Qwen 2's patterns). */
CT_MUST_CHECK enum ct_status ct_bpe_encode(const struct ct_bpe *bpe, const char *text,
                                           size_t n_bytes, bool has_special, int32_t *ids,
                                           size_t capacity, size_t *n_ids);

/* The bytes of one token (may be part of a character); empty for a control token. Points into the
 * tokenizer; *n_bytes is its length. id is within the vocabulary. */
const char *ct_bpe_token_bytes(const struct ct_bpe *bpe, int id, size_t *n_bytes);

/* A token's text as in the vocabulary file, control tokens too ("<|im_end|>"). As
 * ct_bpe_token_bytes. */
const char *ct_bpe_token_text(const struct ct_bpe *bpe, int id, size_t *n_bytes);

/* Streaming detokenization: holds back an unfinished character. */
struct ct_detokenizer {
    unsigned char held[4];
    int n_held;
};
enum { CT_DETOKENIZER_SLACK = 16 };

/* Adds a token's bytes; writes whole characters to out (capacity at least 3 * token bytes +
 * CT_DETOKENIZER_SLACK) and returns how many bytes. Bytes that can never become UTF-8 give U+FFFD,
 * as Python's errors="replace" would on the whole. */
size_t ct_detokenizer_push(struct ct_detokenizer *detokenizer, const char *bytes, size_t n_bytes,
                           char *out);
/* What is left at the end: nothing, or U+FFFD for an unfinished character. out holds 4 bytes. */
size_t ct_detokenizer_finish(struct ct_detokenizer *detokenizer, char *out);

#endif
