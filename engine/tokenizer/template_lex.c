/* Cuts a template into tokens, with the white space rules of trim_blocks and lstrip_blocks, as
 * transformers sets them:
 *   - a newline right after a block or comment is dropped;
 *   - blanks between the start of a line and a block or comment are dropped;
 *   - "-" at a tag's edge drops all white space on that side, "+" keeps it;
 *   - one newline at the end of the template is dropped.
 * Follows jinja2's lexer.py (3.1.6). */
#include "engine/tokenizer/template_ast.h"

#include "engine/tokenizer/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tmpl_locate(struct tmpl_text source, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < source.n_bytes; i++) {
        (*column)++;
        if (source.data[i] == '\n') {
            (*line)++;
            *column = 1;
        }
    }
}

enum ct_status tmpl_error_at(struct tmpl_parser *parser, size_t at, enum ct_status status,
                             const char *fmt, ...)
{
    char message[256];
    size_t line, column;
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    tmpl_locate(parser->tmpl->source, at, &line, &column);
    return ct_error_set(parser->err, status, "chat template: line %zu, column %zu: %s", line,
                        column, message);
}

struct lexer {
    struct tmpl_parser *parser;
    const char *source;
    size_t n, at;
    bool is_line_start; /* the tag before ended a line */
};

static enum ct_status add(struct lexer *lex, enum tmpl_token_kind kind, size_t at, const char *text,
                          size_t n_bytes)
{
    struct tmpl_parser *parser = lex->parser;
    if (parser->n_tokens == parser->capacity) {
        size_t capacity = 2 * parser->capacity + 64;
        struct tmpl_token *grown = realloc(parser->tokens, capacity * sizeof grown[0]);
        if (grown == NULL)
            return CT_MEMORY;
        parser->tokens = grown;
        parser->capacity = capacity;
    }
    parser->tokens[parser->n_tokens++] =
        (struct tmpl_token){.kind = kind, .at = at, .text = {text, n_bytes}};
    return CT_OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool starts_with(const struct lexer *lex, size_t at, const char *text)
{
    size_t n = strlen(text);
    return at <= lex->n && lex->n - at >= n && memcmp(lex->source + at, text, n) == 0;
}

static void skip_spaces(struct lexer *lex)
{
    struct tmpl_text rest = {lex->source + lex->at, lex->n - lex->at};
    lex->at = lex->n - tmpl_strip(rest, true, false).n_bytes;
}

/* After the "%}", "#}" or "}}" of a tag whose sign ('-', '+' or '\0') came before it. */
static void end_tag(struct lexer *lex, char sign, bool is_print)
{
    size_t from = lex->at;
    lex->at += 2;
    if (sign == '-')
        skip_spaces(lex);
    else if (sign == '\0' && !is_print && starts_with(lex, lex->at, "\n"))
        lex->at++;
    lex->is_line_start = lex->at > from && lex->source[lex->at - 1] == '\n';
}

/* The text up to the tag at end, less what the tag's sign and lstrip_blocks take. */
static enum ct_status add_data(struct lexer *lex, size_t end)
{
    struct tmpl_text data = {lex->source + lex->at, end - lex->at};
    bool is_print = starts_with(lex, end, "{{");
    char sign = end + 2 < lex->n ? lex->source[end + 2] : '\0';
    if (end < lex->n && sign == '-') {
        data = tmpl_strip(data, false, true);
    } else if (end < lex->n && sign != '+' && !is_print) {
        size_t line = data.n_bytes;
        while (line > 0 && data.data[line - 1] != '\n')
            line--;
        struct tmpl_text blank = {data.data + line, data.n_bytes - line};
        if ((line > 0 || lex->is_line_start) && tmpl_strip(blank, true, false).n_bytes == 0)
            data.n_bytes = line;
    }
    return data.n_bytes > 0 ? add(lex, TMPL_T_DATA, lex->at, data.data, data.n_bytes) : CT_OK;
}

static enum ct_status lex_comment(struct lexer *lex, size_t from)
{
    struct tmpl_text source = {lex->source, lex->n};
    size_t end = tmpl_find(source, (struct tmpl_text){"#}", 2}, from + 2);
    if (end == SIZE_MAX)
        return tmpl_error_at(lex->parser, from, CT_FORMAT, "a comment has no end");
    char sign = end > from + 2 ? lex->source[end - 1] : '\0';
    lex->at = end;
    end_tag(lex, sign == '-' || sign == '+' ? sign : '\0', false);
    return CT_OK;
}

/* Four, two or eight hexadecimal digits of an escape. */
static bool read_hex(const struct lexer *lex, size_t at, size_t n_digits, uint32_t *value)
{
    char digits[9] = "";
    if (lex->n - at < n_digits)
        return false;
    memcpy(digits, lex->source + at, n_digits);
    if (strspn(digits, "0123456789abcdefABCDEF") != n_digits)
        return false;
    *value = (uint32_t)strtoul(digits, NULL, 16);
    return *value < 0x110000 && (*value < 0xD800 || *value > 0xDFFF);
}

/* The escape whose backslash is at *at, as Python's "unicode-escape" reads it; *at moves behind
 * it. */
static bool read_escape(const struct lexer *lex, size_t *at, char *out, size_t *n_out)
{
    static const char names[] = "\\'\"abfnrtv", values[] = "\\'\"\a\b\f\n\r\t\v";
    char c = lex->source[*at + 1];
    const char *name = c != '\0' ? strchr(names, c) : NULL;
    uint32_t code = 0;
    if (name != NULL) {
        code = (unsigned char)values[name - names];
        *at += 2;
    } else if (c == '\n') {
        *at += 2;
        return true;
    } else if (c >= '0' && c <= '7') {
        (*at)++;
        for (int i = 0; i < 3 && lex->source[*at] >= '0' && lex->source[*at] <= '7'; i++)
            code = code * 8 + (uint32_t)(lex->source[(*at)++] - '0');
    } else if (c == 'x' || c == 'u' || c == 'U') {
        size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        if (!read_hex(lex, *at + 2, n_digits, &code))
            return false;
        *at += 2 + n_digits;
    } else if (c == 'N') {
        return false;
    } else { /* not an escape: the backslash stays */
        code = '\\';
        (*at)++;
    }
    *n_out += ct_utf8_encode(code, out + *n_out);
    return true;
}

static enum ct_status lex_string(struct lexer *lex)
{
    size_t from = lex->at, to = from + 1;
    char quote = lex->source[from];
    while (to < lex->n && lex->source[to] != quote)
        to += lex->source[to] == '\\' ? 2 : 1;
    if (to >= lex->n)
        return tmpl_error_at(lex->parser, from, CT_FORMAT, "a string has no end");
    /* No escape is shorter than its value; the source ends in NUL and has a quote before it. */
    char *text = ct_arena_alloc(&lex->parser->tmpl->arena, to - from);
    size_t n_bytes = 0;
    if (text == NULL)
        return CT_MEMORY;
    for (size_t at = from + 1; at < to;) {
        size_t escape = at;
        if (lex->source[at] != '\\')
            text[n_bytes++] = lex->source[at++];
        else if (!read_escape(lex, &at, text, &n_bytes))
            return tmpl_error_at(lex->parser, escape, CT_FORMAT, "an escape that is not known");
    }
    lex->at = to + 1;
    return add(lex, TMPL_T_STRING, from, text, n_bytes);
}

static size_t count_digits(const struct lexer *lex, size_t at)
{
    size_t n = 0;
    while (at + n < lex->n && is_digit(lex->source[at + n]))
        n++;
    return n;
}

static enum ct_status lex_number(struct lexer *lex)
{
    size_t from = lex->at;
    char text[64];
    size_t n = count_digits(lex, from);
    bool is_float = false;
    if (starts_with(lex, from + n, ".") && count_digits(lex, from + n + 1) > 0) {
        is_float = true;
        n += 1 + count_digits(lex, from + n + 1);
    }
    if (starts_with(lex, from + n, "e") || starts_with(lex, from + n, "E")) {
        size_t sign = starts_with(lex, from + n + 1, "+") || starts_with(lex, from + n + 1, "-");
        size_t n_digits = count_digits(lex, from + n + 1 + sign);
        is_float = is_float || n_digits > 0;
        n += n_digits > 0 ? 1 + sign + n_digits : 0;
    }
    bool is_name = from + n < lex->n && is_word(lex->source[from + n]);
    if (is_name || n >= sizeof text)
        return tmpl_error_at(lex->parser, from, CT_UNSUPPORTED, "this form of number");
    if (!is_float && n > 1 && lex->source[from] == '0')
        return tmpl_error_at(lex->parser, from, CT_FORMAT, "a number that begins with 0");
    memcpy(text, lex->source + from, n);
    text[n] = '\0';
    lex->at += n;
    TMPL_TRY(add(lex, is_float ? TMPL_T_FLOAT : TMPL_T_INT, from, lex->source + from, n));
    struct tmpl_value *value = &lex->parser->tokens[lex->parser->n_tokens - 1].value;
    errno = 0;
    *value = is_float ? (struct tmpl_value){.kind = TMPL_FLOAT, .real = strtod(text, NULL)}
                      : tmpl_int(strtoll(text, NULL, 10));
    if (!is_float && errno == ERANGE)
        return tmpl_error_at(lex->parser, from, CT_UNSUPPORTED, "an integer of more than 64 bits");
    return CT_OK;
}

/* One token inside of a tag; *n_open counts the brackets that are open. */
static enum ct_status lex_inside(struct lexer *lex, int *n_open)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "*",
                                            "/",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ","};
    size_t from = lex->at;
    char c = lex->source[from];
    if (c == '\'' || c == '"')
        return lex_string(lex);
    if (is_digit(c))
        return lex_number(lex);
    if (is_word(c)) {
        while (lex->at < lex->n && is_word(lex->source[lex->at]))
            lex->at++;
        return add(lex, TMPL_T_NAME, from, lex->source + from, lex->at - from);
    }
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!starts_with(lex, from, operators[i]))
            continue;
        *n_open += strchr("([{", c) != NULL ? 1 : strchr(")]}", c) != NULL ? -1 : 0;
        lex->at += strlen(operators[i]);
        return add(lex, TMPL_T_OPERATOR, from, operators[i], strlen(operators[i]));
    }
    return tmpl_error_at(lex->parser, from, CT_FORMAT, "an unexpected character");
}

/* A tag from its "{{" or "{%" to its end. */
static enum ct_status lex_tag(struct lexer *lex)
{
    size_t from = lex->at;
    bool is_print = lex->source[from + 1] == '{';
    const char *end = is_print ? "}}" : "%}";
    int n_open = 0;
    lex->at += 2;
    if (starts_with(lex, lex->at, "-") || starts_with(lex, lex->at, "+"))
        lex->at++;
    TMPL_TRY(add(lex, is_print ? TMPL_T_PRINT_BEGIN : TMPL_T_BLOCK_BEGIN, from, "", 0));
    for (;;) {
        skip_spaces(lex);
        if (lex->at == lex->n)
            return tmpl_error_at(lex->parser, from, CT_FORMAT, "a tag has no end");
        char sign = lex->source[lex->at];
        sign = sign == '-' || (sign == '+' && !is_print) ? sign : '\0';
        if (n_open == 0 && starts_with(lex, lex->at + (sign != '\0'), end))
            break;
        TMPL_TRY(lex_inside(lex, &n_open));
        if (n_open < 0)
            return tmpl_error_at(lex->parser, lex->at - 1, CT_FORMAT,
                                 "a bracket closes that none opened");
    }
    char sign = lex->source[lex->at] == *end ? '\0' : lex->source[lex->at];
    TMPL_TRY(add(lex, is_print ? TMPL_T_PRINT_END : TMPL_T_BLOCK_END, lex->at, "", 0));
    lex->at += sign != '\0';
    end_tag(lex, sign, is_print);
    return CT_OK;
}

/* The next "{{", "{%" or "{#" at or after the current place, or the end. */
static size_t find_tag(const struct lexer *lex)
{
    for (size_t at = lex->at; at + 1 < lex->n; at++) {
        const char *brace = memchr(lex->source + at, '{', lex->n - 1 - at);
        if (brace == NULL)
            break;
        at = (size_t)(brace - lex->source);
        if (strchr("{%#", brace[1]) != NULL && brace[1] != '\0')
            return at;
    }
    return lex->n;
}

enum ct_status tmpl_lex(struct tmpl_parser *parser)
{
    struct tmpl_text source = parser->tmpl->source;
    struct lexer lex = {parser, source.data, source.n_bytes, 0, true};
    while (lex.at < lex.n) {
        size_t tag = find_tag(&lex);
        TMPL_TRY(add_data(&lex, tag));
        lex.at = tag;
        if (tag == lex.n)
            break;
        TMPL_TRY(lex.source[tag + 1] == '#' ? lex_comment(&lex, tag) : lex_tag(&lex));
    }
    return add(&lex, TMPL_T_END, lex.n, "", 0);
}
