/* Raw request heads, mangled as libmicrohttpd mangles them, and what the guard says. */
#include "tests/support/unit.h"

#include "server/http_guard.h"

#include <stdio.h>
#include <string.h>

/* Builds the buffer that the daemon would hand over for a head with CRLF line ends. */
static int check(const char *target, const char *version, const char *headers, size_t n_headers,
                 const char *local_name, struct ct_head_facts *facts)
{
    static char raw[65536];
    char *p = raw;
    memcpy(p, "POST", 5);
    p += 5;
    const char *raw_target = p;
    p += sprintf(p, "%s", target) + 1;
    const char *raw_version = p;
    p += sprintf(p, "%s", version);
    memcpy(p, "\0", 2);
    p += 2;
    const char *line = p;
    bool has_colon = false;
    for (size_t i = 0; i < n_headers; i++, p++) {
        *p = headers[i];
        if (headers[i] == ':' && !has_colon) {
            *p = '\0';
            has_colon = true;
        } else if (headers[i] == '\n' || (headers[i] == '\r' && headers[i + 1] == '\n')) {
            *p = '\0';
            has_colon = headers[i] == '\r' ? has_colon : false;
        }
    }
    (void)line;
    *p++ = '\0';
    *p++ = '\0';
    struct ct_head head = {.method = raw,
                           .version = raw_version,
                           .end = p,
                           .target = raw_target,
                           .n_target = strlen(target),
                           .target_end = raw_target + strlen(target),
                           .local_name = local_name};
    struct ct_refusal refusal = {0};
    return ct_head_check(&head, facts, &refusal) == CT_OK ? 0 : refusal.http;
}

static int check_headers(const char *headers)
{
    struct ct_head_facts facts;
    return check("/v1/completions", "HTTP/1.1", headers, strlen(headers), "127.0.0.1", &facts);
}

static void test_sound_heads(void **state)
{
    (void)state;
    assert_int_equal(check_headers("Host: localhost:8080\r\n"), 0);
    assert_int_equal(check_headers("host:127.0.0.1\r\nContent-Length: 5\r\nX-A:\r\nX-B: \r\n"), 0);
    assert_int_equal(check_headers("Host: [::1]:1\r\nTransfer-Encoding: Chunked \r\n"), 0);
    assert_int_equal(check_headers("X: a:b\tc d\xc3\xa9\r\nHOST: LOCALHOST\r\n"), 0);
    struct ct_head_facts facts;
    static const char headers[] =
        "Host: localhost\r\nContent-Length: 77\r\nx-request-id: abc-1.2_3\r\n"
        "Content-Type: application/json; charset=utf-8\r\n";
    assert_int_equal(check("/", "HTTP/1.1", headers, strlen(headers), NULL, &facts), 0);
    assert_int_equal(facts.n_body_bytes, 77);
    assert_true(facts.has_length && !facts.is_chunked && facts.media == CT_MEDIA_JSON);
    assert_string_equal(facts.id, "abc-1.2_3");
    assert_int_equal(check("/", "HTTP/1.0", "", 0, "localhost", &facts), 0);
}

/* Each of these lets a proxy and a lenient server see different requests. */
static void test_smuggling(void **state)
{
    (void)state;
#define HOST "Host: localhost\r\n"
    assert_int_equal(check_headers(HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
                     400);
    assert_int_equal(check_headers(HOST "Content-Length: 3\r\nContent-Length: 3\r\n"), 400);
    assert_int_equal(check_headers(HOST "Content-Length : 3\r\n"), 400);
    assert_int_equal(check_headers(HOST "Content-Length\t: 3\r\n"), 400);
    assert_int_equal(check_headers(HOST "Transfer-Encoding:\r\n chunked\r\n"), 400);
    assert_int_equal(check_headers(HOST "X-A: b\r\n\tc\r\n"), 400);
    assert_int_equal(check_headers(HOST "X-A: b\nX-B: c\r\n"), 400); /* bare LF */
    assert_int_equal(check_headers(HOST "X-A: b\rc\r\n"), 400);      /* bare CR */
    assert_int_equal(check_headers(HOST "Transfer-Encoding: gzip, chunked\r\n"), 400);
    assert_int_equal(check_headers(HOST "Transfer-Encoding: chunked, chunked\r\n"), 400);
    assert_int_equal(check_headers(HOST "Transfer-Encoding: xchunked\r\n"), 400);
    assert_int_equal(
        check_headers(HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400);
    assert_int_equal(check_headers(HOST HOST), 400);
    assert_int_equal(check_headers("X-A: b\r\n"), 400); /* no Host */
    assert_int_equal(check_headers(HOST "no colon\r\n"), 400);
    assert_int_equal(check_headers(HOST ": no name\r\n"), 400);
    assert_int_equal(check_headers(HOST "X(A): b\r\n"), 400);
    assert_int_equal(check_headers(HOST "X-A: b\x1b\r\n"), 400);
    static const char with_nul[] = HOST "X-A: b\0c\r\n";
    struct ct_head_facts facts;
    assert_int_equal(check("/", "HTTP/1.1", with_nul, sizeof with_nul - 1, NULL, &facts), 400);
    static const char smuggled[] = HOST "X-A: b\0\0Transfer-Encoding: chunked\r\n";
    assert_int_equal(check("/", "HTTP/1.1", smuggled, sizeof smuggled - 1, NULL, &facts), 400);
    assert_int_equal(check("/", "HTTP/1.0", HOST "Transfer-Encoding: chunked\r\n",
                           strlen(HOST "Transfer-Encoding: chunked\r\n"), NULL, &facts),
                     400);
#undef HOST
}

static void test_targets(void **state)
{
    (void)state;
    struct ct_head_facts facts;
    static const char host[] = "Host: localhost\r\n";
    static const struct {
        const char *target;
        int http;
    } cases[] = {{"/", 0},        {"/v1/models?x=%20", 0}, {"*", 0},
                 {"/a%00b", 400}, {"http://evil/", 400},   {"v1/models", 400},
                 {"/a b", 400},   {"/\xc3\xa9", 400},      {"/a\x7f", 400},
                 {"", 400}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(check(cases[i].target, "HTTP/1.1", host, strlen(host), NULL, &facts),
                         cases[i].http);
    static char target[5001];
    memset(target, 'a', 5000);
    target[0] = '/';
    assert_int_equal(check(target, "HTTP/1.1", host, strlen(host), NULL, &facts), 414);
}

static void test_strangers(void **state)
{
    (void)state;
    assert_int_equal(check_headers("Host: evil.example\r\n"), 403);
    assert_int_equal(check_headers("Host: localhost.evil.example\r\n"), 403);
    assert_int_equal(check_headers("Host: localhost:80x\r\n"), 403);
    assert_int_equal(check_headers("Host: \r\n"), 403);
    assert_int_equal(check_headers("Host: [::2]\r\n"), 403);
    assert_int_equal(check_headers("Host: [::1]evil\r\n"), 403);
    assert_int_equal(check_headers("Host: localhost\r\nOrigin: http://localhost:3000\r\n"), 0);
    assert_int_equal(check_headers("Host: localhost\r\nOrigin: https://evil.example\r\n"), 403);
    assert_int_equal(check_headers("Host: localhost\r\nOrigin: null\r\n"), 403);
    struct ct_head_facts facts;
    static const char foreign[] = "Host: my.server\r\nOrigin: https://my.page\r\n";
    assert_int_equal(check("/", "HTTP/1.1", foreign, strlen(foreign), NULL, &facts), 0);
}

static void test_limits(void **state)
{
    (void)state;
    static char headers[40000];
    char *p = headers + sprintf(headers, "Host: localhost\r\n");
    for (int i = 0; i < 99; i++)
        p += sprintf(p, "X-%d: y\r\n", i);
    assert_int_equal(check_headers(headers), 0);
    sprintf(p, "X-99: y\r\n");
    assert_int_equal(check_headers(headers), 431);
    p = headers + sprintf(headers, "Host: localhost\r\nX: ");
    memset(p, 'y', 20000);
    strcpy(p + 20000, "\r\n");
    assert_int_equal(check_headers(headers), 431);
}

static void test_facts(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum ct_media media;
        const char *boundary;
    } types[] = {{"application/json", CT_MEDIA_JSON, ""},
                 {"Application/JSON ; charset=utf-8", CT_MEDIA_JSON, ""},
                 {"text/json", CT_MEDIA_JSON, ""},
                 {"application/problem+json", CT_MEDIA_JSON, ""},
                 {"multipart/form-data; a=b", CT_MEDIA_FORM, ""},
                 {"multipart/form-data; boundary=", CT_MEDIA_FORM, ""},
                 {"multipart/form-data; boundary=--x'7", CT_MEDIA_FORM, "--x'7"},
                 {"Multipart/Form-Data;Boundary=\"a b\"", CT_MEDIA_FORM, "a b"},
                 {"multipart/form-data; boundary=a\"b", CT_MEDIA_FORM, ""},
                 {"multipart/mixed; boundary=a", CT_MEDIA_OTHER, ""},
                 {"image/png", CT_MEDIA_FILE, ""},
                 {"application/octet-stream", CT_MEDIA_FILE, ""},
                 {"application/x-www-form-urlencoded", CT_MEDIA_OTHER, ""},
                 {"text/plain", CT_MEDIA_OTHER, ""},
                 {"application/jsonx", CT_MEDIA_OTHER, ""}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char headers[128];
        struct ct_head_facts facts;
        snprintf(headers, sizeof headers, "Host: a\r\nContent-Type: %s\r\n", types[i].type);
        assert_int_equal(check("/", "HTTP/1.1", headers, strlen(headers), NULL, &facts), 0);
        assert_int_equal(facts.media, types[i].media);
        assert_string_equal(facts.boundary, types[i].boundary);
    }
    struct ct_head_facts facts;
    static const char odd_id[] = "Host: a\r\nX-Request-Id: a b\"<\r\n";
    assert_int_equal(check("/", "HTTP/1.1", odd_id, strlen(odd_id), NULL, &facts), 0);
    assert_string_equal(facts.id, ""); /* not echoed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_heads), cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_targets),     cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
