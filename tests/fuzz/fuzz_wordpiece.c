/* A vocabulary file and a text, with a NUL between them: any bytes open, as tokenizer.json or as
 * vocab.txt, or are refused. What opened encodes the text and some other, in bounds, and the same
 * whatever the capacity. */
#include "engine/tokenizer/wordpiece.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static const char sample[] = "The [SEP] na\xC3\xAFve \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9D\x85\xA5\xE3"
                             "\x80\xAE.\xFF\xF0\x9F[MASK]\0a";

static void check(const struct ct_wordpiece *wordpiece, const char *text, size_t n_bytes,
                  bool has_special)
{
    const size_t limit = n_bytes + (has_special ? ct_wordpiece_n_around(wordpiece, false) : 0);
    int32_t *ids = malloc((limit + 1) * sizeof ids[0]), few[3];
    size_t n_ids, n_again, n_token;
    if (ids == NULL ||
        ct_wordpiece_encode(wordpiece, text, n_bytes, has_special, ids, limit, &n_ids) != CT_OK ||
        n_ids > limit ||
        ct_wordpiece_encode(wordpiece, text, n_bytes, has_special, few, 3, &n_again) != CT_OK ||
        n_again != n_ids || memcmp(ids, few, (n_ids < 3 ? n_ids : 3) * sizeof ids[0]) != 0)
        abort();
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || ids[i] >= ct_wordpiece_n_vocab(wordpiece))
            abort();
        (void)ct_wordpiece_token_bytes(wordpiece, ids[i], &n_token);
    }
    free(ids);
}

static void check_pair(const struct ct_wordpiece *wordpiece, const char *text, size_t n_bytes)
{
    const size_t limit = n_bytes + sizeof sample - 1 + ct_wordpiece_n_around(wordpiece, true);
    int32_t *ids = malloc(2 * (limit + 1) * sizeof ids[0]);
    size_t n_ids;
    if (ids == NULL ||
        ct_wordpiece_encode_pair(wordpiece, text, n_bytes, sample, sizeof sample - 1, ids,
                                 ids + limit, limit, &n_ids) != CT_OK ||
        n_ids > limit)
        abort();
    for (size_t i = 0; i < n_ids; i++)
        if (ids[limit + i] < 0 || ids[limit + i] > 1)
            abort();
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const char *file = (const char *)data, *end = file + n_bytes;
    const char *nul = memchr(data, '\0', n_bytes);
    const size_t n_file = nul != NULL ? (size_t)(nul - file) : n_bytes;
    const char *text = nul != NULL ? nul + 1 : end;
    for (int is_json = 0; is_json < 2; is_json++) {
        struct ct_wordpiece *wordpiece = NULL;
        struct ct_error err;
        enum ct_status status =
            is_json ? ct_wordpiece_open_json(file, n_file, &wordpiece, &err)
                    : ct_wordpiece_open_vocab(file, n_file, NULL, 0, &wordpiece, &err);
        if (is_json && status == CT_OK && !ct_wordpiece_is_json(file, n_file))
            abort();
        if (status != CT_OK)
            continue;
        for (int has_special = 0; has_special < 2; has_special++) {
            check(wordpiece, sample, sizeof sample - 1, has_special);
            check(wordpiece, text, (size_t)(end - text), has_special);
        }
        check_pair(wordpiece, text, (size_t)(end - text));
        ct_wordpiece_close(wordpiece);
    }
    return 0;
}
