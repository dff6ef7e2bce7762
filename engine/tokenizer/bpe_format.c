/* Writes tokenizer.json in the form that `tokenizers` reads. Every token is in model.vocab, added
 * tokens too; merges are single strings ("a b"), which every version of `tokenizers` reads. */
#include "engine/tokenizer/bpe_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_escaped(FILE *file, const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20) {
            fprintf(file, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\')
            putc('\\', file);
        putc(c, file);
    }
}

static void put_text(FILE *file, const char *text, size_t n_bytes)
{
    putc('"', file);
    put_escaped(file, text, n_bytes);
    putc('"', file);
}

static void put_token(FILE *file, const struct ct_bpe *bpe, int32_t id)
{
    put_text(file, bpe->tokens[id].text, bpe->tokens[id].n_text);
}

static const char *bool_text(bool value)
{
    return value ? "true" : "false";
}

static void put_added(FILE *file, const struct ct_bpe *bpe)
{
    fputs("\"added_tokens\": [", file);
    for (int i = 0; i < bpe->n_added; i++) {
        const struct ct_bpe_added *added = &bpe->added[i];
        fprintf(file, "%s\n{\"id\": %d, \"content\": ", i > 0 ? "," : "", added->id);
        put_token(file, bpe, added->id);
        fprintf(file,
                ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                "\"normalized\": %s, \"special\": %s}",
                bool_text(added->is_normalized), bool_text(bpe->tokens[added->id].is_special));
    }
    fputs("\n],\n", file);
}

static void put_byte_level(FILE *file, bool has_regex)
{
    fprintf(file,
            "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
            "\"use_regex\": %s}",
            bool_text(has_regex));
}

static void put_pretokenizer(FILE *file, const struct ct_pretokenizer *pre)
{
    fputs("\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n", file);
    bool has_regex = false;
    for (int i = 0; i < ct_pretokenizer_n_steps(pre); i++) {
        const char *pattern;
        enum ct_pretokenizer_kind kind = ct_pretokenizer_step(pre, i, &pattern);
        switch (kind) {
        case CT_PRETOKENIZER_SPLIT:
            fputs("{\"type\": \"Split\", \"pattern\": {\"Regex\": ", file);
            put_text(file, pattern, strlen(pattern));
            fputs("}, \"behavior\": \"Isolated\", \"invert\": false},\n", file);
            break;
        case CT_PRETOKENIZER_DIGITS:
        case CT_PRETOKENIZER_DIGIT_RUNS:
            fprintf(file, "{\"type\": \"Digits\", \"individual_digits\": %s},\n",
                    bool_text(kind == CT_PRETOKENIZER_DIGITS));
            break;
        case CT_PRETOKENIZER_BYTE_LEVEL: /* always the last */
            has_regex = true;
            break;
        }
    }
    put_byte_level(file, has_regex);
    fputs("\n]},\n", file);
}

static void put_model(FILE *file, const struct ct_bpe *bpe)
{
    fputs("\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": ", file);
    if (bpe->unknown_id >= 0)
        put_token(file, bpe, bpe->unknown_id);
    else
        fputs("null", file);
    fprintf(file,
            ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
            "\"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": %s,\n\"vocab\": {",
            bool_text(bpe->has_whole_words));
    const char *separator = "\n";
    for (int32_t id = 0; id < bpe->n_vocab; id++) {
        if (bpe->tokens[id].text == NULL)
            continue;
        fputs(separator, file);
        put_token(file, bpe, id);
        fprintf(file, ": %d", id);
        separator = ",\n";
    }
    fputs("\n},\n\"merges\": [", file);
    for (int rank = 0; rank < bpe->n_merges; rank++) {
        const struct ct_bpe_token *left = &bpe->tokens[bpe->merges[rank].left];
        const struct ct_bpe_token *right = &bpe->tokens[bpe->merges[rank].right];
        fputs(rank > 0 ? ",\n\"" : "\n\"", file);
        put_escaped(file, left->text, left->n_text);
        putc(' ', file);
        put_escaped(file, right->text, right->n_text);
        putc('"', file);
    }
    fputs("\n]}\n", file);
}

char *ct_bpe_format_json(const struct ct_bpe *bpe)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *file = open_memstream(&text, &n_bytes);
    if (file == NULL)
        return NULL;
    fputs("{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n", file);
    put_added(file, bpe);
    fprintf(file, "\"normalizer\": %s,\n", bpe->has_nfc ? "{\"type\": \"NFC\"}" : "null");
    put_pretokenizer(file, bpe->pre);
    fputs("\"post_processor\": null,\n\"decoder\": ", file);
    put_byte_level(file, true);
    fputs(",\n", file);
    put_model(file, bpe);
    fputs("}\n", file);
    bool has_failed = ferror(file) != 0;
    if (fclose(file) != 0 || has_failed) {
        free(text);
        return NULL;
    }
    return text;
}
