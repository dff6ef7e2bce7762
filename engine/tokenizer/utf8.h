/* UTF-8, decoded strictly (no surrogates, no overlong forms, nothing past U+10FFFF).
 *
 * Ill-formed bytes are cut into the pieces that Unicode's chapter 3 calls maximal subparts, each of
 * which becomes one U+FFFD: the same as Python's errors="replace" and Rust's from_utf8_lossy. Any
 * thread. */
#ifndef CT_TOKENIZER_UTF8_H
#define CT_TOKENIZER_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CT_UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

enum ct_utf8_kind {
    CT_UTF8_WHOLE, /* a character */
    CT_UTF8_BAD,   /* bytes that cannot be part of a character */
    CT_UTF8_CUT,   /* the text ends inside a character that is well-formed so far */
};

struct ct_utf8 {
    enum ct_utf8_kind kind;
    uint32_t code_point; /* where whole */
    size_t n_bytes;      /* 1..4 of the text */
};

/* What the text begins with; n_bytes is at least 1. */
struct ct_utf8 ct_utf8_decode(const char *text, size_t n_bytes);

/* Writes a code point (at most U+10FFFF, no surrogate) as 1..4 bytes and returns how many. */
size_t ct_utf8_encode(uint32_t code_point, char out[4]);

bool ct_utf8_is_valid(const char *text, size_t n_bytes);

/* Copies text with every ill-formed piece replaced; out holds 3 * n_bytes. Returns the bytes
 * written. */
size_t ct_utf8_repair(const char *text, size_t n_bytes, char *out);

#endif
