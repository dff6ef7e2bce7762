#include "engine/runtime/scales.h"

#include "engine/base/json_text.h"
#include "engine/format/json_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format[] = "centroid activation scales 1";
static const double least_peak = 1e-6, most_peak = 1e30;

static enum ct_status check_peaks(const char *name, const json_t *peaks, struct ct_error *err)
{
    const char *side;
    json_t *value;
    if (!json_is_object(peaks))
        return ct_error_set(err, CT_FORMAT, "weights.%.96s is not an object", name);
    json_object_foreach((json_t *)(uintptr_t)peaks, side, value)
    {
        if (strcmp(side, "input") != 0 && strcmp(side, "output") != 0)
            return ct_error_set(err, CT_FORMAT, "weights.%.96s.%.32s: expected input or output",
                                name, side);
        const double peak = json_number_value(value);
        if (!json_is_number(value) || !(peak >= 0 && peak <= most_peak))
            return ct_error_set(err, CT_FORMAT, "weights.%.96s.%s is not a number from 0 to %g",
                                name, side, most_peak);
    }
    return CT_OK;
}

static enum ct_status check(const json_t *root, struct ct_error *err)
{
    const json_t *kind = json_object_get(root, "format"),
                 *weights = json_object_get(root, "weights");
    if (!json_is_string(kind) || strcmp(json_string_value(kind), format) != 0)
        return ct_error_set(err, CT_FORMAT, "format is not \"%s\"", format);
    if (!json_is_object(weights))
        return ct_error_set(err, CT_FORMAT, "weights is not an object");
    const char *name;
    json_t *peaks;
    enum ct_status status = CT_OK;
    json_object_foreach((json_t *)(uintptr_t)weights, name, peaks)
    {
        status = check_peaks(name, peaks, err);
        if (status != CT_OK)
            return status;
    }
    return CT_OK;
}

enum ct_status ct_scales_read(const char *text, size_t n_bytes, json_t **out, struct ct_error *err)
{
    enum ct_status status = ct_json_read(text, n_bytes, out, err);
    if (status != CT_OK)
        return status;
    status = check(*out, err);
    if (status == CT_OK)
        return CT_OK;
    json_decref(*out);
    *out = NULL;
    return status;
}

enum ct_status ct_scales_init(struct ct_scales *scales, const char *dir, struct ct_error *err)
{
    enum ct_status status =
        ct_json_file_read(dir, CT_SCALES_FILE, ct_scales_read, &scales->root, err);
    if (status == CT_NOT_FOUND)
        ct_error_set(err, status, "%s has no " CT_SCALES_FILE ": 'centroid calibrate' makes it",
                     dir);
    return status;
}

void ct_scales_deinit(struct ct_scales *scales)
{
    json_decref(scales->root);
    scales->root = NULL;
}

enum ct_status ct_scales_find(const struct ct_scales *scales, const char *name, const char *side,
                              float *peak, struct ct_error *err)
{
    const json_t *weights = json_object_get(scales->root, "weights");
    const json_t *value = json_object_get(json_object_get(weights, name), side);
    if (value == NULL)
        return ct_error_set(err, CT_FORMAT,
                            CT_SCALES_FILE " has no weights.%s.%s: 'centroid calibrate' makes it "
                                           "anew",
                            name, side);
    *peak = (float)fmax(json_number_value(value), least_peak);
    return CT_OK;
}

/* {"input": .., "output": ..} of what was seen. */
static json_t *pack(const struct ct_peak *peak)
{
    json_t *out = json_object();
    int failed = out == NULL;
    if (!isnan(peak->input))
        failed |= json_object_set_new(out, "input", json_real((double)peak->input));
    if (!isnan(peak->output))
        failed |= json_object_set_new(out, "output", json_real((double)peak->output));
    if (!failed)
        return out;
    json_decref(out);
    return NULL;
}

static char *format_file(const struct ct_graph *graph, const struct ct_peak *peaks)
{
    json_t *weights = json_object();
    int failed = weights == NULL;
    for (int i = 0; i < graph->n_slots; i++)
        if (!isnan(peaks[i].input) || !isnan(peaks[i].output))
            failed |= json_object_set_new(weights, graph->slots[i].name, pack(&peaks[i]));
    json_t *root = json_pack("{s:s, s:o}", "format", format, "weights", weights);
    char *text = failed ? NULL : ct_json_dump(root, JSON_INDENT(1) | JSON_REAL_PRECISION(7));
    json_decref(root);
    return text;
}

enum ct_status ct_scales_write(const char *dir, const struct ct_graph *graph,
                               const struct ct_peak *peaks, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    FILE *file = NULL;
    char *text = format_file(graph, peaks);
    const size_t n_path = strlen(dir) + sizeof "/" CT_SCALES_FILE;
    char *path = malloc(n_path);
    if (text == NULL || path == NULL) {
        status = ct_error_set(err, CT_MEMORY, "no memory for " CT_SCALES_FILE);
        goto out;
    }
    snprintf(path, n_path, "%s/" CT_SCALES_FILE, dir);
    file = fopen(path, "w");
    bool is_written = file != NULL && fputs(text, file) >= 0 && fputc('\n', file) != EOF;
    if (file != NULL && fclose(file) != 0)
        is_written = false;
    if (!is_written)
        status = ct_error_set(err, CT_IO, "%s: %s", path, strerror(errno));
out:
    free(path);
    free(text);
    return status;
}
