/* engine/energy: estimates from counts, and RAPL counters played by a directory of files. */
#include "engine/energy/energy.h"
#include "engine/energy/rapl.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/centroid-rapl-XXXXXX";

static void write_file(const char *zone, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, zone);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", root, zone, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void write_zone(const char *zone, const char *name, const char *energy)
{
    write_file(zone, "name", name);
    write_file(zone, "max_energy_range_uj", "1000000\n");
    write_file(zone, "energy_uj", energy);
}

static int setup(void **state)
{
    (void)state;
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    return mkdtemp(root) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void estimate_is_counts_times_platform(void **state)
{
    (void)state;
    struct ct_energy_meter *meter = NULL;
    struct ct_error err;
    assert_int_equal(ct_energy_meter_open(root, "horowitz45", &meter, &err), CT_OK);
    assert_int_equal(ct_energy_meter_source(meter), CT_ENERGY_MODEL);
    assert_string_equal(ct_energy_meter_name(meter), "estimate:horowitz45");
    struct ct_cost cost = {.macs_i8 = 1000, .macs_f32 = 10, .bytes_dram = 8, .bytes_cache = 16};
    ct_energy_meter_begin(meter);
    ct_energy_meter_end(meter, &cost);
    assert_float_equal(cost.pj, 1000 * 0.3 + 10 * 4.6 + 1300 + 40, 1e-9);
    ct_energy_meter_close(meter);
}

static void unknown_platform_names_the_known(void **state)
{
    (void)state;
    struct ct_energy_meter *meter = NULL;
    struct ct_error err;
    assert_int_equal(ct_energy_meter_open(root, "abacus", &meter, &err), CT_NOT_FOUND);
    assert_null(meter);
    assert_non_null(strstr(err.message, "abacus"));
    assert_non_null(strstr(err.message, "jouppi7, horowitz45"));
}

static void rapl_adds_packages_and_memory_only(void **state)
{
    (void)state;
    write_zone("intel-rapl:0", "package-0\n", "100\n");
    write_zone("intel-rapl:0:0", "core\n", "50\n");
    write_zone("intel-rapl:0:1", "dram\n", "7\n");
    write_zone("intel-rapl:1", "package-1\n", "200\n");
    write_zone("intel-rapl:2", "psys\n", "999\n");
    write_zone("intel-rapl-mmio:0", "package-0\n", "100\n");
    struct ct_energy_meter *meter = NULL;
    assert_int_equal(ct_energy_meter_open(root, NULL, &meter, NULL), CT_OK);
    assert_int_equal(ct_energy_meter_source(meter), CT_ENERGY_RAPL);
    assert_string_equal(ct_energy_meter_name(meter), "rapl");
    write_file("intel-rapl:1", "energy_uj", "300\n"); /* before the step: not counted */
    ct_energy_meter_begin(meter);
    write_file("intel-rapl:0", "energy_uj", "150\n");
    write_file("intel-rapl:0:0", "energy_uj", "90\n");
    write_file("intel-rapl:0:1", "energy_uj", "10\n");
    write_file("intel-rapl:1", "energy_uj", "301\n");
    write_file("intel-rapl:2", "energy_uj", "5000\n");
    write_file("intel-rapl-mmio:0", "energy_uj", "150\n");
    struct ct_cost cost = {.macs_i8 = 1000000};
    ct_energy_meter_end(meter, &cost);
    assert_float_equal(cost.pj, (50 + 3 + 1) * 1e6, 0);
    ct_energy_meter_close(meter);
}

static void rapl_counter_that_wraps(void **state)
{
    (void)state;
    write_zone("intel-rapl:0", "package-0\n", "999990\n");
    struct ct_rapl *rapl = NULL;
    assert_int_equal(ct_rapl_open(root, &rapl), CT_OK);
    uint64_t uj = 0;
    write_file("intel-rapl:0", "energy_uj", "25\n");
    assert_true(ct_rapl_read(rapl, &uj));
    assert_int_equal(uj, 35);
    write_file("intel-rapl:0", "energy_uj", "26\n");
    assert_true(ct_rapl_read(rapl, &uj));
    assert_int_equal(uj, 1);
    ct_rapl_close(rapl);
}

static void rapl_that_cannot_be_read_is_an_estimate(void **state)
{
    (void)state;
    write_zone("intel-rapl:0", "package-0\n", "secret\n");
    struct ct_rapl *rapl = NULL;
    assert_int_equal(ct_rapl_open(root, &rapl), CT_NOT_FOUND);
    assert_int_equal(ct_rapl_open("/nonexistent", &rapl), CT_NOT_FOUND);
    struct ct_energy_meter *meter = NULL;
    assert_int_equal(ct_energy_meter_open(root, NULL, &meter, NULL), CT_OK);
    assert_string_equal(ct_energy_meter_name(meter), "estimate:jouppi7");
    ct_energy_meter_close(meter);
}

static void rapl_that_breaks_during_a_step_is_estimated(void **state)
{
    (void)state;
    write_zone("intel-rapl:0", "package-0\n", "5\n");
    struct ct_energy_meter *meter = NULL;
    assert_int_equal(ct_energy_meter_open(root, NULL, &meter, NULL), CT_OK);
    ct_energy_meter_begin(meter);
    write_file("intel-rapl:0", "energy_uj", "");
    struct ct_cost cost = {.bytes_dram = 2};
    ct_energy_meter_end(meter, &cost);
    assert_float_equal(cost.pj, 325, 0);
    ct_energy_meter_close(meter);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(estimate_is_counts_times_platform),
        TEST(unknown_platform_names_the_known),
        TEST(rapl_adds_packages_and_memory_only),
        TEST(rapl_counter_that_wraps),
        TEST(rapl_that_cannot_be_read_is_an_estimate),
        TEST(rapl_that_breaks_during_a_step_is_estimated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
