/* Memory that runs out: the n-th allocation fails, for every n or, where there are thousands, for a
 * random choice of n that thins out. Whatever was going on must then end with CT_MEMORY (a request
 * with a 503), give everything back, and succeed when tried again. */
#include "tests/support/allocations.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include "engine/base/rng.h"
#include "engine/compress/recipe.h"
#include "engine/engine.h"
#include "engine/graph/family.h"
#include "engine/tokenizer/wordpiece.h"
#include "server/openai_request.h"
#include "tests/support/json_body.h"

#include <dirent.h>
#include <inttypes.h>
#include <time.h>

static struct ct_rng rng;
static struct temp_dir dir;

/* Does the whole of a thing once and undoes it. */
typedef enum ct_status attempt_fn(const void *context, struct ct_error *err);

static void try_with_each_failure(const char *what, attempt_fn *attempt, const void *context)
{
    struct ct_error err = {0};
    int n_tried = 0;
    if (attempt(context, &err) != CT_OK) /* what is made once and kept is made now */
        fail_msg("%s: %s", what, err.message);
    for (int n = 1;; n += 1 + (int)ct_rng_below(&rng, (uint64_t)n / 32 + 1)) {
        const int before = ct_n_live_blocks();
        memset(&err, 0, sizeof err);
        ct_allocations_fail(n);
        enum ct_status status = attempt(context, &err);
        const bool was_enough = ct_allocations_will_fail();
        ct_allocations_fail(0);
        if (status != (was_enough ? CT_OK : CT_MEMORY))
            fail_msg("%s, allocation %d: %s, \"%s\"", what, n, ct_status_name(status), err.message);
        if (ct_n_live_blocks() != before)
            fail_msg("%s, allocation %d: %d blocks are left", what, n, ct_n_live_blocks() - before);
        if (was_enough) {
            print_message("%s: %d of %d allocations failed\n", what, n_tried, n - 1);
            return;
        }
        n_tried++;
    }
}

/* ---- opening and running a model ---- */

static const struct ct_engine_options options = {.n_threads = 2,
                                                 .context_tok = 64,
                                                 .max_sessions = 2,
                                                 .max_step_tok = 16,
                                                 .activations = CT_ACTIVATIONS_INT8};

static enum ct_status run_session(struct ct_engine *engine, struct ct_error *err)
{
    static const char text[] = "The quick brown fox";
    const struct ct_sampling sampling = {.temperature = 1, .top_p = 0.9, .presence_penalty = 1};
    struct ct_session *session = NULL;
    struct ct_sampler *sampler = NULL;
    int32_t ids[16], next;
    size_t n_ids = 0;
    enum ct_status status =
        ct_engine_tokenize(engine, text, sizeof text - 1, true, ids, 16, &n_ids);
    if (status == CT_OK)
        status = ct_sampler_open(engine, &sampling, &sampler, err);
    if (status == CT_OK)
        status = ct_session_open(engine, 32, &session);
    struct ct_slice slice = {
        .session = session, .tokens = ids, .n_tokens = (int)n_ids, .n_logits = 1};
    for (int i = 0; i < 2 && status == CT_OK; i++) {
        status = ct_engine_step(engine, &slice, 1, err);
        if (status == CT_OK)
            next = ct_sampler_next(sampler, slice.logits, NULL);
        slice.tokens = &next;
        slice.n_tokens = 1;
    }
    ct_session_close(session);
    ct_sampler_close(sampler);
    return status;
}

static enum ct_status open_and_run(const void *path, struct ct_error *err)
{
    struct ct_engine *engine = NULL;
    enum ct_status status = ct_engine_open(path, &options, &engine, err);
    if (status == CT_OK)
        status = run_session(engine, err);
    else
        assert_null(engine);
    ct_engine_close(engine);
    return status;
}

static void a_model_is_opened_and_run(void **state)
{
    (void)state;
    try_with_each_failure("directory", open_and_run, CT_TEST_DIR "/support/fixture");
    try_with_each_failure("GGUF file", open_and_run, CT_TEST_DIR "/support/fixture/fixture.gguf");
    try_with_each_failure("clustered model", open_and_run, CT_CLUSTERED_FIXTURE);
}

/* ---- a WordPiece ---- */

struct text {
    char *bytes;
    size_t n_bytes;
};

static enum ct_status open_wordpiece(const void *context, struct ct_error *err)
{
    static const char text[] = "The naïve \xF0\x9F fox [SEP] 中文";
    const struct text *file = context;
    struct ct_wordpiece *wordpiece = NULL;
    int32_t ids[64], types[64];
    size_t n_ids;
    enum ct_status status =
        file->bytes[0] == '{'
            ? ct_wordpiece_open_json(file->bytes, file->n_bytes, &wordpiece, err)
            : ct_wordpiece_open_vocab(file->bytes, file->n_bytes, "{}", 2, &wordpiece, err);
    if (status != CT_OK)
        return status;
    const int n_before = ct_n_allocations();
    status = ct_wordpiece_encode_pair(wordpiece, text, sizeof text - 1, text, sizeof text - 1, ids,
                                      types, 64, &n_ids);
    assert_int_equal(ct_n_allocations(), n_before);
    ct_wordpiece_close(wordpiece);
    return status;
}

static void a_wordpiece_is_opened(void **state)
{
    (void)state;
    static char vocab[] = "[UNK]\n[CLS]\n[SEP]\nthe\nfox";
    struct text json, lines = {vocab, sizeof vocab - 1};
    json.bytes = read_whole_file(CT_TEST_DIR "/golden/wordpiece.json", &json.n_bytes);
    assert_non_null(json.bytes);
    try_with_each_failure("tokenizer.json", open_wordpiece, &json);
    try_with_each_failure("vocab.txt", open_wordpiece, &lines);
    free(json.bytes);
}

/* ---- requests ---- */

static struct ct_models models = {
    .n = 1, .all[0] = {.name = "tiny", .max_in_flight = 16, .max_token_bytes = 64}};

static enum ct_status read_request(const void *body, struct ct_error *err)
{
    struct ct_refusal refusal = {0};
    const bool is_chat = strstr(body, "messages") != NULL;
    struct ct_request *request = ct_request_open(is_chat ? CT_REQUEST_CHAT : CT_REQUEST_COMPLETION);
    if (request == NULL)
        return CT_MEMORY;
    const struct ct_body all = json_body(body, strlen(body));
    enum ct_status status = ct_openai_request_read(request, &all, &models, &refusal);
    if (status != CT_OK) {
        ct_error_set(err, status, "%d %s", refusal.http, refusal.message);
        if (refusal.http != ct_status_http(status))
            status = CT_INTERNAL;
    }
    ct_request_close(request);
    return status;
}

static void a_request_is_read(void **state)
{
    (void)state;
    struct ct_model *model = &models.all[0];
    struct ct_error err;
    assert_int_equal(ct_engine_open(CT_TEST_DIR "/support/fixture", &options, &model->engine, &err),
                     CT_OK);
    model->info = ct_engine_info(model->engine);
    try_with_each_failure(
        "chat", read_request,
        "{\"model\":\"tiny\",\"messages\":[{\"role\":\"system\",\"content\":\"a\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What is "
        "it?\"}]}],\"stop\":[\"x\",\"yy\"],\"n\":2,\"seed\":1}");
    try_with_each_failure(
        "completion", read_request,
        "{\"model\":\"tiny\",\"prompt\":[\"One\",\"Two\"],\"logit_bias\":{\"5\":1},"
        "\"logprobs\":3,\"max_tokens\":5,\"stream\":true}");
    ct_engine_close(model->engine);
}

/* ---- compressing ---- */

/* Counts the directory's entries: what was begun and failed leaves nothing behind. */
static int n_entries(void)
{
    int n = 0;
    DIR *entries = opendir(dir.path);
    assert_non_null(entries);
    while (readdir(entries) != NULL)
        n++;
    closedir(entries);
    return n - 2; /* . and .. */
}

static enum ct_status compress(const void *path, struct ct_error *err)
{
    const struct ct_recipe recipe = {.quantize = {.bits = 4,
                                                  .group = 64,
                                                  .scope = CT_SCOPE_TENSOR,
                                                  .method = CT_KMEANS_EXACT,
                                                  .seed = 1}};
    struct ct_model_file *file = NULL;
    struct ct_pool *pool = NULL;
    struct ct_report report;
    char out[TEMP_PATH];
    enum ct_status status = ct_model_file_open(path, ct_family_foreign_names(), &file, err);
    if (status == CT_OK)
        status = ct_pool_open(2, &pool);
    if (status == CT_OK)
        status = ct_recipe_run(&recipe, file, pool, temp_path(&dir, "out", out), &report, err);
    const bool has_report = status == CT_OK;
    if (has_report) {
        char *text = ct_report_json(&report);
        status = text != NULL ? CT_OK : CT_MEMORY;
        free(text);
        ct_report_deinit(&report);
    }
    ct_pool_close(pool);
    ct_model_file_close(file);
    assert_int_equal(n_entries(), 1); /* the first run's output */
    return status;
}

static void a_model_is_compressed(void **state)
{
    (void)state;
    assert_int_equal(temp_dir_open(&dir), 0);
    try_with_each_failure("compress directory", compress, CT_TEST_DIR "/support/fixture");
    try_with_each_failure("compress GGUF file", compress,
                          CT_TEST_DIR "/support/fixture/fixture.gguf");
    temp_dir_close(&dir);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    printf("seed %" PRIu64 "\n", seed);
    ct_rng_init(&rng, seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_opened_and_run), cmocka_unit_test(a_wordpiece_is_opened),
        cmocka_unit_test(a_request_is_read), cmocka_unit_test(a_model_is_compressed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
