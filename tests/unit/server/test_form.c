/* Queries and multipart bodies: what they hold, and what is refused. */
#include "tests/support/unit.h"

#include "server/form.h"

#include <string.h>

static void assert_field(const struct ct_form *form, const char *key, const char *value)
{
    const char *found = json_string_value(json_object_get(form->fields, key));
    if (found == NULL || strcmp(found, value) != 0)
        fail_msg("%s is %s, not %s", key, found ? found : "missing", value);
}

static void queries(void **state)
{
    (void)state;
    struct ct_refusal refusal = {0};
    struct ct_form form = {0};
    assert_int_equal(
        ct_form_read_query(&form, "model=v%69t&top_k=3&&a+b=c+%2B%C3%A9&flag&x=", &refusal), CT_OK);
    assert_field(&form, "model", "vit");
    assert_field(&form, "top_k", "3");
    assert_field(&form, "a b", "c +\xc3\xa9");
    assert_field(&form, "flag", "");
    assert_field(&form, "x", "");
    assert_int_equal(json_object_size(form.fields), 5);
    json_decref(form.fields);

    static const char *const broken[] = {"a=%4", "a=%zz", "a=%", "=b", "a=1&a=2", "a=%00", "a=%ff"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        form = (struct ct_form){0};
        assert_int_equal(ct_form_read_query(&form, broken[i], &refusal), CT_INVALID);
        assert_int_equal(refusal.http, 400);
        json_decref(form.fields);
    }
}

static enum ct_status read_parts(struct ct_form *form, const char *body, struct ct_refusal *refusal)
{
    *form = (struct ct_form){0};
    return ct_form_read_parts(form, body, strlen(body), "XX", refusal);
}

#define DISPOSITION "Content-Disposition: form-data; "

static void parts(void **state)
{
    (void)state;
    struct ct_refusal refusal = {0};
    struct ct_form form;
    static const char body[] = "--XX\r\n" DISPOSITION "name=\"model\"\r\n\r\nvit\r\n"
                               "--XX\r\nContent-Type: image/png\r\ncontent-disposition: form-data; "
                               "filename=\"na;me=\\\"a.png\"; "
                               "name=\"image\"\r\n\r\n\r\n--XY\r\n--\r\n"
                               "--XX\r\n" DISPOSITION "name=top_k\r\n\r\n\r\n"
                               "--XX\r\n" DISPOSITION "name=file\r\n\r\nsecond\r\n"
                               "--XX--\r\nafterwards";
    assert_int_equal(read_parts(&form, body, &refusal), CT_OK);
    assert_int_equal(json_object_size(form.fields), 2);
    assert_field(&form, "model", "vit");
    assert_field(&form, "top_k", "");
    assert_int_equal(form.n_files, 2);
    assert_int_equal(form.files[0].n_bytes, 10);
    assert_memory_equal(form.files[0].data, "\r\n--XY\r\n--", 10);
    assert_int_equal(form.files[1].n_bytes, 6);
    json_decref(form.fields);
}

static void broken_parts(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "--X",
        "--XX",
        "--XXX\r\n",
        "preamble\r\n--XX--",
        "--XX\r\n" DISPOSITION "name=\"a\"\r\n\r\nb",
        "--XX\r\n" DISPOSITION "name=\"a\"\r\n\r\nb\r\n--XX",
        "--XX\r\n" DISPOSITION "name=\"a\"\r\n\r\nb\r\n--XX-",
        "--XX\r\n" DISPOSITION "name=\"a\"\r\n\r\nb\r\n--XXx",
        "--XX\r\n" DISPOSITION "name=\"a\r\n\r\nb\r\n--XX--",
        "--XX\r\n" DISPOSITION "\r\n\r\nb\r\n--XX--",
        "--XX\r\n" DISPOSITION "name=\"\"\r\n\r\nb\r\n--XX--",
        "--XX\r\n\r\nb\r\n--XX--",
        "--XX\r\n\r\n--XX--",
        "--XX\r\n" DISPOSITION "name=a\r\n\r\n\xff\r\n--XX--",
        "--XX\r\n" DISPOSITION "name=a\r\n\r\nb\r\n--XX\r\n" DISPOSITION
        "name=a\r\n\r\nb\r\n--XX--",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct ct_refusal refusal = {0};
        struct ct_form form;
        if (read_parts(&form, broken[i], &refusal) != CT_INVALID)
            fail_msg("accepted: %s", broken[i]);
        assert_int_equal(refusal.http, 400);
        assert_string_equal(refusal.code, "invalid_form");
        json_decref(form.fields);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries),
        cmocka_unit_test(parts),
        cmocka_unit_test(broken_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
