/* Request bodies, field by field: what is honoured, and that everything else is refused by name. */
#include "tests/support/unit.h"

#include "server/json.h"
#include "server/openai_request.h"
#include "tests/support/fake_engine.h"
#include "tests/support/json_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT_TOK = 256 };

static struct ct_models models = {.n = 1};
static struct ct_model *const model = &models.all[0];

static int open_model(void **state)
{
    struct ct_error err;
    (void)state;
    assert_int_equal(ct_engine_open("fake", &(struct ct_engine_options){.context_tok = CONTEXT_TOK},
                                    &model->engine, &err),
                     CT_OK);
    model->info = ct_engine_info(model->engine);
    model->name = "fake";
    model->max_token_bytes = 1;
    model->max_in_flight = 100;
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    ct_engine_close(model->engine);
    return 0;
}

static struct ct_request *read_body(enum ct_request_kind kind, const char *body, size_t n_bytes,
                                    struct ct_refusal *refusal)
{
    struct ct_request *request = ct_request_open(kind);
    memset(refusal, 0, sizeof *refusal);
    const struct ct_body all = json_body(body, n_bytes);
    enum ct_status status = ct_openai_request_read(request, &all, &models, refusal);
    if (status == CT_OK)
        return request;
    ct_request_close(request);
    assert_in_range(refusal->http, 400, 499);
    return NULL;
}

/* Bodies with these members beside what is required. */
static struct ct_request *completion(const char *members, struct ct_refusal *refusal)
{
    char body[2048];
    snprintf(body, sizeof body, "{\"model\":\"fake\",\"prompt\":\"hi\"%s%s}", *members ? "," : "",
             members);
    return read_body(CT_REQUEST_COMPLETION, body, strlen(body), refusal);
}

static struct ct_request *chat(const char *members, struct ct_refusal *refusal)
{
    char body[2048];
    snprintf(body, sizeof body,
             "{\"model\":\"fake\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]%s%s}",
             *members ? "," : "", members);
    return read_body(CT_REQUEST_CHAT, body, strlen(body), refusal);
}

static void accept_both(const char *members)
{
    struct ct_refusal refusal;
    struct ct_request *request = completion(members, &refusal);
    if (request == NULL)
        fail_msg("completion {%s}: %s", members, refusal.message);
    ct_request_close(request);
    if ((request = chat(members, &refusal)) == NULL)
        fail_msg("chat {%s}: %s", members, refusal.message);
    ct_request_close(request);
}

static void accept_chat(const char *members)
{
    struct ct_refusal refusal;
    struct ct_request *request = chat(members, &refusal);
    if (request == NULL)
        fail_msg("chat {%s}: %s", members, refusal.message);
    ct_request_close(request);
}

/* A 400 whose param is (or begins with) the field, which the message names, too. */
static void refuse_for(struct ct_request *request, const struct ct_refusal *refusal,
                       const char *members, const char *param)
{
    if (request != NULL)
        fail_msg("{%s} was accepted", members);
    if (strncmp(refusal->param, param, strlen(param)) != 0 || refusal->http != 400)
        fail_msg("{%s}: %d, param '%s', not '%s': %s", members, refusal->http, refusal->param,
                 param, refusal->message);
    assert_non_null(strstr(refusal->message, param));
}

static void refuse_both(const char *members, const char *param)
{
    struct ct_refusal refusal;
    struct ct_request *request = completion(members, &refusal);
    refuse_for(request, &refusal, members, param);
    request = chat(members, &refusal);
    refuse_for(request, &refusal, members, param);
}

static void refuse_chat(const char *members, const char *param)
{
    struct ct_refusal refusal;
    struct ct_request *request = chat(members, &refusal);
    refuse_for(request, &refusal, members, param);
}

/* ---- numbers ---- */

/* Every numeric field with every number that is none for it. */
static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int kinds; /* 1: completion, 2: chat */
        const char *good[6];
    } fields[] = {
        {"n", 3, {"1", "8"}},
        {"max_tokens", 3, {"1", "200"}},
        {"max_completion_tokens", 2, {"1", "200"}},
        {"temperature", 3, {"0", "0.7", "2", "-0", "-0.0"}},
        {"top_p", 3, {"0", "1", "0.5"}},
        {"top_k", 3, {"0", "40"}},
        {"min_p", 3, {"0", "1", "0.05"}},
        {"presence_penalty", 3, {"-2", "2", "-1", "0"}},
        {"frequency_penalty", 3, {"-2", "2", "-1", "0"}},
        {"seed",
         3,
         {"0", "-1", "2147483648", "4294967296", "9223372036854775807", "-9223372036854775808"}},
        {"logprobs", 1, {"0", "5"}},
    };
    static const char *const bad[] = {
        "-1", "0",    "2147483648",          "4294967296", "1e308", "\"x\"",    "[]",
        "{}", "true", "9223372036854775808", "1e400",      "NaN",   "Infinity", "-Infinity"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char members[128];
        struct ct_refusal refusal;
        for (size_t k = 0; k < 6 && fields[i].good[k] != NULL; k++) {
            snprintf(members, sizeof members, "\"%s\":%s", fields[i].name, fields[i].good[k]);
            if (fields[i].kinds & 1) {
                struct ct_request *request = completion(members, &refusal);
                if (request == NULL)
                    fail_msg("{%s}: %s", members, refusal.message);
                ct_request_close(request);
            }
            if (fields[i].kinds & 2)
                accept_chat(members);
        }
        snprintf(members, sizeof members, "\"%s\":null", fields[i].name); /* null: not given */
        if (fields[i].kinds == 3)
            accept_both(members);
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            bool is_good = false;
            for (size_t g = 0; g < 6 && fields[i].good[g] != NULL; g++)
                is_good |= strcmp(fields[i].good[g], bad[k]) == 0;
            if (is_good)
                continue;
            snprintf(members, sizeof members, "\"%s\":%s", fields[i].name, bad[k]);
            if (fields[i].kinds & 1)
                refuse_for(completion(members, &refusal), &refusal, members, fields[i].name);
            if (fields[i].kinds & 2)
                refuse_for(chat(members, &refusal), &refusal, members, fields[i].name);
        }
    }
    struct ct_refusal refusal;
    assert_null(completion("\"max_tokens\":0", &refusal));
    assert_string_equal(refusal.message, "max_tokens: 0 is not a whole number within 1..256");
    assert_null(completion("\"temperature\":-1", &refusal));
    assert_string_equal(refusal.message, "temperature: -1 is not a number within 0..2");
}

/* ---- other fields ---- */

static void test_what_is_honoured(void **state)
{
    (void)state;
    struct ct_refusal refusal;
    struct ct_request *r = completion(
        "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"n\":2,\"max_tokens\":7,"
        "\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.1,\"seed\":-3,\"stop\":[\"a\","
        "\"bc\"],"
        "\"presence_penalty\":1,\"frequency_penalty\":-1,\"logit_bias\":{\"65\":-100,\"66\":1.5},"
        "\"logprobs\":3",
        &refusal);
    assert_non_null(r);
    assert_true(r->is_stream && r->has_usage && r->has_logprobs);
    assert_int_equal(r->n_top_logprobs, 3);
    assert_int_equal(r->n_choices, 2);
    assert_int_equal(r->n_sequences, 2);
    assert_int_equal(r->sequences[0].max_tokens, 7);
    assert_true(r->sampling.temperature == 0.5 && r->sampling.top_p == 0.9);
    assert_true(r->sampling.min_p == 0.1 && r->sampling.top_k == 40);
    assert_true(r->sampling.presence_penalty == 1 && r->sampling.frequency_penalty == -1);
    assert_true(r->sequences[0].seed == (uint64_t)-3 && r->sequences[1].seed == (uint64_t)-2);
    assert_int_equal(r->n_stops, 2);
    assert_memory_equal(r->stops[1].bytes, "bc", 2);
    assert_int_equal(r->sampling.n_bias, 2);
    assert_int_equal(r->sampling.bias_ids[0] + r->sampling.bias_ids[1], 65 + 66);
    assert_int_equal(r->sequences[1].prompt->n_tok, 2);
    ct_request_close(r);

    r = completion("", &refusal); /* OpenAI's defaults */
    assert_int_equal(r->sequences[0].max_tokens, 16);
    assert_true(r->sampling.temperature == 1 && r->sampling.top_p == 1 && !r->is_stream);
    uint64_t seed = r->sampling.seed;
    ct_request_close(r);
    r = completion("", &refusal);
    assert_true(r->sampling.seed != seed);
    ct_request_close(r);
    const struct ct_engine_info *info = model->info, asking = {.n_vocab = info->n_vocab,
                                                               .context_tok = info->context_tok,
                                                               .sampling = {.temperature = 0.7,
                                                                            .top_p = 0.8,
                                                                            .top_k = 20,
                                                                            .min_p = 0.1}};
    model->info = &asking; /* a model that asks for something else */
    r = completion("\"top_p\":1,\"min_p\":null", &refusal);
    assert_true(r->sampling.temperature == 0.7 && r->sampling.top_p == 1);
    assert_true(r->sampling.top_k == 20 && r->sampling.min_p == 0.1 && r->sampling.seed != seed);
    ct_request_close(r);
    model->info = info;
    r = chat("", &refusal);
    assert_int_equal(r->sequences[0].max_tokens, CONTEXT_TOK - r->sequences[0].prompt->n_tok);
    ct_request_close(r);
    r = chat("\"max_completion_tokens\":5,\"logprobs\":true,\"top_logprobs\":20", &refusal);
    assert_int_equal(r->sequences[0].max_tokens, 5);
    assert_int_equal(r->n_top_logprobs, 20);
    ct_request_close(r);
}

static void test_neutral_values(void **state)
{
    (void)state;
    static const char *const chats[] = {"\"tools\":[]",
                                        "\"tools\":null",
                                        "\"tool_choice\":\"auto\"",
                                        "\"parallel_tool_calls\":true",
                                        "\"response_format\":{\"type\":\"text\"}",
                                        "\"store\":false",
                                        "\"metadata\":{\"a\":\"b\"}",
                                        "\"modalities\":[\"text\"]",
                                        "\"service_tier\":\"auto\"",
                                        "\"reasoning_effort\":\"none\"",
                                        "\"verbosity\":\"medium\"",
                                        "\"functions\":[]",
                                        "\"function_call\":\"none\"",
                                        "\"audio\":null",
                                        "\"prompt_cache_key\":\"k\"",
                                        "\"safety_identifier\":\"s\"",
                                        "\"web_search_options\":null",
                                        "\"prompt_cache_retention\":\"in_memory\"",
                                        "\"prompt_cache_options\":{}",
                                        "\"n\":1",
                                        "\"prediction\":null",
                                        "\"moderation\":null",
                                        "\"logprobs\":false"};
    for (size_t i = 0; i < sizeof chats / sizeof chats[0]; i++)
        accept_chat(chats[i]);
    accept_both("\"user\":\"me\",\"stream\":false,\"stop\":null,\"logit_bias\":{}");
    accept_both("\"stop\":[]");
    struct ct_refusal refusal;
    struct ct_request *r =
        completion("\"echo\":false,\"suffix\":\"\",\"best_of\":2,\"n\":2", &refusal);
    assert_non_null(r);
    ct_request_close(r);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refuse_both("\"nonsense\":1", "nonsense");
    refuse_both("\"stream\":\"yes\"", "stream");
    refuse_both("\"stream_options\":{\"include_usage\":true}", "stream_options");
    refuse_both("\"stream\":true,\"stream_options\":{\"other\":1}", "stream_options.other");
    refuse_both("\"stream\":true,\"stream_options\":{\"include_obfuscation\":true}",
                "stream_options.include_obfuscation");
    refuse_both("\"stop\":\"\"", "stop");
    refuse_both("\"stop\":[1]", "stop[0]");
    refuse_both("\"stop\":{}", "stop");
    refuse_both("\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\","
                "\"d\",\"e\",\"f\",\"g\",\"h\"]",
                "stop");
    refuse_both("\"logit_bias\":[]", "logit_bias");
    refuse_both("\"logit_bias\":{\"300\":1}", "logit_bias.300"); /* outside of the vocabulary */
    refuse_both("\"logit_bias\":{\"-1\":1}", "logit_bias.-1");
    refuse_both("\"logit_bias\":{\"99999999999999999999\":1}", "logit_bias.9999");
    refuse_both("\"logit_bias\":{\"1\":101}", "logit_bias.1");
    refuse_both("\"logit_bias\":{\"1\":null}", "logit_bias.1");
    refuse_both("\"user\":5", "user");
    refuse_chat("\"tools\":[{\"type\":\"function\"}]", "tools");
    refuse_chat("\"tool_choice\":\"required\"", "tool_choice");
    refuse_chat("\"functions\":[{}]", "functions");
    refuse_chat("\"response_format\":{\"type\":\"json_object\"}", "response_format");
    refuse_chat("\"audio\":{}", "audio");
    refuse_chat("\"modalities\":[\"audio\"]", "modalities");
    refuse_chat("\"store\":true", "store");
    refuse_chat("\"metadata\":{\"a\":1}", "metadata.a");
    refuse_chat("\"logprobs\":5", "logprobs");
    refuse_chat("\"top_logprobs\":2", "top_logprobs");
    refuse_chat("\"logprobs\":true,\"top_logprobs\":21", "top_logprobs");
    refuse_chat("\"max_tokens\":3,\"max_completion_tokens\":4", "max_tokens");
    refuse_chat("\"reasoning_effort\":\"high\"", "reasoning_effort");
    refuse_chat("\"prompt\":\"x\"", "prompt");
    refuse_chat("\"echo\":false", "echo");
    struct ct_refusal refusal;
    refuse_for(completion("\"echo\":true", &refusal), &refusal, "echo", "echo");
    refuse_for(completion("\"suffix\":\"x\"", &refusal), &refusal, "suffix", "suffix");
    refuse_for(completion("\"best_of\":3", &refusal), &refusal, "best_of", "best_of");
    refuse_for(completion("\"n\":1000000", &refusal), &refusal, "n", "n");
}

static void check_body(enum ct_request_kind kind, const char *body, const char *param,
                       const char *part_of_message)
{
    struct ct_refusal refusal;
    struct ct_request *request = read_body(kind, body, strlen(body), &refusal);
    if (param == NULL) {
        if (request == NULL)
            fail_msg("%s: %s", body, refusal.message);
        ct_request_close(request);
        return;
    }
    if (request != NULL || strcmp(refusal.param, param) != 0 ||
        strstr(refusal.message, part_of_message) == NULL)
        fail_msg("%s: param '%s': %s", body, refusal.param, refusal.message);
}

static void test_prompts(void **state)
{
    (void)state;
#define BODY(prompt) "{\"model\":\"fake\",\"prompt\":" prompt "}"
    check_body(CT_REQUEST_COMPLETION, BODY("[65,66]"), NULL, "");
    check_body(CT_REQUEST_COMPLETION, BODY("[[65],[66,67]]"), NULL, "");
    check_body(CT_REQUEST_COMPLETION, BODY("[\"a\",\"b\"]"), NULL, "");
    check_body(CT_REQUEST_COMPLETION, BODY("null"), "prompt", "required");
    check_body(CT_REQUEST_COMPLETION, "{\"model\":\"fake\"}", "prompt", "required");
    check_body(CT_REQUEST_COMPLETION, "{\"prompt\":\"a\"}", "model", "required");
    check_body(CT_REQUEST_COMPLETION, "{\"model\":5,\"prompt\":\"a\"}", "model", "string");
    check_body(CT_REQUEST_COMPLETION, BODY("\"\""), "prompt", "empty");
    check_body(CT_REQUEST_COMPLETION, BODY("[]"), "prompt", "[]");
    check_body(CT_REQUEST_COMPLETION, BODY("5"), "prompt", "5");
    check_body(CT_REQUEST_COMPLETION, BODY("[65,\"a\"]"), "prompt[1]", "token id");
    check_body(CT_REQUEST_COMPLETION, BODY("[65,300]"), "prompt[1]", "0..299");
    check_body(CT_REQUEST_COMPLETION, BODY("[65,-1]"), "prompt[1]", "-1");
    check_body(CT_REQUEST_COMPLETION, BODY("[[65],[]]"), "prompt[1]", "empty");
    check_body(CT_REQUEST_COMPLETION, BODY("[\"a\",5]"), "prompt[1]", "kind");
#undef BODY
    struct ct_refusal refusal;
    char body[2048], text[301];
    memset(text, 'x', 300);
    text[300] = '\0';
    snprintf(body, sizeof body, "{\"model\":\"fake\",\"prompt\":\"%s\"}", text);
    assert_null(read_body(CT_REQUEST_COMPLETION, body, strlen(body), &refusal));
    assert_string_equal(refusal.message,
                        "prompt: 300 tokens are more than the context of 256 tokens");
    assert_string_equal(refusal.code, "context_length_exceeded");
    text[250] = '\0';
    snprintf(body, sizeof body, "{\"model\":\"fake\",\"prompt\":\"%s\",\"max_tokens\":7}", text);
    assert_null(read_body(CT_REQUEST_COMPLETION, body, strlen(body), &refusal));
    assert_string_equal(refusal.message, "prompt: 250 tokens and 7 to generate are more than the "
                                         "context of 256 tokens");
    snprintf(body, sizeof body, "{\"model\":\"fake\",\"prompt\":\"%s\"}", text);
    struct ct_request *r = read_body(CT_REQUEST_COMPLETION, body, strlen(body), &refusal);
    assert_int_equal(r->sequences[0].max_tokens, 6); /* the default gives way */
    ct_request_close(r);
    assert_null(completion("\"model\":\"other\"", &refusal)); /* twice: a duplicate key */
    check_body(CT_REQUEST_COMPLETION, "{\"model\":\"other\",\"prompt\":\"a\"}", "model",
               "\"fake\"");
}

static void test_messages(void **state)
{
    (void)state;
#define BODY(messages) "{\"model\":\"fake\",\"messages\":" messages "}"
    check_body(
        CT_REQUEST_CHAT,
        BODY("[{\"role\":\"developer\",\"content\":\"a\"},{\"role\":\"user\",\"content\":[{"
             "\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":\"c\"}]},{\"role\":"
             "\"assistant\",\"content\":\"\",\"refusal\":null,\"tool_calls\":[]}]"),
        NULL, "");
    check_body(CT_REQUEST_CHAT, BODY("[]"), "messages", "[]");
    check_body(CT_REQUEST_CHAT, BODY("\"hi\""), "messages", "array");
    check_body(CT_REQUEST_CHAT, BODY("[5]"), "messages[0]", "object");
    check_body(CT_REQUEST_CHAT, BODY("[{\"content\":\"a\"}]"), "messages[0].role", "required");
    check_body(CT_REQUEST_CHAT, BODY("[{\"role\":\"tool\",\"content\":\"a\"}]"), "messages[0].role",
               "tool");
    check_body(CT_REQUEST_CHAT, BODY("[{\"role\":\"user\"}]"), "messages[0].content", "required");
    check_body(CT_REQUEST_CHAT, BODY("[{\"role\":\"user\",\"content\":null}]"),
               "messages[0].content", "null");
    check_body(CT_REQUEST_CHAT, BODY("[{\"role\":\"user\",\"content\":\"a\",\"name\":\"bob\"}]"),
               "messages[0].name", "not supported");
    check_body(CT_REQUEST_CHAT, BODY("[{\"role\":\"user\",\"content\":\"a\",\"x\":1}]"),
               "messages[0].x", "no such field");
    check_body(
        CT_REQUEST_CHAT,
        BODY("[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]"),
        "messages[0].content[0].type", "text");
    check_body(CT_REQUEST_CHAT, BODY("[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]"),
               "messages[0].content[0].text", "string");
#undef BODY
    struct ct_refusal refusal;
    static const char body[] =
        "{\"model\":\"fake\",\"messages\":[{\"role\":\"developer\",\"content\":\"a\"},{\"role\":"
        "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":"
        "\"c\"}]}]}";
    struct ct_request *r = read_body(CT_REQUEST_CHAT, body, strlen(body), &refusal);
    static const char expected[] = "system:a\nuser:bc";
    assert_int_equal(r->prompts[0].n_tok, strlen(expected));
    for (size_t i = 0; i < strlen(expected); i++)
        assert_int_equal(r->prompts[0].tokens[i], expected[i]);
    ct_request_close(r);
}

/* ---- documents ---- */

static void documents_are_read_beside_their_query(void **state)
{
    (void)state;
    struct ct_refusal refusal;
    struct ct_engine_info info = *model->info;
    const struct ct_engine_info *before = model->info;
    info.task = CT_TASK_CLASSIFY;
    info.n_labels = 1;
    info.n_outputs = 1;
    model->info = &info;
    static const char pairs[] =
        "{\"model\":\"fake\",\"query\":\"ab\",\"documents\":[\"cde\",{\"text\":"
        "\"f\"}],\"return_documents\":true,\"top_n\":1}";
    struct ct_request *r = read_body(CT_REQUEST_RERANK, pairs, strlen(pairs), &refusal);
    assert_non_null(r);
    assert_int_equal(r->n_prompts, 2);
    assert_int_equal(r->n_sequences, 2);
    assert_int_equal(r->n_top, 1);
    static const int32_t tokens[] = {'a', 'b', CT_FAKE_EOS + 1, 'c', 'd', 'e'},
                         types[] = {0, 0, 0, 1, 1, 1};
    assert_int_equal(r->sequences[0].prompt->n_tok, 6);
    assert_memory_equal(r->sequences[0].prompt->tokens, tokens, sizeof tokens);
    assert_memory_equal(r->sequences[0].prompt->types, types, sizeof types);
    assert_int_equal(r->sequences[1].prompt->n_tok, 4);
    assert_string_equal(r->documents[1], "f");
    ct_request_close(r);

    info.context_tok = 5;
    static const char cut[] =
        "{\"model\":\"fake\",\"query\":\"ab\",\"documents\":[\"cdefg\",\"h\"],"
        "\"truncate\":true}";
    r = read_body(CT_REQUEST_RERANK, cut, strlen(cut), &refusal);
    assert_non_null(r);
    assert_true(r->prompts[0].is_truncated && !r->prompts[1].is_truncated);
    assert_int_equal(r->prompts[0].n_tok, 5);
    assert_int_equal(r->prompts[0].tokens[4], 'g'); /* the last stays, as it may end every text */
    assert_int_equal(r->prompts[0].types[4], 1);
    ct_request_close(r);

    info.task = CT_TASK_EMBED; /* the query is a prompt of its own */
    info.n_labels = 0;
    r = read_body(CT_REQUEST_RERANK, cut, strlen(cut), &refusal);
    assert_non_null(r);
    assert_int_equal(r->n_prompts, 3);
    assert_int_equal(r->prompts[0].n_tok, 2);
    assert_null(r->prompts[1].types);
    assert_null(r->documents);
    ct_request_close(r);
    model->info = before;
}

/* ---- JSON ---- */

/* {"user": [[...]]}: depth in all. */
static char *nested(int depth)
{
    char *body = malloc((size_t)depth * 2 + 64), *p = body;
    p += sprintf(p, "{\"user\":");
    memset(p, '[', (size_t)depth - 1);
    memset(p + depth - 1, ']', (size_t)depth - 1);
    strcpy(p + 2 * (depth - 1), "}");
    return body;
}

static void test_depth(void **state)
{
    (void)state;
    static const int depths[] = {64, 128, 129, 1000, 100000};
    for (int i = 0; i < 5; i++) {
        struct ct_refusal refusal = {0};
        char *body = nested(depths[i]);
        json_t *root = NULL;
        assert_int_equal(ct_json_parse(body, strlen(body), &root, &refusal),
                         depths[i] <= CT_JSON_MAX_DEPTH ? CT_OK : CT_INVALID);
        if (root == NULL)
            assert_non_null(strstr(refusal.message, "128 levels"));
        json_decref(root);
        free(body);
    }
}

static void test_a_million_values(void **state)
{
    (void)state;
    enum { N = 1000000 };
    struct ct_refusal refusal = {0};
    json_t *root = NULL;
    char *body = malloc(2 * N + 64), *p = body + sprintf(body, "{\"prompt\":[");
    for (int i = 0; i < N; i++) {
        *p++ = '1';
        *p++ = ',';
    }
    strcpy(p - 1, "]}");
    assert_int_equal(ct_json_parse(body, strlen(body), &root, &refusal), CT_INVALID);
    assert_non_null(strstr(refusal.message, "200000 values"));
    free(body);
}

static void test_not_json(void **state)
{
    (void)state;
    static const struct {
        const char *body, *param;
    } cases[] = {
        {"", ""},
        {"nonsense", ""},
        {"[]", ""},
        {"{", ""},
        {"{\"user\":\"a\"", "user"},
        {"{\"user\":\"a\"} x", "user"},
        {"{\"user\":\"a\",\"user\":\"b\"}", "user"},
        {"{\"user\":\"\\ud800\"}", "user"},        /* a lone surrogate */
        {"{\"user\":\"\\udc00\\ud800\"}", "user"}, /* in the wrong order */
        {"{\"user\":\"a\\u0000b\"}", "user"},
        {"{\"user\":\"\xff\"}", "user"},
        {"{\"user\":\"\xed\xa0\x80\"}", "user"},
        {"{\"n\":1,\"seed\":NaN}", "seed"},
        {"{\"seed\":99999999999999999999,\"n\":1}", "seed"},
        {"{\"n\":1,\"top_p\":1e999}", "top_p"},
        {"{\"n\":01}", "n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ct_refusal refusal = {0};
        json_t *root = NULL;
        assert_int_equal(ct_json_parse(cases[i].body, strlen(cases[i].body), &root, &refusal),
                         CT_INVALID);
        assert_int_equal(refusal.http, 400);
        if (strcmp(refusal.param, cases[i].param) != 0)
            fail_msg("%s: param '%s': %s", cases[i].body, refusal.param, refusal.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_read_beside_their_query),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_what_is_honoured),
        cmocka_unit_test(test_neutral_values),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_a_million_values),
        cmocka_unit_test(test_not_json),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
