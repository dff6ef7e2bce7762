/* Parses expressions. Precedence, from loose to tight, as in jinja2's parser.py (3.1.6):
 *   x if y else z | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | unary - +
 *   | .name [item] (call) | filters and tests
 * Names of filters, tests, methods and functions are looked up here, so that a template that needs
 * one that is missing is refused when it is loaded. */
#include "engine/tokenizer/template_ast.h"

#include <string.h>

static enum ct_status parse_or(struct tmpl_parser *parser, struct tmpl_node **out);
static enum ct_status parse_unary(struct tmpl_parser *parser, bool has_filters,
                                  struct tmpl_node **out);

static bool at_operator(const struct tmpl_parser *parser, const char *text)
{
    return tmpl_at(parser, TMPL_T_OPERATOR, text);
}

static bool skip_operator(struct tmpl_parser *parser, const char *text)
{
    return tmpl_skip(parser, TMPL_T_OPERATOR, text);
}

/* Items up to a closing bracket, which is passed over; *is_tuple: one comma at least. */
static enum ct_status parse_items(struct tmpl_parser *parser, const char *close,
                                  struct tmpl_node **items, bool *is_tuple)
{
    *items = NULL;
    *is_tuple = false;
    while (!skip_operator(parser, close)) {
        TMPL_TRY(tmpl_parse_expression(parser, false, items));
        items = &(*items)->next;
        if (skip_operator(parser, ","))
            *is_tuple = true;
        else if (!at_operator(parser, close))
            return tmpl_expect(parser, TMPL_T_OPERATOR, close);
    }
    return CT_OK;
}

static enum ct_status parse_parentheses(struct tmpl_parser *parser, struct tmpl_node **out)
{
    struct tmpl_node *items;
    size_t at = parser->token->at;
    bool is_tuple;
    TMPL_TRY(tmpl_expect(parser, TMPL_T_OPERATOR, "("));
    TMPL_TRY(parse_items(parser, ")", &items, &is_tuple));
    if (items != NULL && !is_tuple) {
        *out = items;
        return CT_OK;
    }
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_LIST, out));
    (*out)->at = at;
    (*out)->a = items;
    (*out)->flag = true;
    return CT_OK;
}

static enum ct_status parse_list(struct tmpl_parser *parser, struct tmpl_node **out)
{
    bool has_comma;
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_LIST, out));
    TMPL_TRY(tmpl_expect(parser, TMPL_T_OPERATOR, "["));
    return parse_items(parser, "]", &(*out)->a, &has_comma);
}

static enum ct_status parse_dict(struct tmpl_parser *parser, struct tmpl_node **out)
{
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_DICT, out));
    TMPL_TRY(tmpl_expect(parser, TMPL_T_OPERATOR, "{"));
    struct tmpl_node **items = &(*out)->a;
    while (!skip_operator(parser, "}")) {
        TMPL_TRY(tmpl_parse_expression(parser, false, items));
        items = &(*items)->next;
        TMPL_TRY(tmpl_expect(parser, TMPL_T_OPERATOR, ":"));
        TMPL_TRY(tmpl_parse_expression(parser, false, items));
        items = &(*items)->next;
        if (!skip_operator(parser, ",") && !at_operator(parser, "}"))
            return tmpl_expect(parser, TMPL_T_OPERATOR, "}");
    }
    return CT_OK;
}

/* Strings side by side are one. */
static enum ct_status parse_strings(struct tmpl_parser *parser, struct tmpl_node **out)
{
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_CONST, out));
    const struct tmpl_token *from = parser->token;
    size_t n_bytes = 0;
    for (; parser->token->kind == TMPL_T_STRING; parser->token++)
        n_bytes += parser->token->text.n_bytes;
    char *text = ct_arena_alloc(&parser->tmpl->arena, n_bytes);
    if (text == NULL)
        return CT_MEMORY;
    (*out)->value = tmpl_text(text, n_bytes);
    for (; from < parser->token; text += from++->text.n_bytes)
        memcpy(text, from->text.data, from->text.n_bytes);
    return CT_OK;
}

static enum ct_status parse_arguments(struct tmpl_parser *parser,
                                      const struct tmpl_function *function, struct tmpl_node **out)
{
    TMPL_TRY(tmpl_expect(parser, TMPL_T_OPERATOR, "("));
    bool has_names = false;
    size_t at = parser->token->at;
    int n = 0;
    while (!skip_operator(parser, ")")) {
        if (at_operator(parser, "*") || at_operator(parser, "**"))
            return tmpl_error_at(parser, parser->token->at, CT_UNSUPPORTED, "arguments by \"*\"");
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_ARGUMENT, out));
        const struct tmpl_token *after = parser->token + 1;
        if (parser->token->kind == TMPL_T_NAME && after->kind == TMPL_T_OPERATOR &&
            tmpl_text_is(after->text, "=")) {
            (*out)->text = parser->token->text;
            parser->token += 2;
            has_names = true;
        } else if (has_names) {
            return tmpl_error_at(parser, parser->token->at, CT_FORMAT,
                                 "an argument without a name after one with a name");
        }
        TMPL_TRY(tmpl_parse_expression(parser, false, &(*out)->a));
        out = &(*out)->next;
        if (++n > TMPL_MAX_ARGUMENTS)
            return tmpl_error_at(parser, at, CT_UNSUPPORTED, "%s() with more than %d arguments",
                                 function->name, TMPL_MAX_ARGUMENTS);
        if (!skip_operator(parser, ",") && !at_operator(parser, ")"))
            return tmpl_expect(parser, TMPL_T_OPERATOR, ")");
    }
    return CT_OK;
}

static enum ct_status find_function(struct tmpl_parser *parser, enum tmpl_table table,
                                    const struct tmpl_token *name, struct tmpl_node *node)
{
    static const char *const nouns[] = {"function", "method", "filter", "test"};
    node->function = tmpl_function_find(table, name->text);
    if (node->function != NULL)
        return CT_OK;
    return tmpl_error_at(parser, name->at, CT_UNSUPPORTED, "%s \"%.*s\"", nouns[table],
                         (int)(name->text.n_bytes < 64 ? name->text.n_bytes : 64), name->text.data);
}

/* A constant by name, a call of a function, or a variable. */
static enum ct_status parse_name(struct tmpl_parser *parser, struct tmpl_node **out)
{
    static const struct {
        const char *names[2];
        struct tmpl_value value;
    } constants[] = {
        {{"true", "True"}, {.kind = TMPL_BOOL, .truth = true}},
        {{"false", "False"}, {.kind = TMPL_BOOL, .truth = false}},
        {{"none", "None"}, {.kind = TMPL_NONE}},
    };
    const struct tmpl_token *name = parser->token++;
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_NAME, out));
    (*out)->at = name->at;
    (*out)->text = name->text;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (tmpl_text_is(name->text, constants[i].names[0]) ||
            tmpl_text_is(name->text, constants[i].names[1])) {
            (*out)->kind = TMPL_N_CONST;
            (*out)->value = constants[i].value;
            return CT_OK;
        }
    }
    if (!at_operator(parser, "("))
        return CT_OK;
    (*out)->kind = TMPL_N_CALL;
    TMPL_TRY(find_function(parser, TMPL_FUNCTIONS, name, *out));
    return parse_arguments(parser, (*out)->function, &(*out)->a);
}

static enum ct_status parse_primary(struct tmpl_parser *parser, struct tmpl_node **out)
{
    switch (parser->token->kind) {
    case TMPL_T_NAME:
        return parse_name(parser, out);
    case TMPL_T_STRING:
        return parse_strings(parser, out);
    case TMPL_T_INT:
    case TMPL_T_FLOAT:
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_CONST, out));
        (*out)->value = parser->token++->value;
        return CT_OK;
    default:
        break;
    }
    if (at_operator(parser, "("))
        return parse_parentheses(parser, out);
    if (at_operator(parser, "["))
        return parse_list(parser, out);
    if (at_operator(parser, "{"))
        return parse_dict(parser, out);
    return tmpl_error_at(parser, parser->token->at, CT_FORMAT, "expected an expression");
}

/* [item] or [start:stop:step]. */
static enum ct_status parse_subscript(struct tmpl_parser *parser, struct tmpl_node **out)
{
    struct tmpl_node *bounds[3] = {NULL, NULL, NULL};
    int n_colons = 0;
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_ITEM, out));
    TMPL_TRY(tmpl_expect(parser, TMPL_T_OPERATOR, "["));
    while (!at_operator(parser, "]")) {
        if (skip_operator(parser, ":")) {
            if (++n_colons > 2)
                return tmpl_expect(parser, TMPL_T_OPERATOR, "]");
        } else if (bounds[n_colons] != NULL) {
            return tmpl_expect(parser, TMPL_T_OPERATOR, "]");
        } else {
            TMPL_TRY(tmpl_parse_expression(parser, false, &bounds[n_colons]));
        }
    }
    if (n_colons == 0 && bounds[0] == NULL)
        return tmpl_error_at(parser, parser->token->at, CT_FORMAT, "expected an expression");
    (*out)->kind = n_colons > 0 ? TMPL_N_SLICE : TMPL_N_ITEM;
    (*out)->a = bounds[0];
    (*out)->b = bounds[1];
    (*out)->otherwise = bounds[2];
    return tmpl_expect(parser, TMPL_T_OPERATOR, "]");
}

/* .name, .0 or .name(arguments) */
static enum ct_status parse_attribute(struct tmpl_parser *parser, struct tmpl_node **out)
{
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_ATTRIBUTE, out));
    TMPL_TRY(tmpl_expect(parser, TMPL_T_OPERATOR, "."));
    const struct tmpl_token *name = parser->token++;
    if (name->kind == TMPL_T_INT) {
        (*out)->kind = TMPL_N_ITEM;
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_CONST, &(*out)->a));
        (*out)->a->value = name->value;
        return CT_OK;
    }
    if (name->kind != TMPL_T_NAME) {
        parser->token--;
        return tmpl_expect(parser, TMPL_T_NAME, NULL);
    }
    (*out)->text = name->text;
    if (!at_operator(parser, "("))
        return CT_OK;
    (*out)->kind = TMPL_N_METHOD;
    TMPL_TRY(find_function(parser, TMPL_METHODS, name, *out));
    return parse_arguments(parser, (*out)->function, &(*out)->a);
}

static enum ct_status parse_filter(struct tmpl_parser *parser, struct tmpl_node **out)
{
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_FILTER, out));
    const struct tmpl_token *name = parser->token;
    TMPL_TRY(tmpl_expect(parser, TMPL_T_NAME, NULL));
    TMPL_TRY(find_function(parser, TMPL_FILTERS, name, *out));
    return at_operator(parser, "(") ? parse_arguments(parser, (*out)->function, &(*out)->a) : CT_OK;
}

/* Whether a test goes on with an argument without parentheses: "x is equalto 1". */
static bool at_bare_argument(const struct tmpl_parser *parser)
{
    switch (parser->token->kind) {
    case TMPL_T_STRING:
    case TMPL_T_INT:
    case TMPL_T_FLOAT:
        return true;
    case TMPL_T_NAME:
        return !tmpl_at(parser, TMPL_T_NAME, "else") && !tmpl_at(parser, TMPL_T_NAME, "or") &&
               !tmpl_at(parser, TMPL_T_NAME, "and") && !tmpl_at(parser, TMPL_T_NAME, "if");
    default:
        return at_operator(parser, "[") || at_operator(parser, "{");
    }
}

static enum ct_status parse_links(struct tmpl_parser *parser, bool has_filters,
                                  struct tmpl_node **links);

static enum ct_status parse_test(struct tmpl_parser *parser, struct tmpl_node **out)
{
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_TEST, out));
    (*out)->flag = tmpl_skip(parser, TMPL_T_NAME, "not");
    const struct tmpl_token *name = parser->token;
    TMPL_TRY(tmpl_expect(parser, TMPL_T_NAME, NULL));
    TMPL_TRY(find_function(parser, TMPL_TESTS, name, *out));
    if (at_operator(parser, "("))
        return parse_arguments(parser, (*out)->function, &(*out)->a);
    if (!at_bare_argument(parser))
        return CT_OK;
    struct tmpl_node *chain;
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_ARGUMENT, &(*out)->a));
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_CHAIN, &chain));
    (*out)->a->a = chain;
    TMPL_TRY(parse_primary(parser, &chain->a));
    return parse_links(parser, false, &chain->b);
}

/* What follows a primary; with has_filters, filters and tests too. */
static enum ct_status parse_links(struct tmpl_parser *parser, bool has_filters,
                                  struct tmpl_node **links)
{
    for (bool is_filtered = false;; links = &(*links)->next) {
        if (at_operator(parser, ".") && !is_filtered) {
            TMPL_TRY(parse_attribute(parser, links));
        } else if (at_operator(parser, "[") && !is_filtered) {
            TMPL_TRY(parse_subscript(parser, links));
        } else if (at_operator(parser, "(")) {
            return tmpl_error_at(parser, parser->token->at, CT_UNSUPPORTED, "a call of a value");
        } else if (has_filters && skip_operator(parser, "|")) {
            TMPL_TRY(parse_filter(parser, links));
            is_filtered = true;
        } else if (has_filters && tmpl_skip(parser, TMPL_T_NAME, "is")) {
            TMPL_TRY(parse_test(parser, links));
            is_filtered = true;
        } else {
            return CT_OK;
        }
    }
}

static enum ct_status parse_unary(struct tmpl_parser *parser, bool has_filters,
                                  struct tmpl_node **out)
{
    struct tmpl_node *chain;
    TMPL_TRY(tmpl_parse_enter(parser));
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_CHAIN, &chain));
    if (at_operator(parser, "-") || at_operator(parser, "+")) {
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_SIGN, &chain->a));
        chain->a->flag = at_operator(parser, "-");
        parser->token++;
        TMPL_TRY(parse_unary(parser, false, &chain->a->a));
    } else {
        TMPL_TRY(parse_primary(parser, &chain->a));
    }
    TMPL_TRY(parse_links(parser, has_filters, &chain->b));
    *out = chain->b != NULL ? chain : chain->a;
    parser->depth--;
    return CT_OK;
}

static enum ct_status parse_plain_unary(struct tmpl_parser *parser, struct tmpl_node **out)
{
    return parse_unary(parser, true, out);
}

typedef enum ct_status parse_fn(struct tmpl_parser *parser, struct tmpl_node **out);

/* Operands of one level with operators between them. */
static enum ct_status parse_binary(struct tmpl_parser *parser, const char *const *operators,
                                   parse_fn *parse_operand, struct tmpl_node **out)
{
    TMPL_TRY(parse_operand(parser, out));
    struct tmpl_node *first = *out;
    struct tmpl_node **links = NULL;
    for (;;) {
        const char *const *operator= operators;
        while (*operator!= NULL && !at_operator(parser, *operator))
            operator++;
        if (*operator== NULL)
            return CT_OK;
        if (links == NULL) {
            TMPL_TRY(tmpl_node_new(parser, TMPL_N_BINARY, out));
            (*out)->a = first;
            links = &(*out)->b;
        }
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_OPERAND, links));
        (*links)->text = parser->token++->text;
        TMPL_TRY(parse_operand(parser, &(*links)->a));
        links = &(*links)->next;
    }
}

static enum ct_status parse_product(struct tmpl_parser *parser, struct tmpl_node **out)
{
    static const char *const operators[] = {"*", "/", "//", "%", NULL};
    TMPL_TRY(parse_binary(parser, operators, parse_plain_unary, out));
    if (at_operator(parser, "**"))
        return tmpl_error_at(parser, parser->token->at, CT_UNSUPPORTED, "operator \"**\"");
    return CT_OK;
}

/* Operands of one level with one operator between them, as one list. */
static enum ct_status parse_series(struct tmpl_parser *parser, enum tmpl_token_kind token,
                                   const char *operator, enum tmpl_node_kind kind,
                                   parse_fn *parse_operand, struct tmpl_node **out)
{
    struct tmpl_node *first;
    TMPL_TRY(parse_operand(parser, &first));
    *out = first;
    if (!tmpl_at(parser, token, operator))
        return CT_OK;
    TMPL_TRY(tmpl_node_new(parser, kind, out));
    (*out)->a = first;
    while (tmpl_skip(parser, token, operator)) {
        TMPL_TRY(parse_operand(parser, &first->next));
        first = first->next;
    }
    return CT_OK;
}

static enum ct_status parse_concat(struct tmpl_parser *parser, struct tmpl_node **out)
{
    return parse_series(parser, TMPL_T_OPERATOR, "~", TMPL_N_CONCAT, parse_product, out);
}

static enum ct_status parse_sum(struct tmpl_parser *parser, struct tmpl_node **out)
{
    static const char *const operators[] = {"+", "-", NULL};
    return parse_binary(parser, operators, parse_concat, out);
}

/* The comparison at the current token, which is passed over; empty where there is none. */
static struct tmpl_text take_comparison(struct tmpl_parser *parser)
{
    static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
    struct tmpl_text none = {"", 0};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (skip_operator(parser, operators[i]))
            return (struct tmpl_text){operators[i], strlen(operators[i])};
    if (tmpl_skip(parser, TMPL_T_NAME, "in"))
        return (struct tmpl_text){"in", 2};
    const struct tmpl_token *after = parser->token + 1;
    if (!tmpl_at(parser, TMPL_T_NAME, "not") || after->kind != TMPL_T_NAME ||
        !tmpl_text_is(after->text, "in"))
        return none;
    parser->token += 2;
    return (struct tmpl_text){"not in", 6};
}

static enum ct_status parse_comparison(struct tmpl_parser *parser, struct tmpl_node **out)
{
    TMPL_TRY(parse_sum(parser, out));
    struct tmpl_node *first = *out;
    struct tmpl_node **links = NULL;
    for (;;) {
        struct tmpl_text operator= take_comparison(parser);
        if (operator.n_bytes == 0)
            return CT_OK;
        if (links == NULL) {
            TMPL_TRY(tmpl_node_new(parser, TMPL_N_COMPARE, out));
            (*out)->a = first;
            links = &(*out)->b;
        }
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_OPERAND, links));
        (*links)->text = operator;
        TMPL_TRY(parse_sum(parser, &(*links)->a));
        links = &(*links)->next;
    }
}

static enum ct_status parse_not(struct tmpl_parser *parser, struct tmpl_node **out)
{
    if (!tmpl_at(parser, TMPL_T_NAME, "not"))
        return parse_comparison(parser, out);
    TMPL_TRY(tmpl_parse_enter(parser));
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_NOT, out));
    parser->token++;
    TMPL_TRY(parse_not(parser, &(*out)->a));
    parser->depth--;
    return CT_OK;
}

static enum ct_status parse_and(struct tmpl_parser *parser, struct tmpl_node **out)
{
    return parse_series(parser, TMPL_T_NAME, "and", TMPL_N_AND, parse_not, out);
}

static enum ct_status parse_or(struct tmpl_parser *parser, struct tmpl_node **out)
{
    return parse_series(parser, TMPL_T_NAME, "or", TMPL_N_OR, parse_and, out);
}

static enum ct_status parse_choice(struct tmpl_parser *parser, struct tmpl_node **out)
{
    struct tmpl_node *value;
    TMPL_TRY(tmpl_parse_enter(parser));
    TMPL_TRY(parse_or(parser, &value));
    *out = value;
    if (tmpl_skip(parser, TMPL_T_NAME, "if")) {
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_CHOICE, out));
        (*out)->a = value;
        TMPL_TRY(parse_or(parser, &(*out)->b));
        if (tmpl_skip(parser, TMPL_T_NAME, "else"))
            TMPL_TRY(parse_choice(parser, &(*out)->otherwise));
    }
    parser->depth--;
    return CT_OK;
}

enum ct_status tmpl_parse_operand(struct tmpl_parser *parser, struct tmpl_node **out)
{
    return parse_or(parser, out);
}

enum ct_status tmpl_parse_expression(struct tmpl_parser *parser, bool has_tuple,
                                     struct tmpl_node **out)
{
    struct tmpl_node *first;
    TMPL_TRY(parse_choice(parser, &first));
    *out = first;
    if (!has_tuple || !at_operator(parser, ","))
        return CT_OK;
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_LIST, out));
    (*out)->a = first;
    (*out)->flag = true;
    while (skip_operator(parser, ",")) {
        if (parser->token->kind == TMPL_T_PRINT_END || parser->token->kind == TMPL_T_BLOCK_END)
            return CT_OK;
        TMPL_TRY(parse_choice(parser, &first->next));
        first = first->next;
    }
    return CT_OK;
}
