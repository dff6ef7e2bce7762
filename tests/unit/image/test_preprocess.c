/* A model's input from an image: the same bits as transformers' (tests/golden/make_images.py), and
 * configurations that are refused. */
#include "tests/support/unit.h"

#include "engine/image/preprocess.h"
#include "tests/support/whole_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_golden(const char *name, size_t *n_bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/golden/images/%s", CT_TEST_DIR, name);
    char *data = read_whole_file(path, n_bytes);
    if (data == NULL)
        fail_msg("%s cannot be read", path);
    return data;
}

static struct ct_image_options read_options(const char *text, const char *model_type,
                                            int n_channels)
{
    struct ct_image_options options;
    struct ct_error err;
    if (ct_image_options_read(text, strlen(text), model_type, n_channels, &options, &err) != CT_OK)
        fail_msg("%s: %s", text, err.message);
    return options;
}

/* ---- what transformers makes of it ---- */

struct golden {
    char name[64], model_type[16];
    int n_channels, height, width;
    const char *config;
};

static void compare(const struct golden *g, const float *expected)
{
    size_t n_bytes;
    char *data = read_golden(g->name, &n_bytes);
    struct ct_image image;
    struct ct_error err;
    struct ct_image_limits limits = CT_IMAGE_LIMITS;
    int width, height;
    assert_int_equal(
        ct_image_decode((uint8_t *)data, n_bytes, g->n_channels, &limits, &image, &err), CT_OK);
    struct ct_image_options options = read_options(g->config, g->model_type, g->n_channels);
    assert_int_equal(
        ct_image_output_size(&options, image.width, image.height, &width, &height, &err), CT_OK);
    if (width != g->width || height != g->height)
        fail_msg("%s %s: %d x %d, expected %d x %d", g->name, g->config, width, height, g->width,
                 g->height);
    size_t n = (size_t)(g->n_channels * width * height);
    float *planes = malloc(n * sizeof *planes);
    assert_non_null(planes);
    assert_int_equal(ct_image_preprocess(&image, &options, planes, &err), CT_OK);
    for (size_t i = 0; i < n; i++)
        if (planes[i] != expected[i])
            fail_msg("%s %s: value %zu is %.9g, expected %.9g", g->name, g->config, i,
                     (double)planes[i], (double)expected[i]);
    free(planes);
    ct_image_deinit(&image);
    free(data);
}

static void test_the_bits_of_the_reference(void **state)
{
    (void)state;
    size_t n_index, n_bytes, at = 0;
    char *index = read_golden("index.txt", &n_index);
    char *values = read_golden("planes.bin", &n_bytes);
    int n_cases = 0;
    for (char *line = strtok(index, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        struct golden g;
        int n_read = 0;
        if (sscanf(line, "preprocess %63s %d %d %d %15s %n", g.name, &g.n_channels, &g.height,
                   &g.width, g.model_type, &n_read) != 5)
            continue;
        g.config = line + n_read;
        size_t n = sizeof(float) * (size_t)(g.n_channels * g.height * g.width);
        assert_true(at + n <= n_bytes);
        float *expected = malloc(n);
        assert_non_null(expected);
        memcpy(expected, values + at, n);
        compare(&g, expected);
        free(expected);
        at += n;
        n_cases++;
    }
    assert_int_equal(at, n_bytes);
    assert_true(n_cases >= 20);
    free(values);
    free(index);
}

static void test_one_channel(void **state)
{
    (void)state;
    uint8_t pixels[] = {0, 255, 128, 64};
    struct ct_image image = {.pixels = pixels, .width = 2, .height = 2, .n_channels = 1};
    struct ct_image_options options = read_options(
        "{\"do_resize\": false, \"image_mean\": [0.5], \"image_std\": 0.25}", "vit", 1);
    float planes[4];
    struct ct_error err;
    assert_int_equal(ct_image_preprocess(&image, &options, planes, &err), CT_OK);
    assert_true(planes[0] == -2 && planes[1] == 2 && planes[2] > 0 && planes[3] < 0);
}

/* A crop computes only its own part; it must be that of the whole. */
static void test_a_crop_is_a_part_of_the_whole(void **state)
{
    (void)state;
    enum { W = 37, H = 23, RESIZED = 31, CROP = 12 };
    static uint8_t pixels[W * H * 3];
    static float whole[3 * RESIZED * RESIZED], part[3 * CROP * CROP];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * i % 251);
    struct ct_image image = {.pixels = pixels, .width = W, .height = H, .n_channels = 3};
    struct ct_error err;
    for (int resample = 0; resample <= 3; resample += resample == 0 ? 2 : 1) {
        char text[128];
        snprintf(text, sizeof text, "{\"size\": %d, \"crop_size\": %d, \"resample\": %d}", RESIZED,
                 CROP, resample);
        struct ct_image_options options = read_options(text, "deit", 3);
        assert_int_equal(ct_image_preprocess(&image, &options, part, &err), CT_OK);
        options.do_center_crop = false;
        assert_int_equal(ct_image_preprocess(&image, &options, whole, &err), CT_OK);
        int left = (RESIZED - CROP) / 2;
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < CROP; y++)
                assert_memory_equal(part + (c * CROP + y) * CROP,
                                    whole + (c * RESIZED + left + y) * RESIZED + left,
                                    CROP * sizeof(float));
    }
}

/* ---- configurations ---- */

static void test_defaults(void **state)
{
    (void)state;
    struct ct_image_options o = read_options("{}", "vit", 3);
    assert_true(o.do_resize && !o.do_center_crop && o.do_rescale && o.do_normalize);
    assert_true(o.resample == CT_IMAGE_BILINEAR && o.size.height == 224 && o.size.width == 224);
    assert_true(o.rescale_factor == 1 / 255.0 && o.image_mean[2] == 0.5f && o.image_std[0] == 0.5f);
    o = read_options("{}", "deit", 3);
    assert_true(o.do_center_crop && o.crop_size.height == 224 && o.crop_size.width == 224);
    assert_true(o.resample == CT_IMAGE_BICUBIC && o.size.height == 256);
    o = read_options("{}", "dinov2", 3);
    assert_true(o.size.shortest_edge == 224 && o.crop_size.width == 224);
    /* the file's own processor goes before the model's */
    o = read_options("{\"feature_extractor_type\": \"DeiTFeatureExtractor\", \"size\": null}",
                     "vit", 3);
    assert_true(o.do_center_crop && o.size.height == 256);
    o = read_options("{\"image_processor_type\": \"BitImageProcessorFast\", \"size\": 32}", "vit",
                     3);
    assert_true(o.size.shortest_edge == 32 && o.size.height == 0);
}

static void refuse(const char *text, enum ct_status status, const char *message)
{
    struct ct_image_options options;
    struct ct_error err;
    assert_int_equal(ct_image_options_read(text, strlen(text), "vit", 3, &options, &err), status);
    assert_string_equal(err.message, message);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refuse("{\"do_resize\": 1}", CT_FORMAT, "do_resize is 1, expected true or false");
    refuse("{\"do_convert_rgb\": \"yes\"}", CT_FORMAT,
           "do_convert_rgb is \"yes\", expected true or false");
    refuse("{\"do_pad\": true}", CT_UNSUPPORTED, "do_pad is true, expected false");
    refuse("{\"resample\": 1}", CT_UNSUPPORTED,
           "resample is 1, expected 0 (nearest), 2 (bilinear) or 3 (bicubic)");
    refuse("{\"resample\": 6}", CT_FORMAT, "resample is 6, expected a whole number within 0..5");
    refuse("{\"resample\": \"cubic\"}", CT_FORMAT,
           "resample is \"cubic\", expected a whole number within 0..5");
    refuse("{\"size\": 22.5}", CT_FORMAT, "size is 22.5, expected a whole number");
    refuse("{\"size\": 0}", CT_FORMAT, "size is 0, expected 1..4096");
    refuse("{\"size\": {\"height\": 5}}", CT_FORMAT,
           "size: width is nothing, expected a whole number");
    refuse("{\"size\": {\"height\": 5, \"width\": 99999999999}}", CT_FORMAT,
           "size: width is 2147483647, expected 1..4096");
    refuse("{\"size\": {\"shortest_edge\": true}}", CT_FORMAT,
           "size: shortest_edge is true, expected a whole number");
    refuse("{\"size\": {\"shortest_edge\": 5, \"longest_edge\": 9}}", CT_UNSUPPORTED,
           "size is {\"shortest_edge\":5,\"longest_edge\":9}, expected height and width, or "
           "shortest_edge");
    refuse("{\"do_center_crop\": true}", CT_FORMAT,
           "do_center_crop is true, but crop_size has no height and width");
    refuse("{\"do_center_crop\": true, \"crop_size\": {\"shortest_edge\": 5}}", CT_FORMAT,
           "do_center_crop is true, but crop_size has no height and width");
    refuse("{\"rescale_factor\": \"1/255\"}", CT_FORMAT,
           "rescale_factor is \"1/255\", expected a number");
    refuse("{\"image_mean\": [0.5, 0.5]}", CT_FORMAT,
           "image_mean is [0.5,0.5], expected a number, or a list of 3");
    refuse("{\"image_mean\": [0.5, 0.5, \"a\"]}", CT_FORMAT,
           "image_mean is [0.5,0.5,\"a\"], expected finite numbers");
    refuse("{\"image_std\": 1e100}", CT_FORMAT, "image_std is 1e100, expected finite numbers");
    refuse("{\"image_std\": [1, 0, 1]}", CT_FORMAT, "image_std has a 0, which would divide");
    refuse("{\"image_processor_type\": \"SiglipImageProcessor\"}", CT_UNSUPPORTED,
           "image_processor_type is \"SiglipImageProcessor\", expected the image processor of ViT, "
           "DeiT or Bit");
    refuse("[]", CT_FORMAT, "JSON is not an object");
    struct ct_image_options options;
    struct ct_error err;
    assert_int_equal(ct_image_options_read("{}", 2, "llama", 3, &options, &err), CT_UNSUPPORTED);
    assert_string_equal(err.message, "no image processor is built for models of type llama");
}

static void test_an_image_that_would_grow_too_large(void **state)
{
    (void)state;
    struct ct_image_options options =
        read_options("{\"size\": {\"shortest_edge\": 4096}, \"do_center_crop\": false}", "vit", 3);
    struct ct_error err;
    int width, height;
    assert_int_equal(ct_image_output_size(&options, 2, 16384, &width, &height, &err), CT_INVALID);
    assert_string_equal(err.message,
                        "an image of 2 x 16384 pixels becomes 4096 x 33554432, at most "
                        "16777216 in all are made");
    assert_int_equal(ct_image_output_size(&options, 1, 1 << 30, &width, &height, &err), CT_INVALID);
    assert_string_equal(err.message,
                        "an image of 1 x 1073741824 pixels, resized to a shortest edge "
                        "of 4096, has a longest edge of 4398046511104");
    /* with a crop only its part is made */
    options.do_center_crop = true;
    options.crop_size = (struct ct_image_size){.height = 3, .width = 2};
    static uint8_t pixels[2 * 16384 * 3];
    float planes[18];
    pixels[0] = 255;
    struct ct_image image = {.pixels = pixels, .width = 2, .height = 16384, .n_channels = 3};
    assert_int_equal(ct_image_preprocess(&image, &options, planes, &err), CT_OK);
    assert_true(planes[0] == -1 && planes[17] == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bits_of_the_reference),
        cmocka_unit_test(test_one_channel),
        cmocka_unit_test(test_a_crop_is_a_part_of_the_whole),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_an_image_that_would_grow_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
