/* Parses statements: what stands in {% %} and between. */
#include "engine/tokenizer/template_ast.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SOURCE_BYTES = 1 << 20 };

enum ct_status tmpl_node_new(struct tmpl_parser *parser, enum tmpl_node_kind kind,
                             struct tmpl_node **out)
{
    struct tmpl_node *node = ct_arena_alloc(&parser->tmpl->arena, sizeof *node);
    if (node == NULL)
        return CT_MEMORY;
    node->kind = kind;
    node->at = parser->token->at;
    *out = node;
    return CT_OK;
}

enum ct_status tmpl_parse_enter(struct tmpl_parser *parser)
{
    if (++parser->depth > TMPL_MAX_DEPTH)
        return tmpl_error_at(parser, parser->token->at, CT_UNSUPPORTED, "nested deeper than %d",
                             TMPL_MAX_DEPTH);
    return CT_OK;
}

bool tmpl_at(const struct tmpl_parser *parser, enum tmpl_token_kind kind, const char *text)
{
    return parser->token->kind == kind && (text == NULL || tmpl_text_is(parser->token->text, text));
}

bool tmpl_skip(struct tmpl_parser *parser, enum tmpl_token_kind kind, const char *text)
{
    bool is_there = tmpl_at(parser, kind, text);
    parser->token += is_there;
    return is_there;
}

enum ct_status tmpl_expect(struct tmpl_parser *parser, enum tmpl_token_kind kind, const char *text)
{
    static const char *const names[] = {"text",     "\"{{\"",      "\"}}\"",   "\"{%\"",
                                        "\"%}\"",   "a name",      "a string", "an integer",
                                        "a number", "an operator", "the end"};
    if (tmpl_skip(parser, kind, text))
        return CT_OK;
    const char *quote = text != NULL ? "\"" : "";
    return tmpl_error_at(parser, parser->token->at, CT_FORMAT, "expected %s%s%s", quote,
                         text != NULL ? text : names[kind], quote);
}

static enum ct_status parse_body(struct tmpl_parser *parser, const char *const *ends,
                                 struct tmpl_node **body);

static enum ct_status end_block(struct tmpl_parser *parser)
{
    return tmpl_expect(parser, TMPL_T_BLOCK_END, NULL);
}

/* "{% name %}" that ends a body; the parser stands at the name. */
static enum ct_status parse_end(struct tmpl_parser *parser, const char *name)
{
    TMPL_TRY(tmpl_expect(parser, TMPL_T_NAME, name));
    return end_block(parser);
}

static enum ct_status parse_if(struct tmpl_parser *parser, struct tmpl_node *node)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    node->kind = TMPL_N_IF;
    struct tmpl_node **branch = &node->a;
    bool has_else = false;
    for (;; branch = &(*branch)->next) {
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_BRANCH, branch));
        if (!has_else)
            TMPL_TRY(tmpl_parse_expression(parser, true, &(*branch)->a));
        TMPL_TRY(end_block(parser));
        TMPL_TRY(parse_body(parser, ends + (has_else ? 2 : 0), &(*branch)->body));
        if (tmpl_skip(parser, TMPL_T_NAME, "else"))
            has_else = true;
        else if (!tmpl_skip(parser, TMPL_T_NAME, "elif"))
            return parse_end(parser, "endif");
    }
}

/* Names to assign to: "x", "x, y" or "(x, y)". */
static enum ct_status parse_targets(struct tmpl_parser *parser, struct tmpl_node **targets)
{
    bool has_parentheses = tmpl_skip(parser, TMPL_T_OPERATOR, "(");
    do {
        if (tmpl_at(parser, TMPL_T_OPERATOR, "("))
            return tmpl_error_at(parser, parser->token->at, CT_UNSUPPORTED, "nested targets");
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_NAME, targets));
        (*targets)->text = parser->token->text;
        TMPL_TRY(tmpl_expect(parser, TMPL_T_NAME, NULL));
        targets = &(*targets)->next;
    } while (tmpl_skip(parser, TMPL_T_OPERATOR, ","));
    return has_parentheses ? tmpl_expect(parser, TMPL_T_OPERATOR, ")") : CT_OK;
}

static enum ct_status parse_for(struct tmpl_parser *parser, struct tmpl_node *node)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    node->kind = TMPL_N_FOR;
    TMPL_TRY(parse_targets(parser, &node->targets));
    for (const struct tmpl_node *target = node->targets; target != NULL; target = target->next)
        if (tmpl_text_is(target->text, "loop"))
            return tmpl_error_at(parser, target->at, CT_FORMAT, "\"loop\" as a loop's target");
    TMPL_TRY(tmpl_expect(parser, TMPL_T_NAME, "in"));
    TMPL_TRY(tmpl_parse_operand(parser, &node->a));
    if (tmpl_skip(parser, TMPL_T_NAME, "if"))
        TMPL_TRY(tmpl_parse_expression(parser, false, &node->b));
    if (tmpl_at(parser, TMPL_T_NAME, "recursive"))
        return tmpl_error_at(parser, parser->token->at, CT_UNSUPPORTED, "a recursive loop");
    TMPL_TRY(end_block(parser));
    parser->loop_depth++;
    TMPL_TRY(parse_body(parser, ends, &node->body));
    parser->loop_depth--;
    if (tmpl_skip(parser, TMPL_T_NAME, "else")) {
        TMPL_TRY(end_block(parser));
        TMPL_TRY(parse_body(parser, ends + 1, &node->otherwise));
    }
    return parse_end(parser, "endfor");
}

static enum ct_status parse_set(struct tmpl_parser *parser, struct tmpl_node *node)
{
    static const char *const ends[] = {"endset", NULL};
    node->kind = TMPL_N_SET;
    TMPL_TRY(parse_targets(parser, &node->targets));
    if (tmpl_skip(parser, TMPL_T_OPERATOR, ".")) {
        TMPL_TRY(tmpl_node_new(parser, TMPL_N_ATTRIBUTE, &node->targets->a));
        node->targets->a->text = parser->token->text;
        TMPL_TRY(tmpl_expect(parser, TMPL_T_NAME, NULL));
    }
    if (tmpl_skip(parser, TMPL_T_OPERATOR, "=")) {
        TMPL_TRY(tmpl_parse_expression(parser, true, &node->a));
        return end_block(parser);
    }
    if (tmpl_at(parser, TMPL_T_OPERATOR, "|"))
        return tmpl_error_at(parser, parser->token->at, CT_UNSUPPORTED, "a filter on a set block");
    if (node->targets->next != NULL)
        return tmpl_expect(parser, TMPL_T_OPERATOR, "=");
    TMPL_TRY(end_block(parser));
    TMPL_TRY(parse_body(parser, ends, &node->body));
    return parse_end(parser, "endset");
}

static enum ct_status parse_jump(struct tmpl_parser *parser, struct tmpl_node *node,
                                 enum tmpl_node_kind kind)
{
    node->kind = kind;
    if (parser->loop_depth == 0)
        return tmpl_error_at(parser, node->at, CT_FORMAT, "outside of a loop");
    return end_block(parser);
}

/* "generation" marks what a model writes, for training; rendering passes it through. */
static enum ct_status parse_generation(struct tmpl_parser *parser, struct tmpl_node *node)
{
    static const char *const ends[] = {"endgeneration", NULL};
    node->kind = TMPL_N_GROUP;
    TMPL_TRY(end_block(parser));
    TMPL_TRY(parse_body(parser, ends, &node->body));
    return parse_end(parser, "endgeneration");
}

static enum ct_status parse_statement(struct tmpl_parser *parser, struct tmpl_node **out)
{
    TMPL_TRY(tmpl_node_new(parser, TMPL_N_GROUP, out));
    struct tmpl_token name = *parser->token;
    TMPL_TRY(tmpl_expect(parser, TMPL_T_NAME, NULL));
    if (tmpl_text_is(name.text, "if"))
        return parse_if(parser, *out);
    if (tmpl_text_is(name.text, "for"))
        return parse_for(parser, *out);
    if (tmpl_text_is(name.text, "set"))
        return parse_set(parser, *out);
    if (tmpl_text_is(name.text, "break"))
        return parse_jump(parser, *out, TMPL_N_BREAK);
    if (tmpl_text_is(name.text, "continue"))
        return parse_jump(parser, *out, TMPL_N_CONTINUE);
    if (tmpl_text_is(name.text, "generation"))
        return parse_generation(parser, *out);
    return tmpl_error_at(parser, name.at, CT_UNSUPPORTED, "statement \"%.*s\"",
                         (int)(name.text.n_bytes < 64 ? name.text.n_bytes : 64), name.text.data);
}

static bool at_any(const struct tmpl_parser *parser, const char *const *names)
{
    for (; *names != NULL; names++)
        if (tmpl_at(parser, TMPL_T_NAME, *names))
            return true;
    return false;
}

/* Statements up to the end of the template (ends is NULL), or up to a block with a name of ends:
 * then the parser stands at that name. */
static enum ct_status parse_body(struct tmpl_parser *parser, const char *const *ends,
                                 struct tmpl_node **body)
{
    TMPL_TRY(tmpl_parse_enter(parser));
    for (;; body = &(*body)->next) {
        if (parser->token->kind == TMPL_T_DATA) {
            TMPL_TRY(tmpl_node_new(parser, TMPL_N_TEXT, body));
            (*body)->text = parser->token++->text;
        } else if (tmpl_skip(parser, TMPL_T_PRINT_BEGIN, NULL)) {
            TMPL_TRY(tmpl_node_new(parser, TMPL_N_PRINT, body));
            TMPL_TRY(tmpl_parse_expression(parser, true, &(*body)->a));
            TMPL_TRY(tmpl_expect(parser, TMPL_T_PRINT_END, NULL));
        } else if (tmpl_skip(parser, TMPL_T_BLOCK_BEGIN, NULL)) {
            if (ends != NULL && at_any(parser, ends))
                break;
            TMPL_TRY(parse_statement(parser, body));
        } else if (ends != NULL) {
            return tmpl_error_at(parser, parser->token->at, CT_FORMAT, "expected \"{%% %s %%}\"",
                                 ends[0]);
        } else {
            break;
        }
    }
    parser->depth--;
    return CT_OK;
}

/* Line ends as \n, without the last one, as jinja2 reads a template. */
static enum ct_status set_source(struct ct_template *tmpl, const char *text, size_t n_bytes)
{
    char *source = ct_arena_alloc(&tmpl->arena, n_bytes + 1);
    size_t n = 0;
    if (source == NULL)
        return CT_MEMORY;
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] == '\n' && i > 0 && text[i - 1] == '\r')
            continue;
        source[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (n > 0 && source[n - 1] == '\n')
        source[--n] = '\0';
    tmpl->source = (struct tmpl_text){source, n};
    return CT_OK;
}

static enum ct_status parse(struct ct_template *tmpl, const char *text, size_t n_bytes,
                            struct ct_error *err)
{
    if (n_bytes > MAX_SOURCE_BYTES)
        return ct_error_set(err, CT_UNSUPPORTED, "chat template: %zu bytes, limit %d", n_bytes,
                            MAX_SOURCE_BYTES);
    struct tmpl_parser parser = {.tmpl = tmpl, .err = err};
    enum ct_status status = set_source(tmpl, text, n_bytes);
    if (status == CT_OK)
        status = tmpl_lex(&parser);
    if (status == CT_OK) {
        parser.token = parser.tokens;
        status = parse_body(&parser, NULL, &tmpl->body);
    }
    free(parser.tokens);
    return status;
}

enum ct_status ct_template_parse(const char *text, size_t n_bytes, struct ct_template **out,
                                 struct ct_error *err)
{
    struct ct_template *tmpl = calloc(1, sizeof *tmpl);
    if (tmpl == NULL)
        return ct_error_set(err, CT_MEMORY, "chat template: out of memory");
    ct_arena_init(&tmpl->arena);
    enum ct_status status = parse(tmpl, text, n_bytes, err);
    if (status == CT_OK) {
        *out = tmpl;
        return CT_OK;
    }
    ct_template_free(tmpl);
    return status == CT_MEMORY ? ct_error_set(err, CT_MEMORY, "chat template: out of memory")
                               : status;
}

void ct_template_free(struct ct_template *tmpl)
{
    if (tmpl == NULL)
        return;
    ct_arena_deinit(&tmpl->arena);
    free(tmpl);
}
