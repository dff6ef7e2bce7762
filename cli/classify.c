/* centroid classify: the likeliest labels of an image or a text, by a classifier. */
#include "cli/cli.h"
#include "cli/simulated.h"
#include "engine/base/json_text.h"
#include "engine/base/scores.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct classify {
    const char *image, *text, *second;
    int64_t top;
    int64_t n_threads;
    int activations;
    struct ct_cli_machine machine;
    bool is_json, wants_cost, wants_help;
};

static enum ct_status print_json(const struct ct_engine *engine,
                                 const struct ct_label_score *answers, int n,
                                 const struct ct_cost *cost, struct ct_error *err)
{
    json_t *labels = json_array();
    int failed = labels == NULL;
    for (int i = 0; i < n && !failed; i++)
        failed = json_array_append_new(
            labels, json_pack("{s:s, s:f, s:f}", "label", ct_engine_label(engine, answers[i].label),
                              "probability", answers[i].probability, "logit", answers[i].logit));
    json_t *all = json_pack("{s:o, s:f, s:f, s:o}", "labels", labels, "ms", (double)cost->ns * 1e-6,
                            "energy_mj", cost->pj * 1e-9, "simulated",
                            ct_cli_simulated_json(ct_engine_info(engine), cost));
    return ct_cli_print_json(all, !failed, JSON_REAL_PRECISION(9), "the answer", err);
}

static enum ct_status print_answers(const struct classify *c, const struct ct_engine *engine,
                                    const struct ct_label_score *answers,
                                    const struct ct_cost *cost, struct ct_error *err)
{
    const int n_labels = ct_engine_info(engine)->n_labels;
    const int n = c->top < n_labels ? (int)c->top : n_labels;
    if (c->is_json)
        return print_json(engine, answers, n, cost, err);
    for (int i = 0; i < n; i++)
        printf("%.4f  %s\n", answers[i].probability, ct_engine_label(engine, answers[i].label));
    if (c->wants_cost)
        fprintf(stderr, "[%.2f ms, %.2f mJ (%s)]\n", (double)cost->ns * 1e-6, cost->pj * 1e-9,
                ct_engine_info(engine)->energy_source);
    if (c->wants_cost)
        ct_cli_print_simulated(ct_engine_info(engine), 1, (const char *[]){"one step"}, &cost);
    return CT_OK;
}

/* The text, or both, as a slice without a session; *owned is to be freed. */
static enum ct_status read_text(const struct classify *c, const struct ct_engine *engine,
                                struct ct_slice *slice, void **owned, struct ct_error *err)
{
    const size_t n_first = strlen(c->text), n_second = c->second != NULL ? strlen(c->second) : 0;
    const size_t capacity = 3 * (n_first + n_second) + CT_AROUND_TOK;
    const int context_tok = ct_engine_info(engine)->context_tok;
    int32_t *ids = calloc(2 * capacity, sizeof *ids), *types = ids + capacity;
    size_t n_ids;
    if (ids == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu tokens", capacity);
    *owned = ids;
    enum ct_status status =
        c->second == NULL
            ? ct_engine_tokenize(engine, c->text, n_first, true, ids, capacity, &n_ids)
            : ct_engine_tokenize_pair(engine, c->text, n_first, c->second, n_second, ids, types,
                                      capacity, &n_ids);
    if (status != CT_OK)
        return ct_error_set(err, status, "--text: %s", ct_status_text(status));
    if (n_ids > (size_t)context_tok)
        return ct_error_set(err, CT_CONTEXT, "--text has %zu tokens, the model takes %d", n_ids,
                            context_tok);
    slice->tokens = ids;
    slice->types = types;
    slice->n_tokens = (int)n_ids;
    return CT_OK;
}

/* The input, as a slice without a session; *owned is to be freed. */
static enum ct_status read_input(const struct classify *c, const struct ct_engine *engine,
                                 struct ct_slice *slice, void **owned, struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    const bool is_vision = info->image.n_channels > 0;
    *slice = (struct ct_slice){.n_tokens = info->context_tok, .n_logits = 1, .is_simulated = true};
    if (is_vision != (c->image != NULL))
        return ct_error_set(err, CT_INVALID, "%s classifies %s", info->name,
                            is_vision ? "images: give --image" : "text: give --text");
    if (is_vision) {
        float *planes = malloc(ct_image_floats(&info->image) * sizeof *planes);
        if (planes == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for the image");
        slice->pixels = *owned = planes;
        return ct_cli_read_image(engine, c->image, planes, err);
    }
    return read_text(c, engine, slice, owned, err);
}

static enum ct_status classify(const struct classify *c, struct ct_engine *engine,
                               struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    struct ct_slice slice = {0};
    void *owned = NULL;
    if (info->task != CT_TASK_CLASSIFY)
        return ct_error_set(err, CT_INVALID, "%s is no classifier", info->name);
    struct ct_label_score *answers = calloc((size_t)info->n_labels, sizeof *answers);
    enum ct_status status = answers != NULL
                                ? read_input(c, engine, &slice, &owned, err)
                                : ct_error_set(err, CT_MEMORY, "no memory for the labels");
    if (status == CT_OK &&
        (status = ct_session_open(engine, slice.n_tokens, &slice.session)) != CT_OK)
        ct_error_set(err, status, "%s", ct_status_text(status));
    if (status == CT_OK)
        status = ct_engine_step(engine, &slice, 1, err);
    if (status == CT_OK) {
        ct_rank_labels(slice.logits, info->n_labels, info->is_multi_label, answers);
        status = print_answers(c, engine, answers, &slice.cost, err);
    }
    ct_session_close(slice.session);
    free(owned);
    free(answers);
    return status;
}

int ct_cli_classify(int argc, char **argv)
{
    struct classify c = {.top = 5};
    const struct ct_option options[] = {
        {"image", "FILE", "a JPEG or PNG file", CT_OPTION_TEXT, &c.image, 0, 0, NULL},
        {"text", "TEXT", "a text, for a model that classifies text", CT_OPTION_TEXT, &c.text, 0, 0,
         NULL},
        {"second", "TEXT", "the second text, for a model of pairs: a cross-encoder", CT_OPTION_TEXT,
         &c.second, 0, 0, NULL},
        {"top", "K", "labels to print, the likeliest first (5)", CT_OPTION_INT, &c.top, 1, 1e9,
         NULL},
        {"threads", "N", "worker threads (all processors)", CT_OPTION_INT, &c.n_threads, 1, 256,
         NULL},
        {"activations", "MODE",
         "int8, float, w8a8 as int8 accelerators have it, or ibert, integers throughout (int8)",
         CT_OPTION_CHOICE, &c.activations, 0, 0, "int8|float|w8a8|ibert"},
        ct_cli_backend_option(&c.machine),
        ct_cli_preset_option(&c.machine),
        ct_cli_config_option(&c.machine),
        {"cost", NULL, "print time and energy", CT_OPTION_FLAG, &c.wants_cost, 0, 0, NULL},
        {"json", NULL, "print JSON: labels with probability and logit, ms, energy_mj, simulated",
         CT_OPTION_FLAG, &c.is_json, 0, 0, NULL},
        {"help", NULL, "print this", CT_OPTION_FLAG, &c.wants_help, 0, 0, NULL},
        {0},
    };
    const struct ct_cli_usage usage = {"classify MODEL --image FILE | --text TEXT [OPTION...]",
                                       "Prints the likeliest labels with their probabilities. "
                                       "MODEL is a directory of a classifier.",
                                       1, "MODEL"};
    const char *positional[1];
    int n_positional, exit_code;
    if (!ct_cli_parse(&usage, options, argc, argv, &c.wants_help, positional, 1, &n_positional,
                      &exit_code))
        return exit_code;
    if ((c.image == NULL) == (c.text == NULL) || (c.second != NULL && c.text == NULL)) {
        fputs("centroid classify: give --image or --text, one of them, and --second with --text\n",
              stderr);
        return CT_EXIT_USAGE;
    }
    struct ct_engine_options engine_options = {
        .n_threads = (int)c.n_threads,
        .max_sessions = 1,
        .activations = (enum ct_activations)c.activations,
    };
    struct ct_engine *engine = NULL;
    struct ct_error err;
    enum ct_status status = ct_cli_choose_machine(&c.machine, &engine_options, &err);
    if (status == CT_OK)
        status = ct_engine_open(positional[0], &engine_options, &engine, &err);
    if (status == CT_OK)
        status = classify(&c, engine, &err);
    ct_engine_close(engine);
    return status == CT_OK ? CT_EXIT_OK : ct_cli_fail("classify", &err);
}
