/* The functions, methods, filters and tests that a template may use. What is in none of the tables
 * at the end is refused when a template is parsed. */
#include "engine/tokenizer/template_ast.h"
#include "engine/tokenizer/template_text.h"

#include <string.h>
#include <time.h>

/* Methods are called on text alone; filters turn what they get into text. */
static enum ct_status self_text(struct tmpl_run *run, const struct tmpl_call *call,
                                struct tmpl_text *text)
{
    return tmpl_to_text(run, call->self, text);
}

/* Functions */

static enum ct_status raise_exception(struct tmpl_run *run, const struct tmpl_call *call,
                                      struct tmpl_value *out)
{
    struct tmpl_text text;
    (void)out;
    TMPL_TRY(tmpl_to_text(run, call->arguments[0], &text));
    return ct_error_set(run->err, CT_INVALID, "%.*s",
                        (int)(text.n_bytes < 1024 ? text.n_bytes : 1024), text.data);
}

static enum ct_status make_namespace(struct tmpl_run *run, const struct tmpl_call *call,
                                     struct tmpl_value *out)
{
    TMPL_TRY(tmpl_alloc(run, sizeof *out->names, &out->names));
    out->kind = TMPL_NAMESPACE;
    for (int i = 0; i < call->n_arguments; i++) {
        if (call->names[i].n_bytes == 0)
            return tmpl_fail(run, "namespace() takes arguments with names alone");
        TMPL_TRY(tmpl_variable_set(run, out->names, call->names[i], call->arguments[i]));
    }
    return CT_OK;
}

static enum ct_status make_dict(struct tmpl_run *run, const struct tmpl_call *call,
                                struct tmpl_value *out)
{
    struct tmpl_dict *dict;
    TMPL_TRY(tmpl_alloc(run, sizeof *dict, &dict));
    TMPL_TRY(tmpl_alloc(run, 2 * (size_t)call->n_arguments * sizeof dict->pairs[0], &dict->pairs));
    for (int i = 0; i < call->n_arguments; i++) {
        if (call->names[i].n_bytes == 0)
            return tmpl_fail(run, "dict() takes arguments with names alone");
        dict->pairs[2 * dict->n] = tmpl_text_value(call->names[i]);
        dict->pairs[2 * dict->n++ + 1] = call->arguments[i];
    }
    *out = (struct tmpl_value){.kind = TMPL_DICT, .dict = dict};
    return CT_OK;
}

static enum ct_status make_range(struct tmpl_run *run, const struct tmpl_call *call,
                                 struct tmpl_value *out)
{
    int64_t bounds[3] = {0, 0, 1};
    for (int i = 0; i < call->n_arguments; i++)
        if (!tmpl_is_integer(call->arguments[i], &bounds[i]))
            return tmpl_fail(run, "range() of a %s", tmpl_kind_name(call->arguments[i]));
    if (call->n_arguments == 1) {
        bounds[1] = bounds[0];
        bounds[0] = 0;
    }
    int64_t start = bounds[0], stop = bounds[1], step = bounds[2], distance;
    if (step == 0 || step == INT64_MIN || __builtin_sub_overflow(stop, start, &distance))
        return tmpl_fail(run, "range() with these bounds");
    int64_t n = step > 0 ? distance / step + (distance % step > 0)
                         : -(distance / -step) + (distance % -step < 0);
    struct tmpl_value *items;
    TMPL_TRY(tmpl_list_new(run, n < 0 ? 0 : (size_t)n, false, out, &items));
    for (int64_t i = 0; i < n; i++)
        items[i] = tmpl_int(start + i * step);
    return CT_OK;
}

static enum ct_status format_now(struct tmpl_run *run, const struct tmpl_call *call,
                                 struct tmpl_value *out)
{
    char format[128];
    char *text;
    struct tmpl_text wanted;
    struct tm local;
    time_t now = time(NULL);
    TMPL_TRY(tmpl_need_text(run, call->arguments[0], &wanted));
    if (wanted.n_bytes >= sizeof format || memchr(wanted.data, '\0', wanted.n_bytes) != NULL ||
        localtime_r(&now, &local) == NULL)
        return tmpl_fail(run, "strftime_now() with this format");
    memcpy(format, wanted.data, wanted.n_bytes);
    format[wanted.n_bytes] = '\0';
    TMPL_TRY(tmpl_alloc(run, 1024, &text));
    *out = tmpl_text(text, strftime(text, 1024, format, &local));
    return CT_OK;
}

/* Methods and filters of text */

static enum ct_status strip(struct tmpl_run *run, const struct tmpl_call *call,
                            struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(tmpl_need_text(run, call->self, &text));
    return tmpl_strip_sides(run, text, call->arguments[0], true, true, out);
}

static enum ct_status lstrip(struct tmpl_run *run, const struct tmpl_call *call,
                             struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(tmpl_need_text(run, call->self, &text));
    return tmpl_strip_sides(run, text, call->arguments[0], true, false, out);
}

static enum ct_status rstrip(struct tmpl_run *run, const struct tmpl_call *call,
                             struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(tmpl_need_text(run, call->self, &text));
    return tmpl_strip_sides(run, text, call->arguments[0], false, true, out);
}

static enum ct_status trim(struct tmpl_run *run, const struct tmpl_call *call,
                           struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(self_text(run, call, &text));
    return tmpl_strip_sides(run, text, call->arguments[0], true, true, out);
}

#define CASE_FUNCTIONS(name, wanted)                                                               \
    static enum ct_status name##_filter(struct tmpl_run *run, const struct tmpl_call *call,        \
                                        struct tmpl_value *out)                                    \
    {                                                                                              \
        struct tmpl_text text;                                                                     \
        TMPL_TRY(self_text(run, call, &text));                                                     \
        return tmpl_change_case(run, text, wanted, out);                                           \
    }                                                                                              \
    static enum ct_status name##_method(struct tmpl_run *run, const struct tmpl_call *call,        \
                                        struct tmpl_value *out)                                    \
    {                                                                                              \
        struct tmpl_text text;                                                                     \
        TMPL_TRY(tmpl_need_text(run, call->self, &text));                                          \
        return tmpl_change_case(run, text, wanted, out);                                           \
    }
CASE_FUNCTIONS(lower, TMPL_LOWER)
CASE_FUNCTIONS(upper, TMPL_UPPER)
CASE_FUNCTIONS(capitalize, TMPL_CAPITALIZE)

static enum ct_status title(struct tmpl_run *run, const struct tmpl_call *call,
                            struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(tmpl_need_text(run, call->self, &text));
    return tmpl_change_case(run, text, TMPL_TITLE, out);
}

static enum ct_status affix(struct tmpl_run *run, const struct tmpl_call *call, bool at_start,
                            struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(tmpl_need_text(run, call->self, &text));
    return tmpl_has_affix(run, text, call->arguments[0], at_start, out);
}

static enum ct_status startswith(struct tmpl_run *run, const struct tmpl_call *call,
                                 struct tmpl_value *out)
{
    return affix(run, call, true, out);
}

static enum ct_status endswith(struct tmpl_run *run, const struct tmpl_call *call,
                               struct tmpl_value *out)
{
    return affix(run, call, false, out);
}

static enum ct_status split(struct tmpl_run *run, const struct tmpl_call *call,
                            struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(tmpl_need_text(run, call->self, &text));
    return tmpl_split(run, text, call->arguments, out);
}

static enum ct_status replace_method(struct tmpl_run *run, const struct tmpl_call *call,
                                     struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(tmpl_need_text(run, call->self, &text));
    return tmpl_replace(run, text, call->arguments, out);
}

static enum ct_status replace_filter(struct tmpl_run *run, const struct tmpl_call *call,
                                     struct tmpl_value *out)
{
    struct tmpl_text texts[3];
    struct tmpl_value arguments[3] = {{0}, {0}, call->arguments[2]};
    TMPL_TRY(self_text(run, call, &texts[0]));
    for (int i = 0; i < 2; i++) {
        TMPL_TRY(tmpl_to_text(run, call->arguments[i], &texts[1 + i]));
        arguments[i] = tmpl_text_value(texts[1 + i]);
    }
    return tmpl_replace(run, texts[0], arguments, out);
}

static enum ct_status join_method(struct tmpl_run *run, const struct tmpl_call *call,
                                  struct tmpl_value *out)
{
    struct tmpl_text separator;
    const struct tmpl_list *items;
    TMPL_TRY(tmpl_need_text(run, call->self, &separator));
    TMPL_TRY(tmpl_iterate(run, call->arguments[0], &items));
    return tmpl_join(run, items, separator, true, out);
}

static enum ct_status join_filter(struct tmpl_run *run, const struct tmpl_call *call,
                                  struct tmpl_value *out)
{
    struct tmpl_text separator;
    const struct tmpl_list *items;
    TMPL_TRY(tmpl_to_text(run, call->arguments[0], &separator));
    TMPL_TRY(tmpl_iterate(run, call->self, &items));
    return tmpl_join(run, items, separator, false, out);
}

/* Methods of dicts */

static enum ct_status need_dict(struct tmpl_run *run, const struct tmpl_call *call)
{
    if (call->self.kind != TMPL_DICT)
        return tmpl_fail(run, "a %s where a dict is needed", tmpl_kind_name(call->self));
    return CT_OK;
}

static enum ct_status list_of(struct tmpl_run *run, struct tmpl_value value, struct tmpl_value *out)
{
    const struct tmpl_list *items;
    struct tmpl_value *copies;
    TMPL_TRY(tmpl_iterate(run, value, &items));
    TMPL_TRY(tmpl_list_new(run, items->n, false, out, &copies));
    if (items->n > 0)
        memcpy(copies, items->items, items->n * sizeof copies[0]);
    return CT_OK;
}

static enum ct_status keys(struct tmpl_run *run, const struct tmpl_call *call,
                           struct tmpl_value *out)
{
    TMPL_TRY(need_dict(run, call));
    return list_of(run, call->self, out);
}

static enum ct_status values(struct tmpl_run *run, const struct tmpl_call *call,
                             struct tmpl_value *out)
{
    struct tmpl_value *list;
    TMPL_TRY(need_dict(run, call));
    TMPL_TRY(tmpl_list_new(run, call->self.dict->n, false, out, &list));
    for (size_t i = 0; i < call->self.dict->n; i++)
        list[i] = call->self.dict->pairs[2 * i + 1];
    return CT_OK;
}

static enum ct_status items(struct tmpl_run *run, const struct tmpl_call *call,
                            struct tmpl_value *out)
{
    struct tmpl_value *list;
    TMPL_TRY(need_dict(run, call));
    TMPL_TRY(tmpl_list_new(run, call->self.dict->n, false, out, &list));
    for (size_t i = 0; i < call->self.dict->n; i++) {
        struct tmpl_value *pair;
        TMPL_TRY(tmpl_list_new(run, 2, true, &list[i], &pair));
        memcpy(pair, &call->self.dict->pairs[2 * i], 2 * sizeof pair[0]);
    }
    return CT_OK;
}

static enum ct_status get(struct tmpl_run *run, const struct tmpl_call *call,
                          struct tmpl_value *out)
{
    TMPL_TRY(need_dict(run, call));
    TMPL_TRY(tmpl_dict_get(run, call->self.dict, call->arguments[0], out));
    if (out->kind != TMPL_UNDEFINED)
        return CT_OK;
    *out = call->n_arguments > 1 ? call->arguments[1] : (struct tmpl_value){.kind = TMPL_NONE};
    return CT_OK;
}

/* Other filters */

static enum ct_status length(struct tmpl_run *run, const struct tmpl_call *call,
                             struct tmpl_value *out)
{
    int64_t n;
    TMPL_TRY(tmpl_length(run, call->self, &n));
    *out = tmpl_int(n);
    return CT_OK;
}

static enum ct_status tojson(struct tmpl_run *run, const struct tmpl_call *call,
                             struct tmpl_value *out)
{
    struct tmpl_text text;
    int64_t indent = -1;
    if (tmpl_is_given(call->arguments[1]) &&
        (!tmpl_is_integer(call->arguments[1], &indent) || indent < 0))
        return tmpl_fail(run, "tojson() with this indent");
    if (tmpl_is_true(call->arguments[0]))
        return tmpl_fail(run, "tojson() with ensure_ascii");
    TMPL_TRY(tmpl_to_json(run, call->self, indent, &text));
    *out = tmpl_text_value(text);
    return CT_OK;
}

static enum ct_status default_value(struct tmpl_run *run, const struct tmpl_call *call,
                                    struct tmpl_value *out)
{
    (void)run;
    bool is_missing = call->self.kind == TMPL_UNDEFINED ||
                      (tmpl_is_true(call->arguments[1]) && !tmpl_is_true(call->self));
    *out = !is_missing              ? call->self
           : call->n_arguments == 0 ? tmpl_text("", 0)
                                    : call->arguments[0];
    return CT_OK;
}

static enum ct_status first(struct tmpl_run *run, const struct tmpl_call *call,
                            struct tmpl_value *out)
{
    const struct tmpl_list *list;
    TMPL_TRY(tmpl_iterate(run, call->self, &list));
    *out = list->n > 0 ? list->items[0] : (struct tmpl_value){.kind = TMPL_UNDEFINED};
    return CT_OK;
}

static enum ct_status last(struct tmpl_run *run, const struct tmpl_call *call,
                           struct tmpl_value *out)
{
    const struct tmpl_list *list;
    TMPL_TRY(tmpl_iterate(run, call->self, &list));
    *out = list->n > 0 ? list->items[list->n - 1] : (struct tmpl_value){.kind = TMPL_UNDEFINED};
    return CT_OK;
}

static enum ct_status to_string(struct tmpl_run *run, const struct tmpl_call *call,
                                struct tmpl_value *out)
{
    struct tmpl_text text;
    TMPL_TRY(self_text(run, call, &text));
    *out = tmpl_text_value(text);
    return CT_OK;
}

static enum ct_status to_list(struct tmpl_run *run, const struct tmpl_call *call,
                              struct tmpl_value *out)
{
    return list_of(run, call->self, out);
}

/* Tests */

/* Each is an expression of self, "v". */
#define TEST(name, expression)                                                                     \
    static enum ct_status name(struct tmpl_run *run, const struct tmpl_call *call,                 \
                               struct tmpl_value *out)                                             \
    {                                                                                              \
        struct tmpl_value v = call->self;                                                          \
        (void)run;                                                                                 \
        *out = tmpl_bool(expression);                                                              \
        return CT_OK;                                                                              \
    }
TEST(is_defined, v.kind != TMPL_UNDEFINED)
TEST(is_undefined, v.kind == TMPL_UNDEFINED)
TEST(is_none, v.kind == TMPL_NONE)
TEST(is_string, v.kind == TMPL_TEXT)
TEST(is_mapping, v.kind == TMPL_DICT)
TEST(is_iterable, v.kind == TMPL_UNDEFINED || v.kind == TMPL_TEXT || v.kind == TMPL_LIST ||
                      v.kind == TMPL_DICT || v.kind == TMPL_LOOP)
TEST(is_sequence,
     v.kind == TMPL_UNDEFINED || v.kind == TMPL_TEXT || v.kind == TMPL_LIST || v.kind == TMPL_DICT)
TEST(is_number, v.kind == TMPL_INT || v.kind == TMPL_FLOAT || v.kind == TMPL_BOOL)
TEST(is_integer, v.kind == TMPL_INT)
TEST(is_float, v.kind == TMPL_FLOAT)
TEST(is_boolean, v.kind == TMPL_BOOL)
TEST(is_true, v.kind == TMPL_BOOL && v.truth)
TEST(is_false, v.kind == TMPL_BOOL && !v.truth)

static enum ct_status is_equal(struct tmpl_run *run, const struct tmpl_call *call,
                               struct tmpl_value *out)
{
    bool equal;
    TMPL_TRY(tmpl_equal(run, call->self, call->arguments[0], 0, &equal));
    *out = tmpl_bool(equal);
    return CT_OK;
}

static enum ct_status is_in(struct tmpl_run *run, const struct tmpl_call *call,
                            struct tmpl_value *out)
{
    bool in;
    TMPL_TRY(tmpl_contains(run, call->arguments[0], call->self, &in));
    *out = tmpl_bool(in);
    return CT_OK;
}

static enum ct_status rest_of(struct tmpl_run *run, struct tmpl_value value, int64_t by,
                              bool *is_zero)
{
    int64_t integer;
    *is_zero = false;
    if (!tmpl_is_integer(value, &integer))
        return tmpl_fail(run, "a %s where an integer is needed", tmpl_kind_name(value));
    if (by == 0)
        return tmpl_fail(run, "division by zero");
    *is_zero = by == -1 || integer % by == 0;
    return CT_OK;
}

static enum ct_status is_even(struct tmpl_run *run, const struct tmpl_call *call,
                              struct tmpl_value *out)
{
    bool is_zero;
    TMPL_TRY(rest_of(run, call->self, 2, &is_zero));
    *out = tmpl_bool(is_zero);
    return CT_OK;
}

static enum ct_status is_odd(struct tmpl_run *run, const struct tmpl_call *call,
                             struct tmpl_value *out)
{
    TMPL_TRY(is_even(run, call, out));
    out->truth = !out->truth;
    return CT_OK;
}

static enum ct_status is_divisible(struct tmpl_run *run, const struct tmpl_call *call,
                                   struct tmpl_value *out)
{
    bool is_zero;
    int64_t by;
    if (!tmpl_is_integer(call->arguments[0], &by))
        return tmpl_fail(run, "divisibleby() of a %s", tmpl_kind_name(call->arguments[0]));
    TMPL_TRY(rest_of(run, call->self, by, &is_zero));
    *out = tmpl_bool(is_zero);
    return CT_OK;
}

static const struct tmpl_function functions[] = {
    {"raise_exception", "message", 1, raise_exception},
    {"namespace", "*", 0, make_namespace},
    {"dict", "*", 0, make_dict},
    {"range", "a b c", 1, make_range},
    {"strftime_now", "format", 1, format_now},
    {NULL, NULL, 0, NULL},
};

static const struct tmpl_function methods[] = {
    {"strip", "chars", 0, strip},
    {"lstrip", "chars", 0, lstrip},
    {"rstrip", "chars", 0, rstrip},
    {"startswith", "prefix", 1, startswith},
    {"endswith", "suffix", 1, endswith},
    {"split", "sep maxsplit", 0, split},
    {"upper", "", 0, upper_method},
    {"lower", "", 0, lower_method},
    {"capitalize", "", 0, capitalize_method},
    {"title", "", 0, title},
    {"replace", "old new count", 2, replace_method},
    {"join", "iterable", 1, join_method},
    {"items", "", 0, items},
    {"keys", "", 0, keys},
    {"values", "", 0, values},
    {"get", "key default", 1, get},
    {NULL, NULL, 0, NULL},
};

static const struct tmpl_function filters[] = {
    {"trim", "chars", 0, trim},
    {"length", "", 0, length},
    {"count", "", 0, length},
    {"upper", "", 0, upper_filter},
    {"lower", "", 0, lower_filter},
    {"capitalize", "", 0, capitalize_filter},
    {"tojson", "ensure_ascii indent", 0, tojson},
    {"default", "default_value boolean", 0, default_value},
    {"d", "default_value boolean", 0, default_value},
    {"first", "", 0, first},
    {"last", "", 0, last},
    {"join", "d", 0, join_filter},
    {"safe", "", 0, to_string},
    {"string", "", 0, to_string},
    {"list", "", 0, to_list},
    {"items", "", 0, items},
    {"replace", "old new count", 2, replace_filter},
    {NULL, NULL, 0, NULL},
};

static const struct tmpl_function tests[] = {
    {"defined", "", 0, is_defined},
    {"undefined", "", 0, is_undefined},
    {"none", "", 0, is_none},
    {"string", "", 0, is_string},
    {"mapping", "", 0, is_mapping},
    {"iterable", "", 0, is_iterable},
    {"sequence", "", 0, is_sequence},
    {"number", "", 0, is_number},
    {"integer", "", 0, is_integer},
    {"float", "", 0, is_float},
    {"boolean", "", 0, is_boolean},
    {"true", "", 0, is_true},
    {"false", "", 0, is_false},
    {"equalto", "other", 1, is_equal},
    {"eq", "other", 1, is_equal},
    {"in", "seq", 1, is_in},
    {"even", "", 0, is_even},
    {"odd", "", 0, is_odd},
    {"divisibleby", "num", 1, is_divisible},
    {NULL, NULL, 0, NULL},
};

const struct tmpl_function *tmpl_function_find(enum tmpl_table table, struct tmpl_text name)
{
    static const struct tmpl_function *const tables[] = {functions, methods, filters, tests};
    for (const struct tmpl_function *row = tables[table]; row->name != NULL; row++)
        if (tmpl_text_is(name, row->name))
            return row;
    return NULL;
}
