#include "engine/tokenizer/utf8.h"

#include <string.h>

/* What may follow a lead byte: how many bytes in all and the range of the second one (Unicode 15.0,
 * table 3-7); any later byte is 80..BF. */
struct lead {
    size_t n_bytes; /* 0: no character begins so */
    unsigned char low, high;
};

static struct lead lead_of(unsigned char byte)
{
    if (byte < 0x80)
        return (struct lead){1, 0, 0};
    if (byte < 0xC2)
        return (struct lead){0, 0, 0};
    if (byte < 0xE0)
        return (struct lead){2, 0x80, 0xBF};
    if (byte < 0xF0)
        return (struct lead){3, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF};
    if (byte < 0xF5)
        return (struct lead){4, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF};
    return (struct lead){0, 0, 0};
}

struct ct_utf8 ct_utf8_decode(const char *text, size_t n_bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    struct lead lead = lead_of(s[0]);
    if (lead.n_bytes == 1)
        return (struct ct_utf8){CT_UTF8_WHOLE, s[0], 1};
    if (lead.n_bytes == 0)
        return (struct ct_utf8){CT_UTF8_BAD, 0, 1};
    uint32_t code_point = s[0] & (0x7Fu >> lead.n_bytes);
    unsigned char low = lead.low, high = lead.high;
    for (size_t i = 1; i < lead.n_bytes; i++) {
        if (i == n_bytes)
            return (struct ct_utf8){CT_UTF8_CUT, 0, i};
        if (s[i] < low || s[i] > high)
            return (struct ct_utf8){CT_UTF8_BAD, 0, i};
        code_point = code_point << 6 | (s[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    return (struct ct_utf8){CT_UTF8_WHOLE, code_point, lead.n_bytes};
}

size_t ct_utf8_encode(uint32_t code_point, char out[4])
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t n_bytes = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = n_bytes - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    out[0] = (char)((0xF00u >> n_bytes & 0xFF) | code_point);
    return n_bytes;
}

static size_t count_ascii(const char *text, size_t n_bytes)
{
    size_t n = 0;
    uint64_t word;
    for (; n_bytes - n >= sizeof word; n += sizeof word) {
        memcpy(&word, text + n, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (n < n_bytes && (unsigned char)text[n] < 0x80)
        n++;
    return n;
}

bool ct_utf8_is_valid(const char *text, size_t n_bytes)
{
    for (size_t i = count_ascii(text, n_bytes); i < n_bytes;) {
        struct ct_utf8 c = ct_utf8_decode(text + i, n_bytes - i);
        if (c.kind != CT_UTF8_WHOLE)
            return false;
        i += c.n_bytes;
        i += count_ascii(text + i, n_bytes - i);
    }
    return true;
}

size_t ct_utf8_repair(const char *text, size_t n_bytes, char *out)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n_bytes;) {
        struct ct_utf8 c = ct_utf8_decode(text + i, n_bytes - i);
        if (c.kind == CT_UTF8_WHOLE) {
            memcpy(out + n_out, text + i, c.n_bytes);
            n_out += c.n_bytes;
        } else {
            memcpy(out + n_out, CT_UTF8_REPLACEMENT, 3);
            n_out += 3;
        }
        i += c.n_bytes;
    }
    return n_out;
}
