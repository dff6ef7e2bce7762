/* centroid calibrate: runs a model with float activations over samples and writes how large they get, as
 * activation_scales.json in the model's directory, for --activations ibert.
 *
 * A sample is a line of the text for an encoder, a window of it for a generator, or an image. */
#include "cli/cli.h"
#include "cli/image_folder.h"
#include "engine/base/file.h"
#include "engine/engine.h"
#include "engine/runtime/peaks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_TOK = 512 };

struct calibrate {
    const char *text, *images;
    int64_t n_most, n_threads;
    bool wants_help;
    struct ct_engine *engine;
    int64_t n_seen;
};

static enum ct_status observe(struct calibrate *c, const int32_t *ids, size_t n_ids,
                              const float *pixels, struct ct_error *err)
{
    struct ct_slice slice = {
        .tokens = ids, .n_tokens = (int)n_ids, .pixels = pixels, .n_logits = 1};
    enum ct_status status = ct_session_open(c->engine, slice.n_tokens, &slice.session);
    if (status != CT_OK)
        return ct_error_set(err, status, "sample %lld: %s", (long long)c->n_seen + 1,
                            ct_status_text(status));
    status = ct_engine_step(c->engine, &slice, 1, err);
    ct_session_close(slice.session);
    c->n_seen += status == CT_OK;
    return status;
}

/* Each line that is not empty, cut where the model's context ends. */
static enum ct_status observe_lines(struct calibrate *c, struct ct_error *err)
{
    const size_t context_tok = (size_t)ct_engine_info(c->engine)->context_tok;
    char *text = NULL;
    size_t n_bytes;
    enum ct_status status = ct_file_read(c->text, &text, &n_bytes, err);
    int32_t *ids = status == CT_OK ? malloc((3 * n_bytes + CT_AROUND_TOK) * sizeof *ids) : NULL;
    if (status == CT_OK && ids == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for the tokens of %zu bytes", n_bytes);
    for (char *line = text; status == CT_OK && line != NULL && c->n_seen < c->n_most;) {
        char *end = strchr(line, '\n');
        const size_t n_line = end != NULL ? (size_t)(end - line) : strlen(line);
        size_t n_ids = 0;
        if (n_line > 0) {
            status = ct_engine_tokenize(c->engine, line, n_line, true, ids,
                                        3 * n_line + CT_AROUND_TOK, &n_ids);
            if (status != CT_OK)
                ct_error_set(err, status, "%s: %s", c->text, ct_status_text(status));
            else
                status = observe(c, ids, n_ids < context_tok ? n_ids : context_tok, NULL, err);
        }
        line = end != NULL ? end + 1 : NULL;
    }
    free(ids);
    free(text);
    return status;
}

static enum ct_status observe_windows(struct calibrate *c, struct ct_error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    enum ct_status status = ct_cli_read_tokens(c->engine, c->text, &ids, &n_ids, err);
    for (size_t i = 0; status == CT_OK && i < n_ids && c->n_seen < c->n_most; i += WINDOW_TOK)
        status = observe(c, ids + i, n_ids - i < WINDOW_TOK ? n_ids - i : WINDOW_TOK, NULL, err);
    free(ids);
    return status;
}

/* Images spread evenly over the folder. */
static enum ct_status observe_images(struct calibrate *c, struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(c->engine);
    struct ct_image_folder folder;
    enum ct_status status = ct_image_folder_init(&folder, c->images, err);
    if (status != CT_OK)
        return status;
    const int64_t n = folder.n_files < c->n_most ? folder.n_files : c->n_most;
    float *planes = malloc(ct_image_floats(&info->image) * sizeof *planes);
    if (planes == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for an image");
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        status =
            ct_cli_read_image(c->engine, folder.files[i * folder.n_files / n].path, planes, err);
        if (status == CT_OK)
            status = observe(c, NULL, (size_t)info->context_tok, planes, err);
    }
    free(planes);
    ct_image_folder_deinit(&folder);
    return status;
}

static enum ct_status calibrate(struct calibrate *c, const char *model, struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(c->engine);
    const bool is_vision = info->image.n_channels > 0;
    if (is_vision != (c->images != NULL))
        return ct_error_set(err, CT_INVALID, "%s reads %s", info->name,
                            is_vision ? "images: give --images" : "text: give --text");
    enum ct_status status = ct_peaks_open(c->engine, err);
    if (status != CT_OK)
        return status;
    if (is_vision)
        status = observe_images(c, err);
    else if (info->is_encoder)
        status = observe_lines(c, err);
    else
        status = observe_windows(c, err);
    if (status == CT_OK && c->n_seen == 0)
        status = ct_error_set(err, CT_INVALID, "%s: there is nothing to read", c->text);
    if (status == CT_OK)
        status = ct_peaks_write(c->engine, model, err);
    if (status == CT_OK)
        printf("%lld %s, written to %s/activation_scales.json\n", (long long)c->n_seen,
               is_vision          ? "images"
               : info->is_encoder ? "lines"
                                  : "windows",
               model);
    return status;
}

int ct_cli_calibrate(int argc, char **argv)
{
    struct calibrate c = {.n_most = 256};
    const struct ct_option options[] = {
        {"text", "FILE", "a text like those that the model will read: for an encoder, one a line",
         CT_OPTION_TEXT, &c.text, 0, 0, NULL},
        {"images", "DIR",
         "images like those that it will see: JPEG and PNG files, also in subfolders",
         CT_OPTION_TEXT, &c.images, 0, 0, NULL},
        {"samples", "N", "lines, windows of 512 tokens, or images to look at, at most (256)",
         CT_OPTION_INT, &c.n_most, 1, 1e9, NULL},
        {"threads", "N", "worker threads (all processors)", CT_OPTION_INT, &c.n_threads, 1, 256,
         NULL},
        {"help", NULL, "print this", CT_OPTION_FLAG, &c.wants_help, 0, 0, NULL},
        {0},
    };
    const struct ct_cli_usage usage = {
        "calibrate MODEL --text FILE | --images DIR [OPTION...]",
        "Runs MODEL, a directory, over samples and writes how large its activations get to\n"
        "MODEL/activation_scales.json, which --activations ibert reads.",
        1, "MODEL"};
    const char *positional[1];
    int n_positional, exit_code;
    if (!ct_cli_parse(&usage, options, argc, argv, &c.wants_help, positional, 1, &n_positional,
                      &exit_code))
        return exit_code;
    if ((c.text == NULL) == (c.images == NULL)) {
        fputs("centroid calibrate: give --text or --images, one of them\n", stderr);
        return CT_EXIT_USAGE;
    }
    const struct ct_engine_options engine_options = {
        .n_threads = (int)c.n_threads, .max_sessions = 1, .activations = CT_ACTIVATIONS_FLOAT};
    struct ct_error err;
    enum ct_status status = ct_engine_open(positional[0], &engine_options, &c.engine, &err);
    if (status == CT_OK)
        status = calibrate(&c, positional[0], &err);
    ct_engine_close(c.engine);
    return status == CT_OK ? CT_EXIT_OK : ct_cli_fail("calibrate", &err);
}
