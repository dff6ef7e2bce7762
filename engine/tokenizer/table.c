#include "engine/tokenizer/table.h"

#include <stdlib.h>
#include <string.h>

bool ct_table_reserve(void **items, size_t item_bytes, int *capacity, int n_items)
{
    if (n_items <= *capacity)
        return true;
    const int wanted = n_items < 1024 ? 1024 : n_items + n_items / 2;
    void *grown = realloc(*items, (size_t)wanted * item_bytes);
    if (grown == NULL)
        return false;
    memset((char *)grown + (size_t)*capacity * item_bytes, 0,
           (size_t)(wanted - *capacity) * item_bytes);
    *items = grown;
    *capacity = wanted;
    return true;
}

void *ct_table_slots(int n, size_t slot_bytes, uint32_t *mask)
{
    size_t n_slots = 16;
    while (n_slots < 2 * (size_t)n)
        n_slots *= 2;
    void *slots = malloc(n_slots * slot_bytes);
    if (slots != NULL)
        memset(slots, -1, n_slots * slot_bytes);
    *mask = (uint32_t)(n_slots - 1);
    return slots;
}
