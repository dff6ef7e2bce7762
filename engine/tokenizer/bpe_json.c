/* Reads tokenizer.json, as Hugging Face's `tokenizers` 0.1x to 0.2x write it.
 *
 * The two tables, model.vocab and model.merges, are nearly all of the file; a cursor walks them in
 * place. The rest, with the two cut out, is parsed by jansson. Whatever would make ids differ from
 * the reference's is refused by name; what has no part in encoding a text without extra tokens
 * (post_processor) is not looked at. */
#include "engine/base/json_read.h"
#include "engine/base/json_text.h"
#include "engine/tokenizer/bpe_internal.h"
#include "engine/tokenizer/json_cursor.h"
#include "engine/tokenizer/normalizer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct extent {
    const char *begin, *end; /* NULL where the file has none */
};

static enum ct_status unsupported(struct ct_error *err, const char *key, const json_t *value)
{
    char *text = ct_json_dump(value, JSON_SORT_KEYS);
    ct_error_set(err, CT_UNSUPPORTED, "%s: %.100s", key, text != NULL ? text : "this value");
    free(text);
    return CT_UNSUPPORTED;
}

/* value[key] as text; "" where it is not a string. */
static const char *text_of(const json_t *value, const char *key)
{
    const char *text = json_string_value(json_object_get(value, key));
    return text != NULL ? text : "";
}

static bool is_off(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

/* Refuses each of the named members of value that is set. */
static enum ct_status refuse_set(const json_t *value, const char *const *keys, const char *where,
                                 struct ct_error *err)
{
    for (; *keys != NULL; keys++) {
        const json_t *member = json_object_get(value, *keys);
        if (!is_off(member)) {
            char name[64];
            snprintf(name, sizeof name, "%s%s", where, *keys);
            return unsupported(err, name, member);
        }
    }
    return CT_OK;
}

static bool key_is(const struct ct_json_text *key, const char *name)
{
    return key->n_bytes == strlen(name) && memcmp(key->data, name, key->n_bytes) == 0;
}

/* Finds model.vocab and model.merges; of duplicates the last, which jansson refuses later. */
static enum ct_status find_tables(struct ct_json_cursor *json, int depth, struct extent tables[2])
{
    struct ct_json_text key = {0};
    bool is_first = true, has_member = true;
    enum ct_status status = ct_json_cursor_enter(json, '{');
    while (status == CT_OK) {
        status = ct_json_cursor_next_member(json, &is_first, &key, &has_member);
        if (status != CT_OK || !has_member)
            break;
        ct_json_cursor_peek(json);
        int i = depth == 0 ? -1 : key_is(&key, "vocab") ? 0 : key_is(&key, "merges") ? 1 : -1;
        if (depth == 0 && key_is(&key, "model") && ct_json_cursor_peek(json) == '{') {
            status = find_tables(json, 1, tables);
            continue;
        }
        const char *begin = json->at;
        status = ct_json_cursor_skip(json);
        if (i >= 0)
            tables[i] = (struct extent){begin, json->at};
    }
    free(key.buffer);
    return status;
}

/* Everything but the two tables, which read as null. */
static enum ct_status load_rest(const char *text, size_t n_bytes, const struct extent tables[2],
                                json_t **out, struct ct_error *err)
{
    static const char null[] = "null";
    char *rest = malloc(n_bytes + 2 * sizeof null); /* a table may be shorter than what stands in */
    if (rest == NULL)
        return CT_MEMORY;
    const char *at = text;
    size_t n_rest = 0;
    int first =
        tables[0].begin != NULL && tables[1].begin != NULL && tables[1].begin < tables[0].begin;
    for (int i = 0; i < 2; i++) {
        const struct extent *table = &tables[first ^ i];
        if (table->begin == NULL)
            continue;
        memcpy(rest + n_rest, at, (size_t)(table->begin - at));
        n_rest += (size_t)(table->begin - at);
        memcpy(rest + n_rest, null, sizeof null - 1);
        n_rest += sizeof null - 1;
        at = table->end;
    }
    memcpy(rest + n_rest, at, n_bytes - (size_t)(at - text));
    n_rest += n_bytes - (size_t)(at - text);
    enum ct_status status = ct_json_read(rest, n_rest, out, err);
    free(rest);
    if (status == CT_FORMAT)
        ct_error_prefix(err, "without its tables");
    return status;
}

static enum ct_status check_model(const json_t *model, struct ct_error *err)
{
    static const char *const unsupported_keys[] = {"dropout", "continuing_subword_prefix",
                                                   "end_of_word_suffix", "byte_fallback", NULL};
    const json_t *type = json_object_get(model, "type");
    if (!json_is_object(model))
        return ct_error_set(err, CT_FORMAT, "model: expected an object");
    if (type != NULL && strcmp(text_of(model, "type"), "BPE") != 0)
        return unsupported(err, "model.type", type);
    return refuse_set(model, unsupported_keys, "model.", err);
}

static enum ct_status read_normalizer(struct ct_bpe *bpe, const json_t *normalizer,
                                      struct ct_error *err)
{
    bpe->has_nfc = strcmp(text_of(normalizer, "type"), "NFC") == 0;
    return bpe->has_nfc || is_off(normalizer) ? CT_OK : unsupported(err, "normalizer", normalizer);
}

static enum ct_status check_rest(const json_t *root, struct ct_error *err)
{
    static const char *const unsupported_keys[] = {"truncation", "padding", NULL};
    enum ct_status status = check_model(json_object_get(root, "model"), err);
    if (status != CT_OK)
        return status;
    status = refuse_set(root, unsupported_keys, "", err);
    if (status != CT_OK)
        return status;
    const json_t *decoder = json_object_get(root, "decoder");
    if (strcmp(text_of(decoder, "type"), "ByteLevel") != 0)
        return unsupported(err, "decoder", decoder);
    return CT_OK;
}

static enum ct_status add_split(struct ct_bpe *bpe, const json_t *step, struct ct_error *err)
{
    const json_t *pattern = json_object_get(json_object_get(step, "pattern"), "Regex");
    if (!json_is_string(pattern) || strcmp(text_of(step, "behavior"), "Isolated") != 0 ||
        !is_off(json_object_get(step, "invert")))
        return unsupported(err, "pre_tokenizer", step);
    return ct_pretokenizer_add(bpe->pre, CT_PRETOKENIZER_SPLIT, json_string_value(pattern),
                               json_string_length(pattern), err);
}

/* ByteLevel ends the list: after it the text is no longer what patterns are written for. */
static enum ct_status add_byte_level(struct ct_bpe *bpe, const json_t *step, bool is_last,
                                     struct ct_error *err)
{
    if (!is_last || !is_off(json_object_get(step, "add_prefix_space")))
        return unsupported(err, "pre_tokenizer", step);
    if (json_is_false(json_object_get(step, "use_regex")))
        return CT_OK;
    return ct_pretokenizer_add(bpe->pre, CT_PRETOKENIZER_BYTE_LEVEL, "", 0, err);
}

static enum ct_status add_pretokenizer(struct ct_bpe *bpe, const json_t *pre, struct ct_error *err)
{
    const json_t *steps = json_object_get(pre, "pretokenizers");
    bool is_sequence = strcmp(text_of(pre, "type"), "Sequence") == 0;
    size_t n_steps = is_sequence ? json_array_size(steps) : 1;
    if (n_steps == 0)
        return unsupported(err, "pre_tokenizer", pre);
    for (size_t i = 0; i < n_steps; i++) {
        const json_t *step = is_sequence ? json_array_get(steps, i) : pre;
        const char *type = text_of(step, "type");
        bool is_last = i + 1 == n_steps;
        enum ct_status status;
        if (strcmp(type, "ByteLevel") == 0)
            status = add_byte_level(bpe, step, is_last, err);
        else if (is_last)
            return ct_error_set(err, CT_UNSUPPORTED, "pre_tokenizer: does not end in ByteLevel");
        else if (strcmp(type, "Split") == 0)
            status = add_split(bpe, step, err);
        else if (strcmp(type, "Digits") == 0)
            status = ct_pretokenizer_add(bpe->pre,
                                         json_is_true(json_object_get(step, "individual_digits"))
                                             ? CT_PRETOKENIZER_DIGITS
                                             : CT_PRETOKENIZER_DIGIT_RUNS,
                                         "", 0, err);
        else
            return unsupported(err, "pre_tokenizer", step);
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

static enum ct_status read_vocab(struct ct_bpe *bpe, struct ct_json_cursor *json, int64_t limit)
{
    struct ct_json_text key = {0};
    bool is_first = true, has_member = true;
    enum ct_status status = ct_json_cursor_enter(json, '{');
    while (status == CT_OK) {
        int64_t id;
        status = ct_json_cursor_next_member(json, &is_first, &key, &has_member);
        if (status != CT_OK || !has_member)
            break;
        status = ct_json_cursor_read_int(json, &id);
        if (status == CT_OK)
            status = ct_bpe_add_token(bpe, id, limit, key.data, key.n_bytes, json->err);
    }
    free(key.buffer);
    return status;
}

/* ["left", "right"], the form of newer files. */
static enum ct_status read_merge_pair(struct ct_bpe *bpe, struct ct_json_cursor *json,
                                      struct ct_json_text parts[2])
{
    bool is_first = true, has_element = true;
    enum ct_status status = ct_json_cursor_enter(json, '[');
    for (int i = 0; i < 3 && status == CT_OK; i++) {
        status = ct_json_cursor_next_element(json, &is_first, &has_element);
        if (status != CT_OK)
            break;
        if (has_element != (i < 2))
            return ct_error_set(json->err, CT_FORMAT, "merge %d: expected two tokens",
                                bpe->n_merges);
        if (has_element)
            status = ct_json_cursor_read_text(json, &parts[i]);
    }
    if (status != CT_OK)
        return status;
    return ct_bpe_add_merge(bpe, parts[0].data, parts[0].n_bytes, parts[1].data, parts[1].n_bytes,
                            json->err);
}

static enum ct_status read_merges(struct ct_bpe *bpe, struct ct_json_cursor *json)
{
    struct ct_json_text parts[2] = {0};
    bool is_first = true, has_element = true;
    enum ct_status status = ct_json_cursor_enter(json, '[');
    while (status == CT_OK) {
        status = ct_json_cursor_next_element(json, &is_first, &has_element);
        if (status != CT_OK || !has_element)
            break;
        if (ct_json_cursor_peek(json) == '[') {
            status = read_merge_pair(bpe, json, parts);
            continue;
        }
        status = ct_json_cursor_read_text(json, &parts[0]);
        if (status == CT_OK)
            status = ct_bpe_add_merge_line(bpe, parts[0].data, parts[0].n_bytes, json->err);
    }
    free(parts[0].buffer);
    free(parts[1].buffer);
    return status;
}

/* A token that is looked for in normalized text must be normalized itself to be found. */
static enum ct_status check_normal(const json_t *content, struct ct_error *err)
{
    char *normal = NULL;
    size_t n_normal;
    enum ct_status status =
        ct_nfc(json_string_value(content), json_string_length(content), &normal, &n_normal);
    if (status == CT_OK && normal != NULL)
        status = unsupported(err, "content that is not in NFC", content);
    free(normal);
    return status;
}

/* Added tokens may be in the vocabulary too, under the same id. */
static enum ct_status add_added(struct ct_bpe *bpe, const json_t *added, int64_t limit,
                                struct ct_error *err)
{
    static const char *const unsupported_keys[] = {"single_word", "lstrip", "rstrip", NULL};
    const json_t *content = json_object_get(added, "content");
    const json_t *id_value = json_object_get(added, "id");
    if (!json_is_string(content) || !json_is_integer(id_value))
        return ct_error_set(err, CT_FORMAT, "expected \"content\" and \"id\"");
    enum ct_status status = refuse_set(added, unsupported_keys, "", err);
    if (status != CT_OK)
        return status;
    json_int_t id = json_integer_value(id_value);
    const char *text = json_string_value(content);
    size_t n_bytes = json_string_length(content);
    bool is_known = id >= 0 && id < bpe->n_vocab && bpe->tokens[id].text != NULL &&
                    bpe->tokens[id].n_text == n_bytes &&
                    memcmp(bpe->tokens[id].text, text, n_bytes) == 0;
    if (!is_known)
        status = ct_bpe_add_token(bpe, id, limit, text, n_bytes, err);
    const bool is_normalized = json_is_true(json_object_get(added, "normalized"));
    if (status == CT_OK && is_normalized && bpe->has_nfc)
        status = check_normal(content, err);
    if (status != CT_OK)
        return status;
    return ct_bpe_add_added(bpe, (int32_t)id, json_is_true(json_object_get(added, "special")),
                            is_normalized);
}

static enum ct_status add_all_added(struct ct_bpe *bpe, const json_t *list, int64_t limit,
                                    struct ct_error *err)
{
    if (list != NULL && !json_is_null(list) && !json_is_array(list))
        return ct_error_set(err, CT_FORMAT, "added_tokens: expected an array");
    for (size_t i = 0; i < json_array_size(list); i++) {
        enum ct_status status = add_added(bpe, json_array_get(list, i), limit, err);
        if (status == CT_MEMORY)
            return status;
        if (status != CT_OK)
            return ct_error_prefix(err, "added_tokens[%zu]", i);
    }
    return CT_OK;
}

/* model.unk_token and its company, which matter only where a byte has no token. */
static enum ct_status set_unknown(struct ct_bpe *bpe, const json_t *model, struct ct_error *err)
{
    const json_t *unknown = json_object_get(model, "unk_token");
    bpe->has_whole_words = json_is_true(json_object_get(model, "ignore_merges"));
    if (is_off(unknown))
        return CT_OK;
    if (!json_is_string(unknown))
        return ct_error_set(err, CT_FORMAT, "model.unk_token: expected a string");
    if (json_is_true(json_object_get(model, "fuse_unk")))
        return unsupported(err, "model.fuse_unk", json_object_get(model, "fuse_unk"));
    bpe->unknown_id = ct_bpe_token_id(bpe, json_string_value(unknown), json_string_length(unknown));
    if (bpe->unknown_id < 0)
        return ct_error_set(err, CT_FORMAT, "model.unk_token: \"%.48s\" is not a token",
                            json_string_value(unknown));
    return CT_OK;
}

static enum ct_status build(struct ct_bpe *bpe, const json_t *root, const struct extent tables[2],
                            size_t n_bytes, struct ct_error *err)
{
    enum ct_status status = check_rest(root, err);
    if (status == CT_OK)
        status = read_normalizer(bpe, json_object_get(root, "normalizer"), err);
    if (status != CT_OK)
        return status;
    if (tables[0].begin == NULL || tables[1].begin == NULL)
        return ct_error_set(err, CT_FORMAT, "model: \"%s\" is missing",
                            tables[0].begin == NULL ? "vocab" : "merges");
    struct ct_json_cursor vocab = {tables[0].begin, tables[0].begin, tables[0].end, err};
    struct ct_json_cursor merges = {tables[1].begin, tables[1].begin, tables[1].end, err};
    /* A token takes six bytes at least, so that ids without holes stay below this. */
    int64_t limit = (int64_t)n_bytes / 4;
    status = read_vocab(bpe, &vocab, limit);
    if (status == CT_FORMAT)
        return ct_error_prefix(err, "model.vocab");
    if (status == CT_OK)
        status = add_all_added(bpe, json_object_get(root, "added_tokens"), limit, err);
    if (status == CT_OK)
        status = ct_bpe_index_tokens(bpe, err);
    if (status == CT_OK)
        status = set_unknown(bpe, json_object_get(root, "model"), err);
    if (status == CT_OK)
        status = add_pretokenizer(bpe, json_object_get(root, "pre_tokenizer"), err);
    if (status != CT_OK)
        return status;
    status = read_merges(bpe, &merges);
    if (status == CT_FORMAT)
        return ct_error_prefix(err, "model.merges");
    return status == CT_OK ? ct_bpe_finish(bpe) : status;
}

enum ct_status ct_bpe_open_json(const char *text, size_t n_bytes, struct ct_bpe **out,
                                struct ct_error *err)
{
    struct extent tables[2] = {0};
    struct ct_json_cursor json = {text, text, text + n_bytes, err};
    struct ct_bpe *bpe = NULL;
    json_t *root = NULL;
    enum ct_status status = find_tables(&json, 0, tables);
    if (status == CT_OK)
        status = load_rest(text, n_bytes, tables, &root, err);
    if (status == CT_OK)
        status = ct_bpe_open_empty(&bpe);
    if (status == CT_OK)
        status = build(bpe, root, tables, n_bytes, err);
    json_decref(root);
    if (status == CT_OK) {
        *out = bpe;
        return CT_OK;
    }
    ct_bpe_close(bpe);
    if (status == CT_MEMORY)
        return ct_error_set(err, CT_MEMORY, "tokenizer.json: out of memory");
    return ct_error_prefix(err, "tokenizer.json");
}
