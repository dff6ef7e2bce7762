/* Reads tests/golden/tokenizer.bin (make_tokenizer.py describes it) and holds a tokenizer to it. */
#ifndef CT_TESTS_SUPPORT_BPE_GOLDEN_H
#define CT_TESTS_SUPPORT_BPE_GOLDEN_H

#include "engine/tokenizer/bpe.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include <string.h>

enum bpe_golden_tokenizer {
    BPE_GOLDEN_SMOLLM2,
    BPE_GOLDEN_FIXTURE,
    BPE_GOLDEN_QWEN2,
    N_BPE_GOLDENS
};

struct bpe_golden {
    char *data;
    const char *at;
    uint32_t n_texts;
};

struct bpe_golden_text {
    char *text; /* to be freed */
    size_t n_bytes;
    struct {
        uint32_t n_ids;
        uint64_t hash;
    } results[N_BPE_GOLDENS][2]; /* [tokenizer][has special tokens] */
    uint16_t n_full;             /* SmolLM2's ids with special tokens, where they are few */
    uint16_t full[64];
};

static inline void bpe_golden_take(struct bpe_golden *golden, void *value, size_t n_bytes)
{
    memcpy(value, golden->at, n_bytes);
    golden->at += n_bytes;
}

static inline void bpe_golden_open(struct bpe_golden *golden)
{
    size_t n_bytes;
    golden->data = read_whole_file(CT_TEST_DIR "/golden/tokenizer.bin", &n_bytes);
    assert_non_null(golden->data);
    assert_memory_equal(golden->data, "CTBPE002", 8);
    golden->at = golden->data + 8;
    bpe_golden_take(golden, &golden->n_texts, 4);
    assert_int_equal(golden->n_texts, 2000);
}

static inline void bpe_golden_next(struct bpe_golden *golden, struct bpe_golden_text *text)
{
    uint16_t n_segments;
    bpe_golden_take(golden, &n_segments, 2);
    text->text = malloc(1 << 20);
    text->n_bytes = 0;
    assert_non_null(text->text);
    for (int i = 0; i < n_segments; i++) {
        uint32_t n_bytes, n_repeats;
        bpe_golden_take(golden, &n_bytes, 4);
        bpe_golden_take(golden, &n_repeats, 4);
        assert_true(text->n_bytes + (size_t)n_bytes * n_repeats <= 1 << 20);
        for (uint32_t r = 0; r < n_repeats; r++, text->n_bytes += n_bytes)
            memcpy(text->text + text->n_bytes, golden->at, n_bytes);
        golden->at += n_bytes;
    }
    for (int t = 0; t < N_BPE_GOLDENS; t++)
        for (int s = 0; s < 2; s++) {
            bpe_golden_take(golden, &text->results[t][s].n_ids, 4);
            bpe_golden_take(golden, &text->results[t][s].hash, 8);
        }
    bpe_golden_take(golden, &text->n_full, 2);
    assert_true(text->n_full <= 64);
    bpe_golden_take(golden, text->full, 2 * (size_t)text->n_full);
}

static inline uint64_t bpe_golden_hash(const int32_t *ids, size_t n_ids)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < n_ids; i++)
        for (int shift = 0; shift < 32; shift += 8)
            hash = (hash ^ ((uint32_t)ids[i] >> shift & 0xFF)) * UINT64_C(0x100000001B3);
    return hash;
}

static inline void bpe_golden_check_text(const struct ct_bpe *bpe, enum bpe_golden_tokenizer which,
                                         const struct bpe_golden_text *text, uint32_t number)
{
    for (int has_special = 0; has_special < 2; has_special++) {
        int32_t *ids = malloc((text->n_bytes + 1) * 3 * sizeof ids[0]);
        size_t n_ids;
        assert_non_null(ids);
        assert_int_equal(ct_bpe_encode(bpe, text->text, text->n_bytes, has_special, ids,
                                       (text->n_bytes + 1) * 3, &n_ids),
                         CT_OK);
        if (which == BPE_GOLDEN_SMOLLM2 && has_special)
            for (size_t i = 0; i < text->n_full && i < n_ids; i++)
                if (ids[i] != text->full[i])
                    fail_msg("text %u, id %zu: %d, the reference has %d", number, i, ids[i],
                             text->full[i]);
        if (n_ids != text->results[which][has_special].n_ids ||
            bpe_golden_hash(ids, n_ids) != text->results[which][has_special].hash)
            fail_msg("text %u (\"%.60s\"), special %d: %zu ids differ from the reference's %u",
                     number, text->text, has_special, n_ids,
                     text->results[which][has_special].n_ids);
        free(ids);
    }
}

/* All texts, with and without special tokens. */
static inline void bpe_golden_check(const struct ct_bpe *bpe, enum bpe_golden_tokenizer which)
{
    struct bpe_golden golden;
    bpe_golden_open(&golden);
    for (uint32_t i = 0; i < golden.n_texts; i++) {
        struct bpe_golden_text text;
        bpe_golden_next(&golden, &text);
        bpe_golden_check_text(bpe, which, &text, i);
        free(text.text);
    }
    free(golden.data);
}

/* The same after a tokenizer has been written and read again. */
static inline void bpe_golden_check_round_trip(const struct ct_bpe *bpe,
                                               enum bpe_golden_tokenizer which)
{
    struct ct_bpe *again = NULL;
    struct ct_error err = {0};
    char *json = ct_bpe_format_json(bpe);
    assert_non_null(json);
    if (ct_bpe_open_json(json, strlen(json), &again, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ct_bpe_n_vocab(again), ct_bpe_n_vocab(bpe));
    bpe_golden_check(again, which);
    ct_bpe_close(again);
    free(json);
}

#endif
