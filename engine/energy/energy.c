/* The energy meter: RAPL where it can be read, counted work times platforms.def elsewhere. */
#include "engine/energy/energy.h"

#include "engine/energy/rapl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct platform {
    const char *name;
    double mac_i8_pj;
    double mac_f32_pj;
    double byte_dram_pj;
    double byte_cache_pj;
};

static const struct platform platforms[] = {
#define CT_PLATFORM(name, mac_i8, mac_f32, byte_dram, byte_cache, source)                          \
    {#name, mac_i8, mac_f32, byte_dram, byte_cache},
#include "engine/energy/platforms.def"
#undef CT_PLATFORM
};

enum { N_PLATFORMS = sizeof platforms / sizeof platforms[0] };

struct ct_energy_meter {
    struct ct_rapl *rapl; /* NULL: estimate */
    const struct platform *platform;
    char name[64];
};

static const struct platform *platform_find(const char *name, struct ct_error *err)
{
    if (name == NULL)
        return &platforms[0];
    char list[256];
    size_t n = 0;
    for (int i = 0; i < N_PLATFORMS && n < sizeof list; i++) {
        if (strcmp(platforms[i].name, name) == 0)
            return &platforms[i];
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i == 0 ? "" : ", ",
                              platforms[i].name);
    }
    ct_error_set(err, CT_NOT_FOUND, "energy platform '%s' is none of %s", name, list);
    return NULL;
}

enum ct_status ct_energy_meter_open(const char *root, const char *platform,
                                    struct ct_energy_meter **out, struct ct_error *err)
{
    *out = NULL;
    const struct platform *found = platform_find(platform, err);
    if (found == NULL)
        return CT_NOT_FOUND;
    struct ct_energy_meter *meter = calloc(1, sizeof *meter);
    if (meter == NULL)
        return ct_error_set(err, CT_MEMORY, "energy meter: out of memory");
    meter->platform = found;
    enum ct_status status = ct_rapl_open(root == NULL ? "/sys/class/powercap" : root, &meter->rapl);
    if (status != CT_OK && status != CT_NOT_FOUND) {
        free(meter);
        return ct_error_set(err, status, "energy meter: %s", ct_status_text(status));
    }
    if (meter->rapl != NULL)
        snprintf(meter->name, sizeof meter->name, "rapl");
    else
        snprintf(meter->name, sizeof meter->name, "estimate:%s", found->name);
    *out = meter;
    return CT_OK;
}

void ct_energy_meter_close(struct ct_energy_meter *meter)
{
    if (meter == NULL)
        return;
    ct_rapl_close(meter->rapl);
    free(meter);
}

enum ct_energy_source ct_energy_meter_source(const struct ct_energy_meter *meter)
{
    return meter->rapl != NULL ? CT_ENERGY_RAPL : CT_ENERGY_MODEL;
}

const char *ct_energy_meter_name(const struct ct_energy_meter *meter)
{
    return meter->name;
}

void ct_energy_meter_begin(struct ct_energy_meter *meter)
{
    uint64_t uj = 0;
    if (meter->rapl != NULL)
        ct_rapl_read(meter->rapl, &uj); /* what was used before the step is nobody's */
}

void ct_energy_meter_end(struct ct_energy_meter *meter, struct ct_cost *cost)
{
    uint64_t uj = 0;
    if (meter->rapl != NULL && ct_rapl_read(meter->rapl, &uj)) {
        cost->pj = (double)uj * 1e6;
        return;
    }
    const struct platform *p = meter->platform;
    cost->pj = (double)cost->macs_i8 * p->mac_i8_pj + (double)cost->macs_f32 * p->mac_f32_pj +
               (double)cost->bytes_dram * p->byte_dram_pj +
               (double)cost->bytes_cache * p->byte_cache_pj;
}
