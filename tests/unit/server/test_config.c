/* The command line of `centroid serve`, and the routes. */
#include "tests/support/unit.h"

#include "server/config.h"
#include "server/router.h"
#include "tests/support/temp_dir.h"

#include <string.h>
#include <sys/stat.h>

static enum ct_status parse(struct ct_config *config, struct ct_error *err, const char *const *argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    return ct_config_parse(config, argc, (char **)argv, err);
}
#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void test_defaults(void **state)
{
    (void)state;
    struct ct_config config;
    struct ct_error err;
    assert_int_equal(parse(&config, &err, ARGS("--model", "dir")), CT_OK);
    assert_string_equal(config.host, "127.0.0.1");
    assert_int_equal(config.port, 8080);
    assert_int_equal(config.n_sessions, 64);
    assert_int_equal(config.n_queue, 256);
    assert_int_equal(config.activations, 0);
    assert_int_equal(config.kv, 0);
    assert_true(config.is_loopback);
    assert_int_equal(config.list.n, 1);
    assert_string_equal(config.list.places[0].path, "dir");
    assert_string_equal(config.list.places[0].name, "dir");
}

static void assert_place(const struct ct_config *config, int i, const char *name, const char *path)
{
    assert_in_range(i, 0, config->list.n - 1);
    assert_string_equal(config->list.places[i].name, name);
    assert_string_equal(config->list.places[i].path, path);
}

static void refuse(const char *const *argv, const char *first, const char *second)
{
    struct ct_config config;
    struct ct_error err = {0};
    assert_int_not_equal(parse(&config, &err, argv), CT_OK);
    if (strstr(err.message, first) == NULL || strstr(err.message, second) == NULL)
        fail_msg("%s and %s are not named: %s", first, second, err.message);
}

static void test_model_names(void **state)
{
    (void)state;
    struct ct_config config;
    struct ct_error err;
    assert_int_equal(parse(&config, &err, ARGS("--model=tiny=/a/b=c", "--model", "/a/b=c")), CT_OK);
    assert_int_equal(config.list.n, 2);
    assert_place(&config, 0, "tiny", "/a/b=c");
    assert_place(&config, 1, "b=c", "/a/b=c");
    assert_int_equal(parse(&config, &err, ARGS("--model", "/a/b.gguf", "--model", "d/")), CT_OK);
    assert_place(&config, 0, "b", "/a/b.gguf");
    assert_place(&config, 1, "d", "d/");
    refuse(ARGS("--model", "=x"), "--model =x", "0 bytes");
    refuse(ARGS("--port", "1"), "--model", "--models");
    refuse(ARGS("--model", "a", "--model", "b", "--model", "a=c"), "--model a=c", "name of a");
}

static void test_folders_of_models(void **state)
{
    static const char *const folders[] = {"vit", "empty", ".hidden", "ab"};
    static const char *const files[] = {"vit/config.json",     "ab/config.json", "readme.txt",
                                        ".hidden/config.json", "bert.gguf",      ".gguf"};
    const struct temp_dir *dir = *state;
    struct ct_config config;
    struct ct_error err;
    char path[TEMP_PATH], same[TEMP_PATH + 8];
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        assert_int_equal(mkdir(temp_path(dir, folders[i], path), 0700), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        assert_int_equal(temp_write_text(dir, files[i], "{}"), 0);
    assert_int_equal(parse(&config, &err, ARGS("--models", dir->path, "--model", "x=y")), CT_OK);
    assert_int_equal(config.list.n, 4);
    assert_place(&config, 0, "x", "y");
    assert_place(&config, 1, "ab", temp_path(dir, "ab", path));
    assert_place(&config, 2, "bert", temp_path(dir, "bert.gguf", path));
    assert_place(&config, 3, "vit", temp_path(dir, "vit", path));
    ct_config_deinit(&config);

    snprintf(same, sizeof same, "vit=%s", path);
    refuse(ARGS("--models", dir->path, "--model", same), dir->path, "vit is also the name");
    refuse(ARGS("--models", path), path, "a model itself");
    refuse(ARGS("--models", temp_path(dir, "empty", path)), path, "neither");
    refuse(ARGS("--models", temp_path(dir, "missing", path)), path, "No such file");
}

static void test_public_addresses(void **state)
{
    (void)state;
    struct ct_config config;
    struct ct_error err;
    static const char *const local[] = {"127.0.0.1", "127.0.0.9", "localhost", "::1"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(parse(&config, &err, ARGS("--model", "a", "--host", local[i])), CT_OK);
    static const char *const reachable[] = {"0.0.0.0", "::", "192.168.1.5", "example.org"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(parse(&config, &err, ARGS("--model", "a", "--host", reachable[i])),
                         CT_INVALID);
        assert_non_null(strstr(err.message, "--allow-public"));
        assert_int_equal(
            parse(&config, &err, ARGS("--model", "a", "--host", reachable[i], "--allow-public")),
            CT_OK);
        assert_false(config.is_loopback);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct ct_config config;
    struct ct_error err;
    assert_int_equal(parse(&config, &err, ARGS("--model", "a", "--port", "65536")), CT_INVALID);
    assert_non_null(strstr(err.message, "65535"));
    assert_int_equal(parse(&config, &err, ARGS("--model", "a", "--sessions", "0")), CT_INVALID);
    assert_int_equal(parse(&config, &err, ARGS("--model", "a", "--activations", "int4")),
                     CT_INVALID);
    assert_int_equal(parse(&config, &err, ARGS("--model", "a", "--memory", "2G")), CT_OK);
    assert_true(config.memory_bytes == (int64_t)2 << 30);
    assert_int_equal(parse(&config, &err, ARGS("--help")), CT_OK);
    assert_true(config.is_help);
}

static int find(const char *method, const char *path, const char **allow)
{
    const char *tail;
    return ct_route_find(ct_method_parse(method), path, strlen(path), allow, &tail);
}

static void test_routes(void **state)
{
    (void)state;
    const char *allow, *tail;
    assert_int_equal(find("GET", "/health", &allow), CT_ROUTE_health);
    assert_int_equal(find("HEAD", "/health", &allow), CT_ROUTE_health);
    assert_int_equal(find("POST", "/v1/completions", &allow), CT_ROUTE_completions);
    assert_int_equal(find("GET", "/v1/completions", &allow), -1);
    assert_string_equal(allow, "POST, OPTIONS");
    assert_int_equal(find("PUT", "/health", &allow), -1);
    assert_string_equal(allow, "GET, HEAD, OPTIONS");
    static const char *const unknown[] = {"/",         "",          "/healthx",    "/health/",
                                          "//health",  "/./health", "/v1/models/", "/v1/modelsx",
                                          "/%68ealth", "/v1",       "/HEALTH",     "health"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_int_equal(find("GET", unknown[i], &allow), -1);
        assert_null(allow);
    }
    assert_int_equal(ct_route_find(CT_METHOD_GET, "/v1/models/a/b", 14, &allow, &tail),
                     CT_ROUTE_model);
    assert_string_equal(tail, "a/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_model_names),
        cmocka_unit_test_setup_teardown(test_folders_of_models, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test(test_public_addresses),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
