/* Values of the template interpreter, and what is true of them whoever computes with them.
 *
 * A value is a small struct passed by copy; text, lists and dicts point into the render's arena (or
 * the template's, for constants) and are never changed once made: only namespaces are mutable, as
 * in the sandbox that transformers renders in. Text is UTF-8; indices and lengths count code
 * points. */
#ifndef CT_TOKENIZER_TEMPLATE_VALUE_H
#define CT_TOKENIZER_TEMPLATE_VALUE_H

#include "engine/base/arena.h"
#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Leaves the function with the status of an expression that failed. There is nothing to release on
 * the way: all memory is the arena's. */
#define TMPL_TRY(expression)                                                                       \
    do {                                                                                           \
        enum ct_status status_ = (expression);                                                     \
        if (status_ != CT_OK)                                                                      \
            return status_;                                                                        \
    } while (0)

enum { TMPL_MAX_STEPS = 1000 * 1000, TMPL_MAX_DEPTH = 100 };

struct tmpl_text {
    const char *data;
    size_t n_bytes;
};

enum tmpl_kind {
    TMPL_UNDEFINED,
    TMPL_NONE,
    TMPL_BOOL,
    TMPL_INT,
    TMPL_FLOAT,
    TMPL_TEXT,
    TMPL_LIST,
    TMPL_DICT,
    TMPL_NAMESPACE,
    TMPL_LOOP,
    TMPL_FUNCTION,
};

struct tmpl_value {
    enum tmpl_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        struct tmpl_text text;
        const struct tmpl_list *list;
        const struct tmpl_dict *dict;
        struct tmpl_variable **names; /* a namespace's variables */
        const struct tmpl_loop *loop;
    };
};

struct tmpl_list {
    struct tmpl_value *items;
    size_t n;
    bool is_tuple;
};

struct tmpl_dict {
    struct tmpl_value *pairs; /* key, value, key, value ... in the order of insertion */
    size_t n;
};

struct tmpl_variable {
    struct tmpl_text name;
    struct tmpl_value value;
    struct tmpl_variable *next;
};

struct tmpl_loop {
    const struct tmpl_list *items;
    size_t index;
};

/* What one render has used and may use. */
struct tmpl_run {
    struct ct_arena arena;
    size_t max_bytes; /* of the arena */
    size_t n_steps;
    struct ct_error *err;

    struct tmpl_scope *scope;
    char *out; /* malloc'ed */
    size_t n_out, out_capacity, max_out;
};

/* Growing text, in memory of its own; the owner frees data. */
struct tmpl_buffer {
    char *data;
    size_t n_bytes, capacity;
};

static inline struct tmpl_value tmpl_bool(bool truth)
{
    return (struct tmpl_value){.kind = TMPL_BOOL, .truth = truth};
}

static inline struct tmpl_value tmpl_int(int64_t integer)
{
    return (struct tmpl_value){.kind = TMPL_INT, .integer = integer};
}

static inline struct tmpl_value tmpl_text(const char *data, size_t n_bytes)
{
    return (struct tmpl_value){.kind = TMPL_TEXT, .text = {data, n_bytes}};
}

bool tmpl_text_is(struct tmpl_text text, const char *name);

/* Fails with CT_INVALID and a message. */
CT_MUST_CHECK enum ct_status tmpl_fail(struct tmpl_run *run, const char *fmt, ...) CT_PRINTF(2, 3);

/* Counts steps for work on n_bytes of text. CT_TOO_LARGE past the limit. */
CT_MUST_CHECK enum ct_status tmpl_charge(struct tmpl_run *run, size_t n_bytes);

/* Memory of the render, charged. CT_TOO_LARGE past the limit, CT_MEMORY. */
CT_MUST_CHECK enum ct_status tmpl_alloc(struct tmpl_run *run, size_t n_bytes, void *out);

/* A list with room for n items; they are set through *items. */
CT_MUST_CHECK enum ct_status tmpl_list_new(struct tmpl_run *run, size_t n, bool is_tuple,
                                           struct tmpl_value *value, struct tmpl_value **items);

bool tmpl_is_true(struct tmpl_value value);
const char *tmpl_kind_name(struct tmpl_value value);

/* Of a number: an integer or bool as int64, anything of the kind as double. */
bool tmpl_is_integer(struct tmpl_value value, int64_t *integer);
bool tmpl_is_number(struct tmpl_value value, double *number);

CT_MUST_CHECK enum ct_status tmpl_equal(struct tmpl_run *run, struct tmpl_value a,
                                        struct tmpl_value b, int depth, bool *is_equal);

/* dict[key], or TMPL_UNDEFINED. */
CT_MUST_CHECK enum ct_status tmpl_dict_get(struct tmpl_run *run, const struct tmpl_dict *dict,
                                           struct tmpl_value key, struct tmpl_value *value);

/* needle in haystack. */
CT_MUST_CHECK enum ct_status tmpl_contains(struct tmpl_run *run, struct tmpl_value haystack,
                                           struct tmpl_value needle, bool *is_in);

/* What a loop over value goes through: a list's items, a dict's keys, a text's characters, nothing
 * of what is undefined. */
CT_MUST_CHECK enum ct_status tmpl_iterate(struct tmpl_run *run, struct tmpl_value value,
                                          const struct tmpl_list **items);

/* Number of code points, items or keys. */
CT_MUST_CHECK enum ct_status tmpl_length(struct tmpl_run *run, struct tmpl_value value, int64_t *n);

/* value[key] and value[start:stop:step]; bounds that are none or undefined are open. */
CT_MUST_CHECK enum ct_status tmpl_item(struct tmpl_run *run, struct tmpl_value value,
                                       struct tmpl_value key, struct tmpl_value *out);
CT_MUST_CHECK enum ct_status tmpl_slice(struct tmpl_run *run, struct tmpl_value value,
                                        const struct tmpl_value bounds[3], struct tmpl_value *out);

/* Python's str(value). */
CT_MUST_CHECK enum ct_status tmpl_to_text(struct tmpl_run *run, struct tmpl_value value,
                                          struct tmpl_text *text);

/* json.dumps(value, ensure_ascii=False, indent=indent), on one line where indent is negative. */
CT_MUST_CHECK enum ct_status tmpl_to_json(struct tmpl_run *run, struct tmpl_value value,
                                          int64_t indent, struct tmpl_text *text);

/* Where text begins and ends without Python's white space, on the sides asked for. */
struct tmpl_text tmpl_strip(struct tmpl_text text, bool at_start, bool at_end);
bool tmpl_is_space(uint32_t code_point);

/* Position of needle in text at or after from, or SIZE_MAX. */
size_t tmpl_find(struct tmpl_text text, struct tmpl_text needle, size_t from);

#endif
