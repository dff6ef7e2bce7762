/* Vision models against Hugging Face transformers in float32: the small models of tests/support/vision, alone
 * and several images in one step, in float and clustered. In float mode the engine differs by the order of
 * its sums and by keys and values kept in f16. */
#include "engine/graph/graph.h"
#include "engine/runtime/places.h"
#include "tests/support/reference.h"

#include <math.h>

#define FIXTURES CT_TEST_DIR "/support/vision"

enum { MAX_PIXELS = 3 * 35 * 42, MAX_OUTPUTS = 32, N_IMAGES = 5 };

static const char *const names[] = {"vit", "gray", "deit", "dinov2", "gated", "post_norm"};
enum { N_NAMES = sizeof names / sizeof names[0] };

/* The pixels of tests/golden/make_vit.py for image 0; others are its own. */
static void fill_pixels(const struct ct_engine *engine, int image, float *pixels)
{
    const struct ct_image_shape *shape = &ct_engine_info(engine)->image;
    const int n = shape->n_channels * shape->height * shape->width;
    assert_true(n > 0 && n <= MAX_PIXELS);
    for (int i = 0; i < n; i++)
        pixels[i] = (float)((uint32_t)(i + 1 + image * 1000) * 2654435761u >> 8) / (1 << 23) - 1;
}

static struct ct_engine *open_model(const char *folder, const char *name,
                                    enum ct_activations activations)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return reference_engine(path, activations, CT_KV_F16);
}

static struct ct_slice look(struct ct_engine *engine, const float *pixels)
{
    const int n = ct_engine_info(engine)->context_tok;
    struct ct_slice slice = {.pixels = pixels, .n_tokens = n, .n_logits = 1};
    assert_int_equal(ct_session_open(engine, n, &slice.session), CT_OK);
    return slice;
}

/* The largest difference to the reference, as a share of the largest value. */
static double check_output(struct ct_engine *engine, const json_t *expected)
{
    static float pixels[MAX_PIXELS];
    fill_pixels(engine, 0, pixels);
    struct ct_slice slice = look(engine, pixels);
    reference_step(engine, &slice, 1);
    double largest = 0, difference = 0;
    assert_int_equal(json_array_size(expected), ct_engine_info(engine)->n_outputs);
    for (size_t i = 0; i < json_array_size(expected); i++) {
        const double value = json_number_value(json_array_get(expected, i));
        largest = fmax(largest, fabs(value));
        difference = fmax(difference, fabs(value - (double)slice.logits[i]));
    }
    ct_session_close(slice.session);
    return difference / largest;
}

static void check_all(const char *folder, enum ct_activations activations, double most)
{
    json_t *golden = reference_load("vit_outputs.json");
    for (int i = 0; i < N_NAMES; i++) {
        struct ct_engine *engine = open_model(folder, names[i], activations);
        const double found = check_output(engine, json_object_get(golden, names[i]));
        print_message("%s: off by %.2g\n", names[i], found);
        if (!(found <= most))
            fail_msg("%s: off by %g of its largest value, at most %g expected", names[i], found,
                     most);
        ct_engine_close(engine);
    }
    json_decref(golden);
}

static void outputs_equal_the_reference(void **state)
{
    (void)state;
    check_all(FIXTURES, CT_ACTIVATIONS_FLOAT, 2e-3);
}

static void clustered_outputs_are_near(void **state)
{
    (void)state;
    check_all(CT_CLUSTERED_VISION, CT_ACTIVATIONS_INT8, 0.4);
}

/* Images of one step have the bits that each has alone. */
static void packing_changes_no_bit(void **state)
{
    (void)state;
    static float pixels[N_IMAGES][MAX_PIXELS], alone[N_IMAGES][MAX_OUTPUTS];
    for (int m = 0; m < N_NAMES; m++) {
        struct ct_engine *engine = open_model(CT_CLUSTERED_VISION, names[m], CT_ACTIVATIONS_INT8);
        const size_t width = (size_t)ct_engine_info(engine)->n_outputs;
        struct ct_slice slices[N_IMAGES];
        for (int i = 0; i < N_IMAGES; i++) {
            fill_pixels(engine, i, pixels[i]);
            slices[i] = look(engine, pixels[i]);
            reference_step(engine, &slices[i], 1);
            memcpy(alone[i], slices[i].logits, width * sizeof(float));
            ct_session_close(slices[i].session);
        }
        for (int i = 0; i < N_IMAGES; i++)
            slices[i] = look(engine, pixels[i]);
        reference_step(engine, slices, N_IMAGES);
        for (int i = 0; i < N_IMAGES; i++) {
            assert_memory_equal(slices[i].logits, alone[i], width * sizeof(float));
            ct_session_close(slices[i].session);
        }
        ct_engine_close(engine);
    }
}

static void a_classifier_has_labels(void **state)
{
    (void)state;
    struct ct_engine *engine = open_model(FIXTURES, "deit", CT_ACTIVATIONS_FLOAT);
    const struct ct_engine_info *info = ct_engine_info(engine);
    assert_int_equal(info->task, CT_TASK_CLASSIFY);
    assert_int_equal(info->n_labels, 5);
    assert_string_equal(ct_engine_label(engine, 4), "lily of the valley");
    ct_engine_close(engine);
    engine = open_model(FIXTURES, "dinov2", CT_ACTIVATIONS_FLOAT);
    info = ct_engine_info(engine);
    assert_int_equal(info->task, CT_TASK_EMBED);
    assert_int_equal(info->n_outputs, 32);
    assert_int_equal(info->image.height, 35);
    assert_int_equal(info->image.width, 42);
    ct_engine_close(engine);
}

static void a_slice_is_one_image(void **state)
{
    (void)state;
    static float pixels[MAX_PIXELS];
    struct ct_engine *engine = open_model(FIXTURES, "vit", CT_ACTIVATIONS_FLOAT);
    struct ct_slice slice = look(engine, pixels);
    struct ct_error err = {0};
    slice.pixels = NULL;
    assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_INVALID);
    slice.pixels = pixels;
    slice.n_tokens--;
    assert_int_equal(ct_engine_step(engine, &slice, 1, &err), CT_INVALID);
    assert_non_null(strstr(err.message, "17"));
    ct_session_close(slice.session);

    int32_t id;
    size_t n_ids;
    struct ct_cost cost;
    assert_int_equal(ct_engine_tokenize(engine, "a", 1, true, &id, 1, &n_ids), CT_UNSUPPORTED);
    assert_int_equal(ct_engine_measure(engine, 17, 1, 0, &cost), CT_OK);
    assert_true(cost.macs_f32 > 0);
    ct_engine_close(engine);
}

static void images_are_read(void **state)
{
    (void)state;
    static float planes[MAX_PIXELS];
    /* A white PNG of one pixel. */
    static const uint8_t png[] = {
        0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
        0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00,
        0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78,
        0x9c, 0x63, 0xf8, 0x0f, 0x00, 0x01, 0x01, 0x01, 0x00, 0xb1, 0x38, 0xf6, 0x14, 0x00,
        0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
    };
    struct ct_error err = {0};
    struct ct_engine *engine = open_model(FIXTURES, "vit", CT_ACTIVATIONS_FLOAT);
    assert_int_equal(ct_engine_read_image(engine, png, sizeof png, planes, &err), CT_OK);
    for (int i = 0; i < 3 * 16 * 16; i++)
        assert_true(fabsf(planes[i] - 1) < 1e-6f);
    assert_int_equal(ct_engine_read_image(engine, png, 40, planes, &err), CT_INVALID);
    assert_int_equal(ct_engine_read_image(engine, (const uint8_t *)"GIF89a", 6, planes, &err),
                     CT_UNSUPPORTED);
    ct_engine_close(engine);
}

/* The same grid gives the same rows; a constant stays one on every grid. */
static void places_resize(void **state)
{
    (void)state;
    struct ct_patches p = {.height = 6, .width = 4, .size = 2, .n_prefix = 1};
    float stored[7 * 2], out[13 * 2];
    for (int i = 0; i < 14; i++)
        stored[i] = (float)(i * i);
    p.stored_lines = 3;
    p.stored_columns = 2;
    ct_places_resize(&p, 2, stored, out);
    assert_memory_equal(out, stored, sizeof stored);
    for (int i = 0; i < 14; i++)
        stored[i] = i < 2 ? 9 : 5;
    p.height = 8;
    p.width = 6;
    ct_places_resize(&p, 2, stored, out);
    for (int i = 0; i < 26; i++)
        assert_true(fabsf(out[i] - (i < 2 ? 9 : 5)) < 1e-5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_equal_the_reference),
        cmocka_unit_test(clustered_outputs_are_near),
        cmocka_unit_test(packing_changes_no_bit),
        cmocka_unit_test(a_classifier_has_labels),
        cmocka_unit_test(a_slice_is_one_image),
        cmocka_unit_test(images_are_read),
        cmocka_unit_test(places_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
