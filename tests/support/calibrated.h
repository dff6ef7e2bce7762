/* Models of the tests with activation_scales.json, in a directory of their own, and something for them to
 * read. For cmocka programs; any failure ends the test. */
#ifndef CT_TESTS_CALIBRATED_H
#define CT_TESTS_CALIBRATED_H

#include "engine/base/rng.h"
#include "engine/runtime/peaks.h"
#include "tests/support/reference.h"
#include "tests/support/temp_dir.h"

#include <dirent.h>

/* A model of the tests with scales beside it: a directory of links. */
static inline void calibrated_link(const char *model, const struct temp_dir *dir)
{
    char source[TEMP_PATH], path[TEMP_PATH], file[2 * TEMP_PATH];
    snprintf(source, sizeof source, "%s/support/%s", CT_TEST_DIR, model);
    DIR *folder = opendir(source);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", source, entry->d_name);
            assert_int_equal(symlink(file, temp_path(dir, entry->d_name, path)), 0);
        }
    closedir(folder);
}

enum { CALIBRATED_TOK = 21, CALIBRATED_SEQUENCES = 3 };

/* Sequences of different lengths, of a text model, or images. */
struct calibrated_input {
    int32_t ids[CALIBRATED_SEQUENCES][CALIBRATED_TOK];
    float *pixels;
    struct ct_slice slices[CALIBRATED_SEQUENCES];
};

static inline void calibrated_input_init(struct ct_engine *engine, struct calibrated_input *input)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    const size_t n_floats = ct_image_floats(&info->image);
    struct ct_rng rng;
    ct_rng_init(&rng, 14);
    *input = (struct calibrated_input){
        .pixels = calloc(CALIBRATED_SEQUENCES * n_floats + 1, sizeof(float))};
    assert_non_null(input->pixels);
    for (size_t i = 0; i < CALIBRATED_SEQUENCES * n_floats; i++)
        input->pixels[i] = 2 * (float)ct_rng_uniform(&rng) - 1;
    for (int s = 0; s < CALIBRATED_SEQUENCES; s++) {
        for (int t = 0; t < CALIBRATED_TOK && n_floats == 0; t++)
            input->ids[s][t] = (int32_t)ct_rng_below(&rng, (uint64_t)info->n_vocab);
        input->slices[s] =
            (struct ct_slice){.tokens = input->ids[s],
                              .n_tokens = n_floats > 0 ? info->context_tok : CALIBRATED_TOK - 9 * s,
                              .n_logits = 1};
        if (n_floats > 0) {
            input->slices[s].tokens = NULL;
            input->slices[s].pixels = input->pixels + (size_t)s * n_floats;
        }
        assert_int_equal(
            ct_session_open(engine, input->slices[s].n_tokens, &input->slices[s].session), CT_OK);
    }
}

static inline void calibrated_input_deinit(struct calibrated_input *input)
{
    for (int s = 0; s < CALIBRATED_SEQUENCES; s++)
        ct_session_close(input->slices[s].session);
    free(input->pixels);
}

static inline void calibrated_observe(const char *model)
{
    struct ct_error err = {0};
    struct ct_engine *engine = reference_engine(model, CT_ACTIVATIONS_FLOAT, CT_KV_F16);
    struct calibrated_input input;
    calibrated_input_init(engine, &input);
    assert_int_equal(ct_peaks_open(engine, &err), CT_OK);
    reference_step(engine, input.slices, CALIBRATED_SEQUENCES);
    assert_int_equal(ct_peaks_write(engine, model, &err), CT_OK);
    calibrated_input_deinit(&input);
    ct_engine_close(engine);
}

/* tests/support/<model> in a new directory, calibrated; temp_dir_close ends it. */
static inline void calibrated_open(const char *model, struct temp_dir *dir)
{
    assert_int_equal(temp_dir_open(dir), 0);
    calibrated_link(model, dir);
    calibrated_observe(dir->path);
}

#endif
