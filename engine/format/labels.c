#include "engine/format/labels.h"

#include "engine/format/config_value.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LABELS = 1 << 20 };

/* By how the name of a transformers class ends. */
static const struct {
    const char *ending;
    enum ct_task task;
} heads[] = {
    {"ForSequenceClassification", CT_TASK_CLASSIFY},
    {"ForImageClassification", CT_TASK_CLASSIFY},
    {"ForImageClassificationWithTeacher", CT_TASK_CLASSIFY},
    {"ForCausalLM", CT_TASK_GENERATE},
    {"ForMaskedLM", CT_TASK_EMBED}, /* without their heads */
    {"ForPreTraining", CT_TASK_EMBED},
    {"Model", CT_TASK_EMBED},
};

static bool has_ending(const char *text, const char *ending)
{
    const size_t n = strlen(text), n_ending = strlen(ending);
    return n >= n_ending && strcmp(text + n - n_ending, ending) == 0;
}

static enum ct_status read_task(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    const json_t *classes = ct_config_key(config, "architectures");
    h->task = h->is_encoder ? CT_TASK_EMBED : CT_TASK_GENERATE;
    if (json_array_size(classes) == 0)
        return CT_OK;
    const char *name = json_string_value(json_array_get(classes, 0));
    for (size_t i = 0; i < sizeof heads / sizeof *heads && name != NULL; i++)
        if (has_ending(name, heads[i].ending) &&
            (heads[i].task == CT_TASK_GENERATE) != h->is_encoder) {
            h->task = heads[i].task;
            return CT_OK;
        }
    return ct_config_unexpected("architectures", classes,
                                h->is_encoder ? "the plain model or a classifier"
                                              : "a class that ends in ForCausalLM",
                                CT_UNSUPPORTED, err);
}

enum ct_status ct_labels_read_task(const json_t *config, struct ct_hparams *h, struct ct_error *err)
{
    const json_t *names = ct_config_key(config, "id2label");
    const json_t *problem = ct_config_key(config, "problem_type");
    enum ct_status status = read_task(config, h, err);
    if (status != CT_OK || h->task != CT_TASK_CLASSIFY)
        return status;
    h->n_labels = 2;
    if (names != NULL)
        h->n_labels = ct_clamp_int((int64_t)json_object_size(names));
    else
        status = ct_config_int(config, "num_labels", true, &h->n_labels, err);
    if (status == CT_OK && (h->n_labels < 1 || h->n_labels > MAX_LABELS))
        status = ct_error_set(err, CT_FORMAT, "%s: %d labels, expected 1..%d",
                              names != NULL ? "id2label" : "num_labels", h->n_labels, MAX_LABELS);
    const bool is_multi_label =
        json_is_string(problem) &&
        strcmp(json_string_value(problem), "multi_label_classification") == 0;
    h->is_multi_label = is_multi_label || h->n_labels == 1; /* one label is a score */
    return status;
}

enum ct_status ct_labels_read(const json_t *config, const struct ct_hparams *h,
                              struct ct_arena *arena, const char ***out, struct ct_error *err)
{
    const json_t *names = ct_config_key(config, "id2label");
    const char **labels = ct_arena_alloc(arena, (size_t)h->n_labels * sizeof *labels);
    for (int i = 0; i < h->n_labels && labels != NULL; i++) {
        char standard[32];
        const int n_front = snprintf(standard, sizeof standard, "LABEL_");
        snprintf(standard + n_front, sizeof standard - (size_t)n_front, "%d", i);
        const char *key = standard + n_front;
        const json_t *name = json_object_get(names, key);
        if (names != NULL && !json_is_string(name))
            return ct_error_set(err, CT_FORMAT,
                                "id2label has %d entries, but for %s there is no text", h->n_labels,
                                key);
        labels[i] = names != NULL
                        ? ct_arena_text(arena, json_string_value(name), json_string_length(name))
                        : ct_arena_text(arena, standard, strlen(standard));
        if (labels[i] == NULL)
            labels = NULL;
    }
    *out = labels;
    return labels != NULL ? CT_OK : ct_error_set(err, CT_MEMORY, "no memory for labels");
}
