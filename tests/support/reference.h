/* Holding an engine to reference values: reads the golden JSON of tests/golden/make_logits.py,
 * evaluates token sequences and continues prompts greedily. For cmocka programs; any failure ends
 * the test. */
#ifndef CT_TESTS_REFERENCE_H
#define CT_TESTS_REFERENCE_H

#include "engine/engine.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { REFERENCE_MAX_TOK = 1024, REFERENCE_MAX_CASES = 32 };

static inline json_t *reference_load(const char *file)
{
    char path[512];
    snprintf(path, sizeof path, "%s/golden/%s", CT_TEST_DIR, file);
    json_error_t error;
    json_t *value = json_load_file(path, 0, &error);
    if (value == NULL)
        fail_msg("%s: %s, line %d", path, error.text, error.line);
    return value;
}

/* A list of token ids; returns how many. */
static inline int reference_ids(const json_t *list, int32_t ids[REFERENCE_MAX_TOK])
{
    size_t n = json_array_size(list);
    assert_in_range(n, 1, REFERENCE_MAX_TOK);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return (int)n;
}

static inline struct ct_engine *reference_engine(const char *path, enum ct_activations activations,
                                                 enum ct_kv_type kv)
{
    struct ct_engine_options options = {.n_threads = 2, .activations = activations, .kv = kv};
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    if (ct_engine_open(path, &options, &engine, &err) != CT_OK)
        fail_msg("%s: %s", path, err.message);
    return engine;
}

static inline void reference_step(struct ct_engine *engine, struct ct_slice *slices, int n_slices)
{
    struct ct_error err = {0};
    if (ct_engine_step(engine, slices, n_slices, &err) != CT_OK)
        fail_msg("step: %s", err.message);
}

/* A new session that has read ids; the last n_logits rows of logits stay valid until the next
 * step. */
static inline struct ct_slice reference_read(struct ct_engine *engine, const int32_t *ids,
                                             int n_ids, int n_answer, int n_logits)
{
    struct ct_slice slice = {.tokens = ids, .n_tokens = n_ids, .n_logits = n_logits};
    assert_int_equal(ct_session_open(engine, n_ids + n_answer, &slice.session), CT_OK);
    reference_step(engine, &slice, 1);
    assert_non_null(slice.logits);
    return slice;
}

static inline int32_t reference_best(const struct ct_engine *engine, const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < ct_engine_info(engine)->n_vocab; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* The text gives these tokens. */
static inline void reference_check_tokens(const struct ct_engine *engine, const json_t *text,
                                          const int32_t *expected, int n)
{
    static int32_t ids[REFERENCE_MAX_TOK];
    size_t n_ids = 0;
    assert_int_equal(ct_engine_tokenize(engine, json_string_value(text), json_string_length(text),
                                        true, ids, REFERENCE_MAX_TOK, &n_ids),
                     CT_OK);
    assert_int_equal(n_ids, n);
    assert_memory_equal(ids, expected, n_ids * sizeof ids[0]);
}

/* Whether the second best token of the reference stands for token t: where the two lie closer
 * together than logits are bound to be, either is right. */
static inline bool reference_is_tie(const json_t *entry, int t, int32_t id)
{
    size_t i;
    const json_t *tie;
    json_array_foreach(json_object_get(entry, "ties"), i, tie)
    {
        if (json_integer_value(json_array_get(tie, 0)) == t)
            return json_integer_value(json_array_get(tie, 1)) == id;
    }
    return false;
}

/* Continues the first n_cases of a golden "greedy" list, all in one batch, and asserts that the
 * answers are equal; where a tie goes the other way, the reference's token is followed. A prompt's
 * text must also give its tokens. */
static inline void reference_check_greedy(struct ct_engine *engine, const json_t *cases,
                                          int n_cases)
{
    static int32_t prompt[REFERENCE_MAX_TOK];
    static int32_t answers[REFERENCE_MAX_CASES][REFERENCE_MAX_TOK];
    struct ct_session *sessions[REFERENCE_MAX_CASES] = {0};
    struct ct_slice slices[REFERENCE_MAX_CASES];
    int n_answers[REFERENCE_MAX_CASES], owner[REFERENCE_MAX_CASES];
    int32_t last[REFERENCE_MAX_CASES];
    int n_alive = 0, n_tokens = 0, n_turned = 0;
    assert_in_range(n_cases, 1, REFERENCE_MAX_CASES);
    assert_true((size_t)n_cases <= json_array_size(cases));
    for (int i = 0; i < n_cases; i++) {
        const json_t *text = json_object_get(json_array_get(cases, (size_t)i), "prompt");
        int n_prompt =
            reference_ids(json_object_get(json_array_get(cases, (size_t)i), "tokens"), prompt);
        n_answers[i] =
            reference_ids(json_object_get(json_array_get(cases, (size_t)i), "answer"), answers[i]);
        reference_check_tokens(engine, text, prompt, n_prompt);
        struct ct_slice read = reference_read(engine, prompt, n_prompt, n_answers[i], 1);
        sessions[i] = read.session;
        last[i] = reference_best(engine, read.logits);
    }
    for (int t = 0;; t++) {
        n_alive = 0;
        for (int i = 0; i < n_cases; i++) {
            if (t >= n_answers[i])
                continue;
            n_tokens++;
            if (last[i] != answers[i][t]) {
                if (!reference_is_tie(json_array_get(cases, (size_t)i), t, last[i]))
                    fail_msg("case %d, token %d: %d, the reference says %d", i, t, last[i],
                             answers[i][t]);
                last[i] = answers[i][t];
                n_turned++;
            }
            if (t + 1 == n_answers[i])
                continue;
            owner[n_alive] = i;
            slices[n_alive++] = (struct ct_slice){
                .session = sessions[i], .tokens = &last[i], .n_tokens = 1, .n_logits = 1};
        }
        if (n_alive == 0)
            break;
        reference_step(engine, slices, n_alive);
        for (int j = 0; j < n_alive; j++)
            last[owner[j]] = reference_best(engine, slices[j].logits);
    }
    for (int i = 0; i < n_cases; i++)
        ct_session_close(sessions[i]);
    print_message("%d tokens equal, %d ties went the other way\n", n_tokens - n_turned, n_turned);
}

#endif
