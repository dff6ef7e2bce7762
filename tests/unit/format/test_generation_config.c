/* What a model says of generating, from both of its sources: end tokens, defaults for sampling, and
 * settings that are not built here. */
#include "tests/support/unit.h"

#include "engine/format/generation_config.h"
#include "tests/support/gguf_bytes.h"

#include <math.h>
#include <stdlib.h>

static struct ct_hparams fresh(void)
{
    return (struct ct_hparams){
        .n_vocab = 100, .sampling = CT_SAMPLING_DEFAULTS, .eos_ids = {2}, .n_eos = 1};
}

static enum ct_status parse(const char *text, struct ct_hparams *h, struct ct_error *err)
{
    json_t *config = json_loads(text, 0, NULL);
    assert_non_null(config);
    *h = fresh();
    memset(err, 0, sizeof *err);
    enum ct_status status = ct_generation_from_json(config, h, err);
    json_decref(config);
    return status;
}

static void refuse(const char *text, const char *message)
{
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(parse(text, &h, &err), CT_FORMAT);
    assert_string_equal(err.message, message);
}

static void test_every_setting_is_read(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(parse("{\"eos_token_id\":[7,2,9],\"do_sample\":true,\"temperature\":0.7,"
                           "\"top_p\":0.8,\"top_k\":20,\"min_p\":0.05,\"repetition_penalty\":1.1,"
                           "\"no_repeat_ngram_size\":3,\"transformers_version\":\"4.37.0\"}",
                           &h, &err),
                     CT_OK);
    assert_int_equal(h.n_eos, 3); /* beside config.json's, each once */
    assert_true(h.eos_ids[0] == 2 && h.eos_ids[1] == 7 && h.eos_ids[2] == 9);
    assert_true(h.sampling.temperature == 0.7 && h.sampling.top_p == 0.8);
    assert_true(h.sampling.top_k == 20 && h.sampling.min_p == 0.05);
    assert_string_equal(h.not_applied, "repetition_penalty 1.1, no_repeat_ngram_size 3");
}

static void test_what_is_not_said_stays(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(
        parse("{\"top_k\":-1,\"temperature\":null,\"repetition_penalty\":1.0}", &h, &err), CT_OK);
    assert_true(h.sampling.temperature == 1 && h.sampling.top_p == 1);
    assert_true(h.sampling.top_k == 0 && h.sampling.min_p == 0);
    assert_int_equal(h.n_eos, 1);
    assert_string_equal(h.not_applied, "");
}

static void test_ranges(void **state)
{
    (void)state;
    refuse("{\"temperature\":-0.1}", "temperature is -0.1, expected a number within 0..100");
    refuse("{\"temperature\":\"hot\"}", "temperature is \"hot\", expected a number");
    refuse("{\"top_p\":1.5}", "top_p is 1.5, expected a number within 0..1");
    refuse("{\"min_p\":-1}", "min_p is -1, expected a number within 0..1");
    refuse("{\"top_k\":2.5}", "top_k is 2.5, expected a whole number within -1..2147483647");
    refuse("{\"top_k\":1e300}", "top_k is 1e+300, expected a whole number within -1..2147483647");
    refuse("{\"num_beams\":[]}", "num_beams is [], expected a number");
    refuse("{\"eos_token_id\":100}", "eos_token_id 100 is outside the vocabulary of 100");
    refuse("{\"eos_token_id\":[2,4294967298]}",
           "eos_token_id 4294967298 is outside the vocabulary of 100");
    refuse("{\"eos_token_id\":[2,2.5]}", "eos_token_id is [2,2.5], expected whole numbers");
    refuse("{\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}", "eos_token_id has more than 8 entries");
}

static enum ct_status from_gguf(float temperature, struct ct_hparams *h, struct ct_error *err)
{
    static struct gguf_bytes b;
    struct ct_gguf *gguf = NULL;
    put_header(&b, 0, 4);
    put_f32_entry(&b, "general.sampling.temp", temperature);
    put_f32_entry(&b, "general.sampling.top_p", 0.8f);
    put_f32_entry(&b, "general.sampling.penalty_repeat", 1.5f);
    put_u32_entry(&b, "general.sampling.top_k", 20);
    assert_int_equal(ct_gguf_open_memory(b.data, b.n, &gguf, err), CT_OK);
    *h = fresh();
    enum ct_status status = ct_generation_from_gguf(gguf, h, err);
    ct_gguf_close(gguf);
    return status;
}

static void test_gguf_metadata(void **state)
{
    (void)state;
    struct ct_hparams h;
    struct ct_error err;
    assert_int_equal(from_gguf(0.7f, &h, &err), CT_OK);
    assert_true(h.sampling.temperature == (double)0.7f && h.sampling.top_p == (double)0.8f);
    assert_true(h.sampling.top_k == 20 && h.sampling.min_p == 0);
    assert_string_equal(h.not_applied, "general.sampling.penalty_repeat 1.5");
    assert_int_equal(from_gguf(NAN, &h, &err), CT_FORMAT);
    assert_string_equal(err.message,
                        "general.sampling.temp is nan, expected a number within 0..100");
}

static void test_written_file(void **state)
{
    (void)state;
    struct ct_hparams h = fresh();
    struct ct_error err;
    char *text = ct_generation_format(&h);
    assert_string_equal(text, "{\n  \"eos_token_id\": 2\n}");
    free(text);
    assert_int_equal(from_gguf(0.7f, &h, &err), CT_OK);
    assert_int_equal(ct_generation_add_eos(&h, 5, &err), CT_OK);
    text = ct_generation_format(&h);
    assert_int_equal(parse(text, &h, &err), CT_OK);
    free(text);
    assert_true(h.sampling.temperature == 0.7 && h.sampling.top_p == 0.8);
    assert_true(h.sampling.top_k == 20 && h.sampling.min_p == 0);
    assert_true(h.n_eos == 2 && h.eos_ids[1] == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_setting_is_read),
        cmocka_unit_test(test_what_is_not_said_stays),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_gguf_metadata),
        cmocka_unit_test(test_written_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
