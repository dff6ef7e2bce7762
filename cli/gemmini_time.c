/* centroid gemmini time: what a program costs. */
#include "cli/gemmini_time.h"

#include "cli/cli.h"
#include "engine/backend/gemmini/gem_energy.h"
#include "engine/base/json_text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static enum ct_status print_json(const struct ct_gem_timing *t, const struct ct_gem_energy *energy,
                                 struct ct_error *err)
{
    json_t *parts = json_object();
    for (int i = 0; i < CT_GEM_ENERGY_PARTS; i++)
        json_object_set_new(parts, ct_gem_energy_name((enum ct_gem_energy_part)i),
                            json_real(energy->pj[i]));
    json_t *all = json_object();
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"cycles", t->cycles},
        {"busy_load", t->busy_cycles[CT_GEM_UNIT_LOAD]},
        {"busy_execute", t->busy_cycles[CT_GEM_UNIT_EXECUTE]},
        {"busy_store", t->busy_cycles[CT_GEM_UNIT_STORE]},
        {"read_requests", t->read_requests},
        {"read_bytes", t->read_bytes},
        {"write_requests", t->write_requests},
        {"write_bytes", t->write_bytes},
        {"macs", t->macs},
        {"spad_rows_read", t->spad_rows_read},
        {"spad_rows_written", t->spad_rows_written},
        {"acc_rows_read", t->acc_rows_read},
        {"acc_rows_written", t->acc_rows_written},
        {"norm_lanes", t->norm_lanes},
        {"host_instructions", t->host_instructions},
        {"tlb_misses", t->tlb_misses},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        json_object_set_new(all, counts[i].name, json_integer((json_int_t)counts[i].value));
    json_object_set_new(all, "utilisation", json_real(t->utilisation));
    json_object_set_new(all, "pj", parts);
    json_object_set_new(all, "total_pj", json_real(energy->total_pj));
    return ct_cli_print_json(all, true, JSON_INDENT(2) | JSON_REAL_PRECISION(9), "the report", err);
}

static void print_text(const struct ct_gem_config *config, const struct ct_gem_timing *t,
                       const struct ct_gem_energy *energy)
{
    static const char *const units[CT_GEM_UNITS] = {"load", "execute", "store"};
    const double cycles = t->cycles > 0 ? (double)t->cycles : 1;
    printf("%llu cycles, %.6g ms at %.6g GHz\n", (unsigned long long)t->cycles,
           (double)t->cycles / (config->clock_ghz * 1e6), config->clock_ghz);
    printf("%llu multiply-accumulates, %.1f %% of what the array could do\n",
           (unsigned long long)t->macs, 100 * t->utilisation);
    for (int i = 0; i < CT_GEM_UNITS; i++)
        printf("%-8s busy %5.1f %%\n", units[i], 100 * (double)t->busy_cycles[i] / cycles);
    printf("memory   %llu bytes read, %llu written, %.2f a cycle\n",
           (unsigned long long)t->read_bytes, (unsigned long long)t->write_bytes,
           (double)(t->read_bytes + t->write_bytes) / cycles);
    printf("energy   %.6g nJ\n", energy->total_pj / 1000);
    for (int i = 0; i < CT_GEM_ENERGY_PARTS; i++)
        if (energy->pj[i] > 0)
            printf("  %-10s %12.6g nJ %5.1f %%\n", ct_gem_energy_name((enum ct_gem_energy_part)i),
                   energy->pj[i] / 1000, 100 * energy->pj[i] / energy->total_pj);
}

enum ct_status ct_gemmini_print_time(const struct ct_gem_config *config,
                                     const struct ct_gem_command *commands, size_t n_commands,
                                     bool is_json, struct ct_error *err)
{
    struct ct_gem_timing timing;
    struct ct_gem_energy energy;
    const enum ct_status status = ct_gem_time(config, commands, n_commands, &timing, err);
    if (status != CT_OK)
        return status;
    ct_gem_energy(config, &timing, &energy);
    if (is_json)
        return print_json(&timing, &energy, err);
    print_text(config, &timing, &energy);
    return CT_OK;
}
