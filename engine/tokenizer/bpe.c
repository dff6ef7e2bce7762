/* Encoding: the way of a text through the tables of bpe_internal.h.
 *
 * A word's bytes are a doubly linked list of symbols; every neighbouring pair that has a merge
 * waits in a heap by (rank, position). The lowest is merged, its neighbours enter the heap, and
 * entries that a merge has made stale are thrown away when they come up: O(n log n) for a word of n
 * bytes, however long. Sennrich, Haddow and Birch 2016, section 3.2; the order of equal ranks is
 * that of `tokenizers`. */
#include "engine/tokenizer/bpe.h"

#include "engine/tokenizer/bpe_internal.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 30, MAX_WHOLE_WORD_BYTES = 512 };

struct symbol {
    int32_t id;             /* -1: merged into the one before it */
    int32_t previous, next; /* positions, -1 at the ends */
    int32_t rank;           /* of the merge with the next one, or CT_BPE_NO_RANK */
};

/* One call of ct_bpe_encode. */
struct encoder {
    const struct ct_bpe *bpe;
    bool has_special;
    int32_t *ids;
    size_t capacity, n_ids;
    struct symbol *symbols; /* [word_capacity] */
    uint64_t *heap;         /* [2 * word_capacity] of rank << 32 | position */
    size_t word_capacity, n_heap;
};

int ct_bpe_n_vocab(const struct ct_bpe *bpe)
{
    return bpe->n_vocab;
}

bool ct_bpe_is_special(const struct ct_bpe *bpe, int id)
{
    return id >= 0 && id < bpe->n_vocab && bpe->tokens[id].is_special;
}

const char *ct_bpe_token_bytes(const struct ct_bpe *bpe, int id, size_t *n_bytes)
{
    *n_bytes = bpe->tokens[id].n_bytes;
    return bpe->tokens[id].bytes;
}

const char *ct_bpe_token_text(const struct ct_bpe *bpe, int id, size_t *n_bytes)
{
    *n_bytes = bpe->tokens[id].n_text;
    return *n_bytes > 0 ? bpe->tokens[id].text : "";
}

static void put_id(struct encoder *enc, int32_t id)
{
    if (enc->n_ids < enc->capacity)
        enc->ids[enc->n_ids] = id;
    enc->n_ids++;
}

static void heap_push(struct encoder *enc, uint64_t key)
{
    size_t i = enc->n_heap++;
    while (i > 0 && enc->heap[(i - 1) / 2] > key) {
        enc->heap[i] = enc->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    enc->heap[i] = key;
}

static uint64_t heap_pop(struct encoder *enc)
{
    uint64_t top = enc->heap[0];
    uint64_t key = enc->heap[--enc->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= enc->n_heap)
            break;
        if (child + 1 < enc->n_heap && enc->heap[child + 1] < enc->heap[child])
            child++;
        if (enc->heap[child] >= key)
            break;
        enc->heap[i] = enc->heap[child];
        i = child;
    }
    enc->heap[i] = key;
    return top;
}

/* Looks up the merge of the symbol at a position with its next one. */
static void rank_pair(struct encoder *enc, int32_t at)
{
    struct symbol *symbol = &enc->symbols[at];
    symbol->rank = CT_BPE_NO_RANK;
    if (symbol->next < 0)
        return;
    symbol->rank = ct_bpe_merge_rank(enc->bpe, symbol->id, enc->symbols[symbol->next].id);
    if (symbol->rank >= 0)
        heap_push(enc, (uint64_t)(uint32_t)symbol->rank << 32 | (uint32_t)at);
}

/* Each of the n - 1 merges takes at least one entry from the heap and adds at most two, so that it
 * never holds more than 2n. */
static void merge_symbols(struct encoder *enc)
{
    while (enc->n_heap > 0) {
        uint64_t key = heap_pop(enc);
        int32_t at = (int32_t)(key & UINT32_MAX);
        int32_t rank = (int32_t)(key >> 32);
        struct symbol *left = &enc->symbols[at];
        if (left->id < 0 || left->rank != rank)
            continue;
        struct symbol *right = &enc->symbols[left->next];
        left->id = enc->bpe->merges[rank].whole;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0)
            enc->symbols[left->next].previous = at;
        rank_pair(enc, at);
        if (left->previous >= 0)
            rank_pair(enc, left->previous);
    }
}

static enum ct_status reserve_word(struct encoder *enc, size_t n_bytes)
{
    if (n_bytes <= enc->word_capacity)
        return CT_OK;
    size_t capacity = n_bytes < 256 ? 256 : n_bytes;
    free(enc->symbols);
    free(enc->heap);
    enc->symbols = malloc(capacity * sizeof enc->symbols[0]);
    enc->heap = malloc(2 * capacity * sizeof enc->heap[0]);
    enc->word_capacity = enc->symbols != NULL && enc->heap != NULL ? capacity : 0;
    return enc->word_capacity > 0 ? CT_OK : CT_MEMORY;
}

/* The token that a whole word is by itself, or -1. Control tokens do not count: user text must not
 * become one. */
static int32_t find_word(const struct ct_bpe *bpe, const char *word, size_t n_bytes)
{
    char text[2 * MAX_WHOLE_WORD_BYTES + 4];
    if (n_bytes > MAX_WHOLE_WORD_BYTES)
        return -1;
    size_t n_text = 0;
    for (size_t i = 0; i < n_bytes; i++)
        n_text += ct_utf8_encode(bpe->byte_chars[(unsigned char)word[i]], text + n_text);
    int id = ct_bpe_token_id(bpe, text, n_text);
    return id >= 0 && !bpe->tokens[id].is_special ? id : -1;
}

static enum ct_status encode_word(void *context, const char *word, size_t n_bytes)
{
    struct encoder *enc = context;
    int32_t whole = enc->bpe->has_whole_words ? find_word(enc->bpe, word, n_bytes) : -1;
    if (whole >= 0) {
        put_id(enc, whole);
        return CT_OK;
    }
    enum ct_status status = reserve_word(enc, n_bytes);
    if (status != CT_OK)
        return status;
    int32_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        int32_t id = enc->bpe->byte_ids[(unsigned char)word[i]];
        if (id < 0)
            continue;
        enc->symbols[n] = (struct symbol){id, n - 1, n + 1, CT_BPE_NO_RANK};
        n++;
    }
    if (n == 0)
        return CT_OK;
    enc->symbols[n - 1].next = -1;
    for (int32_t i = 0; i < n; i++)
        rank_pair(enc, i);
    merge_symbols(enc);
    for (int32_t i = 0; i >= 0; i = enc->symbols[i].next)
        put_id(enc, enc->symbols[i].id);
    return CT_OK;
}

/* The longest added token of a pass that text begins with, or -1. Tokens are sorted, so that each
 * byte narrows the range of those that still fit. */
static int find_added(const struct ct_bpe *bpe, int pass, const char *text, size_t n_bytes)
{
    const int *begin = bpe->added_begin[pass] + (unsigned char)text[0];
    int low = begin[0], high = begin[1];
    int found = -1;
    for (size_t depth = 1; low < high; depth++) {
        if (bpe->tokens[bpe->added[low].id].n_text == depth)
            found = bpe->added[low++].id;
        if (depth == n_bytes)
            break;
        /* The first that is not below the text's next byte, and the first that is above it. */
        int bounds[2];
        for (int side = 0; side < 2; side++) {
            int from = low, to = high;
            int wanted = (unsigned char)text[depth] + side;
            while (from < to) {
                int middle = from + (to - from) / 2;
                if ((unsigned char)bpe->tokens[bpe->added[middle].id].text[depth] < wanted)
                    from = middle + 1;
                else
                    to = middle;
            }
            bounds[side] = from;
        }
        low = bounds[0];
        high = bounds[1];
    }
    return found;
}

static enum ct_status encode_text(struct encoder *enc, int pass, const char *text, size_t n_bytes);

/* Cuts the added tokens of a pass out of a text, and hands what is between them on. */
static enum ct_status cut_added(struct encoder *enc, int pass, const char *text, size_t n_bytes)
{
    if (n_bytes == 0)
        return CT_OK;
    if (pass == 2)
        return ct_pretokenizer_split(enc->bpe->pre, text, n_bytes, encode_word, enc);
    const int *begin = enc->bpe->added_begin[pass];
    if (begin[0] == begin[256])
        return encode_text(enc, pass + 1, text, n_bytes);
    size_t done = 0;
    for (size_t i = 0; i < n_bytes;) {
        int first = (unsigned char)text[i];
        int id = begin[first] < begin[first + 1] ? find_added(enc->bpe, pass, text + i, n_bytes - i)
                                                 : -1;
        if (id < 0) {
            i++;
            continue;
        }
        size_t n_token = enc->bpe->tokens[id].n_text;
        if (!enc->bpe->tokens[id].is_special || enc->has_special) {
            enum ct_status status = encode_text(enc, pass + 1, text + done, i - done);
            if (status != CT_OK)
                return status;
            put_id(enc, id);
            done = i + n_token;
        }
        i += n_token;
    }
    return encode_text(enc, pass + 1, text + done, n_bytes - done);
}

/* Pass 0, normalization, pass 1, then words. */
static enum ct_status encode_text(struct encoder *enc, int pass, const char *text, size_t n_bytes)
{
    if (pass != 1 || !enc->bpe->has_nfc)
        return cut_added(enc, pass, text, n_bytes);
    char *normal = NULL;
    enum ct_status status = ct_nfc(text, n_bytes, &normal, &n_bytes);
    if (status == CT_OK && n_bytes > INT32_MAX)
        status = CT_TOO_LARGE;
    if (status == CT_OK)
        status = cut_added(enc, pass, normal != NULL ? normal : text, n_bytes);
    free(normal);
    return status;
}

enum ct_status ct_bpe_encode(const struct ct_bpe *bpe, const char *text, size_t n_bytes,
                             bool has_special, int32_t *ids, size_t capacity, size_t *n_ids)
{
    if (n_bytes > MAX_TEXT_BYTES)
        return CT_TOO_LARGE;
    struct encoder enc = {.bpe = bpe, .has_special = has_special, .ids = ids, .capacity = capacity};
    char *repaired = NULL;
    if (!ct_utf8_is_valid(text, n_bytes)) {
        repaired = malloc(3 * n_bytes);
        if (repaired == NULL)
            return CT_MEMORY;
        n_bytes = ct_utf8_repair(text, n_bytes, repaired);
        text = repaired;
    }
    enum ct_status status =
        n_bytes > INT32_MAX ? CT_TOO_LARGE : encode_text(&enc, 0, text, n_bytes);
    *n_ids = enc.n_ids;
    free(enc.heap);
    free(enc.symbols);
    free(repaired);
    return status;
}
