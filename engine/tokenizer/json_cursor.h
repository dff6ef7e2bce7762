/* A cursor over JSON text for the two big tables of tokenizer.json.
 *
 * A vocabulary of 49,152 tokens and as many merges take jansson 50 ms and 150,000 small blocks of
 * memory; walking them once takes a few milliseconds and none. Strings and integers are checked
 * here; whoever skips a value has jansson check it. One owner thread. */
#ifndef CT_TOKENIZER_JSON_CURSOR_H
#define CT_TOKENIZER_JSON_CURSOR_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_json_cursor {
    const char *begin, *at, *end;
    struct ct_error *err; /* filled with the offset on CT_FORMAT; may be NULL */
};

/* A string's value: in the JSON text where it has no escapes, otherwise in buffer. */
struct ct_json_text {
    const char *data;
    size_t n_bytes;
    char *buffer; /* starts as NULL; the owner frees it */
    size_t capacity;
};

/* The next character that is not a space, or '\0' at the end. */
char ct_json_cursor_peek(struct ct_json_cursor *json);

/* Enters an object ('{') or array ('['). */
CT_MUST_CHECK enum ct_status ct_json_cursor_enter(struct ct_json_cursor *json, char open);

/* Goes to the next member and sets *has_member, or leaves the object or array. *is_first is the
 * caller's, true at the start. For an object, *key is the member's name and the cursor stands at
 * its value. */
CT_MUST_CHECK enum ct_status ct_json_cursor_next_member(struct ct_json_cursor *json, bool *is_first,
                                                        struct ct_json_text *key, bool *has_member);
CT_MUST_CHECK enum ct_status ct_json_cursor_next_element(struct ct_json_cursor *json,
                                                         bool *is_first, bool *has_element);

/* CT_FORMAT; ct_json_cursor_read_text also CT_MEMORY. The bytes of a string are not checked to be
 * UTF-8. */
CT_MUST_CHECK enum ct_status ct_json_cursor_read_text(struct ct_json_cursor *json,
                                                      struct ct_json_text *text);
CT_MUST_CHECK enum ct_status ct_json_cursor_read_int(struct ct_json_cursor *json, int64_t *value);

/* Passes over a value, looking at its brackets and strings alone. */
CT_MUST_CHECK enum ct_status ct_json_cursor_skip(struct ct_json_cursor *json);

#endif
