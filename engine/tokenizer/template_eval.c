/* Evaluates expressions. Operators follow Python's rules for the kinds of value that there are;
 * what a missing name or attribute gives is undefined, which prints as nothing and fails in most
 * operations. */
#include "engine/tokenizer/template_ast.h"

#include <math.h>
#include <string.h>

struct tmpl_value *tmpl_variable_find(struct tmpl_variable *variables, struct tmpl_text name)
{
    for (; variables != NULL; variables = variables->next)
        if (variables->name.n_bytes == name.n_bytes &&
            memcmp(variables->name.data, name.data, name.n_bytes) == 0)
            return &variables->value;
    return NULL;
}

enum ct_status tmpl_variable_set(struct tmpl_run *run, struct tmpl_variable **variables,
                                 struct tmpl_text name, struct tmpl_value value)
{
    struct tmpl_value *known = tmpl_variable_find(*variables, name);
    if (known != NULL) {
        *known = value;
        return CT_OK;
    }
    struct tmpl_variable *variable;
    TMPL_TRY(tmpl_alloc(run, sizeof *variable, &variable));
    *variable = (struct tmpl_variable){name, value, *variables};
    *variables = variable;
    return CT_OK;
}

static struct tmpl_value find_name(const struct tmpl_run *run, struct tmpl_text name)
{
    for (const struct tmpl_scope *scope = run->scope; scope != NULL; scope = scope->parent) {
        const struct tmpl_value *value = tmpl_variable_find(scope->variables, name);
        if (value != NULL)
            return *value;
    }
    bool is_function = tmpl_function_find(TMPL_FUNCTIONS, name) != NULL;
    return (struct tmpl_value){.kind = is_function ? TMPL_FUNCTION : TMPL_UNDEFINED};
}

static enum ct_status fail_operands(struct tmpl_run *run, struct tmpl_text operator,
                                    struct tmpl_value a, struct tmpl_value b)
{
    return tmpl_fail(run, "%s %.*s %s", tmpl_kind_name(a), (int)operator.n_bytes, operator.data,
                     tmpl_kind_name(b));
}

/* a / b towards minus infinity, and what is left; b is not 0. */
static bool divide_floor(int64_t a, int64_t b, int64_t *quotient, int64_t *rest)
{
    if (b == -1) {
        *rest = 0;
        return !__builtin_sub_overflow(0, a, quotient);
    }
    *quotient = a / b;
    *rest = a % b;
    if (*rest != 0 && (*rest < 0) != (b < 0)) {
        *rest += b;
        (*quotient)--;
    }
    return true;
}

static enum ct_status compute_integers(struct tmpl_run *run, struct tmpl_text operator, int64_t a,
                                       int64_t b, struct tmpl_value *out)
{
    int64_t result = 0, other;
    bool is_right = true;
    if (tmpl_text_is(operator, "+"))
        is_right = !__builtin_add_overflow(a, b, &result);
    else if (tmpl_text_is(operator, "-"))
        is_right = !__builtin_sub_overflow(a, b, &result);
    else if (tmpl_text_is(operator, "*"))
        is_right = !__builtin_mul_overflow(a, b, &result);
    else if (b == 0)
        return tmpl_fail(run, "division by zero");
    else if (tmpl_text_is(operator, "//"))
        is_right = divide_floor(a, b, &result, &other);
    else
        is_right = divide_floor(a, b, &other, &result);
    if (!is_right)
        return tmpl_fail(run, "an integer of more than 64 bits");
    *out = tmpl_int(result);
    return CT_OK;
}

static enum ct_status compute_floats(struct tmpl_run *run, struct tmpl_text operator, double a,
                                     double b, struct tmpl_value *out)
{
    double result;
    if (tmpl_text_is(operator, "+")) {
        result = a + b;
    } else if (tmpl_text_is(operator, "-")) {
        result = a - b;
    } else if (tmpl_text_is(operator, "*")) {
        result = a * b;
    } else if (b == 0) {
        return tmpl_fail(run, "division by zero");
    } else if (tmpl_text_is(operator, "/")) {
        result = a / b;
    } else {
        double rest = fmod(a, b);
        if (rest != 0 && (rest < 0) != (b < 0))
            rest += b;
        result = tmpl_text_is(operator, "//") ? floor((a - rest) / b + 0.5) : rest;
        if (rest == 0 && !tmpl_text_is(operator, "//"))
            result = copysign(0.0, b);
    }
    *out = (struct tmpl_value){.kind = TMPL_FLOAT, .real = result};
    return CT_OK;
}

static enum ct_status join_texts(struct tmpl_run *run, struct tmpl_text a, struct tmpl_text b,
                                 struct tmpl_value *out)
{
    char *text;
    TMPL_TRY(tmpl_alloc(run, a.n_bytes + b.n_bytes, &text));
    if (a.n_bytes > 0)
        memcpy(text, a.data, a.n_bytes);
    if (b.n_bytes > 0)
        memcpy(text + a.n_bytes, b.data, b.n_bytes);
    *out = tmpl_text(text, a.n_bytes + b.n_bytes);
    return CT_OK;
}

static enum ct_status join_lists(struct tmpl_run *run, const struct tmpl_list *a,
                                 const struct tmpl_list *b, struct tmpl_value *out)
{
    struct tmpl_value *items;
    TMPL_TRY(tmpl_list_new(run, a->n + b->n, a->is_tuple, out, &items));
    if (a->n > 0)
        memcpy(items, a->items, a->n * sizeof items[0]);
    if (b->n > 0)
        memcpy(items + a->n, b->items, b->n * sizeof items[0]);
    return CT_OK;
}

/* A text or list, n times. */
static enum ct_status repeat(struct tmpl_run *run, struct tmpl_value value, int64_t n,
                             struct tmpl_value *out)
{
    size_t times = n < 0 ? 0 : (size_t)n;
    if (value.kind == TMPL_TEXT) {
        size_t n_bytes = value.text.n_bytes;
        char *text;
        TMPL_TRY(tmpl_alloc(
            run, n_bytes > 0 && times > SIZE_MAX / n_bytes ? SIZE_MAX : n_bytes * times, &text));
        *out = tmpl_text(text, n_bytes * times);
        for (size_t i = 0; n_bytes > 0 && i < times; i++)
            memcpy(text + i * n_bytes, value.text.data, n_bytes);
        return CT_OK;
    }
    struct tmpl_value *items;
    size_t n_items = value.list->n;
    TMPL_TRY(tmpl_list_new(run,
                           n_items > 0 && times > SIZE_MAX / n_items ? SIZE_MAX : n_items * times,
                           value.list->is_tuple, out, &items));
    for (size_t i = 0; n_items > 0 && i < times; i++)
        memcpy(items + i * n_items, value.list->items, n_items * sizeof items[0]);
    return CT_OK;
}

static enum ct_status compute(struct tmpl_run *run, struct tmpl_text operator, struct tmpl_value a,
                              struct tmpl_value b, struct tmpl_value *out)
{
    int64_t i, j;
    double x, y;
    bool is_plus = tmpl_text_is(operator, "+"), is_times = tmpl_text_is(operator, "*");
    if (tmpl_is_integer(a, &i) && tmpl_is_integer(b, &j) && !tmpl_text_is(operator, "/"))
        return compute_integers(run, operator, i, j, out);
    if (tmpl_is_number(a, &x) && tmpl_is_number(b, &y))
        return compute_floats(run, operator, x, y, out);
    if (is_plus && a.kind == TMPL_TEXT && b.kind == TMPL_TEXT)
        return join_texts(run, a.text, b.text, out);
    if (is_plus && a.kind == TMPL_LIST && b.kind == TMPL_LIST &&
        a.list->is_tuple == b.list->is_tuple)
        return join_lists(run, a.list, b.list, out);
    if (is_times && (a.kind == TMPL_TEXT || a.kind == TMPL_LIST) && tmpl_is_integer(b, &j))
        return repeat(run, a, j, out);
    if (is_times && (b.kind == TMPL_TEXT || b.kind == TMPL_LIST) && tmpl_is_integer(a, &i))
        return repeat(run, b, i, out);
    return fail_operands(run, operator, a, b);
}

/* Negative, zero or positive; 2 where one is not a number. */
static enum ct_status order(struct tmpl_run *run, struct tmpl_text operator, struct tmpl_value a,
                            struct tmpl_value b, int *result)
{
    int64_t i, j;
    double x, y;
    *result = 2;
    if (tmpl_is_integer(a, &i) && tmpl_is_integer(b, &j)) {
        *result = (i > j) - (i < j);
    } else if (tmpl_is_number(a, &x) && tmpl_is_number(b, &y)) {
        *result = isunordered(x, y) ? 2 : (x > y) - (x < y);
    } else if (a.kind == TMPL_TEXT && b.kind == TMPL_TEXT) {
        /* The order of UTF-8 is that of code points. */
        size_t n = a.text.n_bytes < b.text.n_bytes ? a.text.n_bytes : b.text.n_bytes;
        TMPL_TRY(tmpl_charge(run, n));
        int difference = n > 0 ? memcmp(a.text.data, b.text.data, n) : 0;
        *result = difference != 0
                      ? (difference > 0) - (difference < 0)
                      : (a.text.n_bytes > b.text.n_bytes) - (a.text.n_bytes < b.text.n_bytes);
    } else {
        return fail_operands(run, operator, a, b);
    }
    return CT_OK;
}

static enum ct_status compare(struct tmpl_run *run, struct tmpl_text operator, struct tmpl_value a,
                              struct tmpl_value b, bool *holds)
{
    if (tmpl_text_is(operator, "==") || tmpl_text_is(operator, "!=")) {
        TMPL_TRY(tmpl_equal(run, a, b, 0, holds));
        *holds = *holds == tmpl_text_is(operator, "==");
        return CT_OK;
    }
    if (tmpl_text_is(operator, "in") || tmpl_text_is(operator, "not in")) {
        TMPL_TRY(tmpl_contains(run, b, a, holds));
        *holds = *holds == tmpl_text_is(operator, "in");
        return CT_OK;
    }
    int sign;
    TMPL_TRY(order(run, operator, a, b, &sign));
    bool has_equal = operator.n_bytes == 2;
    *holds = (has_equal && sign == 0) || sign == (operator.data[0] == '<' ? -1 : 1);
    return CT_OK;
}

static enum ct_status evaluate_comparison(struct tmpl_run *run, const struct tmpl_node *node,
                                          struct tmpl_value *out)
{
    struct tmpl_value left, right;
    bool holds = true;
    TMPL_TRY(tmpl_evaluate(run, node->a, &left));
    for (const struct tmpl_node *link = node->b; link != NULL && holds; link = link->next) {
        TMPL_TRY(tmpl_evaluate(run, link->a, &right));
        TMPL_TRY(compare(run, link->text, left, right, &holds));
        left = right;
    }
    *out = tmpl_bool(holds);
    return CT_OK;
}

static enum ct_status evaluate_binary(struct tmpl_run *run, const struct tmpl_node *node,
                                      struct tmpl_value *out)
{
    struct tmpl_value right;
    TMPL_TRY(tmpl_evaluate(run, node->a, out));
    for (const struct tmpl_node *link = node->b; link != NULL; link = link->next) {
        TMPL_TRY(tmpl_evaluate(run, link->a, &right));
        TMPL_TRY(compute(run, link->text, *out, right, out));
    }
    return CT_OK;
}

/* Like Python's, "and" and "or" give the operand that decided. */
static enum ct_status evaluate_logic(struct tmpl_run *run, const struct tmpl_node *node,
                                     struct tmpl_value *out)
{
    for (const struct tmpl_node *operand = node->a; operand != NULL; operand = operand->next) {
        TMPL_TRY(tmpl_evaluate(run, operand, out));
        if (tmpl_is_true(*out) == (node->kind == TMPL_N_OR))
            break;
    }
    return CT_OK;
}

static enum ct_status evaluate_concat(struct tmpl_run *run, const struct tmpl_node *node,
                                      struct tmpl_value *out)
{
    *out = tmpl_text("", 0);
    for (const struct tmpl_node *operand = node->a; operand != NULL; operand = operand->next) {
        struct tmpl_value value;
        struct tmpl_text text;
        TMPL_TRY(tmpl_evaluate(run, operand, &value));
        TMPL_TRY(tmpl_to_text(run, value, &text));
        TMPL_TRY(join_texts(run, out->text, text, out));
    }
    return CT_OK;
}

static size_t count_nodes(const struct tmpl_node *node)
{
    size_t n = 0;
    for (; node != NULL; node = node->next)
        n++;
    return n;
}

static enum ct_status evaluate_list(struct tmpl_run *run, const struct tmpl_node *node,
                                    struct tmpl_value *out)
{
    struct tmpl_value *items;
    TMPL_TRY(tmpl_list_new(run, count_nodes(node->a), node->flag, out, &items));
    for (const struct tmpl_node *item = node->a; item != NULL; item = item->next)
        TMPL_TRY(tmpl_evaluate(run, item, items++));
    return CT_OK;
}

static enum ct_status evaluate_dict(struct tmpl_run *run, const struct tmpl_node *node,
                                    struct tmpl_value *out)
{
    struct tmpl_dict *dict;
    TMPL_TRY(tmpl_alloc(run, sizeof *dict, &dict));
    TMPL_TRY(tmpl_alloc(run, count_nodes(node->a) * sizeof dict->pairs[0], &dict->pairs));
    for (const struct tmpl_node *key = node->a; key != NULL; key = key->next->next) {
        struct tmpl_value name, value;
        TMPL_TRY(tmpl_evaluate(run, key, &name));
        TMPL_TRY(tmpl_evaluate(run, key->next, &value));
        if (name.kind == TMPL_LIST || name.kind == TMPL_DICT)
            return tmpl_fail(run, "a %s as a key", tmpl_kind_name(name));
        size_t i = 0;
        for (bool is_equal = false; i < dict->n; i++) {
            TMPL_TRY(tmpl_equal(run, dict->pairs[2 * i], name, 0, &is_equal));
            if (is_equal)
                break;
        }
        if (i == dict->n) {
            dict->n++;
            dict->pairs[2 * i] = name;
        }
        dict->pairs[2 * i + 1] = value;
    }
    *out = (struct tmpl_value){.kind = TMPL_DICT, .dict = dict};
    return CT_OK;
}

static enum ct_status evaluate_sign(struct tmpl_run *run, const struct tmpl_node *node,
                                    struct tmpl_value *out)
{
    int64_t integer;
    TMPL_TRY(tmpl_evaluate(run, node->a, out));
    if (out->kind == TMPL_FLOAT) {
        out->real = node->flag ? -out->real : out->real;
        return CT_OK;
    }
    if (!tmpl_is_integer(*out, &integer))
        return tmpl_fail(run, "the sign of a %s", tmpl_kind_name(*out));
    if (node->flag && __builtin_sub_overflow(0, integer, &integer))
        return tmpl_fail(run, "an integer of more than 64 bits");
    *out = tmpl_int(integer);
    return CT_OK;
}

/* Sets the parameter called name, or the next one where name is empty. */
static enum ct_status give_argument(struct tmpl_run *run, const struct tmpl_function *function,
                                    struct tmpl_text name, struct tmpl_value value,
                                    struct tmpl_call *call)
{
    int i = 0;
    bool is_found = false;
    for (const char *at = function->parameters; *at != '\0' && !is_found;) {
        size_t n = strcspn(at, " ");
        bool is_this = name.n_bytes == 0 ? i == call->n_arguments
                                         : n == name.n_bytes && memcmp(at, name.data, n) == 0;
        if (is_this || *at == '*') {
            i = *at == '*' ? call->n_arguments : i;
            is_found = true;
            break;
        }
        i++;
        at += n + (at[n] == ' ');
    }
    if (!is_found || i >= TMPL_MAX_ARGUMENTS)
        return tmpl_fail(run, "%s() has no argument \"%.*s\"", function->name, (int)name.n_bytes,
                         name.data);
    call->arguments[i] = value;
    call->names[i] = name;
    call->n_arguments++;
    return CT_OK;
}

static enum ct_status call_function(struct tmpl_run *run, const struct tmpl_node *node,
                                    struct tmpl_value self, struct tmpl_value *out)
{
    struct tmpl_call call = {.self = self};
    for (const struct tmpl_node *argument = node->a; argument != NULL; argument = argument->next) {
        struct tmpl_value value;
        TMPL_TRY(tmpl_evaluate(run, argument->a, &value));
        TMPL_TRY(give_argument(run, node->function, argument->text, value, &call));
    }
    if (call.n_arguments < node->function->n_required)
        return tmpl_fail(run, "%s() needs %d arguments", node->function->name,
                         node->function->n_required);
    return node->function->fn(run, &call, out);
}

static enum ct_status loop_attribute(const struct tmpl_loop *loop, struct tmpl_text name,
                                     struct tmpl_value *out)
{
    int64_t i = (int64_t)loop->index, n = (int64_t)loop->items->n;
    if (tmpl_text_is(name, "index"))
        *out = tmpl_int(i + 1);
    else if (tmpl_text_is(name, "index0"))
        *out = tmpl_int(i);
    else if (tmpl_text_is(name, "revindex"))
        *out = tmpl_int(n - i);
    else if (tmpl_text_is(name, "revindex0"))
        *out = tmpl_int(n - i - 1);
    else if (tmpl_text_is(name, "first"))
        *out = tmpl_bool(i == 0);
    else if (tmpl_text_is(name, "last"))
        *out = tmpl_bool(i == n - 1);
    else if (tmpl_text_is(name, "length"))
        *out = tmpl_int(n);
    else if (tmpl_text_is(name, "depth"))
        *out = tmpl_int(1);
    else if (tmpl_text_is(name, "depth0"))
        *out = tmpl_int(0);
    else if (tmpl_text_is(name, "previtem") && i > 0)
        *out = loop->items->items[i - 1];
    else if (tmpl_text_is(name, "nextitem") && i + 1 < n)
        *out = loop->items->items[i + 1];
    return CT_OK;
}

static enum ct_status attribute(struct tmpl_run *run, struct tmpl_value value,
                                struct tmpl_text name, struct tmpl_value *out)
{
    const struct tmpl_value *found;
    *out = (struct tmpl_value){.kind = TMPL_UNDEFINED};
    switch (value.kind) {
    case TMPL_UNDEFINED:
        return tmpl_fail(run, "\"%.*s\" of an undefined value",
                         (int)(name.n_bytes < 64 ? name.n_bytes : 64), name.data);
    case TMPL_LOOP:
        return loop_attribute(value.loop, name, out);
    case TMPL_NAMESPACE:
        found = tmpl_variable_find(*value.names, name);
        if (found != NULL)
            *out = *found;
        return CT_OK;
    case TMPL_DICT:
    case TMPL_TEXT:
        if (tmpl_function_find(TMPL_METHODS, name) != NULL &&
            (value.kind == TMPL_TEXT || tmpl_text_is(name, "items") || tmpl_text_is(name, "keys") ||
             tmpl_text_is(name, "values") || tmpl_text_is(name, "get")))
            return tmpl_fail(run, "the method \"%.*s\" is not called", (int)name.n_bytes,
                             name.data);
        return value.kind == TMPL_DICT
                   ? tmpl_dict_get(run, value.dict, tmpl_text(name.data, name.n_bytes), out)
                   : CT_OK;
    default:
        return CT_OK;
    }
}

static enum ct_status evaluate_slice(struct tmpl_run *run, const struct tmpl_node *node,
                                     struct tmpl_value value, struct tmpl_value *out)
{
    const struct tmpl_node *nodes[3] = {node->a, node->b, node->otherwise};
    struct tmpl_value bounds[3] = {{.kind = TMPL_NONE}, {.kind = TMPL_NONE}, {.kind = TMPL_NONE}};
    for (int i = 0; i < 3; i++)
        if (nodes[i] != NULL)
            TMPL_TRY(tmpl_evaluate(run, nodes[i], &bounds[i]));
    return tmpl_slice(run, value, bounds, out);
}

static enum ct_status evaluate_link(struct tmpl_run *run, const struct tmpl_node *link,
                                    struct tmpl_value value, struct tmpl_value *out)
{
    struct tmpl_value key;
    switch (link->kind) {
    case TMPL_N_ATTRIBUTE:
        return attribute(run, value, link->text, out);
    case TMPL_N_ITEM:
        TMPL_TRY(tmpl_evaluate(run, link->a, &key));
        if (key.kind == TMPL_TEXT && (value.kind == TMPL_LOOP || value.kind == TMPL_NAMESPACE))
            return attribute(run, value, key.text, out);
        return tmpl_item(run, value, key, out);
    case TMPL_N_SLICE:
        return evaluate_slice(run, link, value, out);
    case TMPL_N_TEST:
        TMPL_TRY(call_function(run, link, value, out));
        *out = tmpl_bool(tmpl_is_true(*out) != link->flag);
        return CT_OK;
    default: /* a method or filter */
        return call_function(run, link, value, out);
    }
}

static enum ct_status evaluate_chain(struct tmpl_run *run, const struct tmpl_node *node,
                                     struct tmpl_value *out)
{
    struct tmpl_value value;
    TMPL_TRY(tmpl_evaluate(run, node->a, &value));
    for (const struct tmpl_node *link = node->b; link != NULL; link = link->next) {
        TMPL_TRY(tmpl_charge(run, 0));
        TMPL_TRY(evaluate_link(run, link, value, out));
        value = *out;
    }
    *out = value;
    return CT_OK;
}

static enum ct_status evaluate_choice(struct tmpl_run *run, const struct tmpl_node *node,
                                      struct tmpl_value *out)
{
    struct tmpl_value condition;
    TMPL_TRY(tmpl_evaluate(run, node->b, &condition));
    const struct tmpl_node *chosen = tmpl_is_true(condition) ? node->a : node->otherwise;
    *out = (struct tmpl_value){.kind = TMPL_UNDEFINED};
    return chosen != NULL ? tmpl_evaluate(run, chosen, out) : CT_OK;
}

enum ct_status tmpl_evaluate(struct tmpl_run *run, const struct tmpl_node *node,
                             struct tmpl_value *out)
{
    TMPL_TRY(tmpl_charge(run, 0));
    switch (node->kind) {
    case TMPL_N_CONST:
        *out = node->value;
        return CT_OK;
    case TMPL_N_NAME:
        *out = find_name(run, node->text);
        return CT_OK;
    case TMPL_N_LIST:
        return evaluate_list(run, node, out);
    case TMPL_N_DICT:
        return evaluate_dict(run, node, out);
    case TMPL_N_NOT:
        TMPL_TRY(tmpl_evaluate(run, node->a, out));
        *out = tmpl_bool(!tmpl_is_true(*out));
        return CT_OK;
    case TMPL_N_SIGN:
        return evaluate_sign(run, node, out);
    case TMPL_N_AND:
    case TMPL_N_OR:
        return evaluate_logic(run, node, out);
    case TMPL_N_CONCAT:
        return evaluate_concat(run, node, out);
    case TMPL_N_BINARY:
        return evaluate_binary(run, node, out);
    case TMPL_N_COMPARE:
        return evaluate_comparison(run, node, out);
    case TMPL_N_CHOICE:
        return evaluate_choice(run, node, out);
    case TMPL_N_CHAIN:
        return evaluate_chain(run, node, out);
    case TMPL_N_CALL:
        return call_function(run, node, (struct tmpl_value){.kind = TMPL_UNDEFINED}, out);
    default:
        return tmpl_fail(run, "not an expression");
    }
}
