/* What is drawn, as text. */
#include "tests/support/unit.h"

#include "engine/base/svg.h"

#include <stdlib.h>
#include <string.h>

static char *text;
static size_t n_bytes;

static FILE *begin(void)
{
    FILE *file = open_memstream(&text, &n_bytes);
    assert_non_null(file);
    return file;
}

static void ends_as(FILE *file, const char *wanted)
{
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, wanted);
    free(text);
}

static void text_stays_text(void **state)
{
    (void)state;
    FILE *file = begin();
    ct_svg_escape(file, "<a href=\"x\">&amp; \x01 d\xc3\xa9j\xc3\xa0</a>");
    ends_as(file, "&lt;a href=&quot;x&quot;&gt;&amp;amp; ? d\xc3\xa9j\xc3\xa0&lt;/a&gt;");
}

static void areas_change_where_values_do(void **state)
{
    (void)state;
    static const double values[] = {0, 0, 1, 1.5, 0.5, 0.51, 0};
    FILE *file = begin();
    ct_svg_area(file, 10, 20, 8, values, 7, "red");
    ends_as(file, "<path fill=\"red\" d=\"M10.0 28.0h2v-8h2v4h2v4h1v0z\"/>\n");
}

static void arcs_are_dashes(void **state)
{
    (void)state;
    FILE *file = begin();
    ct_svg_arc(file, 50, 50, 40, 10, 0.25, 0.75, "red", "half");
    fclose(file);
    assert_non_null(strstr(text, "stroke-dasharray=\"0.50000 2\" stroke-dashoffset=\"-0.25000\""));
    assert_non_null(strstr(text, "<title>half</title>"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_stays_text),
        cmocka_unit_test(areas_change_where_values_do),
        cmocka_unit_test(arcs_are_dashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
