/* The text form's reader, and the memory it describes; trace_write.c has the writer. */
#include "engine/backend/gemmini/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The words of a line; text is cut in place. */
enum { MAX_WORDS = 32 };
struct words {
    char *word[MAX_WORDS];
    int n;
};

static enum ct_status split(char *line, struct words *words, struct ct_error *err)
{
    words->n = 0;
    line[strcspn(line, "#")] = '\0';
    for (char *rest = line, *word; (word = strsep(&rest, " \t\r")) != NULL;) {
        if (*word == '\0')
            continue;
        if (words->n == MAX_WORDS)
            return ct_error_set(err, CT_INVALID, "more than %d words", MAX_WORDS);
        words->word[words->n++] = word;
    }
    return CT_OK;
}

/* The value of "name=value", whose name is cut off in place; NULL. */
static char *value_of(char *word)
{
    char *equals = strchr(word, '=');
    if (equals == NULL)
        return NULL;
    *equals = '\0';
    return equals + 1;
}

static enum ct_status parse_number(const char *name, const char *text, uint64_t high, uint64_t *out,
                                   struct ct_error *err)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 0);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return ct_error_set(err, CT_INVALID, "%s is no whole number: '%.64s'", name, text);
    if (*out > high)
        return ct_error_set(err, CT_INVALID, "%s is %s of at most %llu", name, text,
                            (unsigned long long)high);
    return CT_OK;
}

static enum ct_status parse_int32(const char *name, const char *text, int64_t *out,
                                  struct ct_error *err)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || *out < INT32_MIN || *out > INT32_MAX)
        return ct_error_set(err, CT_INVALID, "%s is no int32: '%.64s'", name, text);
    return CT_OK;
}

/* "none", "acc+12,add", "spad+3" or a number. */
static enum ct_status parse_local(const char *name, char *text, uint64_t *out, struct ct_error *err)
{
    const uint32_t high = (UINT32_C(1) << CT_GEM_LOCAL_NORM_SHIFT) - 1;
    if (strcmp(text, "none") == 0) {
        *out = CT_GEM_LOCAL_NONE;
        return CT_OK;
    }
    const bool is_acc = strncmp(text, "acc+", 4) == 0;
    if (!is_acc && strncmp(text, "spad+", 5) != 0)
        return parse_number(name, text, UINT32_MAX, out, err);
    char *rest = text + (is_acc ? 4 : 5);
    enum ct_status status = parse_number(name, strsep(&rest, ","), high, out, err);
    *out |= is_acc ? CT_GEM_LOCAL_ACCUMULATOR : 0;
    for (char *flag; status == CT_OK && (flag = strsep(&rest, ",")) != NULL;) {
        uint32_t step = CT_GEM_NORM_SUM;
        while (step <= CT_GEM_NORM_INV_SUM_EXP && strcmp(flag, ct_gem_norm_names[step]) != 0)
            step++;
        if (is_acc && strcmp(flag, "add") == 0)
            *out |= CT_GEM_LOCAL_ADD;
        else if (is_acc && strcmp(flag, "full") == 0)
            *out |= CT_GEM_LOCAL_FULL;
        else if (is_acc && step <= CT_GEM_NORM_INV_SUM_EXP)
            *out |= step << CT_GEM_LOCAL_NORM_SHIFT;
        else
            status = ct_error_set(err, CT_INVALID, "%s: '%.64s' is no part of %s", name, flag,
                                  is_acc ? "an accumulator address" : "a scratchpad address");
    }
    return status;
}

static enum ct_status parse_scale(const char *name, const char *text, uint64_t *out,
                                  struct ct_error *err)
{
    if (strncmp(text, "0x", 2) == 0)
        return parse_number(name, text, UINT32_MAX, out, err);
    char *end;
    const float value = strtof(text, &end);
    uint32_t bits;
    if (end == text || *end != '\0')
        return ct_error_set(err, CT_INVALID, "%s is no number: '%.64s'", name, text);
    memcpy(&bits, &value, sizeof bits);
    *out = bits;
    return CT_OK;
}

static enum ct_status parse_field(const struct ct_gem_field *field, char *text,
                                  struct ct_gem_command *command, struct ct_error *err)
{
    const uint64_t high = ~UINT64_C(0) >> (64 - field->bits);
    uint64_t value = 0, *reg = field->reg == 1 ? &command->rs1 : &command->rs2;
    const enum ct_status status =
        field->kind == CT_GEM_FIELD_LOCAL   ? parse_local(field->name, text, &value, err)
        : field->kind == CT_GEM_FIELD_SCALE ? parse_scale(field->name, text, &value, err)
                                            : parse_number(field->name, text, high, &value, err);
    *reg |= value << field->low;
    return status;
}

static enum ct_status parse_fields(enum ct_gem_instruction instruction, const struct words *words,
                                   struct ct_gem_command *command, struct ct_error *err)
{
    bool is_given[CT_GEM_FIELDS] = {false};
    enum ct_status status = CT_OK;
    for (int i = 1; i < words->n && status == CT_OK; i++) {
        char *name = words->word[i], *value = value_of(name);
        int f = 0;
        while (f < CT_GEM_FIELDS && (ct_gem_fields[f].instruction != instruction ||
                                     strcmp(ct_gem_fields[f].name, name) != 0))
            f++;
        if (value == NULL || f == CT_GEM_FIELDS)
            return ct_error_set(err, CT_INVALID, "%s has no field '%.64s'", words->word[0], name);
        if (is_given[f])
            return ct_error_set(err, CT_INVALID, "%s is given twice", name);
        is_given[f] = true;
        status = parse_field(&ct_gem_fields[f], value, command, err);
    }
    return status;
}

static enum ct_status parse_command(const struct words *words, struct ct_gem_command *command,
                                    struct ct_error *err)
{
    *command = (struct ct_gem_command){0};
    if (strcmp(words->word[0], "raw") == 0) {
        uint64_t funct = 0;
        if (words->n != 4)
            return ct_error_set(err, CT_INVALID, "raw takes a function and two registers");
        enum ct_status status = parse_number("the function", words->word[1], 255, &funct, err);
        if (status == CT_OK)
            status = parse_number("rs1", words->word[2], UINT64_MAX, &command->rs1, err);
        if (status == CT_OK)
            status = parse_number("rs2", words->word[3], UINT64_MAX, &command->rs2, err);
        command->funct = (uint8_t)funct;
        return status;
    }
    for (int i = 0; i < CT_GEM_INSTRUCTIONS; i++) {
        const struct ct_gem_instruction_info *info = &ct_gem_instructions[i];
        if (strcmp(info->mnemonic, words->word[0]) != 0)
            continue;
        command->funct = (uint8_t)info->funct;
        command->rs1 = info->type != CT_GEM_ANY ? (uint64_t)info->type : 0;
        return parse_fields((enum ct_gem_instruction)i, words, command, err);
    }
    return ct_error_set(err, CT_INVALID, "no command is called '%.64s'", words->word[0]);
}

/* What both directives are made of; each uses its part. */
struct directive {
    uint64_t at, n, seed, rows, cols, stride;
    int64_t low, high;
    int element_bytes;
};

static enum ct_status parse_type(const char *text, int *element_bytes, struct ct_error *err)
{
    if (strcmp(text, "i8") != 0 && strcmp(text, "i32") != 0)
        return ct_error_set(err, CT_INVALID, "type is i8 or i32, not '%.64s'", text);
    *element_bytes = strcmp(text, "i8") == 0 ? 1 : 4;
    return CT_OK;
}

static enum ct_status parse_directive(const struct words *words, struct directive *d,
                                      struct ct_error *err)
{
    const struct {
        const char *name;
        bool is_of_print, is_of_fill;
        uint64_t *target, high;
    } numbers[] = {
        {"at", true, true, &d->at, INT64_MAX},
        {"n", false, true, &d->n, CT_GEM_TRACE_MAX_BYTES},
        {"seed", false, true, &d->seed, UINT64_MAX},
        {"rows", true, false, &d->rows, 1 << 24},
        {"cols", true, false, &d->cols, 1 << 24},
        {"stride", true, false, &d->stride, CT_GEM_TRACE_MAX_BYTES},
    };
    const bool is_print = strcmp(words->word[0], ".print") == 0;
    enum ct_status status = CT_OK;
    *d = (struct directive){.element_bytes = 1};
    for (int i = 1; i < words->n && status == CT_OK; i++) {
        char *name = words->word[i], *value = value_of(name);
        size_t k = 0;
        while (k < sizeof numbers / sizeof numbers[0] &&
               (strcmp(numbers[k].name, name) != 0 ||
                !(is_print ? numbers[k].is_of_print : numbers[k].is_of_fill)))
            k++;
        if (value != NULL && k < sizeof numbers / sizeof numbers[0])
            status = parse_number(name, value, numbers[k].high, numbers[k].target, err);
        else if (value != NULL && strcmp(name, "type") == 0)
            status = parse_type(value, &d->element_bytes, err);
        else if (value != NULL && !is_print && strcmp(name, "low") == 0)
            status = parse_int32(name, value, &d->low, err);
        else if (value != NULL && !is_print && strcmp(name, "high") == 0)
            status = parse_int32(name, value, &d->high, err);
        else
            status = ct_error_set(err, CT_INVALID, "%s has no '%.64s'", words->word[0], name);
    }
    if (status == CT_OK && is_print && (d->rows == 0 || d->cols == 0))
        return ct_error_set(err, CT_INVALID, ".print needs rows and cols of at least 1");
    if (status == CT_OK && d->low > d->high)
        return ct_error_set(err, CT_INVALID, "low is %lld, above high, %lld", (long long)d->low,
                            (long long)d->high);
    return status;
}

/* Room for one more of an array that doubles. */
static enum ct_status grow(void **array, size_t n, size_t element_bytes, struct ct_error *err)
{
    if ((n & (n - 1)) != 0)
        return CT_OK;
    void *larger = realloc(*array, (n == 0 ? 1 : 2 * n) * element_bytes);
    if (larger == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu lines", n);
    *array = larger;
    return CT_OK;
}

static enum ct_status add_fill(const struct words *words, struct ct_gem_trace *trace,
                               struct ct_error *err)
{
    struct directive d;
    enum ct_status status = parse_directive(words, &d, err);
    if (status == CT_OK)
        status = grow((void **)&trace->fills, trace->n_fills, sizeof *trace->fills, err);
    if (status == CT_OK)
        trace->fills[trace->n_fills++] =
            (struct ct_gem_fill){d.at, d.n, d.seed, d.element_bytes, d.low, d.high};
    return status;
}

static enum ct_status add_print(const struct words *words, struct ct_gem_trace *trace,
                                struct ct_error *err)
{
    struct directive d;
    enum ct_status status = parse_directive(words, &d, err);
    if (status == CT_OK)
        status = grow((void **)&trace->prints, trace->n_prints, sizeof *trace->prints, err);
    if (status == CT_OK)
        trace->prints[trace->n_prints++] = (struct ct_gem_print){
            d.at, d.rows, d.cols, d.stride != 0 ? d.stride : d.cols * (uint64_t)d.element_bytes,
            d.element_bytes};
    return status;
}

static enum ct_status add_command(const struct words *words, struct ct_gem_trace *trace,
                                  struct ct_error *err)
{
    struct ct_gem_command command;
    enum ct_status status = parse_command(words, &command, err);
    if (status == CT_OK)
        status = grow((void **)&trace->commands, trace->n_commands, sizeof *trace->commands, err);
    if (status == CT_OK)
        trace->commands[trace->n_commands++] = command;
    return status;
}

static enum ct_status read_line(char *line, struct ct_gem_trace *trace, struct ct_error *err)
{
    struct words words;
    enum ct_status status = split(line, &words, err);
    if (status != CT_OK || words.n == 0)
        return status;
    if (strcmp(words.word[0], ".fill") == 0)
        return add_fill(&words, trace, err);
    if (strcmp(words.word[0], ".print") == 0)
        return add_print(&words, trace, err);
    return add_command(&words, trace, err);
}

enum ct_status ct_gem_trace_read(const char *name, const char *text, size_t n_bytes,
                                 struct ct_gem_trace *trace, struct ct_error *err)
{
    *trace = (struct ct_gem_trace){0};
    char *copy = malloc(n_bytes + 1);
    if (copy == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for %zu bytes", name, n_bytes);
    memcpy(copy, text, n_bytes);
    copy[n_bytes] = '\0';
    enum ct_status status = CT_OK;
    size_t number = 1;
    for (char *line = copy; line < copy + n_bytes && status == CT_OK; number++) {
        char *end = memchr(line, '\n', (size_t)(copy + n_bytes - line));
        if (end == NULL)
            end = copy + n_bytes;
        *end = '\0';
        status = strlen(line) == (size_t)(end - line)
                     ? read_line(line, trace, err)
                     : ct_error_set(err, CT_INVALID, "a zero byte");
        if (status != CT_OK)
            ct_error_prefix(err, "%s:%zu", name, number);
        line = end + 1;
    }
    free(copy);
    if (status != CT_OK)
        ct_gem_trace_deinit(trace);
    return status;
}

void ct_gem_trace_deinit(struct ct_gem_trace *trace)
{
    free(trace->commands);
    free(trace->fills);
    free(trace->prints);
    *trace = (struct ct_gem_trace){0};
}

static uint64_t splitmix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void fill(const struct ct_gem_fill *f, uint8_t *at)
{
    const uint64_t span = (uint64_t)(f->high - f->low + 1);
    for (uint64_t i = 0; i < f->n; i++) {
        const int64_t value = f->low + (int64_t)(splitmix64(f->seed + i) % span);
        for (int byte = 0; byte < f->element_bytes; byte++)
            *at++ = (uint8_t)((uint64_t)value >> (8 * byte));
    }
}

/* Limits of the fields keep these sums within 64 bits. */
static void span_over(uint64_t address, uint64_t n_bytes, uint64_t *first, uint64_t *end)
{
    if (n_bytes == 0)
        return;
    *first = address < *first ? address : *first;
    *end = address + n_bytes > *end ? address + n_bytes : *end;
}

enum ct_status ct_gem_trace_memory(const struct ct_gem_trace *trace, struct ct_gem_segment *memory,
                                   struct ct_error *err)
{
    uint64_t first = UINT64_MAX, end = 0;
    for (size_t i = 0; i < trace->n_fills; i++)
        span_over(trace->fills[i].address,
                  trace->fills[i].n * (uint64_t)trace->fills[i].element_bytes, &first, &end);
    for (size_t i = 0; i < trace->n_prints; i++) {
        const struct ct_gem_print *p = &trace->prints[i];
        span_over(p->address,
                  (p->rows - 1) * p->stride_bytes + p->cols * (uint64_t)p->element_bytes, &first,
                  &end);
    }
    *memory = (struct ct_gem_segment){0};
    if (end == 0)
        return CT_OK;
    if (end - first > CT_GEM_TRACE_MAX_BYTES)
        return ct_error_set(err, CT_TOO_LARGE, "memory from 0x%llx to 0x%llx is over %d bytes",
                            (unsigned long long)first, (unsigned long long)end,
                            CT_GEM_TRACE_MAX_BYTES);
    *memory =
        (struct ct_gem_segment){first, (size_t)(end - first), calloc(1, (size_t)(end - first))};
    if (memory->bytes == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu bytes", memory->n_bytes);
    for (size_t i = 0; i < trace->n_fills; i++)
        if (trace->fills[i].n > 0)
            fill(&trace->fills[i], memory->bytes + (trace->fills[i].address - first));
    return CT_OK;
}
