/* tokenizer.json: any bytes open or are refused. What opened encodes some text, decodes it again,
 * and gives the same ids after it has been written and read. */
#include "engine/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static const char sample[] =
    "It's  12 \xC3\xA9\xE2\x80\xA8 abc<|im_end|>\xFF\xF0\x9F\x98\x80 aaaa\0\n\n x";

/* ids of a text; how many, or 0 where a pattern of the file went past its limits. */
static size_t encode(const struct ct_bpe *bpe, const char *text, size_t n_bytes, bool has_special,
                     int32_t *ids, size_t capacity)
{
    size_t n_ids;
    if (ct_bpe_encode(bpe, text, n_bytes, has_special, ids, capacity, &n_ids) != CT_OK)
        return 0;
    if (n_ids > capacity)
        abort();
    return n_ids;
}

static void check(const struct ct_bpe *bpe, const struct ct_bpe *again, const char *text,
                  size_t n_bytes, bool has_special)
{
    enum { CAPACITY = 1024 };
    int32_t ids[2][CAPACITY];
    char out[3 * 65536 + CT_DETOKENIZER_SLACK];
    struct ct_detokenizer detokenizer = {0};
    size_t n_ids = encode(bpe, text, n_bytes, has_special, ids[0], CAPACITY);
    if (encode(again, text, n_bytes, has_special, ids[1], CAPACITY) != n_ids ||
        memcmp(ids[0], ids[1], n_ids * sizeof ids[0][0]) != 0)
        abort();
    for (size_t i = 0; i < n_ids; i++) {
        size_t n_token;
        const char *bytes = ct_bpe_token_bytes(bpe, ids[0][i], &n_token);
        if (n_token <= 65536)
            (void)ct_detokenizer_push(&detokenizer, bytes, n_token, out);
        if (!has_special && ct_bpe_is_special(bpe, ids[0][i]) && n_token > 0)
            abort();
    }
    (void)ct_detokenizer_finish(&detokenizer, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_bpe *bpe = NULL, *again = NULL;
    struct ct_error err;
    if (ct_bpe_open_json((const char *)data, n_bytes, &bpe, &err) != CT_OK)
        return 0;
    char *json = ct_bpe_format_json(bpe);
    if (json == NULL || ct_bpe_open_json(json, strlen(json), &again, &err) != CT_OK)
        abort();
    for (int has_special = 0; has_special < 2; has_special++) {
        check(bpe, again, sample, sizeof sample - 1, has_special);
        check(bpe, again, (const char *)data, n_bytes < 300 ? n_bytes : 300, has_special);
    }
    free(json);
    ct_bpe_close(again);
    ct_bpe_close(bpe);
    return 0;
}
