/* Cuts text into the words that merges never cross.
 *
 * A pre-tokenizer is a list of steps, each a regular expression: a step cuts every piece of the
 * step before it into its matches and what lies between them ("isolated", in `tokenizers`' words).
 *
 *   "Zug 12"  Digits -> "Zug " "1" "2"  ByteLevel -> "Zug" " " "1" "2"
 *
 * Immutable once built; any thread may split. */
#ifndef CT_TOKENIZER_PRETOKENIZER_H
#define CT_TOKENIZER_PRETOKENIZER_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { CT_PRETOKENIZER_STEPS = 8 };

enum ct_pretokenizer_kind {
    CT_PRETOKENIZER_SPLIT,      /* by a regular expression of the file */
    CT_PRETOKENIZER_DIGITS,     /* every digit alone */
    CT_PRETOKENIZER_DIGIT_RUNS, /* every run of digits alone */
    CT_PRETOKENIZER_BYTE_LEVEL, /* by GPT-2's regular expression */
};

struct ct_pretokenizer;

CT_MUST_CHECK enum ct_status ct_pretokenizer_open(struct ct_pretokenizer **out);
void ct_pretokenizer_close(struct ct_pretokenizer *pre);

/* Adds a step. pattern is that of a SPLIT, as written in tokenizer.json (Oniguruma's syntax),
 * copied. CT_UNSUPPORTED names what of it is not known to mean the same here; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_pretokenizer_add(struct ct_pretokenizer *pre,
                                                 enum ct_pretokenizer_kind kind,
                                                 const char *pattern, size_t n_bytes,
                                                 struct ct_error *err);

/* Adds the steps that GGUF's tokenizer.ggml.pre stands for. CT_UNSUPPORTED names an unknown one. */
CT_MUST_CHECK enum ct_status ct_pretokenizer_add_named(struct ct_pretokenizer *pre,
                                                       const char *name, size_t n_bytes,
                                                       struct ct_error *err);

int ct_pretokenizer_n_steps(const struct ct_pretokenizer *pre);
/* *pattern is set for a SPLIT, NUL-terminated, in the pre-tokenizer. */
enum ct_pretokenizer_kind ct_pretokenizer_step(const struct ct_pretokenizer *pre, int i,
                                               const char **pattern);

/* Called with each word, in order; anything but CT_OK ends the split and is its result. */
typedef enum ct_status ct_word_fn(void *context, const char *word, size_t n_bytes);

/* text is valid UTF-8. Beside what fn returns: CT_MEMORY; CT_TOO_LARGE when a pattern of the file
 * needs more steps or memory than PCRE2's limits allow. */
CT_MUST_CHECK enum ct_status ct_pretokenizer_split(const struct ct_pretokenizer *pre,
                                                   const char *text, size_t n_bytes, ct_word_fn *fn,
                                                   void *context);

#endif
