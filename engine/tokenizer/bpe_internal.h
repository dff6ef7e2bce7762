/* What the files behind bpe.h share: the tokenizer's tables and how a reader builds them.
 *
 *   open_empty -> add_token ... -> index_tokens -> add_added ..., add_merge ... -> finish
 *
 * Tokens are kept as bytes: the printable characters in which GPT-2's vocabularies write bytes
 * ("\u0120the" for " the") are for files only. */
#ifndef CT_TOKENIZER_BPE_INTERNAL_H
#define CT_TOKENIZER_BPE_INTERNAL_H

#include "engine/base/arena.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/pretokenizer.h"

enum { CT_BPE_MAX_VOCAB = 1 << 22, CT_BPE_NO_RANK = -1 };

struct ct_bpe_token {
    const char *text;  /* as the vocabulary file has it; NULL where no token has this id */
    const char *bytes; /* what it decodes to; the same pointer where it is the same */
    uint32_t n_text;
    uint32_t n_bytes : 31;
    uint32_t is_special : 1; /* a control token, which decodes to nothing */
};

/* Of the table that finds ids by text. The hash spares most visits to other tokens. */
struct ct_bpe_slot {
    int32_t id; /* -1: empty */
    uint32_t hash;
};

struct ct_bpe_merge {
    int32_t left, right, whole;
};

/* A token that is looked for in the text before anything else, in two passes. */
struct ct_bpe_added {
    int32_t id;
    bool is_normalized; /* the second pass ("normalized" in tokenizer.json) */
};

struct ct_bpe {
    struct ct_arena arena; /* the tokens' text */
    struct ct_pretokenizer *pre;

    struct ct_bpe_token *tokens; /* [n_vocab] */
    int n_vocab, vocab_capacity;
    struct ct_bpe_slot *token_slots; /* [token_mask + 1] */
    uint32_t token_mask;

    struct ct_bpe_merge *merges; /* [n_merges], by rank */
    int n_merges, merge_capacity;
    int32_t *merge_slots; /* ranks by hash of (left, right), -1 is empty; [merge_mask + 1] */
    uint32_t merge_mask;

    struct ct_bpe_added *added; /* [n_added], by pass, then by text */
    int n_added, added_capacity;
    int added_begin[2][257]; /* of a pass and a first byte; [256] is the end */

    uint16_t byte_chars[256]; /* the printable character that stands for a byte */
    int32_t byte_ids[256];    /* the token a byte starts as; -1: the byte is left out */
    int32_t unknown_id;       /* stands for bytes without a token; -1: none */
    bool has_nfc;             /* text is brought to NFC before pass 1 ("normalizer") */
    bool has_whole_words;     /* a word that is a token needs no merges ("ignore_merges") */
};

CT_MUST_CHECK enum ct_status ct_bpe_open_empty(struct ct_bpe **out);

/* Adds a token; text is copied. CT_FORMAT when id is not in 0..limit-1 or is taken, or when text is
 * empty or not UTF-8. */
CT_MUST_CHECK enum ct_status ct_bpe_add_token(struct ct_bpe *bpe, int64_t id, int64_t limit,
                                              const char *text, size_t n_bytes,
                                              struct ct_error *err);

/* Makes tokens findable by text; CT_FORMAT names a text that two ids have. */
CT_MUST_CHECK enum ct_status ct_bpe_index_tokens(struct ct_bpe *bpe, struct ct_error *err);

/* Makes an existing token one that is looked for in the text. */
CT_MUST_CHECK enum ct_status ct_bpe_add_added(struct ct_bpe *bpe, int32_t id, bool is_special,
                                              bool is_normalized);

/* Adds the merge of the next rank. CT_FORMAT names a part or a whole that is no token. */
CT_MUST_CHECK enum ct_status ct_bpe_add_merge(struct ct_bpe *bpe, const char *left, size_t n_left,
                                              const char *right, size_t n_right,
                                              struct ct_error *err);

/* The same for "left right". */
CT_MUST_CHECK enum ct_status ct_bpe_add_merge_line(struct ct_bpe *bpe, const char *line,
                                                   size_t n_bytes, struct ct_error *err);

/* Builds what encoding needs. */
CT_MUST_CHECK enum ct_status ct_bpe_finish(struct ct_bpe *bpe);

/* The rank of the merge of two tokens, or CT_BPE_NO_RANK. */
int32_t ct_bpe_merge_rank(const struct ct_bpe *bpe, int32_t left, int32_t right);

#endif
