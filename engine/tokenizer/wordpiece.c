/* Encoding: the way of a text through the tables of wordpiece_internal.h, in one walk. A word is
 * collected character by character and cut into pieces when it ends. */
#include "engine/tokenizer/wordpiece.h"

#include "engine/tokenizer/table.h"
#include "engine/tokenizer/utf8.h"
#include "engine/tokenizer/wordpiece_internal.h"

#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 30 };

/* The word that is being read. Of a word that is too long only the beginning is kept. */
struct word {
    uint32_t chars[CT_WORDPIECE_MAX_WORD];
    uint8_t combining[CT_WORDPIECE_MAX_WORD];
    int n_chars;
    int run_begin; /* marks from here on are in one run */
};

/* One call of an encoding function. */
struct encoder {
    const struct ct_wordpiece *wordpiece;
    bool has_special;
    int32_t *ids;
    int32_t *types; /* NULL: not wanted */
    int32_t type;   /* of what comes next */
    size_t capacity, n_ids;
    struct word word;
};

int ct_wordpiece_n_vocab(const struct ct_wordpiece *wordpiece)
{
    return wordpiece->n_vocab;
}

bool ct_wordpiece_is_special(const struct ct_wordpiece *wordpiece, int id)
{
    return id >= 0 && id < wordpiece->n_vocab && wordpiece->tokens[id].is_special;
}

const char *ct_wordpiece_token_text(const struct ct_wordpiece *wordpiece, int id, size_t *n_bytes)
{
    *n_bytes = wordpiece->tokens[id].n_bytes;
    return *n_bytes > 0 ? wordpiece->tokens[id].text : "";
}

const char *ct_wordpiece_token_bytes(const struct ct_wordpiece *wordpiece, int id, size_t *n_bytes)
{
    const char *text = ct_wordpiece_token_text(wordpiece, id, n_bytes);
    const size_t n_prefix = wordpiece->n_prefix;
    if (wordpiece->tokens[id].is_special) {
        *n_bytes = 0;
    } else if (*n_bytes > n_prefix && memcmp(text, wordpiece->prefix, n_prefix) == 0) {
        *n_bytes -= n_prefix;
        text += n_prefix;
    }
    return text;
}

size_t ct_wordpiece_n_around(const struct ct_wordpiece *wordpiece, bool is_pair)
{
    return (size_t)wordpiece->templates[is_pair].n_items - (is_pair ? 2 : 1);
}

static void put_id(struct encoder *enc, int32_t id)
{
    if (enc->n_ids < enc->capacity) {
        enc->ids[enc->n_ids] = id;
        if (enc->types != NULL)
            enc->types[enc->n_ids] = enc->type;
    }
    enc->n_ids++;
}

/* The longest piece that text begins with, or -1; *n_piece is its bytes of text. */
static int32_t find_piece(const struct ct_wordpiece *wordpiece, bool is_inside, const char *text,
                          size_t n_bytes, size_t *n_piece)
{
    const size_t n_prefix = is_inside ? wordpiece->n_prefix : 0;
    uint64_t hash = is_inside ? wordpiece->prefix_hash : CT_TABLE_HASH_START;
    int32_t found = -1;
    for (size_t n = 1; n <= n_bytes && n_prefix + n <= wordpiece->longest_bytes; n++) {
        hash = ct_table_hash_byte(hash, text[n - 1]);
        if (n < n_bytes && ((unsigned char)text[n] & 0xC0) == 0x80)
            continue; /* within a character */
        const int32_t id = ct_wordpiece_find(wordpiece, wordpiece->prefix, n_prefix, text, n, hash);
        if (id >= 0) {
            found = id;
            *n_piece = n;
        }
    }
    return found;
}

/* Cuts the word that has been read into pieces. */
static void end_word(struct encoder *enc)
{
    const struct ct_wordpiece *wordpiece = enc->wordpiece;
    char text[4 * CT_WORDPIECE_MAX_WORD];
    size_t n_bytes = 0, done = 0;
    const int n_chars = enc->word.n_chars;
    const size_t n_before = enc->n_ids;
    enc->word.n_chars = enc->word.run_begin = 0;
    if (n_chars == 0)
        return;
    bool is_known = n_chars <= wordpiece->max_chars;
    for (int i = 0; is_known && i < n_chars; i++)
        n_bytes += ct_utf8_encode(enc->word.chars[i], text + n_bytes);
    while (is_known && done < n_bytes) {
        size_t n_piece = 0;
        const int32_t id = find_piece(wordpiece, done > 0, text + done, n_bytes - done, &n_piece);
        is_known = id >= 0;
        if (is_known)
            put_id(enc, id);
        done += n_piece;
    }
    if (is_known)
        return;
    enc->n_ids = n_before;
    put_id(enc, wordpiece->unknown_id);
}

/* Adds a character to the word; a mark goes behind those of its run that do not rank above it. */
static void add_char(struct word *word, const struct ct_bert_char *c)
{
    if (word->n_chars >= CT_WORDPIECE_MAX_WORD) {
        word->n_chars = CT_WORDPIECE_MAX_WORD + 1; /* above any max_chars */
        return;
    }
    int at = word->n_chars++;
    if (c->starts_run)
        word->run_begin = at;
    for (; at > word->run_begin && word->combining[at - 1] > c->combining; at--) {
        word->chars[at] = word->chars[at - 1];
        word->combining[at] = word->combining[at - 1];
    }
    word->chars[at] = c->code_point;
    word->combining[at] = c->combining;
}

static void take_char(struct encoder *enc, const struct ct_bert_char *c)
{
    const enum ct_bert_class class = ct_bert_class(c->code_point);
    if (class != CT_BERT_IN_WORD)
        end_word(enc);
    if (class != CT_BERT_SPACE)
        add_char(&enc->word, c);
    if (class == CT_BERT_PUNCTUATION)
        end_word(enc);
}

/* The longest added token of a pass that the text begins with at the cursor, or NULL. Tokens are
 * sorted, so that each character narrows the range of those that still fit. */
static const struct ct_wordpiece_added *find_added(const struct ct_wordpiece *wordpiece, int pass,
                                                   struct ct_bert_cursor cursor)
{
    const struct ct_wordpiece_added *added = wordpiece->added, *found = NULL;
    int low = wordpiece->added_begin[pass], high = wordpiece->added_begin[pass + 1];
    struct ct_bert_char c;
    for (int depth = 0; low < high && ct_bert_next(&cursor, &c); depth++) {
        /* The first that is not below the text's character, and the first that is above it. */
        int bounds[2];
        for (int side = 0; side < 2; side++) {
            int from = low, to = high;
            const uint32_t wanted = c.code_point + (uint32_t)side;
            while (from < to) {
                const int middle = from + (to - from) / 2;
                if (added[middle].chars[depth] < wanted)
                    from = middle + 1;
                else
                    to = middle;
            }
            bounds[side] = from;
        }
        low = bounds[0];
        high = bounds[1];
        if (low < high && added[low].n_chars == depth + 1)
            found = &added[low++];
    }
    return found;
}

static bool is_wanted(const struct encoder *enc, const struct ct_wordpiece_added *added)
{
    return !enc->wordpiece->tokens[added->id].is_special || enc->has_special;
}

/* Pass 1: text without the tokens of pass 0. */
static void encode_normalized(struct encoder *enc, const char *text, size_t n_bytes)
{
    const struct ct_wordpiece *wordpiece = enc->wordpiece;
    struct ct_bert_cursor cursor = ct_bert_begin(&wordpiece->rules, text, n_bytes);
    const bool has_added = wordpiece->added_begin[1] < wordpiece->added_begin[2];
    struct ct_bert_char c;
    int n_passed = 0; /* characters that are yet to pass, of a token that is only text */
    for (;;) {
        const struct ct_wordpiece_added *added =
            has_added && n_passed == 0 ? find_added(wordpiece, 1, cursor) : NULL;
        if (added != NULL && is_wanted(enc, added)) {
            end_word(enc);
            put_id(enc, added->id);
            for (int i = 0; i < added->n_chars; i++)
                (void)ct_bert_next(&cursor, &c);
            continue;
        }
        if (added != NULL)
            n_passed = added->n_chars;
        if (!ct_bert_next(&cursor, &c))
            break;
        take_char(enc, &c);
        n_passed -= n_passed > 0;
    }
    end_word(enc);
}

/* Whether a token of pass 0 may begin with this byte; of what is not ASCII, any. */
static bool begins_added(const struct ct_wordpiece *wordpiece, unsigned char byte)
{
    return byte >= 0x80 || wordpiece->begins_added[byte];
}

/* Pass 0. A token that is only text is passed over as a whole all the same. */
static void encode_text(struct encoder *enc, const char *text, size_t n_bytes)
{
    const struct ct_wordpiece *wordpiece = enc->wordpiece;
    struct ct_bert_cursor cursor = ct_bert_begin(NULL, text, n_bytes);
    const char *done = text;
    struct ct_bert_char c;
    for (;;) {
        while (cursor.at < cursor.end && !begins_added(wordpiece, (unsigned char)*cursor.at))
            cursor.at++;
        if (cursor.at == cursor.end)
            break;
        const char *begin = cursor.at;
        const struct ct_wordpiece_added *added = find_added(wordpiece, 0, cursor);
        for (int i = 0; i < (added != NULL ? added->n_chars : 1); i++)
            (void)ct_bert_next(&cursor, &c);
        if (added == NULL || !is_wanted(enc, added))
            continue;
        encode_normalized(enc, done, (size_t)(begin - done));
        put_id(enc, added->id);
        done = cursor.at;
    }
    encode_normalized(enc, done, (size_t)(text + n_bytes - done));
}

/* A text, as a template's items number them. */
struct text {
    const char *bytes;
    size_t n_bytes;
};

static void encode_template(struct encoder *enc, const struct ct_wordpiece_template *template,
                            const struct text texts[2])
{
    for (int i = 0; i < template->n_items; i++) {
        const struct ct_wordpiece_item *item = &template->items[i];
        enc->type = item->type;
        if (item->id >= 0)
            put_id(enc, item->id);
        else
            encode_text(enc, texts[item->text].bytes, texts[item->text].n_bytes);
    }
}

enum ct_status ct_wordpiece_encode(const struct ct_wordpiece *wordpiece, const char *text,
                                   size_t n_bytes, bool has_special, int32_t *ids, size_t capacity,
                                   size_t *n_ids)
{
    static const struct ct_wordpiece_template bare = {.items = {{.id = -1}}, .n_items = 1};
    *n_ids = 0;
    if (n_bytes > MAX_TEXT_BYTES)
        return CT_TOO_LARGE;
    struct encoder enc = {
        .wordpiece = wordpiece, .has_special = has_special, .ids = ids, .capacity = capacity};
    const struct text texts[2] = {{text, n_bytes}};
    encode_template(&enc, has_special ? &wordpiece->templates[0] : &bare, texts);
    *n_ids = enc.n_ids;
    return CT_OK;
}

enum ct_status ct_wordpiece_encode_pair(const struct ct_wordpiece *wordpiece, const char *first,
                                        size_t n_first_bytes, const char *second,
                                        size_t n_second_bytes, int32_t *ids, int32_t *types,
                                        size_t capacity, size_t *n_ids)
{
    *n_ids = 0;
    if (n_first_bytes > MAX_TEXT_BYTES || n_second_bytes > MAX_TEXT_BYTES)
        return CT_TOO_LARGE;
    struct encoder enc = {.wordpiece = wordpiece,
                          .has_special = true,
                          .ids = ids,
                          .types = types,
                          .capacity = capacity};
    const struct text texts[2] = {{first, n_first_bytes}, {second, n_second_bytes}};
    encode_template(&enc, &wordpiece->templates[1], texts);
    *n_ids = enc.n_ids;
    return CT_OK;
}
