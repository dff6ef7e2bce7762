/* Patterns are written for Oniguruma 6.9.10 (Unicode 16), which `tokenizers` uses, and run here by
 * PCRE2 (10.42: Unicode 14). The two agree on the syntax that `translate` lets through, once the
 * classes \p{L}, \p{N} and \s are spelled out so that they hold the same code points:
 *   - letters and numbers that Unicode 15 and 16 have added (and 17, for the digits that Rust
 * knows);
 *   - \s without U+180E, which PCRE2 alone counts as a space.
 * With these, all 1,112,064 code points fall into the same class in both. A PCRE2 with a Unicode
 * newer than 17 would know letters that the reference does not. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/tokenizer/pretokenizer.h"

#include "engine/tokenizer/utf8.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define GPT2_PATTERN                                                                               \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/* Llama 3 and Qwen 2 differ in how many digits make a word. */
#define CL100K_PATTERN(digits)                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define SPACES                                                                                     \
    "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"   \
    "\\x{3000}"
#define LETTERS                                                                                    \
    "\\p{L}\\x{1C89}\\x{1C8A}\\x{A7CB}-\\x{A7CD}\\x{A7DA}-\\x{A7DC}\\x{105C0}-\\x{105F3}"          \
    "\\x{10D4A}-\\x{10D65}\\x{10D6F}-\\x{10D85}\\x{10EC2}-\\x{10EC4}\\x{1123F}\\x{11240}"          \
    "\\x{11380}-\\x{11389}\\x{1138B}\\x{1138E}\\x{11390}-\\x{113B5}\\x{113B7}\\x{113D1}\\x{113D3}" \
    "\\x{11BC0}-\\x{11BE0}\\x{11F02}\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}\\x{1342F}"          \
    "\\x{13441}-\\x{13446}\\x{13460}-\\x{143FA}\\x{16100}-\\x{1611D}\\x{16D40}-\\x{16D6C}\\x{"     \
    "18CFF}"                                                                                       \
    "\\x{1B132}\\x{1B155}\\x{1DF25}-\\x{1DF2A}\\x{1E030}-\\x{1E06D}\\x{1E4D0}-\\x{1E4EB}"          \
    "\\x{1E5D0}-\\x{1E5ED}\\x{1E5F0}\\x{2B739}\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}"
#define NUMBERS                                                                                    \
    "\\p{N}\\x{10D40}-\\x{10D49}\\x{116D0}-\\x{116E3}\\x{11BF0}-\\x{11BF9}\\x{11F50}-\\x{11F59}"   \
    "\\x{16130}-\\x{16139}\\x{16D70}-\\x{16D79}\\x{1CCF0}-\\x{1CCF9}\\x{1D2C0}-\\x{1D2D3}"         \
    "\\x{1E4F0}-\\x{1E4F9}\\x{1E5F1}-\\x{1E5FA}"
/* Digits asks Rust's char::is_numeric, which knows Unicode 17. */
#define RUST_NUMBERS NUMBERS "\\x{11DE0}-\\x{11DE9}\\x{16FF4}-\\x{16FF6}"

enum { MATCH_LIMIT = 10 * 1000 * 1000, HEAP_LIMIT_KIB = 64 * 1024, PATTERN_BYTES = 8192 };

struct step {
    enum ct_pretokenizer_kind kind;
    char *pattern; /* as the file has it */
    pcre2_code *code;
};

struct ct_pretokenizer {
    struct step steps[CT_PRETOKENIZER_STEPS];
    int n_steps;
    pcre2_match_context *limits;
};

enum ct_status ct_pretokenizer_open(struct ct_pretokenizer **out)
{
    struct ct_pretokenizer *pre = calloc(1, sizeof *pre);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (pre == NULL || limits == NULL) {
        pcre2_match_context_free(limits);
        free(pre);
        return CT_MEMORY;
    }
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    pcre2_set_heap_limit(limits, HEAP_LIMIT_KIB);
    pre->limits = limits;
    *out = pre;
    return CT_OK;
}

void ct_pretokenizer_close(struct ct_pretokenizer *pre)
{
    if (pre == NULL)
        return;
    for (int i = 0; i < pre->n_steps; i++) {
        pcre2_code_free(pre->steps[i].code);
        free(pre->steps[i].pattern);
    }
    pcre2_match_context_free(pre->limits);
    free(pre);
}

/* A pattern being rewritten. */
struct rewrite {
    const char *at, *end;
    char out[PATTERN_BYTES];
    size_t n_out;
    bool is_in_class;
};

static bool emit(struct rewrite *rw, const char *text, size_t n_bytes)
{
    if (n_bytes >= sizeof rw->out - rw->n_out)
        return false;
    memcpy(rw->out + rw->n_out, text, n_bytes);
    rw->n_out += n_bytes;
    return true;
}

/* If the pattern goes on with name, writes members as a class (or into the class that is open). */
static bool rewrite_class(struct rewrite *rw, const char *name, const char *members,
                          bool is_negated)
{
    size_t n_name = strlen(name);
    if ((size_t)(rw->end - rw->at) < n_name || memcmp(rw->at, name, n_name) != 0)
        return false;
    if (rw->is_in_class) {
        if (is_negated || !emit(rw, members, strlen(members)))
            return false;
    } else {
        const char *open = is_negated ? "[^" : "[";
        if (!emit(rw, open, strlen(open)) || !emit(rw, members, strlen(members)) ||
            !emit(rw, "]", 1))
            return false;
    }
    rw->at += n_name;
    return true;
}

/* A group's opening where it means the same to both engines. */
static bool rewrite_group(struct rewrite *rw)
{
    static const char *const openings[] = {"(?:", "(?i:", "(?=", "(?!"};
    size_t n_left = (size_t)(rw->end - rw->at);
    if (n_left < 2 || rw->at[1] != '?') {
        rw->at++;
        return emit(rw, "(?:", 3); /* nothing asks for captures */
    }
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        size_t n = strlen(openings[i]);
        if (n_left >= n && memcmp(rw->at, openings[i], n) == 0) {
            rw->at += n;
            return emit(rw, openings[i], n);
        }
    }
    return false;
}

static bool rewrite_escape(struct rewrite *rw)
{
    if (rewrite_class(rw, "\\p{L}", LETTERS, false) ||
        rewrite_class(rw, "\\p{N}", NUMBERS, false) || rewrite_class(rw, "\\s", SPACES, false) ||
        rewrite_class(rw, "\\S", SPACES, true))
        return true;
    if (rw->end - rw->at < 2 || strchr("rntf\\/.-+*?|()[]{}^$", rw->at[1]) == NULL ||
        rw->at[1] == '\0')
        return false;
    rw->at += 2;
    return emit(rw, rw->at - 2, 2);
}

/* One construct of the pattern; false where it is not known to mean the same to both engines. */
static bool rewrite_next(struct rewrite *rw)
{
    char c = *rw->at;
    if (c == '\\')
        return rewrite_escape(rw);
    if (rw->is_in_class) {
        /* Nested classes and intersections are Oniguruma's alone. */
        if (c == '[' || c == '&')
            return false;
        rw->is_in_class = c != ']';
    } else if (c == '(') {
        return rewrite_group(rw);
    } else if (c == '[') {
        size_t n = rw->end - rw->at > 1 && rw->at[1] == '^' ? 2 : 1;
        if ((size_t)(rw->end - rw->at) <= n || rw->at[n] == ']')
            return false;
        rw->is_in_class = true;
        rw->at += n;
        return emit(rw, rw->at - n, n);
    } else if (c == '^' || c == '$' || c == '.' || c == '\0') {
        return false;
    } else if (c == '}' && rw->end - rw->at > 1 && rw->at[1] == '+') {
        return false; /* possessive in PCRE2, a second repeat in Oniguruma */
    }
    rw->at++;
    return emit(rw, rw->at - 1, 1);
}

static enum ct_status compile(struct step *step, const char *pattern, size_t n_bytes,
                              struct ct_error *err)
{
    int code;
    PCRE2_SIZE offset;
    step->code =
        pcre2_compile((PCRE2_SPTR)pattern, n_bytes, PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);
    if (step->code == NULL) {
        char text[128];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        return code == PCRE2_ERROR_NOMEMORY
                   ? CT_MEMORY
                   : ct_error_set(err, CT_UNSUPPORTED, "pattern: %s", text);
    }
    uint32_t can_be_empty = 0;
    pcre2_pattern_info(step->code, PCRE2_INFO_MATCHEMPTY, &can_be_empty);
    if (can_be_empty)
        return ct_error_set(err, CT_UNSUPPORTED, "pattern that matches the empty text");
    /* Where the JIT is not to be had, the interpreter serves. */
    pcre2_jit_compile(step->code, PCRE2_JIT_COMPLETE);
    return CT_OK;
}

static enum ct_status compile_translated(struct step *step, const char *pattern, size_t n_bytes,
                                         struct ct_error *err)
{
    if (n_bytes > PATTERN_BYTES / 4)
        return ct_error_set(err, CT_UNSUPPORTED, "pattern of %zu bytes, limit %d", n_bytes,
                            PATTERN_BYTES / 4);
    if (!ct_utf8_is_valid(pattern, n_bytes))
        return ct_error_set(err, CT_FORMAT, "pattern: not UTF-8");
    struct rewrite rw = {.at = pattern, .end = pattern + n_bytes};
    while (rw.at < rw.end)
        if (!rewrite_next(&rw))
            return ct_error_set(err, CT_UNSUPPORTED, "pattern at offset %zu: %.*s",
                                (size_t)(rw.at - pattern),
                                (int)(rw.end - rw.at < 40 ? rw.end - rw.at : 40), rw.at);
    return compile(step, rw.out, rw.n_out, err);
}

enum ct_status ct_pretokenizer_add(struct ct_pretokenizer *pre, enum ct_pretokenizer_kind kind,
                                   const char *pattern, size_t n_bytes, struct ct_error *err)
{
    if (pre->n_steps == CT_PRETOKENIZER_STEPS)
        return ct_error_set(err, CT_UNSUPPORTED, "more than %d steps", CT_PRETOKENIZER_STEPS);
    struct step *step = &pre->steps[pre->n_steps++];
    step->kind = kind;
    switch (kind) {
    case CT_PRETOKENIZER_SPLIT:
        step->pattern = malloc(n_bytes + 1);
        if (step->pattern == NULL)
            return CT_MEMORY;
        memcpy(step->pattern, pattern, n_bytes);
        step->pattern[n_bytes] = '\0';
        return compile_translated(step, pattern, n_bytes, err);
    case CT_PRETOKENIZER_DIGITS:
        return compile(step, "[" RUST_NUMBERS "]", strlen("[" RUST_NUMBERS "]"), err);
    case CT_PRETOKENIZER_DIGIT_RUNS:
        return compile(step, "[" RUST_NUMBERS "]+", strlen("[" RUST_NUMBERS "]+"), err);
    case CT_PRETOKENIZER_BYTE_LEVEL:
        return compile_translated(step, GPT2_PATTERN, strlen(GPT2_PATTERN), err);
    }
    return CT_INTERNAL;
}

enum ct_status ct_pretokenizer_add_named(struct ct_pretokenizer *pre, const char *name,
                                         size_t n_bytes, struct ct_error *err)
{
    static const struct named {
        const char *name;
        enum ct_pretokenizer_kind kind;
        const char *pattern;
    } rows[] = {
        {"smollm", CT_PRETOKENIZER_DIGITS, ""},
        {"smollm", CT_PRETOKENIZER_BYTE_LEVEL, ""},
        {"gpt-2", CT_PRETOKENIZER_BYTE_LEVEL, ""},
        {"default", CT_PRETOKENIZER_BYTE_LEVEL, ""},
        {"llama-bpe", CT_PRETOKENIZER_SPLIT, CL100K_PATTERN("\\p{N}{1,3}")},
        {"qwen2", CT_PRETOKENIZER_SPLIT, CL100K_PATTERN("\\p{N}")},
    };
    bool is_known = false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strlen(rows[i].name) != n_bytes || memcmp(rows[i].name, name, n_bytes) != 0)
            continue;
        is_known = true;
        enum ct_status status =
            ct_pretokenizer_add(pre, rows[i].kind, rows[i].pattern, strlen(rows[i].pattern), err);
        if (status != CT_OK)
            return status;
    }
    if (!is_known)
        return ct_error_set(err, CT_UNSUPPORTED, "pre-tokenizer \"%.*s\"",
                            (int)(n_bytes < 64 ? n_bytes : 64), name);
    return CT_OK;
}

int ct_pretokenizer_n_steps(const struct ct_pretokenizer *pre)
{
    return pre->n_steps;
}

enum ct_pretokenizer_kind ct_pretokenizer_step(const struct ct_pretokenizer *pre, int i,
                                               const char **pattern)
{
    *pattern = pre->steps[i].pattern;
    return pre->steps[i].kind;
}

/* One call of ct_pretokenizer_split. */
struct split {
    const struct ct_pretokenizer *pre;
    pcre2_match_data *match;
    ct_word_fn *fn;
    void *context;
};

/* The next match at or after *begin; *is_found is false at the end. */
static enum ct_status find(const struct split *split, const pcre2_code *code, const char *text,
                           size_t n_bytes, size_t *begin, size_t *end, bool *is_found)
{
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int n = pcre2_match(code, (PCRE2_SPTR)text, n_bytes, *begin, options, split->match,
                        split->pre->limits);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(code, (PCRE2_SPTR)text, n_bytes, *begin, options | PCRE2_NO_JIT,
                        split->match, split->pre->limits);
    *is_found = n >= 0;
    if (n == PCRE2_ERROR_NOMATCH)
        return CT_OK;
    if (n < 0)
        return n == PCRE2_ERROR_NOMEMORY ? CT_MEMORY : CT_TOO_LARGE;
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(split->match);
    *begin = offsets[0];
    *end = offsets[1];
    return CT_OK;
}

/* Recursion is as deep as there are steps: at most CT_PRETOKENIZER_STEPS. */
static enum ct_status split_piece(const struct split *split, int i_step, const char *text,
                                  size_t n_bytes)
{
    if (n_bytes == 0)
        return CT_OK;
    if (i_step == split->pre->n_steps)
        return split->fn(split->context, text, n_bytes);
    size_t done = 0;
    while (done < n_bytes) {
        size_t begin = done, end = n_bytes;
        bool is_found;
        enum ct_status status =
            find(split, split->pre->steps[i_step].code, text, n_bytes, &begin, &end, &is_found);
        if (status != CT_OK)
            return status;
        if (!is_found)
            return split_piece(split, i_step + 1, text + done, n_bytes - done);
        status = split_piece(split, i_step + 1, text + done, begin - done);
        if (status == CT_OK)
            status = split_piece(split, i_step + 1, text + begin, end - begin);
        if (status != CT_OK)
            return status;
        done = end;
    }
    return CT_OK;
}

enum ct_status ct_pretokenizer_split(const struct ct_pretokenizer *pre, const char *text,
                                     size_t n_bytes, ct_word_fn *fn, void *context)
{
    struct split split = {pre, pcre2_match_data_create(1, NULL), fn, context};
    if (split.match == NULL)
        return CT_MEMORY;
    enum ct_status status = split_piece(&split, 0, text, n_bytes);
    pcre2_match_data_free(split.match);
    return status;
}
