/* What the files behind wordpiece.h share: the tokenizer's tables and how a reader builds them.
 *
 *   open_empty -> add_token ... -> index_tokens -> add_added ... -> finish */
#ifndef CT_TOKENIZER_WORDPIECE_INTERNAL_H
#define CT_TOKENIZER_WORDPIECE_INTERNAL_H

#include "engine/base/arena.h"
#include "engine/tokenizer/bert_normalizer.h"
#include "engine/tokenizer/wordpiece.h"

enum {
    CT_WORDPIECE_MAX_VOCAB = 1 << 22,
    CT_WORDPIECE_MAX_WORD = 1024, /* characters of the longest word that is not unknown, at most */
};

struct ct_wordpiece_token {
    const char *text; /* NULL where no token has this id */
    uint32_t n_bytes;
    bool is_special;
};

/* Of the table that finds pieces by text. The hash spares most visits to other tokens. */
struct ct_wordpiece_slot {
    int32_t id; /* -1: empty */
    uint32_t hash;
};

/* A token that is looked for in the text before anything else, in two passes. */
struct ct_wordpiece_added {
    int32_t id;
    int32_t n_chars;
    const uint32_t *chars; /* [n_chars], normalized where is_normalized */
    bool is_normalized;    /* the second pass, over normalized text */
};

/* What stands in a sequence: a token, or one of the texts. */
struct ct_wordpiece_item {
    int32_t id;   /* -1: a text */
    int32_t text; /* 0 or 1, where it is one */
    int32_t type;
};

struct ct_wordpiece_template {
    struct ct_wordpiece_item items[CT_WORDPIECE_MAX_AROUND]; /* the texts too */
    int n_items;
};

struct ct_wordpiece {
    struct ct_arena arena; /* tokens' texts */
    struct ct_bert_rules rules;

    struct ct_wordpiece_token *tokens; /* [n_vocab] */
    int n_vocab, vocab_capacity;
    struct ct_wordpiece_slot *slots; /* [slot_mask + 1], of the vocabulary's own tokens */
    uint32_t slot_mask;
    uint32_t longest_bytes; /* of their texts */

    struct ct_wordpiece_added *added; /* [n_added], by pass, then by text */
    int n_added, added_capacity;
    int added_begin[3];     /* of each pass, and the end */
    bool begins_added[128]; /* the ASCII that tokens of pass 0 begin with */

    const char *prefix; /* of a piece inside a word: "##" */
    uint32_t n_prefix;
    uint64_t prefix_hash;
    int max_chars; /* a longer word is unknown */
    int32_t unknown_id;
    struct ct_wordpiece_template templates[2]; /* around one text, and two */
};

CT_MUST_CHECK enum ct_status ct_wordpiece_open_empty(struct ct_wordpiece **out);

/* Adds a token; text is copied. CT_FORMAT when id is not in 0..limit-1 or is taken, or when text is
 * not UTF-8. */
CT_MUST_CHECK enum ct_status ct_wordpiece_add_token(struct ct_wordpiece *wordpiece, int64_t id,
                                                    int64_t limit, const char *text, size_t n_bytes,
                                                    struct ct_error *err);

/* Makes tokens findable by text, all that were added so far; of equal ones the last. */
CT_MUST_CHECK enum ct_status ct_wordpiece_index_tokens(struct ct_wordpiece *wordpiece);

/* The id of the piece prefix + text, whose hash (table.h) is given, or -1; prefix may be empty. */
int32_t ct_wordpiece_find(const struct ct_wordpiece *wordpiece, const char *prefix, size_t n_prefix,
                          const char *text, size_t n_bytes, uint64_t hash);

/* Makes an existing token one that is looked for in the text. CT_UNSUPPORTED: it normalizes to
 * nothing, or to marks that could change places. */
CT_MUST_CHECK enum ct_status ct_wordpiece_add_added(struct ct_wordpiece *wordpiece, int32_t id,
                                                    bool is_special, bool is_normalized,
                                                    struct ct_error *err);

/* Adds the item that stands for a token, or text 0 or 1 with id -1, at the end of a template.
 * CT_UNSUPPORTED when it is full. */
CT_MUST_CHECK enum ct_status ct_wordpiece_add_item(struct ct_wordpiece *wordpiece, bool is_pair,
                                                   struct ct_wordpiece_item item,
                                                   struct ct_error *err);

/* Builds what encoding needs. CT_UNSUPPORTED: two added tokens read the same once normalized. */
CT_MUST_CHECK enum ct_status ct_wordpiece_finish(struct ct_wordpiece *wordpiece,
                                                 struct ct_error *err);

#endif
