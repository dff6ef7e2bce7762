/* Reads tokenizer.json, as Hugging Face's `tokenizers` 0.1x to 0.2x write it, and the files of older
 * models: vocab.txt with tokenizer_config.json. Whatever would make ids differ from the reference's
 * is refused by name. */
#include "engine/base/json_read.h"
#include "engine/base/json_text.h"
#include "engine/tokenizer/json_cursor.h"
#include "engine/tokenizer/wordpiece_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_TEXT = 0, SECOND_TEXT = 1 };

static enum ct_status unsupported(struct ct_error *err, const char *key, const json_t *value)
{
    char *text = value != NULL ? ct_json_dump(value, JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    ct_error_set(err, CT_UNSUPPORTED, "%s: %.100s", key, text != NULL ? text : "missing");
    free(text);
    return CT_UNSUPPORTED;
}

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static bool is_null(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

/* Refuses the members of value whose names are not in the list, which NULL ends. */
static enum ct_status check_names(json_t *value, const char *where, const char *const *known,
                                  struct ct_error *err)
{
    const char *name;
    json_t *member;
    json_object_foreach(value, name, member)
    {
        int i = 0;
        while (known[i] != NULL && strcmp(known[i], name) != 0)
            i++;
        if (known[i] == NULL) {
            char key[96];
            snprintf(key, sizeof key, "%s.%.64s", where, name);
            return unsupported(err, key, member);
        }
    }
    return CT_OK;
}

/* value[key], which must be true or false. */
static enum ct_status read_bool(const json_t *value, const char *where, const char *key, bool *out,
                                struct ct_error *err)
{
    const json_t *member = json_object_get(value, key);
    *out = json_is_true(member);
    if (json_is_boolean(member))
        return CT_OK;
    char name[96];
    snprintf(name, sizeof name, "%s.%s", where, key);
    return unsupported(err, name, member);
}

static bool equals(const struct ct_json_text *text, const char *want)
{
    return text->n_bytes == strlen(want) && memcmp(text->data, want, text->n_bytes) == 0;
}

/* Enters an object and goes to the value of the member; false where there is none. */
static bool find_member(struct ct_json_cursor *json, const char *want, struct ct_json_text *name)
{
    bool is_first = true, has_member = true;
    if (ct_json_cursor_enter(json, '{') != CT_OK)
        return false;
    while (ct_json_cursor_next_member(json, &is_first, name, &has_member) == CT_OK && has_member) {
        if (equals(name, want))
            return true;
        if (ct_json_cursor_skip(json) != CT_OK)
            return false;
    }
    return false;
}

bool ct_wordpiece_is_json(const char *text, size_t n_bytes)
{
    struct ct_json_cursor json = {text, text, text + n_bytes, NULL};
    struct ct_json_text word = {0};
    const bool is_wordpiece =
        find_member(&json, "model", &word) && find_member(&json, "type", &word) &&
        ct_json_cursor_read_text(&json, &word) == CT_OK && equals(&word, "WordPiece");
    free(word.buffer);
    return is_wordpiece;
}

static enum ct_status read_normalizer(struct ct_wordpiece *wordpiece, json_t *normalizer,
                                      struct ct_error *err)
{
    static const char *const known[] = {"type",      "clean_text",    "handle_chinese_chars",
                                        "lowercase", "strip_accents", NULL};
    struct ct_bert_rules *rules = &wordpiece->rules;
    if (!is_text(json_object_get(normalizer, "type"), "BertNormalizer"))
        return unsupported(err, "normalizer", normalizer);
    enum ct_status status = check_names(normalizer, "normalizer", known, err);
    if (status == CT_OK)
        status = read_bool(normalizer, "normalizer", "clean_text", &rules->cleans_text, err);
    if (status == CT_OK)
        status =
            read_bool(normalizer, "normalizer", "handle_chinese_chars", &rules->spaces_cjk, err);
    if (status == CT_OK)
        status = read_bool(normalizer, "normalizer", "lowercase", &rules->is_lowercase, err);
    rules->strips_accents = rules->is_lowercase; /* where the file leaves it open */
    if (status == CT_OK && !is_null(json_object_get(normalizer, "strip_accents")))
        status = read_bool(normalizer, "normalizer", "strip_accents", &rules->strips_accents, err);
    return status;
}

static enum ct_status check_pretokenizer(json_t *pre, struct ct_error *err)
{
    static const char *const known[] = {"type", NULL};
    if (!is_text(json_object_get(pre, "type"), "BertPreTokenizer"))
        return unsupported(err, "pre_tokenizer", pre);
    return check_names(pre, "pre_tokenizer", known, err);
}

static enum ct_status read_vocab(struct ct_wordpiece *wordpiece, json_t *vocab, int64_t limit,
                                 struct ct_error *err)
{
    const char *text;
    json_t *id;
    json_object_foreach(vocab, text, id)
    {
        if (!json_is_integer(id))
            return ct_error_set(err, CT_FORMAT, "model.vocab: \"%.48s\": expected an id", text);
        enum ct_status status = ct_wordpiece_add_token(wordpiece, json_integer_value(id), limit,
                                                       text, strlen(text), err);
        if (status != CT_OK)
            return status == CT_MEMORY ? status : ct_error_prefix(err, "model.vocab");
    }
    return ct_wordpiece_index_tokens(wordpiece);
}

static enum ct_status set_words(struct ct_wordpiece *wordpiece, const char *prefix,
                                json_int_t max_chars, const char *unknown, struct ct_error *err)
{
    if (max_chars < 0 || max_chars > CT_WORDPIECE_MAX_WORD)
        return ct_error_set(err, CT_UNSUPPORTED, "model.max_input_chars_per_word: %lld, limit %d",
                            (long long)max_chars, CT_WORDPIECE_MAX_WORD);
    wordpiece->max_chars = (int)max_chars;
    wordpiece->n_prefix = (uint32_t)strlen(prefix);
    wordpiece->prefix = ct_arena_text(&wordpiece->arena, prefix, wordpiece->n_prefix);
    if (wordpiece->prefix == NULL)
        return CT_MEMORY;
    wordpiece->unknown_id = ct_wordpiece_token_id(wordpiece, unknown, strlen(unknown));
    if (wordpiece->unknown_id < 0)
        return ct_error_set(err, CT_FORMAT, "unk_token: \"%.48s\" is not in the vocabulary",
                            unknown);
    return CT_OK;
}

static enum ct_status read_model(struct ct_wordpiece *wordpiece, json_t *model, int64_t limit,
                                 struct ct_error *err)
{
    static const char *const known[] = {
        "type",  "unk_token", "continuing_subword_prefix", "max_input_chars_per_word",
        "vocab", NULL};
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix"),
                 *max_chars = json_object_get(model, "max_input_chars_per_word"),
                 *unknown = json_object_get(model, "unk_token");
    json_t *vocab = json_object_get(model, "vocab");
    if (!is_text(json_object_get(model, "type"), "WordPiece"))
        return unsupported(err, "model.type", json_object_get(model, "type"));
    enum ct_status status = check_names(model, "model", known, err);
    if (status != CT_OK)
        return status;
    if (!json_is_string(prefix) || !json_is_integer(max_chars) || !json_is_string(unknown) ||
        !json_is_object(vocab))
        return ct_error_set(err, CT_FORMAT,
                            "model: expected \"vocab\", \"unk_token\", "
                            "\"continuing_subword_prefix\" and "
                            "\"max_input_chars_per_word\"");
    status = read_vocab(wordpiece, vocab, limit, err);
    if (status != CT_OK)
        return status;
    return set_words(wordpiece, json_string_value(prefix), json_integer_value(max_chars),
                     json_string_value(unknown), err);
}

/* Spaces around a token are dropped with or without lstrip and rstrip: they change no id. */
static enum ct_status add_added(struct ct_wordpiece *wordpiece, json_t *added, int64_t limit,
                                struct ct_error *err)
{
    static const char *const known[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special",     NULL};
    const json_t *content = json_object_get(added, "content"), *id = json_object_get(added, "id"),
                 *single_word = json_object_get(added, "single_word");
    if (!json_is_string(content) || !json_is_integer(id))
        return ct_error_set(err, CT_FORMAT, "expected \"content\" and \"id\"");
    enum ct_status status = check_names(added, "token", known, err);
    if (status == CT_OK && json_is_true(single_word))
        status = unsupported(err, "single_word", single_word);
    if (status != CT_OK)
        return status;
    const char *text = json_string_value(content);
    const int32_t found = ct_wordpiece_token_id(wordpiece, text, json_string_length(content));
    if (found >= 0 && found != json_integer_value(id))
        return ct_error_set(err, CT_FORMAT, "\"%.48s\" has two ids, %d and %lld", text, found,
                            (long long)json_integer_value(id));
    if (found < 0)
        status = ct_wordpiece_add_token(wordpiece, json_integer_value(id), limit, text,
                                        json_string_length(content), err);
    if (status != CT_OK)
        return status;
    return ct_wordpiece_add_added(wordpiece, (int32_t)json_integer_value(id),
                                  json_is_true(json_object_get(added, "special")),
                                  json_is_true(json_object_get(added, "normalized")), err);
}

static enum ct_status add_all_added(struct ct_wordpiece *wordpiece, const json_t *list,
                                    int64_t limit, struct ct_error *err)
{
    if (!is_null(list) && !json_is_array(list))
        return ct_error_set(err, CT_FORMAT, "added_tokens: expected an array");
    for (size_t i = 0; i < json_array_size(list); i++) {
        enum ct_status status = add_added(wordpiece, json_array_get(list, i), limit, err);
        if (status != CT_OK)
            return status == CT_MEMORY ? status : ct_error_prefix(err, "added_tokens[%zu]", i);
    }
    return CT_OK;
}

static json_int_t int_of(const json_t *value)
{
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static enum ct_status add_id(struct ct_wordpiece *wordpiece, bool is_pair, json_int_t id,
                             json_int_t type, struct ct_error *err)
{
    if (id < 0 || id >= wordpiece->n_vocab)
        return ct_error_set(err, CT_FORMAT, "token id %lld, limit %d", (long long)id,
                            wordpiece->n_vocab);
    return ct_wordpiece_add_item(
        wordpiece, is_pair, (struct ct_wordpiece_item){.id = (int32_t)id, .type = (int32_t)type},
        err);
}

static enum ct_status add_text(struct ct_wordpiece *wordpiece, bool is_pair, int text,
                               json_int_t type, struct ct_error *err)
{
    return ct_wordpiece_add_item(
        wordpiece, is_pair,
        (struct ct_wordpiece_item){.id = -1, .text = text, .type = (int32_t)type}, err);
}

/* One item of TemplateProcessing; *n_texts counts the texts so far, which come in their order. */
static enum ct_status add_piece(struct ct_wordpiece *wordpiece, bool is_pair, const json_t *piece,
                                const json_t *special_tokens, int *n_texts, struct ct_error *err)
{
    const json_t *sequence = json_object_get(piece, "Sequence"),
                 *special = json_object_get(piece, "SpecialToken"),
                 *member = sequence != NULL ? sequence : special;
    const json_t *id = json_object_get(member, "id"), *type = json_object_get(member, "type_id");
    if (json_object_size(piece) != 1 || !json_is_string(id) || !json_is_integer(type) ||
        json_integer_value(type) < 0 || json_integer_value(type) > 1)
        return unsupported(err, "item", piece);
    if (sequence != NULL) {
        if (*n_texts > is_pair || !is_text(id, *n_texts == 0 ? "A" : "B"))
            return unsupported(err, "item", piece);
        return add_text(wordpiece, is_pair, (*n_texts)++, json_integer_value(type), err);
    }
    const json_t *ids =
        json_object_get(json_object_get(special_tokens, json_string_value(id)), "ids");
    if (json_array_size(ids) == 0)
        return ct_error_set(err, CT_FORMAT, "\"%.48s\" is not in special_tokens",
                            json_string_value(id));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        enum ct_status status = add_id(wordpiece, is_pair, int_of(json_array_get(ids, i)),
                                       json_integer_value(type), err);
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

static enum ct_status read_template(struct ct_wordpiece *wordpiece, json_t *post,
                                    struct ct_error *err)
{
    static const char *const known[] = {"type", "single", "pair", "special_tokens", NULL};
    enum ct_status status = check_names(post, "post_processor", known, err);
    if (status != CT_OK)
        return status;
    for (int is_pair = 0; is_pair < 2; is_pair++) {
        const char *name = is_pair ? "pair" : "single";
        const json_t *pieces = json_object_get(post, name);
        int n_texts = 0;
        for (size_t i = 0; i < json_array_size(pieces) && status == CT_OK; i++)
            status = add_piece(wordpiece, is_pair, json_array_get(pieces, i),
                               json_object_get(post, "special_tokens"), &n_texts, err);
        if (status == CT_OK && n_texts != is_pair + 1)
            status =
                ct_error_set(err, CT_UNSUPPORTED, "%d texts, expected %d", n_texts, is_pair + 1);
        if (status != CT_OK)
            return ct_error_prefix(err, "post_processor.%s", name);
    }
    return CT_OK;
}

/* cls A sep, and cls A sep B sep or, as RoBERTa has it, cls A sep sep B sep with one type. */
static enum ct_status frame_texts(struct ct_wordpiece *wordpiece, json_int_t cls, json_int_t sep,
                                  bool is_roberta, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    for (int is_pair = 0; is_pair < 2 && status == CT_OK; is_pair++) {
        status = add_id(wordpiece, is_pair, cls, 0, err);
        if (status == CT_OK)
            status = add_text(wordpiece, is_pair, FIRST_TEXT, 0, err);
        if (status == CT_OK)
            status = add_id(wordpiece, is_pair, sep, 0, err);
        if (status == CT_OK && is_pair && is_roberta)
            status = add_id(wordpiece, is_pair, sep, 0, err);
        if (status == CT_OK && is_pair)
            status = add_text(wordpiece, is_pair, SECOND_TEXT, !is_roberta, err);
        if (status == CT_OK && is_pair)
            status = add_id(wordpiece, is_pair, sep, !is_roberta, err);
    }
    return status;
}

static enum ct_status read_post_processor(struct ct_wordpiece *wordpiece, json_t *post,
                                          struct ct_error *err)
{
    static const char *const bert[] = {"type", "sep", "cls", NULL};
    static const char *const roberta[] = {"type", "sep", "cls", "trim_offsets", "add_prefix_space",
                                          NULL};
    const json_t *type = json_object_get(post, "type");
    enum ct_status status = CT_OK;
    if (is_null(post)) {
        for (int i = 0; i < 3 && status == CT_OK; i++)
            status = add_text(wordpiece, i > 0, i == 2 ? SECOND_TEXT : FIRST_TEXT, i == 2, err);
        return status;
    }
    if (is_text(type, "TemplateProcessing"))
        return read_template(wordpiece, post, err);
    const bool is_roberta = is_text(type, "RobertaProcessing");
    if (!is_roberta && !is_text(type, "BertProcessing"))
        return unsupported(err, "post_processor", post);
    status = check_names(post, "post_processor", is_roberta ? roberta : bert, err);
    if (status != CT_OK)
        return status;
    status = frame_texts(wordpiece, int_of(json_array_get(json_object_get(post, "cls"), 1)),
                         int_of(json_array_get(json_object_get(post, "sep"), 1)), is_roberta, err);
    return status == CT_FORMAT ? ct_error_prefix(err, "post_processor") : status;
}

static enum ct_status build(struct ct_wordpiece *wordpiece, const json_t *root, size_t n_bytes,
                            struct ct_error *err)
{
    /* A token takes six bytes at least, so that ids without holes stay below this. */
    const int64_t limit = (int64_t)n_bytes / 4;
    enum ct_status status = read_model(wordpiece, json_object_get(root, "model"), limit, err);
    if (status == CT_OK)
        status = read_normalizer(wordpiece, json_object_get(root, "normalizer"), err);
    if (status == CT_OK)
        status = check_pretokenizer(json_object_get(root, "pre_tokenizer"), err);
    if (status == CT_OK)
        status = add_all_added(wordpiece, json_object_get(root, "added_tokens"), limit, err);
    if (status == CT_OK)
        status = read_post_processor(wordpiece, json_object_get(root, "post_processor"), err);
    return status == CT_OK ? ct_wordpiece_finish(wordpiece, err) : status;
}

/* Hands the tokenizer over, or closes it where status is not CT_OK. */
static enum ct_status end_open(enum ct_status status, struct ct_wordpiece *wordpiece,
                               struct ct_wordpiece **out, const char *name, struct ct_error *err)
{
    if (status == CT_OK) {
        *out = wordpiece;
        return CT_OK;
    }
    ct_wordpiece_close(wordpiece);
    if (status == CT_MEMORY)
        return ct_error_set(err, CT_MEMORY, "%s: out of memory", name);
    return ct_error_prefix(err, "%s", name);
}

enum ct_status ct_wordpiece_open_json(const char *text, size_t n_bytes, struct ct_wordpiece **out,
                                      struct ct_error *err)
{
    struct ct_wordpiece *wordpiece = NULL;
    json_t *root = NULL;
    enum ct_status status = ct_json_read(text, n_bytes, &root, err);
    if (status == CT_OK)
        status = ct_wordpiece_open_empty(&wordpiece);
    if (status == CT_OK)
        status = build(wordpiece, root, n_bytes, err);
    json_decref(root);
    return end_open(status, wordpiece, out, "tokenizer.json", err);
}

/* What tokenizer_config.json says of BertTokenizer; NULL for its defaults. */
static enum ct_status read_config(struct ct_wordpiece *wordpiece, const json_t *config,
                                  struct ct_error *err)
{
    static const struct {
        const char *name, *text;
    } tokens[] = {{"unk_token", "[UNK]"},
                  {"cls_token", "[CLS]"},
                  {"sep_token", "[SEP]"},
                  {"pad_token", "[PAD]"},
                  {"mask_token", "[MASK]"}};
    struct ct_bert_rules *rules = &wordpiece->rules;
    *rules = (struct ct_bert_rules){true, true, true, true};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        const json_t *token = json_object_get(config, tokens[i].name);
        const json_t *text = json_is_object(token) ? json_object_get(token, "content") : token;
        if (!is_null(text) && !is_text(text, tokens[i].text))
            return unsupported(err, tokens[i].name, token);
    }
    const json_t *basic = json_object_get(config, "do_basic_tokenize");
    const json_t *never_split = json_object_get(config, "never_split");
    if (!is_null(basic) && !json_is_true(basic))
        return unsupported(err, "do_basic_tokenize", basic);
    if (!is_null(never_split) && json_array_size(never_split) != 0)
        return unsupported(err, "never_split", never_split);
    enum ct_status status = CT_OK;
    if (!is_null(json_object_get(config, "do_lower_case")))
        status = read_bool(config, "config", "do_lower_case", &rules->is_lowercase, err);
    if (status == CT_OK && !is_null(json_object_get(config, "tokenize_chinese_chars")))
        status = read_bool(config, "config", "tokenize_chinese_chars", &rules->spaces_cjk, err);
    rules->strips_accents = rules->is_lowercase;
    if (status == CT_OK && !is_null(json_object_get(config, "strip_accents")))
        status = read_bool(config, "config", "strip_accents", &rules->strips_accents, err);
    return status;
}

static enum ct_status read_lines(struct ct_wordpiece *wordpiece, const char *text, size_t n_bytes,
                                 struct ct_error *err)
{
    const char *at = text, *end = text + n_bytes;
    for (int64_t id = 0; at < end; id++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline != NULL ? newline : end;
        const bool has_return = line_end > at && line_end[-1] == '\r';
        enum ct_status status =
            ct_wordpiece_add_token(wordpiece, id, CT_WORDPIECE_MAX_VOCAB, at,
                                   (size_t)(line_end - at) - (has_return ? 1 : 0), err);
        if (status != CT_OK)
            return status;
        at = newline != NULL ? newline + 1 : end;
    }
    return ct_wordpiece_index_tokens(wordpiece);
}

static enum ct_status build_from_lines(struct ct_wordpiece *wordpiece, const char *vocab,
                                       size_t n_bytes, struct ct_error *err)
{
    static const char *const specials[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    enum { N_SPECIALS = sizeof specials / sizeof specials[0], N_NEEDED = 3 };
    int32_t ids[N_SPECIALS];
    enum ct_status status = read_lines(wordpiece, vocab, n_bytes, err);
    for (int i = 0; i < N_SPECIALS && status == CT_OK; i++) {
        ids[i] = ct_wordpiece_token_id(wordpiece, specials[i], strlen(specials[i]));
        if (ids[i] >= 0)
            status = ct_wordpiece_add_added(wordpiece, ids[i], true, false, err);
        else if (i < N_NEEDED)
            status = ct_error_set(err, CT_FORMAT, "%s is missing", specials[i]);
    }
    if (status == CT_OK)
        status = set_words(wordpiece, "##", 100, specials[0], err);
    if (status == CT_OK)
        status = frame_texts(wordpiece, ids[1], ids[2], false, err);
    return status == CT_OK ? ct_wordpiece_finish(wordpiece, err) : status;
}

enum ct_status ct_wordpiece_open_vocab(const char *vocab, size_t n_vocab_bytes, const char *config,
                                       size_t n_config_bytes, struct ct_wordpiece **out,
                                       struct ct_error *err)
{
    struct ct_wordpiece *wordpiece = NULL;
    json_t *root = NULL;
    enum ct_status status = CT_OK;
    if (config != NULL)
        status = ct_json_read(config, n_config_bytes, &root, err);
    if (status == CT_OK)
        status = ct_wordpiece_open_empty(&wordpiece);
    if (status == CT_OK)
        status = read_config(wordpiece, root, err);
    json_decref(root);
    if (status != CT_OK)
        return end_open(status, wordpiece, out, "tokenizer_config.json", err);
    status = build_from_lines(wordpiece, vocab, n_vocab_bytes, err);
    return end_open(status, wordpiece, out, "vocab.txt", err);
}
