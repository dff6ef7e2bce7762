/* What templates do with text: strip, split, replace, join, change of case. */
#include "engine/tokenizer/template_text.h"

#include <string.h>

enum ct_status tmpl_need_text(struct tmpl_run *run, struct tmpl_value value, struct tmpl_text *text)
{
    *text = (struct tmpl_text){"", 0};
    if (value.kind != TMPL_TEXT)
        return tmpl_fail(run, "a %s where text is needed", tmpl_kind_name(value));
    *text = value.text;
    return CT_OK;
}

/* Strips the characters of a set, or white space where none is given. */
enum ct_status tmpl_strip_sides(struct tmpl_run *run, struct tmpl_text text, struct tmpl_value set,
                                bool at_start, bool at_end, struct tmpl_value *out)
{
    struct tmpl_text characters;
    TMPL_TRY(tmpl_charge(run, text.n_bytes));
    *out = tmpl_text_value(tmpl_strip(text, at_start, at_end));
    if (!tmpl_is_given(set))
        return CT_OK;
    TMPL_TRY(tmpl_need_text(run, set, &characters));
    for (size_t i = 0; i < characters.n_bytes; i++)
        if (characters.data[i] & 0x80)
            return tmpl_fail(run, "strip() of characters beyond ASCII");
    while (at_start && text.n_bytes > 0 &&
           memchr(characters.data, text.data[0], characters.n_bytes) != NULL) {
        text.data++;
        text.n_bytes--;
    }
    while (at_end && text.n_bytes > 0 &&
           memchr(characters.data, text.data[text.n_bytes - 1], characters.n_bytes) != NULL)
        text.n_bytes--;
    *out = tmpl_text_value(text);
    return CT_OK;
}

/* ASCII alone: Unicode's case mapping would need its tables, and a wrong letter is worse than an
 * error. */
enum ct_status tmpl_change_case(struct tmpl_run *run, struct tmpl_text text, enum tmpl_case wanted,
                                struct tmpl_value *out)
{
    char *changed;
    bool is_start = true;
    TMPL_TRY(tmpl_alloc(run, text.n_bytes, &changed));
    for (size_t i = 0; i < text.n_bytes; i++) {
        char c = text.data[i];
        if (c & 0x80)
            return tmpl_fail(run, "upper and lower case beyond ASCII");
        bool is_lower = c >= 'a' && c <= 'z', is_upper = c >= 'A' && c <= 'Z';
        bool to_upper = wanted == TMPL_UPPER || (wanted != TMPL_LOWER && is_start);
        if ((is_lower && to_upper) || (is_upper && !to_upper))
            c ^= 0x20;
        changed[i] = c;
        is_start = wanted == TMPL_TITLE && !is_lower && !is_upper;
    }
    *out = tmpl_text(changed, text.n_bytes);
    return CT_OK;
}

/* Whether text has affix (or one of a tuple's) at its start or end. */
enum ct_status tmpl_has_affix(struct tmpl_run *run, struct tmpl_text text, struct tmpl_value given,
                              bool at_start, struct tmpl_value *out)
{
    struct tmpl_text affix;
    bool is_tuple = given.kind == TMPL_LIST && given.list->is_tuple;
    size_t n = is_tuple ? given.list->n : 1;
    bool has = false;
    for (size_t i = 0; i < n; i++) {
        TMPL_TRY(tmpl_need_text(run, is_tuple ? given.list->items[i] : given, &affix));
        TMPL_TRY(tmpl_charge(run, affix.n_bytes));
        size_t at = at_start ? 0 : text.n_bytes - affix.n_bytes;
        has = has || (affix.n_bytes <= text.n_bytes &&
                      memcmp(text.data + at, affix.data, affix.n_bytes) == 0);
    }
    *out = tmpl_bool(has);
    return CT_OK;
}

/* The next part of text for split(): up to a separator, or a run of what is not white space. *rest
 * is what follows; false at the end. With is_last, all that is left. */
static bool next_part(struct tmpl_text *rest, bool has_separator, struct tmpl_text separator,
                      bool is_last, struct tmpl_text *part)
{
    if (rest->data == NULL)
        return false;
    if (!has_separator) {
        *rest = tmpl_strip(*rest, true, false);
        if (rest->n_bytes == 0)
            return false;
    }
    size_t end = SIZE_MAX;
    if (has_separator) {
        end = is_last ? SIZE_MAX : tmpl_find(*rest, separator, 0);
    } else if (!is_last) {
        struct tmpl_text tail = *rest;
        while (tail.n_bytes > 0 && tmpl_strip(tail, true, false).n_bytes == tail.n_bytes) {
            tail.data++;
            tail.n_bytes--;
            while (tail.n_bytes > 0 && (tail.data[0] & 0xC0) == 0x80) {
                tail.data++;
                tail.n_bytes--;
            }
        }
        end = rest->n_bytes - tail.n_bytes;
    }
    size_t n_separator = has_separator ? separator.n_bytes : 0;
    *part = *rest;
    if (end == SIZE_MAX) {
        rest->data = NULL;
        return true;
    }
    part->n_bytes = end;
    rest->data += end + n_separator;
    rest->n_bytes -= end + n_separator;
    return true;
}

enum ct_status tmpl_split(struct tmpl_run *run, struct tmpl_text text,
                          const struct tmpl_value arguments[2], struct tmpl_value *out)
{
    struct tmpl_text separator = {"", 0}, part;
    int64_t max_splits = -1;
    bool has_separator = tmpl_is_given(arguments[0]);
    if (has_separator)
        TMPL_TRY(tmpl_need_text(run, arguments[0], &separator));
    if (has_separator && separator.n_bytes == 0)
        return tmpl_fail(run, "split() by an empty text");
    if (tmpl_is_given(arguments[1]) && !tmpl_is_integer(arguments[1], &max_splits))
        return tmpl_fail(run, "split() with a %s for a number", tmpl_kind_name(arguments[1]));
    TMPL_TRY(tmpl_charge(run, text.n_bytes));
    struct tmpl_value *items = NULL;
    for (int pass = 0; pass < 2; pass++) { /* counts, then fills */
        struct tmpl_text rest = text;
        int64_t n = 0;
        if (rest.data == NULL)
            rest.data = "";
        for (; next_part(&rest, has_separator, separator, n == max_splits, &part); n++)
            if (pass == 1)
                items[n] = tmpl_text_value(part);
        if (pass == 0)
            TMPL_TRY(tmpl_list_new(run, (size_t)n, false, out, &items));
    }
    return CT_OK;
}

/* Text with the first n of old replaced (all, where n is negative). */
enum ct_status tmpl_replace(struct tmpl_run *run, struct tmpl_text text,
                            const struct tmpl_value arguments[3], struct tmpl_value *out)
{
    struct tmpl_text old, with;
    int64_t n = -1, n_found = 0;
    TMPL_TRY(tmpl_need_text(run, arguments[0], &old));
    TMPL_TRY(tmpl_need_text(run, arguments[1], &with));
    if (tmpl_is_given(arguments[2]) && !tmpl_is_integer(arguments[2], &n))
        return tmpl_fail(run, "replace() with a %s for a number", tmpl_kind_name(arguments[2]));
    if (old.n_bytes == 0)
        return tmpl_fail(run, "replace() of an empty text");
    TMPL_TRY(tmpl_charge(run, text.n_bytes));
    for (size_t at = 0; n_found != n && (at = tmpl_find(text, old, at)) != SIZE_MAX;
         at += old.n_bytes)
        n_found++;
    size_t n_bytes;
    char *to;
    if (__builtin_mul_overflow((size_t)n_found, with.n_bytes, &n_bytes))
        n_bytes = SIZE_MAX / 2;
    n_bytes += text.n_bytes - (size_t)n_found * old.n_bytes;
    TMPL_TRY(tmpl_alloc(run, n_bytes, &to));
    *out = tmpl_text(to, n_bytes);
    size_t from = 0;
    for (int64_t i = 0; i < n_found; i++) {
        size_t at = tmpl_find(text, old, from);
        memcpy(to, text.data + from, at - from);
        to += at - from;
        if (with.n_bytes > 0)
            memcpy(to, with.data, with.n_bytes);
        to += with.n_bytes;
        from = at + old.n_bytes;
    }
    if (text.n_bytes > from)
        memcpy(to, text.data + from, text.n_bytes - from);
    return CT_OK;
}

enum ct_status tmpl_join(struct tmpl_run *run, const struct tmpl_list *items,
                         struct tmpl_text separator, bool has_text_alone, struct tmpl_value *out)
{
    struct tmpl_text *texts;
    size_t n_bytes = 0;
    TMPL_TRY(tmpl_alloc(run, items->n * sizeof texts[0], &texts));
    for (size_t i = 0; i < items->n; i++) {
        if (has_text_alone)
            TMPL_TRY(tmpl_need_text(run, items->items[i], &texts[i]));
        TMPL_TRY(tmpl_to_text(run, items->items[i], &texts[i]));
        n_bytes += texts[i].n_bytes + (i > 0 ? separator.n_bytes : 0);
    }
    char *to;
    TMPL_TRY(tmpl_alloc(run, n_bytes, &to));
    *out = tmpl_text(to, n_bytes);
    for (size_t i = 0; i < items->n; i++) {
        if (i > 0 && separator.n_bytes > 0)
            memcpy(to, separator.data, separator.n_bytes);
        to += i > 0 ? separator.n_bytes : 0;
        if (texts[i].n_bytes > 0)
            memcpy(to, texts[i].data, texts[i].n_bytes);
        to += texts[i].n_bytes;
    }
    return CT_OK;
}
