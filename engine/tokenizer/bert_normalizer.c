/* The reference mixes versions of Unicode: its categories are of Unicode 8, decompositions of 9, and
 * Rust's lowercase of 17. So the categories are a table, made by asking the reference about each
 * code point (tests/golden/make_bert_classes.py); decompositions and lowercase come from
 * libunistring (1.0: Unicode 14), with what it knows more or less listed here. */
#include "engine/tokenizer/bert_normalizer.h"

#include "engine/tokenizer/utf8.h"

#include <assert.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>

enum { CONTROL = 1, SPACE = 2, MARK = 4, PUNCTUATION = 8 };

/* What the reference knows of a character beyond ASCII. */
struct range {
    uint32_t first, last;
    uint8_t flags;
    uint8_t combining; /* canonical combining class; 1 stands for all but 0 where it is a MARK */
};

static const struct range ranges[] = {
#define CT_BERT_RANGE(first, last, flags, combining) {first, last, flags, combining},
#include "engine/tokenizer/bert_classes.def"
#undef CT_BERT_RANGE
};

/* Most of most texts: every rule but lowercase leaves these as they are. */
static bool is_ascii_word(uint32_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static struct range ascii_class(uint32_t c)
{
    const bool is_space = c == ' ' || (c >= '\t' && c <= '\r');
    const bool is_kept = c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c < 0x7F);
    const bool is_punctuation = c > ' ' && c < 0x7F && !is_ascii_word(c);
    return (struct range){
        .flags = (uint8_t)((is_space ? SPACE : 0) | (is_kept ? 0 : CONTROL) |
                           (is_punctuation ? PUNCTUATION : 0)),
    };
}

static struct range class_of(uint32_t c)
{
    if (c < 0x80)
        return ascii_class(c);
    size_t low = 0, high = sizeof ranges / sizeof ranges[0];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    const bool is_listed = low < sizeof ranges / sizeof ranges[0] && ranges[low].first <= c;
    return is_listed ? ranges[low] : (struct range){0};
}

enum ct_bert_class ct_bert_class(uint32_t code_point)
{
    if (is_ascii_word(code_point))
        return CT_BERT_IN_WORD;
    const uint8_t flags = class_of(code_point).flags;
    return flags & SPACE         ? CT_BERT_SPACE
           : flags & PUNCTUATION ? CT_BERT_PUNCTUATION
                                 : CT_BERT_IN_WORD;
}

/* The reference's blocks: extension E begins 256 code points too late there. */
static bool is_cjk(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
}

/* Characters with a decomposition that are newer than Unicode 9. */
static bool is_newer_composite(uint32_t c)
{
    static const uint32_t newer[][2] = {
        {0x105C9, 0x105C9}, {0x105E4, 0x105E4}, {0x11383, 0x11383}, {0x11385, 0x11385},
        {0x1138E, 0x1138E}, {0x11391, 0x11391}, {0x113C5, 0x113C8}, {0x11938, 0x11938},
        {0x16121, 0x16128}, {0x16D68, 0x16D6A},
    };
    for (size_t i = 0; i < sizeof newer / sizeof newer[0]; i++)
        if (c >= newer[i][0] && c <= newer[i][1])
            return true;
    return false;
}

/* The full canonical decomposition of c; returns its length. */
static int decompose(uint32_t c, uint32_t parts[CT_BERT_SPREAD])
{
    int n = 1;
    parts[0] = c;
    if (c < 0xC0) /* the first that decomposes */
        return n;
    for (int i = 0; i < n;) {
        ucs4_t found[UC_DECOMPOSITION_MAX_LENGTH];
        int n_found =
            is_newer_composite(parts[i]) ? -1 : uc_canonical_decomposition(parts[i], found);
        if (n_found < 1) {
            i++;
            continue;
        }
        assert(n + n_found - 1 <= CT_BERT_SPREAD - 2);
        memmove(parts + i + n_found, parts + i + 1, (size_t)(n - i - 1) * sizeof parts[0]);
        memcpy(parts + i, found, (size_t)n_found * sizeof parts[0]);
        n += n_found - 1;
    }
    return n;
}

/* Letters with a lowercase that are newer than Unicode 14. */
static uint32_t newer_lowercase(uint32_t c)
{
    static const struct {
        uint32_t first, last, lowercase;
    } newer[] = {
        {0x1C89, 0x1C89, 0x1C8A},    {0xA7CB, 0xA7CB, 0x0264}, {0xA7CC, 0xA7CC, 0xA7CD},
        {0xA7CE, 0xA7CE, 0xA7CF},    {0xA7D2, 0xA7D2, 0xA7D3}, {0xA7D4, 0xA7D4, 0xA7D5},
        {0xA7DA, 0xA7DA, 0xA7DB},    {0xA7DC, 0xA7DC, 0x019B}, {0x10D50, 0x10D65, 0x10D70},
        {0x16EA0, 0x16EB8, 0x16EBB},
    };
    for (size_t i = 0; i < sizeof newer / sizeof newer[0]; i++)
        if (c >= newer[i].first && c <= newer[i].last)
            return newer[i].lowercase + (c - newer[i].first);
    return c;
}

struct ct_bert_cursor ct_bert_begin(const struct ct_bert_rules *rules, const char *text,
                                    size_t n_bytes)
{
    return (struct ct_bert_cursor){.rules = rules, .at = text, .end = text + n_bytes};
}

static void put(struct ct_bert_cursor *cursor, uint32_t code_point, uint8_t combining)
{
    cursor->ready[cursor->n_ready++] = (struct ct_bert_char){
        .code_point = code_point,
        .combining = combining,
        .starts_run = combining == 0 || cursor->has_gap,
    };
    cursor->has_gap = false;
}

static void put_lowercase(struct ct_bert_cursor *cursor, uint32_t c, uint8_t combining)
{
    if (c < 0x80) {
        put(cursor, c >= 'A' && c <= 'Z' ? c | 0x20 : c, combining);
    } else if (c == 0x130) { /* the only one that becomes two */
        put(cursor, 'i', 0);
        put(cursor, 0x307, 0);
    } else {
        const uint32_t lowercase = newer_lowercase(c);
        put(cursor, lowercase != c ? lowercase : uc_tolower(c), combining);
    }
}

static void put_normalized(struct ct_bert_cursor *cursor, uint32_t c)
{
    const struct ct_bert_rules *rules = cursor->rules;
    if (is_ascii_word(c)) {
        put(cursor, rules->is_lowercase ? c | 0x20 : c, 0);
        return;
    }
    if (rules->cleans_text) {
        const uint8_t flags = class_of(c).flags;
        if (flags & CONTROL)
            return;
        if (flags & SPACE)
            c = ' ';
    }
    const bool is_apart = rules->spaces_cjk && is_cjk(c);
    uint32_t parts[CT_BERT_SPREAD] = {c};
    const int n_parts = rules->strips_accents ? decompose(c, parts) : 1;
    if (is_apart)
        put(cursor, ' ', 0);
    for (int i = 0; i < n_parts; i++) {
        uint8_t combining = 0;
        if (rules->strips_accents) {
            const struct range class = class_of(parts[i]);
            combining = class.combining;
            if (class.flags & MARK) {
                cursor->has_gap |= combining == 0;
                continue;
            }
        }
        if (rules->is_lowercase)
            put_lowercase(cursor, parts[i], combining);
        else
            put(cursor, parts[i], combining);
    }
    if (is_apart)
        put(cursor, ' ', 0);
}

bool ct_bert_next(struct ct_bert_cursor *cursor, struct ct_bert_char *c)
{
    while (cursor->i_ready == cursor->n_ready) {
        if (cursor->at == cursor->end)
            return false;
        struct ct_utf8 read = ct_utf8_decode(cursor->at, (size_t)(cursor->end - cursor->at));
        const uint32_t code_point = read.kind == CT_UTF8_WHOLE ? read.code_point : 0xFFFD;
        cursor->at += read.n_bytes;
        cursor->i_ready = cursor->n_ready = 0;
        if (cursor->rules != NULL)
            put_normalized(cursor, code_point);
        else
            put(cursor, code_point, 0);
    }
    *c = cursor->ready[cursor->i_ready++];
    return true;
}
