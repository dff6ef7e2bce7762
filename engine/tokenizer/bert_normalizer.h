/* Text as BERT's tokenizers see it: cleaned of control characters, CJK characters set apart by
 * spaces, accents stripped (NFD without its nonspacing marks), lowercase; each by choice.
 *
 * The text is normalized as it is read, a character of it at a time, so that nothing is allocated:
 *
 *   "Caf\u00E9 \u4E2D" -> 'c' 'a' 'f' 'e' ' ' ' ' \u4E2D ' '
 *
 * Equal to BertNormalizer and to the classes of BertPreTokenizer in Hugging Face's `tokenizers` for
 * all code points; the order of marks is left to the caller. Any thread. */
#ifndef CT_TOKENIZER_BERT_NORMALIZER_H
#define CT_TOKENIZER_BERT_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CT_BERT_SPREAD = 8 }; /* one character of text becomes at most so many */

enum ct_bert_class { CT_BERT_IN_WORD, CT_BERT_SPACE, CT_BERT_PUNCTUATION };

struct ct_bert_rules {
    bool cleans_text;
    bool spaces_cjk;
    bool strips_accents;
    bool is_lowercase;
};

struct ct_bert_char {
    uint32_t code_point;
    /* Where accents are stripped, a mark that is left stands behind those of its run with at most
     * its canonical combining class (Unicode Standard Annex #15); 0 for all others. */
    uint8_t combining;
    bool starts_run; /* no mark from here on moves in front of this character */
};

/* A place in a text. A copy of it reads on by itself. */
struct ct_bert_cursor {
    const struct ct_bert_rules *rules; /* NULL: the text as it is */
    const char *at, *end;              /* not read yet */
    struct ct_bert_char ready[CT_BERT_SPREAD];
    uint8_t i_ready, n_ready;
    bool has_gap; /* a mark was left out behind which no other moves */
};

/* rules and text [n_bytes] are the caller's, and stay. */
struct ct_bert_cursor ct_bert_begin(const struct ct_bert_rules *rules, const char *text,
                                    size_t n_bytes);

/* The next character; false at the end. Bytes that are not UTF-8 read as U+FFFD, as ct_utf8_repair
 * replaces them. A character of text becomes at most as many as it has bytes. */
bool ct_bert_next(struct ct_bert_cursor *cursor, struct ct_bert_char *c);

/* What BertPreTokenizer does at a character: nothing, drop it between two words, or make it a word
 * by itself. */
enum ct_bert_class ct_bert_class(uint32_t code_point);

#endif
