/* Builds a tokenizer's tables from what a reader finds in a file, and checks it. */
#include "engine/tokenizer/table.h"
#include "engine/tokenizer/utf8.h"
#include "engine/tokenizer/wordpiece_internal.h"

#include <stdlib.h>
#include <string.h>

enum ct_status ct_wordpiece_open_empty(struct ct_wordpiece **out)
{
    struct ct_wordpiece *wordpiece = calloc(1, sizeof *wordpiece);
    if (wordpiece == NULL)
        return CT_MEMORY;
    ct_arena_init(&wordpiece->arena);
    wordpiece->prefix = "";
    wordpiece->unknown_id = -1;
    *out = wordpiece;
    return CT_OK;
}

void ct_wordpiece_close(struct ct_wordpiece *wordpiece)
{
    if (wordpiece == NULL)
        return;
    free(wordpiece->added);
    free(wordpiece->slots);
    free(wordpiece->tokens);
    ct_arena_deinit(&wordpiece->arena);
    free(wordpiece);
}

enum ct_status ct_wordpiece_add_token(struct ct_wordpiece *wordpiece, int64_t id, int64_t limit,
                                      const char *text, size_t n_bytes, struct ct_error *err)
{
    if (limit > CT_WORDPIECE_MAX_VOCAB)
        limit = CT_WORDPIECE_MAX_VOCAB;
    if (id < 0 || id >= limit)
        return ct_error_set(err, CT_FORMAT, "token \"%.*s\": id %lld, limit %lld", CT_CLIP(n_bytes),
                            text, (long long)id, (long long)limit);
    if (n_bytes > INT32_MAX || !ct_utf8_is_valid(text, n_bytes))
        return ct_error_set(err, CT_FORMAT, "token %lld: text of %zu bytes is not UTF-8",
                            (long long)id, n_bytes);
    if (!ct_table_reserve((void **)&wordpiece->tokens, sizeof wordpiece->tokens[0],
                          &wordpiece->vocab_capacity, (int)id + 1))
        return CT_MEMORY;
    struct ct_wordpiece_token *token = &wordpiece->tokens[id];
    if (token->text != NULL)
        return ct_error_set(err, CT_FORMAT, "id %lld is both \"%.*s\" and \"%.*s\"", (long long)id,
                            CT_CLIP(token->n_bytes), token->text, CT_CLIP(n_bytes), text);
    token->text = ct_arena_text(&wordpiece->arena, text, n_bytes);
    if (token->text == NULL)
        return CT_MEMORY;
    token->n_bytes = (uint32_t)n_bytes;
    if (id >= wordpiece->n_vocab)
        wordpiece->n_vocab = (int)id + 1;
    return CT_OK;
}

static uint64_t hash_text(const char *text, size_t n_bytes)
{
    return ct_table_hash(CT_TABLE_HASH_START, text, n_bytes);
}

/* The slot of the token whose text is prefix + text, or the empty slot where it would be. */
static struct ct_wordpiece_slot *find_slot(const struct ct_wordpiece *wordpiece, const char *prefix,
                                           size_t n_prefix, const char *text, size_t n_bytes,
                                           uint32_t hash)
{
    for (uint32_t i = hash & wordpiece->slot_mask;; i = (i + 1) & wordpiece->slot_mask) {
        struct ct_wordpiece_slot *slot = &wordpiece->slots[i];
        if (slot->id < 0)
            return slot;
        if (slot->hash != hash)
            continue;
        const struct ct_wordpiece_token *token = &wordpiece->tokens[slot->id];
        if (token->n_bytes == n_prefix + n_bytes && memcmp(token->text, prefix, n_prefix) == 0 &&
            memcmp(token->text + n_prefix, text, n_bytes) == 0)
            return slot;
    }
}

int32_t ct_wordpiece_find(const struct ct_wordpiece *wordpiece, const char *prefix, size_t n_prefix,
                          const char *text, size_t n_bytes, uint64_t hash)
{
    return find_slot(wordpiece, prefix, n_prefix, text, n_bytes, ct_table_fold(hash))->id;
}

enum ct_status ct_wordpiece_index_tokens(struct ct_wordpiece *wordpiece)
{
    wordpiece->slots =
        ct_table_slots(wordpiece->n_vocab, sizeof wordpiece->slots[0], &wordpiece->slot_mask);
    if (wordpiece->slots == NULL)
        return CT_MEMORY;
    for (int32_t id = 0; id < wordpiece->n_vocab; id++) {
        const struct ct_wordpiece_token *token = &wordpiece->tokens[id];
        if (token->text == NULL)
            continue;
        const uint32_t hash = ct_table_fold(hash_text(token->text, token->n_bytes));
        *find_slot(wordpiece, "", 0, token->text, token->n_bytes, hash) =
            (struct ct_wordpiece_slot){id, hash};
        if (token->n_bytes > wordpiece->longest_bytes)
            wordpiece->longest_bytes = token->n_bytes;
    }
    return CT_OK;
}

/* Added tokens that the vocabulary does not have are few. */
int ct_wordpiece_token_id(const struct ct_wordpiece *wordpiece, const char *text, size_t n_bytes)
{
    const int32_t id = ct_wordpiece_find(wordpiece, "", 0, text, n_bytes, hash_text(text, n_bytes));
    for (int i = 0; id < 0 && i < wordpiece->n_added; i++) {
        const struct ct_wordpiece_token *token = &wordpiece->tokens[wordpiece->added[i].id];
        if (token->n_bytes == n_bytes && memcmp(token->text, text, n_bytes) == 0)
            return wordpiece->added[i].id;
    }
    return id;
}

enum ct_status ct_wordpiece_add_added(struct ct_wordpiece *wordpiece, int32_t id, bool is_special,
                                      bool is_normalized, struct ct_error *err)
{
    struct ct_wordpiece_token *token = &wordpiece->tokens[id];
    struct ct_bert_cursor cursor =
        ct_bert_begin(is_normalized ? &wordpiece->rules : NULL, token->text, token->n_bytes);
    /* No character becomes more characters than it has bytes. */
    uint32_t *chars = ct_arena_alloc(&wordpiece->arena, token->n_bytes * sizeof chars[0]);
    if (chars == NULL || !ct_table_reserve((void **)&wordpiece->added, sizeof wordpiece->added[0],
                                           &wordpiece->added_capacity, wordpiece->n_added + 1))
        return CT_MEMORY;
    struct ct_bert_char c;
    int n_chars = 0;
    for (; ct_bert_next(&cursor, &c); chars[n_chars++] = c.code_point)
        if (c.combining != 0)
            return ct_error_set(err, CT_UNSUPPORTED, "content with marks: \"%.*s\"",
                                CT_CLIP(token->n_bytes), token->text);
    if (n_chars == 0)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "content that is nothing when normalized: \"%.*s\"",
                            CT_CLIP(token->n_bytes), token->text);
    token->is_special = is_special;
    wordpiece->added[wordpiece->n_added++] = (struct ct_wordpiece_added){
        .id = id, .n_chars = n_chars, .chars = chars, .is_normalized = is_normalized};
    return CT_OK;
}

enum ct_status ct_wordpiece_add_item(struct ct_wordpiece *wordpiece, bool is_pair,
                                     struct ct_wordpiece_item item, struct ct_error *err)
{
    struct ct_wordpiece_template *template = &wordpiece->templates[is_pair];
    if (template->n_items == CT_WORDPIECE_MAX_AROUND)
        return ct_error_set(err, CT_UNSUPPORTED, "more than %d items", CT_WORDPIECE_MAX_AROUND);
    template->items[template->n_items++] = item;
    return CT_OK;
}

static int compare_added(const void *a, const void *b)
{
    const struct ct_wordpiece_added *x = a, *y = b;
    if (x->is_normalized != y->is_normalized)
        return x->is_normalized - y->is_normalized;
    for (int i = 0; i < x->n_chars && i < y->n_chars; i++)
        if (x->chars[i] != y->chars[i])
            return x->chars[i] < y->chars[i] ? -1 : 1;
    return (x->n_chars > y->n_chars) - (x->n_chars < y->n_chars);
}

enum ct_status ct_wordpiece_finish(struct ct_wordpiece *wordpiece, struct ct_error *err)
{
    struct ct_wordpiece_added *added = wordpiece->added;
    const int n_added = wordpiece->n_added;
    wordpiece->prefix_hash = hash_text(wordpiece->prefix, wordpiece->n_prefix);
    if (n_added > 0)
        qsort(added, (size_t)n_added, sizeof added[0], compare_added);
    for (int i = 1; i < n_added; i++)
        if (compare_added(&added[i - 1], &added[i]) == 0)
            return ct_error_set(err, CT_UNSUPPORTED, "added_tokens: %d and %d read the same",
                                added[i - 1].id, added[i].id);
    int n_first = 0;
    for (; n_first < n_added && !added[n_first].is_normalized; n_first++)
        if (added[n_first].chars[0] < 0x80)
            wordpiece->begins_added[added[n_first].chars[0]] = true;
    wordpiece->added_begin[1] = n_first;
    wordpiece->added_begin[2] = n_added;
    return CT_OK;
}
