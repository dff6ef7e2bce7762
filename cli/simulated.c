#include "cli/simulated.h"

#include <stdio.h>

struct ct_option ct_cli_backend_option(struct ct_cli_machine *machine)
{
    return (struct ct_option){
        "backend",
        "NAME",
        "cpu; gemmini, as w8a8 with int8 KV, or gemmini:ibert, as ibert, with the costs of a "
        "simulated machine (cpu)",
        CT_OPTION_TEXT,
        &machine->backend,
        0,
        0,
        NULL};
}

struct ct_option ct_cli_preset_option(struct ct_cli_machine *machine)
{
    return (struct ct_option){"gemmini-preset",
                              "NAME",
                              "the machine, of 'centroid gemmini config' (default, or ibert)",
                              CT_OPTION_TEXT,
                              &machine->preset,
                              0,
                              0,
                              NULL};
}

struct ct_option ct_cli_config_option(struct ct_cli_machine *machine)
{
    return (struct ct_option){"gemmini-config",
                              "FILE",
                              "an INI file over that preset",
                              CT_OPTION_TEXT,
                              &machine->config_path,
                              0,
                              0,
                              NULL};
}

enum ct_status ct_cli_choose_machine(const struct ct_cli_machine *machine,
                                     struct ct_engine_options *options, struct ct_error *err)
{
    options->machine_preset = machine->preset;
    options->machine_file = machine->config_path;
    if (machine->backend == NULL)
        return CT_OK;
    options->backend = ct_backend_find(machine->backend, err);
    return options->backend != NULL ? CT_OK : ct_error_prefix(err, "--backend");
}

void ct_cli_print_simulated(const struct ct_engine_info *info, int n, const char *const *phases,
                            const struct ct_cost *const *costs)
{
    for (int i = 0; i < n && info->simulated != NULL; i++) {
        const struct ct_simulated *s = &costs[i]->simulated;
        const double share = s->cycles > 0 ? s->host_cycles / s->cycles : 0;
        fprintf(
            stderr,
            "[%s, %s: %.0f cycles, %.3f ms at %g GHz, %.0f %% of it for the host, %.3f mJ, array "
            "used %.1f %%, %.2f MB of memory traffic]\n",
            info->simulated, phases[i], s->cycles, s->cycles / info->simulated_ghz * 1e-6,
            info->simulated_ghz, 100 * share, ct_simulated_pj(s) * 1e-9,
            100 * ct_simulated_utilisation(s), s->dram_bytes / 1e6);
    }
}

json_t *ct_cli_simulated_json(const struct ct_engine_info *info, const struct ct_cost *cost)
{
    const struct ct_simulated *s = &cost->simulated;
    if (info->simulated == NULL)
        return json_null();
    json_t *energy = json_pack("{s:f}", "total", ct_simulated_pj(s) * 1e-9);
    for (int i = 0; i < CT_SIMULATED_PARTS; i++)
        if (json_object_set_new(energy, ct_simulated_part_name((enum ct_simulated_part)i),
                                json_real(s->pj[i] * 1e-9)) != 0) {
            json_decref(energy);
            return NULL;
        }
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "backend", info->simulated,
                     "clock_ghz", info->simulated_ghz, "cycles", s->cycles, "host_cycles",
                     s->host_cycles, "ms", s->cycles / info->simulated_ghz * 1e-6, "macs", s->macs,
                     "utilisation", ct_simulated_utilisation(s), "dram_bytes", s->dram_bytes,
                     "energy_mj", energy);
}
