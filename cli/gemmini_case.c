#include "cli/gemmini_case.h"

#include "engine/base/json_read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAX_TEXT_BYTES = 1 << 28 };

/* Not FNV's published offset basis (its decimal form lost a digit), but the files use it. */
#define FNV_BASIS UINT64_C(1469598103934665603)

/* A file's bytes, unpacked where it is packed and NUL-terminated; to be freed. */
static enum ct_status read_text(const char *path, char **out, size_t *n_bytes, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    size_t capacity = 1 << 16, n = 0;
    char *text = NULL;
    gzFile file = gzopen(path, "rb");
    if (file == NULL)
        return ct_error_set(err, CT_IO, "%s: %s", path, strerror(errno));
    for (;;) {
        char *larger = realloc(text, capacity + 1);
        if (larger == NULL) {
            status = ct_error_set(err, CT_MEMORY, "%s: no memory for %zu bytes", path, capacity);
            break;
        }
        text = larger;
        const int n_read = gzread(file, text + n, (unsigned)(capacity - n));
        if (n_read < 0) {
            int code;
            status = ct_error_set(err, CT_FORMAT, "%s: %s", path, gzerror(file, &code));
            break;
        }
        n += (size_t)n_read;
        if (n < capacity)
            break;
        if (capacity >= MAX_TEXT_BYTES) {
            status =
                ct_error_set(err, CT_TOO_LARGE, "%s: more than %d bytes", path, MAX_TEXT_BYTES);
            break;
        }
        capacity *= 2;
    }
    if (gzclose_r(file) == Z_BUF_ERROR && status == CT_OK)
        status = ct_error_set(err, CT_FORMAT, "%s: ends in the middle", path);
    if (status != CT_OK) {
        free(text);
        return status;
    }
    text[n] = '\0';
    *out = text;
    *n_bytes = n;
    return CT_OK;
}

/* The kind, by what the first row has; false for none of the four. */
static bool recognise(struct ct_gemmini_file *file)
{
    if (json_is_array(file->root)) {
        file->kind = CT_GEMMINI_CASES;
        file->rows = file->root;
        return true;
    }
    file->rows = json_object_get(file->root, "rows");
    if (file->rows == NULL) {
        file->kind = CT_GEMMINI_SCALARS;
        return json_object_get(file->root, "acc_scale") != NULL;
    }
    const json_t *first = json_array_get(file->rows, 0);
    file->kind = json_object_get(first, "hex") != NULL ? CT_GEMMINI_NORMS : CT_GEMMINI_CYCLES;
    return json_object_get(first, "hex") != NULL || json_object_get(first, "cycles") != NULL;
}

enum ct_status ct_gemmini_file_open(const char *path, struct ct_gemmini_file *file,
                                    struct ct_error *err)
{
    *file = (struct ct_gemmini_file){.path = path};
    char *text = NULL;
    size_t n_bytes = 0;
    enum ct_status status = read_text(path, &text, &n_bytes, err);
    if (status != CT_OK)
        return status;
    const char first = text[strspn(text, " \t\r\n")];
    status = first == '[' ? ct_json_read_list(text, n_bytes, &file->root, err)
                          : ct_json_read(text, n_bytes, &file->root, err);
    free(text);
    if (status != CT_OK)
        return ct_error_prefix(err, "%s", path);
    if (recognise(file))
        return CT_OK;
    ct_gemmini_file_close(file);
    return ct_error_set(err, CT_FORMAT, "%s: neither cases nor scalars nor rows of results", path);
}

void ct_gemmini_file_close(struct ct_gemmini_file *file)
{
    json_decref(file->root);
    file->root = file->rows = NULL;
}

/* A number written as one, or as text in base 10 or, from "0x", 16. */
static bool parse_number(const json_t *value, int base, uint64_t *out)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    char *end;
    if (text == NULL || text[0] == '-' || text[0] == '\0')
        return false;
    errno = 0;
    *out = strtoull(text, &end, base);
    return errno == 0 && *end == '\0';
}

enum ct_status ct_gemmini_number(const json_t *object, const char *key, uint64_t high,
                                 uint64_t *out, struct ct_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL)
        return ct_error_set(err, CT_FORMAT, "'%s' is missing", key);
    if (!parse_number(value, 0, out) || *out > high)
        return ct_error_set(err, CT_FORMAT, "'%s' is no whole number up to %llu", key,
                            (unsigned long long)high);
    return CT_OK;
}

static enum ct_status read_command(const json_t *list, struct ct_gem_command *out,
                                   struct ct_error *err)
{
    uint64_t funct;
    const char *word = json_string_value(json_array_get(list, 0));
    *out = (struct ct_gem_command){.funct = CT_GEM_FENCE_FUNCT};
    if (word != NULL && strcmp(word, "fence") == 0)
        return CT_OK;
    if (json_array_size(list) != 3 || !parse_number(json_array_get(list, 0), 0, &funct) ||
        funct > UINT8_MAX || !parse_number(json_array_get(list, 1), 0, &out->rs1) ||
        !parse_number(json_array_get(list, 2), 0, &out->rs2))
        return ct_error_set(err, CT_FORMAT, "is neither [funct, rs1, rs2] nor [\"fence\"]");
    out->funct = (uint8_t)funct;
    return CT_OK;
}

static enum ct_status read_fill(const json_t *object, struct ct_gem_fill *out, struct ct_error *err)
{
    const char *fill = json_string_value(json_object_get(object, "fill"));
    const char *type = json_string_value(json_object_get(object, "type"));
    enum ct_status status = ct_gemmini_number(object, "addr", INT64_MAX, &out->address, err);
    if (status == CT_OK)
        status = ct_gemmini_number(object, "count", CT_GEM_TRACE_MAX_BYTES, &out->n, err);
    if (status == CT_OK)
        status = ct_gemmini_number(object, "seed", UINT64_MAX, &out->seed, err);
    if (status != CT_OK)
        return status;
    if (fill == NULL || strcmp(fill, "splitmix") != 0)
        return ct_error_set(err, CT_FORMAT, "'fill' is not \"splitmix\"");
    if (type == NULL || (strcmp(type, "i8") != 0 && strcmp(type, "i32") != 0))
        return ct_error_set(err, CT_FORMAT, "'type' is neither \"i8\" nor \"i32\"");
    const json_t *low = json_object_get(object, "lo"), *high = json_object_get(object, "hi");
    out->low = json_integer_value(low);
    out->high = json_integer_value(high);
    if (!json_is_integer(low) || !json_is_integer(high) || out->low < INT32_MIN ||
        out->high > INT32_MAX || out->low > out->high)
        return ct_error_set(err, CT_FORMAT, "'lo' and 'hi' are no range of int32");
    out->element_bytes = strcmp(type, "i8") == 0 ? 1 : 4;
    return CT_OK;
}

static enum ct_status read_expect(const json_t *object, struct ct_gem_print *out, uint64_t *hash,
                                  struct ct_error *err)
{
    uint64_t element = 0;
    enum ct_status status = ct_gemmini_number(object, "addr", INT64_MAX, &out->address, err);
    if (status == CT_OK)
        status = ct_gemmini_number(object, "rows", 1 << 24, &out->rows, err);
    if (status == CT_OK)
        status = ct_gemmini_number(object, "cols", 1 << 24, &out->cols, err);
    if (status == CT_OK)
        status = ct_gemmini_number(object, "elem_bytes", 4, &element, err);
    if (status == CT_OK)
        status = ct_gemmini_number(object, "row_stride_bytes", CT_GEM_TRACE_MAX_BYTES,
                                   &out->stride_bytes, err);
    if (status != CT_OK)
        return status;
    if ((element != 1 && element != 4) || out->rows == 0 || out->cols == 0)
        return ct_error_set(err, CT_FORMAT, "is no matrix of 'elem_bytes' 1 or 4");
    if (!parse_number(json_object_get(object, "fnv1a64"), 16, hash))
        return ct_error_set(err, CT_FORMAT, "'fnv1a64' is no number in base 16");
    out->element_bytes = (int)element;
    return CT_OK;
}

/* An array for the elements of object's list key; missing is empty. */
static enum ct_status allocate(const json_t *object, const char *key, size_t element_bytes,
                               const json_t **list, void **array, size_t *n, struct ct_error *err)
{
    *list = json_object_get(object, key);
    if (*list != NULL && !json_is_array(*list))
        return ct_error_set(err, CT_FORMAT, "'%s' is no list", key);
    *n = json_array_size(*list);
    *array = calloc(*n + 1, element_bytes);
    return *array != NULL ? CT_OK : ct_error_set(err, CT_MEMORY, "no memory for %zu %s", *n, key);
}

enum ct_status ct_gemmini_case_init(const json_t *object, struct ct_gemmini_case *out,
                                    struct ct_error *err)
{
    const json_t *commands = NULL, *fills = NULL, *expects = NULL;
    *out = (struct ct_gemmini_case){
        .name = json_string_value(json_object_get(object, "name")),
        .is_unverified = json_is_false(json_object_get(object, "rtl_verified")),
    };
    struct ct_gem_trace *trace = &out->trace;
    if (out->name == NULL)
        return ct_error_set(err, CT_FORMAT, "a case without a name");
    enum ct_status status = allocate(object, "cmds", sizeof *trace->commands, &commands,
                                     (void **)&trace->commands, &trace->n_commands, err);
    if (status == CT_OK)
        status = allocate(object, "mem", sizeof *trace->fills, &fills, (void **)&trace->fills,
                          &trace->n_fills, err);
    if (status == CT_OK)
        status = allocate(object, "expect", sizeof *trace->prints, &expects,
                          (void **)&trace->prints, &trace->n_prints, err);
    if (status == CT_OK)
        status = allocate(object, "expect", sizeof *out->hashes, &expects, (void **)&out->hashes,
                          &trace->n_prints, err);
    for (size_t i = 0; status == CT_OK && i < trace->n_commands; i++)
        if ((status = read_command(json_array_get(commands, i), &trace->commands[i], err)) != CT_OK)
            ct_error_prefix(err, "command %zu", i);
    for (size_t i = 0; status == CT_OK && i < trace->n_fills; i++)
        if ((status = read_fill(json_array_get(fills, i), &trace->fills[i], err)) != CT_OK)
            ct_error_prefix(err, "mem %zu", i);
    for (size_t i = 0; status == CT_OK && i < trace->n_prints; i++)
        if ((status = read_expect(json_array_get(expects, i), &trace->prints[i], &out->hashes[i],
                                  err)) != CT_OK)
            ct_error_prefix(err, "expect %zu", i);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%.100s", out->name);
}

void ct_gemmini_case_deinit(struct ct_gemmini_case *c)
{
    ct_gem_trace_deinit(&c->trace);
    free(c->hashes);
    c->hashes = NULL;
}

uint64_t ct_gemmini_hash(const struct ct_gem_print *print, const struct ct_gem_segment *memory)
{
    uint64_t hash = FNV_BASIS;
    for (uint64_t row = 0; row < print->rows; row++) {
        const uint8_t *at =
            memory->bytes + (print->address - memory->address) + row * print->stride_bytes;
        for (uint64_t i = 0; i < print->cols * (uint64_t)print->element_bytes; i++)
            hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Drops digits and the points and crosses between them, then the underscores that this leaves at
 * the end or side by side. */
void ct_gemmini_family(const char *name, char *out)
{
    size_t n = 0;
    bool is_number = false;
    for (const char *p = name; *p != '\0'; p++) {
        const bool is_digit = *p >= '0' && *p <= '9';
        const bool is_inside = is_number && (*p == '.' || *p == 'x') && p[1] >= '0' && p[1] <= '9';
        is_number = is_digit || is_inside;
        if (!is_number && !(*p == '_' && n > 0 && out[n - 1] == '_'))
            out[n++] = *p;
    }
    while (n > 0 && out[n - 1] == '_')
        n--;
    out[n] = '\0';
}
