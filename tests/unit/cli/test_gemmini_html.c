/* The page of what no command shows yet: several steps, nothing that is counted, an operator without a row,
 * no operators at all. */
#include "tests/support/temp_dir.h"
#include "tests/support/unit.h"

#include "cli/cli.h"
#include "cli/gemmini_html.h"
#include "engine/base/file.h"

enum { N_LAYERS = 4, N_OPS = 3 * N_LAYERS + 1, N_ROWS = 4 };

/* Layers of a host operator and two products, and a product of its own at the end. */
struct step {
    struct ct_gem_config config;
    struct ct_gem_op ops[N_OPS];
    struct ct_gemmini_row rows[N_ROWS];
    struct ct_gemmini_report report;
};

static void make_step(struct step *s)
{
    const struct ct_gem_op norm = {
        .kind = CT_GEM_OP_RMSNORM, .is_on_host = true, .count = 1, .m = 1, .n = 64};
    const struct ct_gem_op up = {.count = 1, .m = 1, .n = 256, .k = 64};
    const struct ct_gem_op down = {.count = 2, .m = 1, .n = 64, .k = 256};
    const struct ct_gem_op last = {.count = 1, .m = 1, .n = 512, .k = 64};
    const struct ct_gem_op merged[N_ROWS] = {norm, up, down, last};
    static const char *const names[N_ROWS] = {"norm", "up", "down", "logits"};
    struct ct_error err;
    *s = (struct step){.report = {.rows = s->rows, .n = N_ROWS}};
    assert_int_equal(ct_gem_config_preset("default", &s->config, &err), CT_OK);
    for (int i = 0; i < N_OPS - 1; i++)
        s->ops[i] = merged[i % 3];
    s->ops[N_OPS - 1] = last;
    for (int i = 0; i < N_ROWS; i++) {
        s->rows[i].op = merged[i];
        s->rows[i].op.count *= i < 3 ? N_LAYERS : 1;
        snprintf(s->rows[i].name, sizeof s->rows[i].name, "%s", names[i]);
    }
    assert_int_equal(ct_gemmini_report_cost(&s->config, &s->report, &err), CT_OK);
}

/* The page of phases, to be freed. */
static char *write_page(const struct temp_dir *dir, const struct ct_gem_config *config,
                        const struct ct_gemmini_phase *phases, size_t n)
{
    const struct ct_gemmini_page page = {"a run", config, phases, n};
    char path[TEMP_PATH], *text;
    size_t n_bytes;
    struct ct_error err;
    if (ct_gemmini_html_write(&page, temp_path(dir, "out.html", path), &err) != CT_OK ||
        ct_file_read(path, &text, &n_bytes, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_int_equal(strlen(text), n_bytes);
    return text;
}

static void several_steps_are_summed_and_the_last_is_shown(void **state)
{
    struct step s;
    make_step(&s);
    struct ct_gemmini_phase phases[] = {
        {.name = "prefill",
         .unit = "token",
         .n_units = 1,
         .n_steps = 1,
         .sum = s.report.sum,
         .shown = &s.report,
         .ops = s.ops,
         .n_ops = N_OPS},
        {.name = "decode of 32 tokens",
         .unit = "token",
         .n_units = 32,
         .n_steps = 32,
         .shown = &s.report,
         .ops = s.ops,
         .n_ops = N_OPS},
    };
    char wanted[128];
    ct_gem_cost_add(&phases[1].sum, &s.report.sum, 32);
    char *text = write_page(*state, &s.config, phases, 2);
    for (int i = 0; i < 2; i++) {
        snprintf(wanted, sizeof wanted, "<data class=\"cycles\" value=\"%.15g\">",
                 ct_gem_cost_cycles(&s.config, &phases[i].sum));
        assert_non_null(strstr(text, wanted));
    }
    assert_non_null(strstr(text, "32 steps;"));
    assert_non_null(strstr(text, "decode of 32 tokens, the last step</caption>"));
    assert_non_null(strstr(text, "4 times the same operators"));
    assert_non_null(strstr(text, ">down ×2, "));
    free(text);
}

static void what_is_not_counted_is_left_out(void **state)
{
    struct step s;
    make_step(&s);
    const struct ct_gemmini_phase phase = {
        .name = "all", .n_steps = 1, .sum = s.report.sum, .shown = &s.report};
    char *text = write_page(*state, &s.config, &phase, 1);
    assert_null(strstr(text, "Energy each"));
    assert_null(strstr(text, "times the same")); /* rows in their order: each comes once */
    free(text);
}

static void a_run_of_nothing_has_a_page(void **state)
{
    struct step s;
    make_step(&s);
    s.report = (struct ct_gemmini_report){.rows = s.rows};
    const struct ct_gemmini_phase phase = {.name = "nothing", .unit = "token", .shown = &s.report};
    free(write_page(*state, &s.config, &phase, 1));
    free(write_page(*state, &s.config, NULL, 0));
}

static void an_operator_without_a_row_is_refused(void **state)
{
    struct step s;
    char path[TEMP_PATH];
    struct ct_error err;
    make_step(&s);
    s.ops[7].n++;
    const struct ct_gemmini_phase phase = {.name = "odd",
                                           .n_steps = 1,
                                           .sum = s.report.sum,
                                           .shown = &s.report,
                                           .ops = s.ops,
                                           .n_ops = N_OPS};
    const struct ct_gemmini_page page = {"a run", &s.config, &phase, 1};
    assert_int_equal(ct_gemmini_html_write(&page, temp_path(*state, "no.html", path), &err),
                     CT_INTERNAL);
    assert_non_null(strstr(err.message, "operator 7 of odd"));
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_steps_are_summed_and_the_last_is_shown),
        cmocka_unit_test(what_is_not_counted_is_left_out),
        cmocka_unit_test(a_run_of_nothing_has_a_page),
        cmocka_unit_test(an_operator_without_a_row_is_refused),
    };
    return cmocka_run_group_tests(tests, temp_dir_setup, temp_dir_teardown);
}
