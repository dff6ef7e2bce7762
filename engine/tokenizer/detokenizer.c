/* The streaming side of bpe.h: tokens carry bytes, a reader wants characters. At most three bytes
 * of an unfinished character are held back between tokens. */
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/utf8.h"

#include <string.h>

static size_t replace(char *out)
{
    memcpy(out, CT_UTF8_REPLACEMENT, 3);
    return 3;
}

size_t ct_detokenizer_push(struct ct_detokenizer *detokenizer, const char *bytes, size_t n_bytes,
                           char *out)
{
    char *held = (char *)detokenizer->held;
    size_t n_held = (size_t)detokenizer->n_held;
    size_t n_out = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        held[n_held++] = bytes[i];
        while (n_held > 0) {
            struct ct_utf8 c = ct_utf8_decode(held, n_held);
            if (c.kind == CT_UTF8_CUT)
                break;
            if (c.kind == CT_UTF8_WHOLE) {
                memcpy(out + n_out, held, c.n_bytes);
                n_out += c.n_bytes;
            } else {
                n_out += replace(out + n_out);
            }
            n_held -= c.n_bytes;
            memmove(held, held + c.n_bytes, n_held);
        }
    }
    detokenizer->n_held = (int)n_held;
    return n_out;
}

size_t ct_detokenizer_finish(struct ct_detokenizer *detokenizer, char *out)
{
    bool has_cut = detokenizer->n_held > 0;
    detokenizer->n_held = 0;
    return has_cut ? replace(out) : 0;
}
