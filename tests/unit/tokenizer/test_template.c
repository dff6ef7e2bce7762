/* Chat templates render as jinja2 renders them (tests/golden/make_template.py), and what is beyond
 * the interpreter is refused by name or stopped by a limit. */
#include "engine/tokenizer/template.h"
#include "tests/support/unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGES = 32 };

static json_t *golden;

static int load_golden(void **state)
{
    json_error_t error;
    (void)state;
    golden = json_load_file(CT_TEST_DIR "/golden/template.json", JSON_ALLOW_NUL, &error);
    if (golden == NULL)
        fprintf(stderr, "template.json: %s\n", error.text);
    return golden == NULL;
}

static int free_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

/* Parses and renders. What fails leaves its status, and text is NULL. */
static enum ct_status render(const char *source, size_t n_source, const struct ct_message *messages,
                             size_t n_messages, bool has_prompt, char **text, size_t *n_bytes,
                             struct ct_error *err)
{
    struct ct_template *tmpl = NULL;
    *text = NULL;
    enum ct_status status = ct_template_parse(source, n_source, &tmpl, err);
    if (status == CT_OK)
        status = ct_template_render(tmpl, messages, n_messages, has_prompt, "<s>", "</s>", text,
                                    n_bytes, err);
    ct_template_free(tmpl);
    return status;
}

static void test_chats_render_as_the_reference(void **state)
{
    (void)state;
    size_t i;
    json_t *chat;
    json_array_foreach(json_object_get(golden, "chats"), i, chat)
    {
        const char *name = json_string_value(json_object_get(chat, "name"));
        const json_t *list = json_object_get(chat, "messages");
        const json_t *source = json_object_get(json_object_get(golden, "templates"), name);
        const json_t *output = json_object_get(chat, "output");
        struct ct_message messages[MAX_MESSAGES];
        struct ct_error err = {0};
        char *text;
        size_t n_bytes;
        assert_true(json_array_size(list) <= MAX_MESSAGES);
        for (size_t m = 0; m < json_array_size(list); m++) {
            const json_t *message = json_array_get(list, m);
            const json_t *content = json_object_get(message, "content");
            messages[m].role = json_string_value(json_object_get(message, "role"));
            messages[m].content = json_string_value(content);
            messages[m].n_bytes = json_string_length(content);
        }
        enum ct_status status = render(
            json_string_value(source), json_string_length(source), messages, json_array_size(list),
            json_is_true(json_object_get(chat, "prompt")), &text, &n_bytes, &err);
        if (output == NULL) {
            if (status != CT_INVALID)
                fail_msg("%s, chat %zu: %s where the reference fails", name, i,
                         ct_status_name(status));
            continue;
        }
        if (status != CT_OK)
            fail_msg("%s, chat %zu: %s", name, i, err.message);
        if (n_bytes != json_string_length(output) ||
            memcmp(text, json_string_value(output), n_bytes) != 0)
            fail_msg("%s, chat %zu:\n%s\nthe reference:\n%s", name, i, text,
                     json_string_value(output));
        free(text);
    }
    assert_true(i >= 100);
}

static void test_snippets_render_as_the_reference(void **state)
{
    (void)state;
    static const struct ct_message messages[] = {{"user", "Hi \xC3\xA9\xF0\x9F\x98\x80", 9},
                                                 {"assistant", "ok", 2}};
    size_t i;
    int n_wrong = 0;
    json_t *snippet;
    json_array_foreach(json_object_get(golden, "snippets"), i, snippet)
    {
        const json_t *source = json_array_get(snippet, 0), *output = json_array_get(snippet, 1);
        struct ct_error err = {0};
        char *text;
        size_t n_bytes = 0;
        enum ct_status status = render(json_string_value(source), json_string_length(source),
                                       messages, 2, true, &text, &n_bytes, &err);
        bool is_right = json_is_null(output)
                            ? status == CT_INVALID || status == CT_FORMAT
                            : status == CT_OK && n_bytes == json_string_length(output) &&
                                  memcmp(text, json_string_value(output), n_bytes) == 0;
        if (!is_right) {
            n_wrong++;
            print_message("%s\n  got  %s (%s)\n  want %s\n", json_string_value(source),
                          text != NULL ? text : err.message, ct_status_name(status),
                          json_is_null(output) ? "an error" : json_string_value(output));
        }
        free(text);
    }
    assert_int_equal(n_wrong, 0);
    assert_true(i >= 150);
}

static void check_status(const char *source, enum ct_status want, const char *message)
{
    struct ct_error err = {0};
    static const struct ct_message messages[] = {{"user", "hello", 5}};
    char *text;
    size_t n_bytes;
    enum ct_status status =
        render(source, strlen(source), messages, 1, false, &text, &n_bytes, &err);
    if (status != want || strstr(err.message, message) == NULL)
        fail_msg("%s: %s, \"%s\"", source, ct_status_name(status), err.message);
    free(text);
}

static void test_what_is_unknown_is_refused_with_line_and_column(void **state)
{
    (void)state;
    check_status("a\n {% macro f() %}{% endmacro %}", CT_UNSUPPORTED,
                 "line 2, column 5: statement \"macro\"");
    check_status("{{ x|dictsort }}", CT_UNSUPPORTED, "line 1, column 6: filter \"dictsort\"");
    check_status("{{ x is sameas y }}", CT_UNSUPPORTED, "test \"sameas\"");
    check_status("{{ 'a'.isdigit() }}", CT_UNSUPPORTED, "method \"isdigit\"");
    check_status("{{ f(1) }}", CT_UNSUPPORTED, "function \"f\"");
    check_status("{% for x in y recursive %}{% endfor %}", CT_UNSUPPORTED, "recursive");
    check_status("{{ 2 ** 3 }}", CT_UNSUPPORTED, "**");
    check_status("{% include 'x' %}", CT_UNSUPPORTED, "include");
    check_status("{% raw %}{% endraw %}", CT_UNSUPPORTED, "raw");
    check_status("{{ range(*[1]) }}", CT_UNSUPPORTED, "arguments");
    check_status("{{ 'a'|upper()() }}", CT_UNSUPPORTED, "a call of a value");
    check_status("{{ 'a'.__class__ }}{{ 1 }}", CT_OK, "");
}

static void test_what_is_malformed_is_refused_with_line_and_column(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "{{",
        "{{ 1",
        "{%",
        "{% if",
        "{# a",
        "{% if 1 %}",
        "{{ }}",
        "{{ 1 2 }}",
        "{{ (1 }}",
        "{{ 1) }}",
        "{{ [1 }}",
        "{% endif %}",
        "{{ 'a }}",
        "{% for in %}",
        "{% for x %}",
        "{{ a. }}",
        "{{ a[] }}",
        "{% else %}",
        "{{ 1 + }}",
        "{% set %}",
        "{% set x = %}",
        "{{ a| }}",
        "{{ x is }}",
        "{% break %}",
        "{{ ! }}",
        "{% %}",
        "{{ 'a'.upper( }}",
        "{{ {1} }}",
        "{{ {1:} }}",
        "{{ '\\N{x}' }}",
        "{{ '\\ud800' }}",
        "{{ 012 }}",
        "{% if 1 %}{% else %}{% else %}{% endif %}",
        "{% if 1 %}{% endfor %}",
        "{% for x in [1] %}{% endif %}",
        "{{ f(a=1, 2) }}",
        "{{ [1::2:3:] }}",
    };
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct ct_template *tmpl = NULL;
        struct ct_error err = {0};
        enum ct_status status = ct_template_parse(sources[i], strlen(sources[i]), &tmpl, &err);
        if ((status != CT_FORMAT && status != CT_UNSUPPORTED) ||
            strstr(err.message, "line 1, col") == NULL)
            fail_msg("%s: %s, \"%s\"", sources[i], ct_status_name(status), err.message);
    }
}

static void test_an_exception_of_the_template_is_the_message(void **state)
{
    (void)state;
    struct ct_error err = {0};
    char *text;
    size_t n_bytes;
    const char *source = "{{ raise_exception('roles must ' ~ 'alternate') }}";
    assert_int_equal(render(source, strlen(source), NULL, 0, false, &text, &n_bytes, &err),
                     CT_INVALID);
    assert_string_equal(err.message, "roles must alternate");
}

static void test_limits_hold(void **state)
{
    (void)state;
    check_status("{% for a in range(2000) %}{% for b in range(2000) %}{% endfor %}{% endfor %}",
                 CT_TOO_LARGE, "steps");
    check_status("{{ range(1000000000) }}", CT_TOO_LARGE, "memory");
    check_status("{{ 'a' * 4000000000 }}", CT_TOO_LARGE, "memory");
    check_status("{{ [[]] * 9000000000000000000 }}", CT_TOO_LARGE, "memory");
    check_status("{{ 'ab' * 9223372036854775807 }}", CT_TOO_LARGE, "memory");
    check_status("{{ 'a' * 2000000 }}", CT_TOO_LARGE, "output");
    check_status("{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x "
                 "%}{% endfor %}",
                 CT_TOO_LARGE, "");
    check_status("{% set n = namespace(x='ab') %}{% for i in range(99) %}"
                 "{% set n.x = n.x|replace('a', n.x) %}{% endfor %}",
                 CT_TOO_LARGE, "");
    check_status(
        "{% set n = namespace(x=[]) %}{% for i in range(500) %}{% set n.x = [n.x] %}{% endfor %}"
        "{{ n.x }}",
        CT_TOO_LARGE, "nested");
    check_status(
        "{% set n = namespace(x=[]) %}{% for i in range(500) %}{% set n.x = [n.x] %}{% endfor %}"
        "{{ n.x == [n.x[0]] }}",
        CT_TOO_LARGE, "nested");
    check_status("{{ 9223372036854775808 }}", CT_UNSUPPORTED, "64 bits");
    check_status("{{ 999999999999999999 * 999 }}", CT_INVALID, "64 bits");
    check_status("{{ '\xC3\xA9'|upper }}", CT_INVALID, "ASCII");
}

static void test_nesting_is_limited(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"(", ")"},   {"[", "]"},           {"{1:", "}"}, {"-", ""},
        {"not ", ""}, {"1 if 1 else ", ""}, {"a[", "]"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        for (int n = 10; n <= 10000; n *= 10) {
            size_t capacity = (size_t)n * 16 + 64, n_text = 0;
            char *source = malloc(capacity);
            struct ct_template *tmpl = NULL;
            struct ct_error err = {0};
            assert_non_null(source);
            n_text += (size_t)sprintf(source, "{{ ");
            for (int k = 0; k < n; k++)
                n_text += (size_t)sprintf(source + n_text, "%s", pairs[i][0]);
            n_text += (size_t)sprintf(source + n_text, "1");
            for (int k = 0; k < n; k++)
                n_text += (size_t)sprintf(source + n_text, "%s", pairs[i][1]);
            n_text += (size_t)sprintf(source + n_text, " }}");
            enum ct_status status = ct_template_parse(source, n_text, &tmpl, &err);
            assert_int_equal(status, n == 10 ? CT_OK : CT_UNSUPPORTED);
            ct_template_free(tmpl);
            free(source);
        }
}

/* Long chains are lists: no depth. */
static void test_long_chains_are_not_nested(void **state)
{
    (void)state;
    enum { N = 5000 };
    char *source = malloc(N * 16);
    struct ct_error err = {0};
    char *text;
    size_t n_bytes, n = (size_t)sprintf(source, "{{ 0");
    for (int i = 0; i < N; i++)
        n += (size_t)sprintf(source + n, " + 1");
    n += (size_t)sprintf(source + n, " }}");
    assert_int_equal(render(source, n, NULL, 0, false, &text, &n_bytes, &err), CT_OK);
    assert_string_equal(text, "5000");
    free(text);
    free(source);
}

static void test_text_that_is_not_utf8_is_repaired(void **state)
{
    (void)state;
    static const struct ct_message messages[] = {{"us\xFF", "a\xE2\x82\0b", 5}};
    const char *source = "{{ messages[0].role ~ messages[0].content }}";
    struct ct_error err = {0};
    char *text;
    size_t n_bytes;
    assert_int_equal(render(source, strlen(source), messages, 1, false, &text, &n_bytes, &err),
                     CT_OK);
    assert_int_equal(n_bytes, 11);
    assert_memory_equal(text,
                        "us\xEF\xBF\xBD"
                        "a\xEF\xBF\xBD\0b",
                        12);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chats_render_as_the_reference),
        cmocka_unit_test(test_snippets_render_as_the_reference),
        cmocka_unit_test(test_what_is_unknown_is_refused_with_line_and_column),
        cmocka_unit_test(test_what_is_malformed_is_refused_with_line_and_column),
        cmocka_unit_test(test_an_exception_of_the_template_is_the_message),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_nesting_is_limited),
        cmocka_unit_test(test_long_chains_are_not_nested),
        cmocka_unit_test(test_text_that_is_not_utf8_is_repaired),
    };
    return cmocka_run_group_tests(tests, load_golden, free_golden);
}
