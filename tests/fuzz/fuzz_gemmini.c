/* Programs of the simulated Gemmini as text: any bytes are read or refused. What was read is
 * written and read again as the same, and runs on a small machine until it ends or is refused. */
#include "engine/backend/gemmini/isa.h"
#include "engine/backend/gemmini/trace.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MAX_MEMORY_BYTES = 1 << 20, MAX_COMMANDS = 200 };

static void check_text(const struct ct_gem_trace *trace)
{
    struct ct_gem_trace back;
    struct ct_error err;
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *file = open_memstream(&text, &n_bytes);
    if (file == NULL)
        abort();
    ct_gem_trace_write(trace, file);
    fclose(file);
    if (ct_gem_trace_read("back", text, n_bytes, &back, &err) != CT_OK ||
        back.n_commands != trace->n_commands)
        abort();
    for (size_t i = 0; i < trace->n_commands; i++)
        if (back.commands[i].funct != trace->commands[i].funct ||
            back.commands[i].rs1 != trace->commands[i].rs1 ||
            back.commands[i].rs2 != trace->commands[i].rs2)
            abort();
    ct_gem_trace_deinit(&back);
    free(text);
}

static bool is_small(const struct ct_gem_trace *trace)
{
    bool is_small = trace->n_commands <= MAX_COMMANDS;
    for (size_t i = 0; i < trace->n_fills; i++)
        is_small = is_small && trace->fills[i].n <= MAX_MEMORY_BYTES &&
                   trace->fills[i].address - trace->fills[0].address <= MAX_MEMORY_BYTES;
    return is_small;
}

static void run(const struct ct_gem_trace *trace)
{
    struct ct_gem_config config;
    struct ct_gem_segment memory;
    struct ct_gem_machine *machine;
    struct ct_error err;
    if (ct_gem_config_preset("default", &config, &err) != CT_OK)
        abort();
    config.spad_kb = config.acc_kb = 8;
    if (ct_gem_trace_memory(trace, &memory, &err) != CT_OK)
        return;
    if (ct_gem_machine_open(&config, &memory, 1, &machine, &err) != CT_OK)
        abort();
    (void)!ct_gem_machine_run(machine, trace->commands, trace->n_commands, &err);
    ct_gem_machine_close(machine);
    free(memory.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_gem_trace trace;
    struct ct_error err;
    if (ct_gem_trace_read("data", (const char *)data, n_bytes, &trace, &err) != CT_OK)
        return 0;
    check_text(&trace);
    trace.n_prints = 0; /* they may be anywhere, and only widen memory */
    if (is_small(&trace))
        run(&trace);
    ct_gem_trace_deinit(&trace);
    return 0;
}
