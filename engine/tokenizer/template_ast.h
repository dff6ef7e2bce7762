/* The template as a tree, and the tokens that it is made from.
 *
 * text -> tokens (template_lex.c) -> tree (template_parse.c, template_expression.c) -> run
 * (template_run.c, template_eval.c, with the tables of template_builtin.c)
 *
 * Chains (a + b + c, x.y[0]|trim, a and b and c) are lists, not nested nodes, so that the depth of
 * the tree, and with it that of the recursion that runs it, is that of the parentheses and
 * blocks. */
#ifndef CT_TOKENIZER_TEMPLATE_AST_H
#define CT_TOKENIZER_TEMPLATE_AST_H

#include "engine/tokenizer/template.h"
#include "engine/tokenizer/template_value.h"

enum tmpl_token_kind {
    TMPL_T_DATA, /* text outside of tags */
    TMPL_T_PRINT_BEGIN,
    TMPL_T_PRINT_END,
    TMPL_T_BLOCK_BEGIN,
    TMPL_T_BLOCK_END,
    TMPL_T_NAME,
    TMPL_T_STRING,
    TMPL_T_INT,
    TMPL_T_FLOAT,
    TMPL_T_OPERATOR,
    TMPL_T_END,
};

struct tmpl_token {
    enum tmpl_token_kind kind;
    size_t at;               /* offset in the source */
    struct tmpl_text text;   /* data, name, operator, or a string's value */
    struct tmpl_value value; /* of a number */
};

enum tmpl_node_kind {
    /* Statements. A body is a list by next. */
    TMPL_N_TEXT,     /* text */
    TMPL_N_PRINT,    /* a: expression */
    TMPL_N_IF,       /* a: list of BRANCH */
    TMPL_N_BRANCH,   /* a: condition, NULL for else; body */
    TMPL_N_FOR,      /* targets; a: what to go through; b: condition or NULL; body; otherwise */
    TMPL_N_SET,      /* targets; a: value, or NULL: body's output */
    TMPL_N_BREAK,    /* */
    TMPL_N_CONTINUE, /* */
    TMPL_N_GROUP,    /* body */

    /* Expressions. */
    TMPL_N_CONST,   /* value */
    TMPL_N_NAME,    /* text; as a target of set also a: ATTRIBUTE of a namespace */
    TMPL_N_LIST,    /* a: list of items; flag: tuple */
    TMPL_N_DICT,    /* a: list of key, value, key, value ... */
    TMPL_N_NOT,     /* a */
    TMPL_N_SIGN,    /* a; flag: negative */
    TMPL_N_AND,     /* a: list of operands */
    TMPL_N_OR,      /* a: list of operands */
    TMPL_N_CONCAT,  /* a: list of operands */
    TMPL_N_BINARY,  /* a: first operand; b: list of OPERAND, from left to right */
    TMPL_N_COMPARE, /* the same; Python's chain: a < b < c is a < b and b < c */
    TMPL_N_OPERAND, /* text: the operator; a */
    TMPL_N_CHOICE,  /* a if b else otherwise (or NULL) */
    TMPL_N_CHAIN,   /* a: base; b: list of the links below */
    TMPL_N_CALL,    /* function; a: list of ARGUMENT (a base) */

    TMPL_N_ATTRIBUTE, /* text */
    TMPL_N_ITEM,      /* a */
    TMPL_N_SLICE,     /* a, b, otherwise: bounds or NULL */
    TMPL_N_METHOD,    /* function; a: arguments */
    TMPL_N_FILTER,    /* function; a: arguments */
    TMPL_N_TEST,      /* function; a: arguments; flag: is not */
    TMPL_N_ARGUMENT,  /* a; text: its name or empty */
};

struct tmpl_node {
    enum tmpl_node_kind kind;
    bool flag;
    size_t at; /* offset in the source */
    struct tmpl_node *next;
    struct tmpl_node *a, *b, *targets, *body, *otherwise;
    const struct tmpl_function *function;
    struct tmpl_text text;
    struct tmpl_value value;
};

enum { TMPL_MAX_ARGUMENTS = 16 };

/* A call's arguments, in the order of the function's parameters; what is not given is
 * TMPL_UNDEFINED. */
struct tmpl_call {
    struct tmpl_value self; /* of a method, filter or test */
    struct tmpl_value arguments[TMPL_MAX_ARGUMENTS];
    struct tmpl_text names[TMPL_MAX_ARGUMENTS]; /* where the function takes names of any kind */
    int n_arguments;                            /* given */
};

typedef enum ct_status tmpl_function_fn(struct tmpl_run *run, const struct tmpl_call *call,
                                        struct tmpl_value *out);

struct tmpl_function {
    const char *name;
    const char *parameters; /* "a b c"; "*": any names */
    int n_required;
    tmpl_function_fn *fn;
};

enum tmpl_table { TMPL_FUNCTIONS, TMPL_METHODS, TMPL_FILTERS, TMPL_TESTS };

/* NULL where the table has no such name. */
const struct tmpl_function *tmpl_function_find(enum tmpl_table table, struct tmpl_text name);

struct ct_template {
    struct ct_arena arena;
    struct tmpl_text source; /* with \n alone as its line ends */
    struct tmpl_node *body;
};

/* Line and column, from 1, of an offset in the source. */
void tmpl_locate(struct tmpl_text source, size_t at, size_t *line, size_t *column);

/* Parsing: the tokens and where it stands. */
struct tmpl_parser {
    struct ct_template *tmpl;
    struct tmpl_token *tokens; /* ends in TMPL_T_END; malloc'ed */
    size_t n_tokens, capacity;
    const struct tmpl_token *token; /* the current one */
    int depth, loop_depth;
    struct ct_error *err;
};

/* Fails with "chat template: line L, column C: ..." at a token or offset. */
CT_MUST_CHECK enum ct_status tmpl_error_at(struct tmpl_parser *parser, size_t at,
                                           enum ct_status status, const char *fmt, ...)
    CT_PRINTF(4, 5);

CT_MUST_CHECK enum ct_status tmpl_lex(struct tmpl_parser *parser);

CT_MUST_CHECK enum ct_status tmpl_node_new(struct tmpl_parser *parser, enum tmpl_node_kind kind,
                                           struct tmpl_node **out);
/* Depth is counted in and out around whatever may nest. */
CT_MUST_CHECK enum ct_status tmpl_parse_enter(struct tmpl_parser *parser);

bool tmpl_at(const struct tmpl_parser *parser, enum tmpl_token_kind kind, const char *text);
/* Passes over the token if it is the current one. */
bool tmpl_skip(struct tmpl_parser *parser, enum tmpl_token_kind kind, const char *text);
CT_MUST_CHECK enum ct_status tmpl_expect(struct tmpl_parser *parser, enum tmpl_token_kind kind,
                                         const char *text);

/* An expression; with commas outside of parentheses, a tuple where has_tuple. */
CT_MUST_CHECK enum ct_status tmpl_parse_expression(struct tmpl_parser *parser, bool has_tuple,
                                                   struct tmpl_node **out);
/* One without "x if y else z", as what a loop goes through. */
CT_MUST_CHECK enum ct_status tmpl_parse_operand(struct tmpl_parser *parser, struct tmpl_node **out);

CT_MUST_CHECK enum ct_status tmpl_evaluate(struct tmpl_run *run, const struct tmpl_node *node,
                                           struct tmpl_value *out);

/* Scopes: what {% for %} opens and {% set %} writes to. */
struct tmpl_scope {
    struct tmpl_scope *parent;
    struct tmpl_variable *variables;
};
/* The variable's value, or NULL. */
struct tmpl_value *tmpl_variable_find(struct tmpl_variable *variables, struct tmpl_text name);
CT_MUST_CHECK enum ct_status tmpl_variable_set(struct tmpl_run *run,
                                               struct tmpl_variable **variables,
                                               struct tmpl_text name, struct tmpl_value value);

#endif
