/* Images when memory runs out: each allocation fails once, and the answer is CT_MEMORY with nothing
 * left behind. What libjpeg takes inside its own library does not count here. */
#include "tests/support/unit.h"

#include "engine/image/preprocess.h"
#include "tests/support/allocations.h"
#include "tests/support/whole_file.h"

static enum ct_status make_planes(const uint8_t *data, size_t n_bytes, struct ct_error *err)
{
    static const char config[] =
        "{\"size\": 19, \"crop_size\": 14, \"image_std\": [0.1, 0.2, 0.3]}";
    struct ct_image_limits limits = CT_IMAGE_LIMITS;
    struct ct_image_options options;
    struct ct_image image;
    float planes[3 * 14 * 14];
    enum ct_status status =
        ct_image_options_read(config, sizeof config - 1, "deit", 3, &options, err);
    if (status == CT_OK)
        status = ct_image_decode(data, n_bytes, 3, &limits, &image, err);
    if (status != CT_OK)
        return status;
    status = ct_image_preprocess(&image, &options, planes, err);
    ct_image_deinit(&image);
    return status;
}

static void fail_each(const char *path)
{
    size_t n_bytes;
    uint8_t *data = (uint8_t *)read_whole_file(path, &n_bytes);
    struct ct_error err;
    if (data == NULL || make_planes(data, n_bytes, &err) != CT_OK)
        fail_msg("%s", path);
    for (int n = 1;; n++) {
        int before = ct_n_live_blocks();
        ct_allocations_fail(n);
        enum ct_status status = make_planes(data, n_bytes, &err);
        bool was_enough = ct_allocations_will_fail();
        ct_allocations_fail(0);
        if (was_enough && status == CT_OK)
            break;
        if (status != CT_MEMORY)
            fail_msg("%s, allocation %d: %s, \"%s\"", path, n, ct_status_name(status), err.message);
        if (ct_n_live_blocks() != before)
            fail_msg("%s, allocation %d: %d blocks are left", path, n, ct_n_live_blocks() - before);
    }
    free(data);
}

static void test_each_allocation_fails_once(void **state)
{
    (void)state;
    static const char *const files[] = {"progressive.jpg", "cmyk.jpg",         "orientation-6.jpg",
                                        "rgb.png",         "palette-4.png",    "interlaced.png",
                                        "tall.png",        "orientation-6.png"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/golden/images/%s", CT_TEST_DIR, files[i]);
        fail_each(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
