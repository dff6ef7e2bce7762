/* The timing model on any commands: they are timed or refused, skipping repetitions or not, and both ways
 * agree. The first byte chooses a machine; 17 bytes after it are a command, whose function and addresses
 * are kept near what exists. */
#include "engine/backend/gemmini/timing.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { COMMAND_BYTES = 17, MAX_COMMANDS = 64 };

static struct ct_gem_config config_of(uint8_t choice)
{
    struct ct_gem_config config;
    if (ct_gem_config_preset(choice & 1 ? "ibert" : "default", &config, NULL) != CT_OK)
        abort();
    config.spad_kb = config.acc_kb = 8;
    config.tlb_miss_cycles = choice & 2 ? 20 : 0;
    config.mem_bytes_per_cycle = choice & 4 ? 3 : 16;
    config.rob_ld = choice & 8 ? 1 : 8;
    config.dma_in_flight = choice & 16 ? 1 : 16;
    config.dma_bus_bytes = choice & 32 ? 64 : 16;
    return config;
}

static void ignore(void *context, enum ct_gem_unit unit, uint64_t start, uint64_t end,
                   size_t command)
{
    (void)context, (void)command;
    if (start >= end || unit >= CT_GEM_UNITS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_gem_command commands[MAX_COMMANDS];
    struct ct_gem_timing skipped, whole;
    struct ct_error err = {0}, other = {0};
    size_t n = 0;
    if (n_bytes == 0)
        return 0;
    const struct ct_gem_config config = config_of(data[0]);
    for (size_t at = 1; at + COMMAND_BYTES <= n_bytes && n < MAX_COMMANDS; at += COMMAND_BYTES) {
        struct ct_gem_command *c = &commands[n++];
        *c = (struct ct_gem_command){.funct = data[at] % 16};
        if (data[at] == CT_GEM_FENCE_FUNCT)
            c->funct = CT_GEM_FENCE_FUNCT;
        memcpy(&c->rs1, data + at + 1, 8);
        memcpy(&c->rs2, data + at + 9, 8);
    }
    const enum ct_status status = ct_gem_time(&config, commands, n, &skipped, &err);
    if (ct_gem_timeline(&config, commands, n, ignore, NULL, &whole, &other) != status ||
        (status == CT_OK && memcmp(&skipped, &whole, sizeof whole) != 0) ||
        strcmp(err.message, other.message) != 0)
        abort();
    return 0;
}
