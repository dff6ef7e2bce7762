/* The bus and the memory behind it, and the translation before it. */
#include "engine/backend/gemmini/timing_units.h"

enum { BEAT = 256, PAGE_BYTES = 4096 };

uint64_t ct_gem_memory_translate(struct memory *memory, int client, uint64_t address)
{
    const uint64_t page = address / PAGE_BYTES + 1;
    if (memory->miss_cycles == 0 || memory->last_page[client] == page)
        return 0;
    memory->last_page[client] = page;
    for (unsigned i = 0; i < memory->n_pages; i++)
        if (memory->pages[i] == page)
            return 0;
    if (memory->n_pages > 0)
        memory->pages[memory->oldest++ % memory->n_pages] = page;
    memory->n_misses++;
    return memory->miss_cycles;
}

uint64_t ct_gem_memory_request(struct memory *memory, uint64_t at, unsigned beats,
                               uint64_t not_before)
{
    const uint64_t earliest = max64(at + memory->latency, not_before) * BEAT;
    const uint64_t start = max64(earliest, memory->bus_free);
    memory->bus_free = start + beats * memory->beat;
    return (start + BEAT - 1) / BEAT;
}

unsigned ct_gem_memory_packet(uint64_t address, unsigned left, unsigned smallest, unsigned max,
                              unsigned *useful)
{
    unsigned size = smallest;
    *useful = 0;
    for (unsigned s = smallest; s <= max && *useful < left; s *= 2) {
        const unsigned room = s - (unsigned)(address % s), n = room < left ? room : left;
        if (n > *useful) {
            *useful = n;
            size = s;
        }
    }
    return size;
}
