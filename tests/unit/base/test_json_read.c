/* JSON from files: limits hold before anything is built, and what JSON leaves open is refused. */
#include "engine/base/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *text, size_t n, enum ct_status status, const char *part)
{
    json_t *root = NULL;
    struct ct_error err = {0};
    assert_int_equal(ct_json_read(text, n, &root, &err), status);
    assert_true((root != NULL) == (status == CT_OK));
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    json_decref(root);
}

static void expect_text(const char *text, enum ct_status status, const char *part)
{
    expect(text, strlen(text), status, part);
}

/* {"a":[[[...]]]} of this depth in all. */
static void expect_depth(size_t depth, enum ct_status status)
{
    size_t n = 5 + 2 * (depth - 1) + 1;
    char *text = malloc(n);
    assert_non_null(text);
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', depth - 1);
    memset(text + 5 + depth - 1, ']', depth - 1);
    text[n - 1] = '}';
    expect(text, n, status, status == CT_OK ? "" : "deeper than 64");
    free(text);
}

static void test_depth(void **state)
{
    (void)state;
    expect_depth(2, CT_OK);
    expect_depth(CT_JSON_DEPTH, CT_OK);
    expect_depth(CT_JSON_DEPTH + 1, CT_TOO_LARGE);
    expect_depth(1000, CT_TOO_LARGE);
    expect_depth(100000, CT_TOO_LARGE);
    expect_text(
        "{\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\":0}", CT_OK,
        "");
}

static void test_number_of_values(void **state)
{
    (void)state;
    size_t n = 7 + 2 * (size_t)CT_JSON_VALUES;
    char *text = malloc(n);
    assert_non_null(text);
    memcpy(text, "{\"a\":[0", 7);
    for (size_t i = 0; i < (size_t)CT_JSON_VALUES; i++)
        memcpy(text + 7 + 2 * i, ",0", 2);
    expect(text, n, CT_TOO_LARGE, "more than 2097152 values");
    free(text);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    expect_text("{\"a\":1}", CT_OK, "");
    expect_text("", CT_FORMAT, "line 1");
    expect_text("[]", CT_FORMAT, "not an object");
    expect_text("{\"a\":1,\"a\":2}", CT_FORMAT, "duplicate");
    expect_text("{\"a\":1} x", CT_FORMAT, "end of file");
    expect_text("{\"a\":1e400}", CT_FORMAT, "real number overflow");
    expect_text("{\"a\":NaN}", CT_FORMAT, "line 1");
    expect_text("{\"a\":9223372036854775808}", CT_FORMAT, "too big integer");
    expect_text("{\"a\":\"\\ud800\"}", CT_FORMAT, "line 1");
    expect_text("{\"a\":\"\\u0000\"}", CT_FORMAT, "line 1");
    expect_text("{\"\xff\":1}", CT_FORMAT, "line 1");
    expect("{\"a\":\"\0\"}", 9, CT_FORMAT, "line 1");
    expect_text("{\"a\":\"\\", CT_FORMAT, "line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_number_of_values),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
