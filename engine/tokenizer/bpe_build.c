/* Builds a tokenizer's tables from what a reader finds in a file, and checks it. */
#include "engine/tokenizer/bpe_internal.h"

#include "engine/tokenizer/table.h"
#include "engine/tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MERGES = 1 << 24, BYTE_CHARS = 256 + 68 };

static bool is_printable(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* GPT-2's table: printable bytes stand for themselves, the others follow in order from U+0100. */
static void fill_byte_chars(uint16_t byte_chars[256])
{
    uint16_t next = 256;
    for (uint32_t byte = 0; byte < 256; byte++)
        byte_chars[byte] = is_printable(byte) ? (uint16_t)byte : next++;
}

enum ct_status ct_bpe_open_empty(struct ct_bpe **out)
{
    struct ct_bpe *bpe = calloc(1, sizeof *bpe);
    if (bpe == NULL)
        return CT_MEMORY;
    ct_arena_init(&bpe->arena);
    bpe->unknown_id = -1;
    fill_byte_chars(bpe->byte_chars);
    if (ct_pretokenizer_open(&bpe->pre) != CT_OK) {
        free(bpe);
        return CT_MEMORY;
    }
    *out = bpe;
    return CT_OK;
}

void ct_bpe_close(struct ct_bpe *bpe)
{
    if (bpe == NULL)
        return;
    free(bpe->added);
    free(bpe->merge_slots);
    free(bpe->merges);
    free(bpe->token_slots);
    free(bpe->tokens);
    ct_pretokenizer_close(bpe->pre);
    ct_arena_deinit(&bpe->arena);
    free(bpe);
}

/* Turns printable characters into the bytes that they stand for. False where a character stands for
 * none: such a token decodes to its own text. */
static bool decode_text(const int16_t byte_of[BYTE_CHARS], const char *text, size_t n_bytes,
                        char *out, size_t *n_out)
{
    *n_out = 0;
    for (size_t i = 0; i < n_bytes;) {
        struct ct_utf8 c = ct_utf8_decode(text + i, n_bytes - i);
        if (c.code_point >= BYTE_CHARS || byte_of[c.code_point] < 0)
            return false;
        out[(*n_out)++] = (char)byte_of[c.code_point];
        i += c.n_bytes;
    }
    return true;
}

static bool is_printable_ascii(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if (text[i] < '!' || text[i] > '~')
            return false;
    return true;
}

enum ct_status ct_bpe_add_token(struct ct_bpe *bpe, int64_t id, int64_t limit, const char *text,
                                size_t n_bytes, struct ct_error *err)
{
    if (limit > CT_BPE_MAX_VOCAB)
        limit = CT_BPE_MAX_VOCAB;
    if (id < 0 || id >= limit)
        return ct_error_set(err, CT_FORMAT, "token \"%.*s\": id %lld, limit %lld", CT_CLIP(n_bytes),
                            text, (long long)id, (long long)limit);
    if (n_bytes == 0 || n_bytes > INT32_MAX || !ct_utf8_is_valid(text, n_bytes))
        return ct_error_set(err, CT_FORMAT, "token %lld: text of %zu bytes is %s", (long long)id,
                            n_bytes, n_bytes == 0 ? "empty" : "not UTF-8");
    if (!ct_table_reserve((void **)&bpe->tokens, sizeof bpe->tokens[0], &bpe->vocab_capacity,
                          (int)id + 1))
        return CT_MEMORY;
    struct ct_bpe_token *token = &bpe->tokens[id];
    if (token->text != NULL)
        return ct_error_set(err, CT_FORMAT, "id %lld is both \"%.*s\" and \"%.*s\"", (long long)id,
                            CT_CLIP(token->n_text), token->text, CT_CLIP(n_bytes), text);
    token->text = ct_arena_text(&bpe->arena, text, n_bytes);
    if (token->text == NULL)
        return CT_MEMORY;
    token->n_text = (uint32_t)n_bytes;
    if (id >= bpe->n_vocab)
        bpe->n_vocab = (int)id + 1;
    return CT_OK;
}

/* The slot of the token whose text is left + right, or the empty slot where it would be. */
static struct ct_bpe_slot *find_slot(const struct ct_bpe *bpe, const char *left, size_t n_left,
                                     const char *right, size_t n_right, uint32_t *hash)
{
    *hash = ct_table_fold(
        ct_table_hash(ct_table_hash(CT_TABLE_HASH_START, left, n_left), right, n_right));
    for (uint32_t i = *hash & bpe->token_mask;; i = (i + 1) & bpe->token_mask) {
        struct ct_bpe_slot *slot = &bpe->token_slots[i];
        if (slot->id < 0)
            return slot;
        if (slot->hash != *hash)
            continue;
        const struct ct_bpe_token *token = &bpe->tokens[slot->id];
        if (token->n_text == n_left + n_right && memcmp(token->text, left, n_left) == 0 &&
            memcmp(token->text + n_left, right, n_right) == 0)
            return slot;
    }
}

static int32_t find_token(const struct ct_bpe *bpe, const char *left, size_t n_left,
                          const char *right, size_t n_right)
{
    uint32_t hash;
    return find_slot(bpe, left, n_left, right, n_right, &hash)->id;
}

int ct_bpe_token_id(const struct ct_bpe *bpe, const char *text, size_t n_bytes)
{
    return find_token(bpe, text, n_bytes, "", 0);
}

enum ct_status ct_bpe_index_tokens(struct ct_bpe *bpe, struct ct_error *err)
{
    bpe->token_slots = ct_table_slots(bpe->n_vocab, sizeof bpe->token_slots[0], &bpe->token_mask);
    if (bpe->token_slots == NULL)
        return CT_MEMORY;
    for (int32_t id = 0; id < bpe->n_vocab; id++) {
        const struct ct_bpe_token *token = &bpe->tokens[id];
        if (token->text == NULL)
            continue;
        uint32_t hash;
        struct ct_bpe_slot *slot = find_slot(bpe, token->text, token->n_text, "", 0, &hash);
        if (slot->id >= 0)
            return ct_error_set(err, CT_FORMAT, "token \"%.*s\" has two ids, %d and %d",
                                CT_CLIP(token->n_text), token->text, slot->id, id);
        *slot = (struct ct_bpe_slot){id, hash};
    }
    return CT_OK;
}

enum ct_status ct_bpe_add_added(struct ct_bpe *bpe, int32_t id, bool is_special, bool is_normalized)
{
    if (!ct_table_reserve((void **)&bpe->added, sizeof bpe->added[0], &bpe->added_capacity,
                          bpe->n_added + 1))
        return CT_MEMORY;
    bpe->added[bpe->n_added++] = (struct ct_bpe_added){id, is_normalized};
    bpe->tokens[id].is_special = is_special;
    return CT_OK;
}

enum ct_status ct_bpe_add_merge(struct ct_bpe *bpe, const char *left, size_t n_left,
                                const char *right, size_t n_right, struct ct_error *err)
{
    struct ct_bpe_merge merge = {
        .left = find_token(bpe, left, n_left, "", 0),
        .right = find_token(bpe, right, n_right, "", 0),
        .whole = find_token(bpe, left, n_left, right, n_right),
    };
    if (merge.left < 0 || merge.right < 0 || merge.whole < 0)
        return ct_error_set(err, CT_FORMAT, "merge %d: \"%.*s\" + \"%.*s\": %s is not a token",
                            bpe->n_merges, CT_CLIP(n_left), left, CT_CLIP(n_right), right,
                            merge.left < 0    ? "the first"
                            : merge.right < 0 ? "the second"
                                              : "the whole");
    /* No byte is written as a space, so that such a merge could never happen. */
    if (memchr(left, ' ', n_left) != NULL || memchr(right, ' ', n_right) != NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "merge %d: a token with a space", bpe->n_merges);
    if (bpe->n_merges == MAX_MERGES)
        return ct_error_set(err, CT_FORMAT, "more than %d merges", MAX_MERGES);
    if (!ct_table_reserve((void **)&bpe->merges, sizeof merge, &bpe->merge_capacity,
                          bpe->n_merges + 1))
        return CT_MEMORY;
    bpe->merges[bpe->n_merges++] = merge;
    return CT_OK;
}

enum ct_status ct_bpe_add_merge_line(struct ct_bpe *bpe, const char *line, size_t n_bytes,
                                     struct ct_error *err)
{
    const char *space = memchr(line, ' ', n_bytes);
    size_t n_left = space == NULL ? n_bytes : (size_t)(space - line);
    if (space == NULL || memchr(space + 1, ' ', n_bytes - n_left - 1) != NULL)
        return ct_error_set(err, CT_FORMAT, "merge %d: \"%.*s\" is not two tokens", bpe->n_merges,
                            CT_CLIP(n_bytes), line);
    return ct_bpe_add_merge(bpe, line, n_left, space + 1, n_bytes - n_left - 1, err);
}

static uint32_t merge_slot(const struct ct_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key ^= key >> 32;
    return ct_table_fold(key * UINT64_C(0x9E3779B97F4A7C15)) & bpe->merge_mask;
}

int32_t ct_bpe_merge_rank(const struct ct_bpe *bpe, int32_t left, int32_t right)
{
    uint32_t slot = merge_slot(bpe, left, right);
    int32_t rank;
    while ((rank = bpe->merge_slots[slot]) >= 0) {
        if (bpe->merges[rank].left == left && bpe->merges[rank].right == right)
            return rank;
        slot = (slot + 1) & bpe->merge_mask;
    }
    return CT_BPE_NO_RANK;
}

static enum ct_status index_merges(struct ct_bpe *bpe)
{
    bpe->merge_slots = ct_table_slots(bpe->n_merges, sizeof bpe->merge_slots[0], &bpe->merge_mask);
    if (bpe->merge_slots == NULL)
        return CT_MEMORY;
    for (int32_t rank = 0; rank < bpe->n_merges; rank++) {
        const struct ct_bpe_merge *merge = &bpe->merges[rank];
        uint32_t slot = merge_slot(bpe, merge->left, merge->right);
        while (bpe->merge_slots[slot] >= 0) {
            const struct ct_bpe_merge *other = &bpe->merges[bpe->merge_slots[slot]];
            if (other->left == merge->left && other->right == merge->right)
                break; /* the later rank holds, as in `tokenizers` */
            slot = (slot + 1) & bpe->merge_mask;
        }
        bpe->merge_slots[slot] = rank;
    }
    return CT_OK;
}

static enum ct_status fill_token_bytes(struct ct_bpe *bpe)
{
    int16_t byte_of[BYTE_CHARS]; /* the byte that a printable character stands for, or -1 */
    memset(byte_of, -1, sizeof byte_of);
    for (int16_t byte = 0; byte < 256; byte++)
        byte_of[bpe->byte_chars[byte]] = byte;
    size_t longest = 0;
    for (int id = 0; id < bpe->n_vocab; id++)
        if (bpe->tokens[id].n_text > longest)
            longest = bpe->tokens[id].n_text;
    char *buffer = malloc(longest + 1);
    if (buffer == NULL)
        return CT_MEMORY;
    for (int id = 0; id < bpe->n_vocab; id++) {
        struct ct_bpe_token *token = &bpe->tokens[id];
        token->bytes = token->text == NULL ? "" : token->text;
        token->n_bytes = token->is_special ? 0 : token->n_text & INT32_MAX;
        size_t n_out;
        if (token->n_bytes == 0 || is_printable_ascii(token->text, token->n_text) ||
            !decode_text(byte_of, token->text, token->n_text, buffer, &n_out))
            continue;
        token->bytes = ct_arena_text(&bpe->arena, buffer, n_out);
        token->n_bytes = (uint32_t)n_out & INT32_MAX;
        if (token->bytes == NULL) {
            free(buffer);
            return CT_MEMORY;
        }
    }
    free(buffer);
    return CT_OK;
}

static int compare_added(const void *a, const void *b, void *context)
{
    const struct ct_bpe *bpe = context;
    const struct ct_bpe_added *x = a, *y = b;
    if (x->is_normalized != y->is_normalized)
        return x->is_normalized - y->is_normalized;
    const struct ct_bpe_token *s = &bpe->tokens[x->id], *t = &bpe->tokens[y->id];
    uint32_t n = s->n_text < t->n_text ? s->n_text : t->n_text;
    int order = memcmp(s->text, t->text, n);
    return order != 0 ? order : (s->n_text > t->n_text) - (s->n_text < t->n_text);
}

static void sort_added(struct ct_bpe *bpe)
{
    if (bpe->n_added > 0)
        qsort_r(bpe->added, (size_t)bpe->n_added, sizeof bpe->added[0], compare_added, bpe);
    int i = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int byte = 0; byte < 256; byte++) {
            bpe->added_begin[pass][byte] = i;
            while (i < bpe->n_added && bpe->added[i].is_normalized == pass &&
                   (unsigned char)bpe->tokens[bpe->added[i].id].text[0] == byte)
                i++;
        }
        bpe->added_begin[pass][256] = i;
    }
}

enum ct_status ct_bpe_finish(struct ct_bpe *bpe)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        size_t n_bytes = ct_utf8_encode(bpe->byte_chars[byte], text);
        int32_t id = ct_bpe_token_id(bpe, text, n_bytes);
        bpe->byte_ids[byte] = id >= 0 ? id : bpe->unknown_id;
    }
    sort_added(bpe);
    enum ct_status status = index_merges(bpe);
    return status == CT_OK ? fill_token_bytes(bpe) : status;
}
