#include "engine/tokenizer/template_value.h"

#include "engine/tokenizer/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool tmpl_text_is(struct tmpl_text text, const char *name)
{
    return text.n_bytes == strlen(name) && memcmp(text.data, name, text.n_bytes) == 0;
}

enum ct_status tmpl_fail(struct tmpl_run *run, const char *fmt, ...)
{
    char message[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return ct_error_set(run->err, CT_INVALID, "chat template: %s", message);
}

enum ct_status tmpl_charge(struct tmpl_run *run, size_t n_bytes)
{
    run->n_steps += 1 + n_bytes / 64;
    if (run->n_steps > TMPL_MAX_STEPS)
        return ct_error_set(run->err, CT_TOO_LARGE, "chat template: more than %d steps",
                            TMPL_MAX_STEPS);
    return CT_OK;
}

enum ct_status tmpl_alloc(struct tmpl_run *run, size_t n_bytes, void *out)
{
    if (n_bytes > run->max_bytes || run->arena.n_bytes > run->max_bytes - n_bytes)
        return ct_error_set(run->err, CT_TOO_LARGE, "chat template: more than %zu bytes of memory",
                            run->max_bytes);
    TMPL_TRY(tmpl_charge(run, n_bytes));
    void *block = ct_arena_alloc(&run->arena, n_bytes);
    if (block == NULL)
        return ct_error_set(run->err, CT_MEMORY, "chat template: out of memory");
    memcpy(out, &block, sizeof block);
    return CT_OK;
}

enum ct_status tmpl_list_new(struct tmpl_run *run, size_t n, bool is_tuple,
                             struct tmpl_value *value, struct tmpl_value **items)
{
    struct tmpl_list *list;
    TMPL_TRY(tmpl_alloc(run, sizeof *list, &list));
    TMPL_TRY(tmpl_alloc(run, n > SIZE_MAX / sizeof **items ? SIZE_MAX : n * sizeof **items, items));
    *list = (struct tmpl_list){*items, n, is_tuple};
    *value = (struct tmpl_value){.kind = TMPL_LIST, .list = list};
    return CT_OK;
}

bool tmpl_is_true(struct tmpl_value value)
{
    switch (value.kind) {
    case TMPL_UNDEFINED:
    case TMPL_NONE:
        return false;
    case TMPL_BOOL:
        return value.truth;
    case TMPL_INT:
        return value.integer != 0;
    case TMPL_FLOAT:
        return value.real != 0;
    case TMPL_TEXT:
        return value.text.n_bytes > 0;
    case TMPL_LIST:
        return value.list->n > 0;
    case TMPL_DICT:
        return value.dict->n > 0;
    case TMPL_NAMESPACE:
    case TMPL_LOOP:
    case TMPL_FUNCTION:
        break;
    }
    return true;
}

const char *tmpl_kind_name(struct tmpl_value value)
{
    static const char *const names[] = {"undefined value", "none", "bool",    "int",
                                        "float",           "str",  "list",    "dict",
                                        "namespace",       "loop", "function"};
    return names[value.kind];
}

bool tmpl_is_integer(struct tmpl_value value, int64_t *integer)
{
    if (value.kind == TMPL_INT)
        *integer = value.integer;
    else if (value.kind == TMPL_BOOL)
        *integer = value.truth;
    else
        return false;
    return true;
}

bool tmpl_is_number(struct tmpl_value value, double *number)
{
    int64_t integer;
    if (value.kind == TMPL_FLOAT)
        *number = value.real;
    else if (tmpl_is_integer(value, &integer))
        *number = (double)integer;
    else
        return false;
    return true;
}

static enum ct_status equal_lists(struct tmpl_run *run, const struct tmpl_list *a,
                                  const struct tmpl_list *b, int depth, bool *is_equal)
{
    *is_equal = a->n == b->n && a->is_tuple == b->is_tuple;
    for (size_t i = 0; *is_equal && i < a->n; i++)
        TMPL_TRY(tmpl_equal(run, a->items[i], b->items[i], depth, is_equal));
    return CT_OK;
}

static enum ct_status equal_dicts(struct tmpl_run *run, const struct tmpl_dict *a,
                                  const struct tmpl_dict *b, int depth, bool *is_equal)
{
    *is_equal = a->n == b->n;
    for (size_t i = 0; *is_equal && i < a->n; i++) {
        struct tmpl_value other;
        TMPL_TRY(tmpl_dict_get(run, b, a->pairs[2 * i], &other));
        TMPL_TRY(tmpl_equal(run, a->pairs[2 * i + 1], other, depth, is_equal));
    }
    return CT_OK;
}

enum ct_status tmpl_equal(struct tmpl_run *run, struct tmpl_value a, struct tmpl_value b, int depth,
                          bool *is_equal)
{
    if (depth > TMPL_MAX_DEPTH)
        return ct_error_set(run->err, CT_TOO_LARGE, "chat template: value nested deeper than %d",
                            TMPL_MAX_DEPTH);
    TMPL_TRY(tmpl_charge(run, a.kind == TMPL_TEXT ? a.text.n_bytes : 0));
    int64_t i, j;
    double x, y;
    if (tmpl_is_integer(a, &i) && tmpl_is_integer(b, &j)) {
        *is_equal = i == j;
    } else if (tmpl_is_number(a, &x) && tmpl_is_number(b, &y)) {
        *is_equal = x == y;
    } else if (a.kind != b.kind) {
        *is_equal = false;
    } else if (a.kind == TMPL_TEXT) {
        *is_equal = a.text.n_bytes == b.text.n_bytes &&
                    memcmp(a.text.data, b.text.data, a.text.n_bytes) == 0;
    } else if (a.kind == TMPL_LIST) {
        return equal_lists(run, a.list, b.list, depth + 1, is_equal);
    } else if (a.kind == TMPL_DICT) {
        return equal_dicts(run, a.dict, b.dict, depth + 1, is_equal);
    } else if (a.kind == TMPL_NAMESPACE || a.kind == TMPL_LOOP || a.kind == TMPL_FUNCTION) {
        return tmpl_fail(run, "cannot compare a %s", tmpl_kind_name(a));
    } else {
        *is_equal = true; /* none, undefined */
    }
    return CT_OK;
}

enum ct_status tmpl_dict_get(struct tmpl_run *run, const struct tmpl_dict *dict,
                             struct tmpl_value key, struct tmpl_value *value)
{
    *value = (struct tmpl_value){.kind = TMPL_UNDEFINED};
    for (size_t i = 0; i < dict->n; i++) {
        bool is_equal;
        TMPL_TRY(tmpl_equal(run, dict->pairs[2 * i], key, 0, &is_equal));
        if (is_equal) {
            *value = dict->pairs[2 * i + 1];
            return CT_OK;
        }
    }
    return CT_OK;
}

size_t tmpl_find(struct tmpl_text text, struct tmpl_text needle, size_t from)
{
    const char *found = from > text.n_bytes ? NULL
                                            : memmem(text.data + from, text.n_bytes - from,
                                                     needle.data, needle.n_bytes);
    return found != NULL ? (size_t)(found - text.data) : SIZE_MAX;
}

enum ct_status tmpl_contains(struct tmpl_run *run, struct tmpl_value haystack,
                             struct tmpl_value needle, bool *is_in)
{
    *is_in = false;
    if (haystack.kind == TMPL_TEXT) {
        if (needle.kind != TMPL_TEXT)
            return tmpl_fail(run, "a %s cannot be in a str", tmpl_kind_name(needle));
        TMPL_TRY(tmpl_charge(run, haystack.text.n_bytes));
        *is_in = tmpl_find(haystack.text, needle.text, 0) != SIZE_MAX;
        return CT_OK;
    }
    const struct tmpl_list *items;
    TMPL_TRY(tmpl_iterate(run, haystack, &items));
    for (size_t i = 0; i < items->n && !*is_in; i++)
        TMPL_TRY(tmpl_equal(run, items->items[i], needle, 0, is_in));
    return CT_OK;
}

static size_t count_code_points(struct tmpl_text text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n_bytes; i++)
        n += (text.data[i] & 0xC0) != 0x80;
    return n;
}

/* The bytes of the character at *at, which moves on. Text is valid UTF-8. */
static struct tmpl_value next_character(struct tmpl_text text, size_t *at)
{
    const char *from = text.data + *at;
    do {
        (*at)++;
    } while (*at < text.n_bytes && (text.data[*at] & 0xC0) == 0x80);
    return tmpl_text(from, (size_t)(text.data + *at - from));
}

enum ct_status tmpl_iterate(struct tmpl_run *run, struct tmpl_value value,
                            const struct tmpl_list **items)
{
    static const struct tmpl_list empty = {0};
    struct tmpl_value list;
    struct tmpl_value *out;
    switch (value.kind) {
    case TMPL_UNDEFINED:
        *items = &empty;
        return CT_OK;
    case TMPL_LIST:
        *items = value.list;
        return CT_OK;
    case TMPL_DICT:
        TMPL_TRY(tmpl_list_new(run, value.dict->n, false, &list, &out));
        for (size_t i = 0; i < value.dict->n; i++)
            out[i] = value.dict->pairs[2 * i];
        *items = list.list;
        return CT_OK;
    case TMPL_TEXT:
        TMPL_TRY(tmpl_list_new(run, count_code_points(value.text), false, &list, &out));
        for (size_t at = 0; at < value.text.n_bytes;)
            *out++ = next_character(value.text, &at);
        *items = list.list;
        return CT_OK;
    default:
        return tmpl_fail(run, "a %s cannot be iterated", tmpl_kind_name(value));
    }
}

enum ct_status tmpl_length(struct tmpl_run *run, struct tmpl_value value, int64_t *n)
{
    switch (value.kind) {
    case TMPL_UNDEFINED:
        *n = 0;
        return CT_OK;
    case TMPL_TEXT:
        TMPL_TRY(tmpl_charge(run, value.text.n_bytes));
        *n = (int64_t)count_code_points(value.text);
        return CT_OK;
    case TMPL_LIST:
        *n = (int64_t)value.list->n;
        return CT_OK;
    case TMPL_DICT:
        *n = (int64_t)value.dict->n;
        return CT_OK;
    default:
        return tmpl_fail(run, "a %s has no length", tmpl_kind_name(value));
    }
}

/* Bytes before code point n of text, which has at least n. */
static size_t offset_of(struct tmpl_text text, int64_t n)
{
    size_t at = 0;
    while (n-- > 0)
        next_character(text, &at);
    return at;
}

enum ct_status tmpl_item(struct tmpl_run *run, struct tmpl_value value, struct tmpl_value key,
                         struct tmpl_value *out)
{
    *out = (struct tmpl_value){.kind = TMPL_UNDEFINED};
    int64_t i, n;
    if (value.kind == TMPL_UNDEFINED)
        return tmpl_fail(run, "an item of an undefined value");
    if (value.kind == TMPL_DICT)
        return tmpl_dict_get(run, value.dict, key, out);
    if ((value.kind != TMPL_LIST && value.kind != TMPL_TEXT) || !tmpl_is_integer(key, &i))
        return CT_OK; /* undefined, as in Jinja */
    TMPL_TRY(tmpl_length(run, value, &n));
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return CT_OK;
    if (value.kind == TMPL_LIST) {
        *out = value.list->items[i];
        return CT_OK;
    }
    size_t at = offset_of(value.text, i);
    *out = next_character(value.text, &at);
    return CT_OK;
}

/* A bound of a slice, brought into low..high as Python does. */
static enum ct_status slice_bound(struct tmpl_run *run, struct tmpl_value value, int64_t n,
                                  int64_t open, int64_t low, int64_t high, int64_t *bound)
{
    *bound = open;
    if (value.kind == TMPL_UNDEFINED || value.kind == TMPL_NONE)
        return CT_OK;
    if (!tmpl_is_integer(value, bound))
        return tmpl_fail(run, "a slice needs integers, not a %s", tmpl_kind_name(value));
    if (*bound < 0)
        *bound += n;
    *bound = *bound < low ? low : *bound > high ? high : *bound;
    return CT_OK;
}

enum ct_status tmpl_slice(struct tmpl_run *run, struct tmpl_value value,
                          const struct tmpl_value bounds[3], struct tmpl_value *out)
{
    int64_t n, start, stop, step = 1;
    if (value.kind == TMPL_UNDEFINED)
        return tmpl_fail(run, "a slice of an undefined value");
    if (value.kind != TMPL_LIST && value.kind != TMPL_TEXT) {
        *out = (struct tmpl_value){.kind = TMPL_UNDEFINED};
        return CT_OK;
    }
    TMPL_TRY(tmpl_length(run, value, &n));
    if (bounds[2].kind != TMPL_UNDEFINED && bounds[2].kind != TMPL_NONE &&
        !tmpl_is_integer(bounds[2], &step))
        return tmpl_fail(run, "a slice needs integers, not a %s", tmpl_kind_name(bounds[2]));
    if (step == 0)
        return tmpl_fail(run, "a slice's step is 0");
    step = step > n ? n + 1 : step < -n ? -n - 1 : step;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    TMPL_TRY(slice_bound(run, bounds[0], n, step < 0 ? n - 1 : 0, low, high, &start));
    TMPL_TRY(slice_bound(run, bounds[1], n, step < 0 ? -1 : n, low, high, &stop));
    if (value.kind == TMPL_TEXT && step == 1) {
        size_t from = offset_of(value.text, start);
        size_t to = stop <= start ? from : offset_of(value.text, stop);
        *out = tmpl_text(value.text.data + from, to - from);
        return CT_OK;
    }
    const struct tmpl_list *items;
    struct tmpl_value *kept;
    TMPL_TRY(tmpl_iterate(run, value, &items));
    int64_t n_kept =
        step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step;
    n_kept = n_kept < 0 ? 0 : n_kept;
    bool is_tuple = value.kind == TMPL_LIST && value.list->is_tuple;
    TMPL_TRY(tmpl_list_new(run, (size_t)n_kept, is_tuple, out, &kept));
    size_t n_bytes = 0;
    for (int64_t i = 0; i < n_kept; i++) {
        kept[i] = items->items[start + i * step];
        n_bytes += kept[i].text.n_bytes;
    }
    if (value.kind == TMPL_LIST)
        return CT_OK;
    char *text;
    TMPL_TRY(tmpl_alloc(run, n_bytes, &text));
    *out = tmpl_text(text, n_bytes);
    for (int64_t i = 0; i < n_kept; text += kept[i++].text.n_bytes)
        memcpy(text, kept[i].text.data, kept[i].text.n_bytes);
    return CT_OK;
}

bool tmpl_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

struct tmpl_text tmpl_strip(struct tmpl_text text, bool at_start, bool at_end)
{
    while (at_start && text.n_bytes > 0) {
        struct ct_utf8 c = ct_utf8_decode(text.data, text.n_bytes);
        if (!tmpl_is_space(c.code_point))
            break;
        text.data += c.n_bytes;
        text.n_bytes -= c.n_bytes;
    }
    while (at_end && text.n_bytes > 0) {
        size_t at = text.n_bytes - 1;
        while (at > 0 && (text.data[at] & 0xC0) == 0x80)
            at--;
        if (!tmpl_is_space(ct_utf8_decode(text.data + at, text.n_bytes - at).code_point))
            break;
        text.n_bytes = at;
    }
    return text;
}
