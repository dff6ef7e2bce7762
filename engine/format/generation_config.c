#include "engine/format/generation_config.h"

#include "engine/base/json_text.h"
#include "engine/format/config_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the end of a text ---- */

enum ct_status ct_generation_add_eos(struct ct_hparams *h, int64_t id, struct ct_error *err)
{
    if (id < 0 || id >= h->n_vocab)
        return ct_error_set(err, CT_FORMAT,
                            "eos_token_id %" PRId64 " is outside the vocabulary of %d", id,
                            h->n_vocab);
    for (int i = 0; i < h->n_eos; i++)
        if (h->eos_ids[i] == id)
            return CT_OK;
    if (h->n_eos == CT_MAX_EOS)
        return ct_error_set(err, CT_FORMAT, "eos_token_id has more than %d entries", CT_MAX_EOS);
    h->eos_ids[h->n_eos++] = (int)id;
    return CT_OK;
}

enum ct_status ct_generation_read_eos(const json_t *config, struct ct_hparams *h,
                                      struct ct_error *err)
{
    const json_t *eos = ct_config_key(config, "eos_token_id");
    size_t n = json_is_array(eos) ? json_array_size(eos) : eos != NULL;
    enum ct_status status = CT_OK;
    for (size_t i = 0; i < n && status == CT_OK; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id))
            return ct_config_unexpected("eos_token_id", eos, "whole numbers", CT_FORMAT, err);
        status = ct_generation_add_eos(h, json_integer_value(id), err);
    }
    return status;
}

json_t *ct_generation_format_eos(const struct ct_hparams *h)
{
    if (h->n_eos < 2)
        return h->n_eos == 0 ? json_null() : json_integer(h->eos_ids[0]);
    json_t *eos = json_array();
    for (int i = 0; i < h->n_eos; i++)
        if (json_array_append_new(eos, json_integer(h->eos_ids[i])) != 0) {
            json_decref(eos);
            return NULL;
        }
    return eos;
}

/* ---- drawing tokens ---- */

struct setting {
    const char *key, *metadata; /* either may be NULL */
    double low, high;
};
enum { TEMPERATURE, TOP_P, MIN_P, TOP_K, N_SETTINGS };
static const struct setting settings[N_SETTINGS] = {
    [TEMPERATURE] = {"temperature", "general.sampling.temp", 0, 100},
    [TOP_P] = {"top_p", "general.sampling.top_p", 0, 1},
    [MIN_P] = {"min_p", "general.sampling.min_p", 0, 1},
    [TOP_K] = {"top_k", "general.sampling.top_k", -1, INT32_MAX},
};

/* Not built here. low == high: the value that asks for nothing. */
static const struct setting unbuilt[] = {
    {"repetition_penalty", "general.sampling.penalty_repeat", 1, 1},
    {"no_repeat_ngram_size", NULL, 0, 0},
    {"num_beams", NULL, 1, 1},
    {"typical_p", NULL, 1, 1},
    {"epsilon_cutoff", NULL, 0, 0},
    {"eta_cutoff", NULL, 0, 0},
    {NULL, "general.sampling.xtc_probability", 0, 0},
    {NULL, "general.sampling.mirostat", 0, 0},
};

/* Where the values come from: one of the two. */
struct source {
    const json_t *config;
    const struct ct_gguf *gguf;
};

static const char *name_in(const struct source *source, const struct setting *setting)
{
    return source->gguf != NULL ? setting->metadata : setting->key;
}

/* A setting's value; where the source does not have it, *value stays. */
static enum ct_status read_value(const struct source *source, const struct setting *setting,
                                 double *value, struct ct_error *err)
{
    const char *name = name_in(source, setting);
    if (name == NULL)
        return CT_OK;
    return source->gguf != NULL ? ct_metadata_double(source->gguf, name, true, value, err)
                                : ct_config_double(source->config, name, value, err);
}

static enum ct_status note_unbuilt(const struct source *source, struct ct_hparams *h,
                                   struct ct_error *err)
{
    for (size_t i = 0; i < sizeof unbuilt / sizeof unbuilt[0]; i++) {
        double value = unbuilt[i].low;
        enum ct_status status = read_value(source, &unbuilt[i], &value, err);
        if (status != CT_OK)
            return status;
        size_t n = strlen(h->not_applied);
        if (value != unbuilt[i].low)
            snprintf(h->not_applied + n, sizeof h->not_applied - n, "%s%s %.6g", n > 0 ? ", " : "",
                     name_in(source, &unbuilt[i]), value);
    }
    return CT_OK;
}

static enum ct_status read_settings(const struct source *source, struct ct_hparams *h,
                                    struct ct_error *err)
{
    struct ct_sampling_defaults *s = &h->sampling;
    double values[N_SETTINGS] = {s->temperature, s->top_p, s->min_p, s->top_k};
    for (int i = 0; i < N_SETTINGS; i++) {
        const struct setting *setting = &settings[i];
        enum ct_status status = read_value(source, setting, &values[i], err);
        if (status != CT_OK)
            return status;
        if (!(values[i] >= setting->low && values[i] <= setting->high) ||
            (i == TOP_K && values[i] != floor(values[i])))
            return ct_error_set(err, CT_FORMAT, "%s is %g, expected %s within %.10g..%.10g",
                                name_in(source, setting), values[i],
                                i == TOP_K ? "a whole number" : "a number", setting->low,
                                setting->high);
    }
    s->temperature = values[TEMPERATURE];
    s->top_p = values[TOP_P];
    s->min_p = values[MIN_P];
    s->top_k = values[TOP_K] < 0 ? 0 : (int)values[TOP_K]; /* -1 says all, too */
    return note_unbuilt(source, h, err);
}

enum ct_status ct_generation_from_json(const json_t *config, struct ct_hparams *h,
                                       struct ct_error *err)
{
    enum ct_status status = ct_generation_read_eos(config, h, err);
    return status == CT_OK ? read_settings(&(struct source){.config = config}, h, err) : status;
}

enum ct_status ct_generation_from_gguf(const struct ct_gguf *gguf, struct ct_hparams *h,
                                       struct ct_error *err)
{
    return read_settings(&(struct source){.gguf = gguf}, h, err);
}

char *ct_generation_format(const struct ct_hparams *h)
{
    const struct ct_sampling_defaults *s = &h->sampling, none = CT_SAMPLING_DEFAULTS;
    json_t *config = json_pack("{s:o}", "eos_token_id", ct_generation_format_eos(h));
    bool is_whole = config != NULL;
    if (is_whole && s->temperature != none.temperature)
        is_whole = json_object_set_new(config, "temperature", json_real(s->temperature)) == 0;
    if (is_whole && s->top_p != none.top_p)
        is_whole = json_object_set_new(config, "top_p", json_real(s->top_p)) == 0;
    if (is_whole && s->min_p != none.min_p)
        is_whole = json_object_set_new(config, "min_p", json_real(s->min_p)) == 0;
    if (is_whole && s->top_k != none.top_k)
        is_whole = json_object_set_new(config, "top_k", json_integer(s->top_k)) == 0;
    /* Seven digits: what GGUF's f32 values hold. */
    char *text = is_whole ? ct_json_dump(config, JSON_INDENT(2) | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(config);
    return text;
}
