/* The engine in float mode against Hugging Face transformers in float32, on real models with their
 * own blocks: logits within a bound, greedy text equal for 64 tokens a prompt, and the loss of
 * WikiText-2 windows where CENTROID_TEXT names the text. The reference's values are those of
 * tests/golden/make_logits.py. A model that the cache does not have is skipped, and all of them
 * are skipped where it has none; `./test.sh --real` fetches them. */
#include "tests/support/cached_model.h"
#include "tests/support/reference.h"

#include <math.h>

/* A sanitizer makes this many times slower: the other prompts are for the builds without one. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROMPTS(n_all, n_sanitized) n_sanitized
#else
#define PROMPTS(n_all, n_sanitized) n_all
#endif

enum { EXIT_SKIPPED = 77, WINDOW = 512, MAX_TEXT = 60000 };

struct real_model {
    const char *file, *golden;
    int n_prompts;
    double bound, bound_kv_f16; /* of logits; the latter with keys and values in f16 */
};

/* Bounds as in test_logits.c, for logits of about 20 after 30 layers. */
static const struct real_model models[] = {
    {CACHED_SMOLLM2, "smollm2_logits.json", PROMPTS(20, 4), 0.1, 0.01}, /* Q4_1 */
    {CACHED_QWEN2, "qwen2_logits.json", PROMPTS(8, 1), 0.1, 0.01},      /* Q5_0, Q8_0, Q6_K, Q4_K */
};

static const struct real_model *model;
static json_t *golden;
static struct ct_engine *engine;

/* The distance of the best tokens' logits, and of the logarithm of the sum over all of them, from
 * the golden file's; both must be within the bound. */
static double compare(const float *logits, const json_t *golden_ids, const json_t *golden_logits,
                      const json_t *golden_sum, double bound)
{
    int n_vocab = ct_engine_info(engine)->n_vocab;
    size_t i;
    const json_t *id;
    double sum = 0, worst = 0, log_sum = json_number_value(golden_sum);
    assert_int_equal(json_array_size(golden_ids), json_array_size(golden_logits));
    json_array_foreach(golden_ids, i, id)
    {
        double expected = json_number_value(json_array_get(golden_logits, i));
        worst = fmax(worst, fabs(logits[json_integer_value(id)] - expected));
    }
    for (int k = 0; k < n_vocab; k++)
        sum += exp(logits[k] - log_sum);
    worst = fmax(worst, fabs(log(sum)));
    if (!(worst <= bound))
        fail_msg("logits are off by %g, the bound is %g", worst, bound);
    return worst;
}

static void logits_of_prompts(void **state)
{
    (void)state;
    static int32_t ids[REFERENCE_MAX_TOK];
    const json_t *entry;
    size_t i;
    double worst = 0, worst_kv_f16 = 0;
    json_array_foreach(json_object_get(golden, "logits"), i, entry)
    {
        int n_ids = reference_ids(json_object_get(entry, "tokens"), ids);
        const json_t *top = json_object_get(entry, "top_ids");
        struct ct_slice slice = reference_read(engine, ids, n_ids, 0, 1);
        worst = fmax(worst, compare(slice.logits, top, json_object_get(entry, "top_logits"),
                                    json_object_get(entry, "log_sum_exp"), model->bound));
        worst_kv_f16 =
            fmax(worst_kv_f16,
                 compare(slice.logits, top, json_object_get(entry, "top_logits_kv_f16"),
                         json_object_get(entry, "log_sum_exp_kv_f16"), model->bound_kv_f16));
        ct_session_close(slice.session);
    }
    print_message("largest distance %g, with keys and values in f16 %g\n", worst, worst_kv_f16);
}

static void greedy_answers(void **state)
{
    (void)state;
    reference_check_greedy(engine, json_object_get(golden, "greedy"), model->n_prompts);
}

/* FNV-1a over the ids as little-endian bytes, as make_logits.py does: is it the same text? */
static void fnv1a(const int32_t *ids, size_t n, char text[17])
{
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < 4 * n; i++)
        value = (value ^ ((uint32_t)ids[i / 4] >> 8 * (i % 4) & 0xff)) * 0x100000001b3u;
    snprintf(text, 17, "%016llx", (unsigned long long)value);
}

/* -log of the softmax of logits [n_vocab] at id. */
static double token_nll(const float *logits, int n_vocab, int32_t id)
{
    double largest = logits[0], sum = 0;
    for (int i = 1; i < n_vocab; i++)
        largest = fmax(largest, logits[i]);
    for (int i = 0; i < n_vocab; i++)
        sum += exp(logits[i] - largest);
    return largest + log(sum) - logits[id];
}

/* Mean loss of the second half of one window, read in chunks. */
static double window_nll(const int32_t ids[WINDOW])
{
    enum { FIRST = WINDOW / 2, CHUNK = 64 };
    int n_vocab = ct_engine_info(engine)->n_vocab;
    double loss = 0;
    struct ct_slice slice = {.n_tokens = CHUNK};
    assert_int_equal(ct_session_open(engine, WINDOW, &slice.session), CT_OK);
    for (int begin = 0; begin < WINDOW; begin += CHUNK) {
        slice.tokens = ids + begin;
        slice.n_logits = begin < FIRST ? 0 : CHUNK;
        reference_step(engine, &slice, 1);
        for (int i = 0; i < slice.n_logits && begin + i + 1 < WINDOW; i++)
            loss +=
                token_nll(slice.logits + (size_t)i * (size_t)n_vocab, n_vocab, ids[begin + i + 1]);
    }
    ct_session_close(slice.session);
    return loss / (WINDOW - FIRST - 1);
}

static void perplexity_windows(void **state)
{
    (void)state;
    static char text[MAX_TEXT];
    static int32_t ids[MAX_TEXT];
    const char *path = getenv("CENTROID_TEXT");
    if (path == NULL) {
        print_message("CENTROID_TEXT names no text\n");
        skip();
    }
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n_bytes = fread(text, 1, sizeof text, file), n_ids = 0, i;
    fclose(file);
    assert_int_equal(ct_engine_tokenize(engine, text, n_bytes, false, ids, MAX_TEXT, &n_ids),
                     CT_OK);
    const json_t *windows = json_object_get(golden, "perplexity"), *nll;
    size_t n_windows = json_array_size(json_object_get(windows, "nll"));
    char sum[17];
    assert_true(n_ids >= n_windows * WINDOW);
    fnv1a(ids, n_windows * WINDOW, sum);
    if (strcmp(sum, json_string_value(json_object_get(windows, "tokens_fnv1a"))) != 0) {
        print_message("%s is not the text of the golden file\n", path);
        skip();
    }
    json_array_foreach(json_object_get(windows, "nll"), i, nll)
    {
        double loss = window_nll(ids + i * WINDOW);
        print_message("window %zu: %.5f, the reference says %.5f\n", i, loss,
                      json_number_value(nll));
        assert_true(fabs(loss - json_number_value(nll)) <= 0.005);
    }
}

static int setup(void **state)
{
    (void)state;
    char path[512];
    cached_model(model->file, path);
    golden = reference_load(model->golden);
    engine = reference_engine(path, CT_ACTIVATIONS_FLOAT, CT_KV_F16);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ct_engine_close(engine);
    json_decref(golden);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_of_prompts),
        cmocka_unit_test(greedy_answers),
        cmocka_unit_test(perplexity_windows),
    };
    int n_failed = 0;
    bool is_skipped = true;
    for (model = models; model < models + sizeof models / sizeof models[0]; model++) {
        char path[512];
        if (!cached_model(model->file, path)) {
            printf("SKIPPED: no %s; ./test.sh --real fetches it\n", path);
            continue;
        }
        printf("%s\n", path);
        is_skipped = false;
        n_failed += cmocka_run_group_tests(tests, setup, teardown);
    }
    return is_skipped ? EXIT_SKIPPED : n_failed;
}
