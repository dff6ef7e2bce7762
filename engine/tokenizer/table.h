/* What tokenizers build their tables with: arrays that grow, slots of a hash table, and the hash of a
 * text. Any thread. */
#ifndef CT_TOKENIZER_TABLE_H
#define CT_TOKENIZER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of a text in an error message, where it is cut when it is long. */
#define CT_CLIP(n_bytes) ((int)((n_bytes) < 48 ? (n_bytes) : 48))

/* Grows an array of items to hold n_items, the new ones zero; false when memory is short. */
bool ct_table_reserve(void **items, size_t item_bytes, int *capacity, int n_items);

/* Slots for n entries, a power of two at least twice n, filled with -1; *mask is one less. NULL when
 * memory is short. */
void *ct_table_slots(int n, size_t slot_bytes, uint32_t *mask);

/* An FNV-1a hash, which goes on byte by byte; folded, it gives a slot by the mask. */
#define CT_TABLE_HASH_START UINT64_C(0xCBF29CE484222325)
static inline uint64_t ct_table_hash_byte(uint64_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * UINT64_C(0x100000001B3);
}

static inline uint64_t ct_table_hash(uint64_t hash, const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        hash = ct_table_hash_byte(hash, text[i]);
    return hash;
}

static inline uint32_t ct_table_fold(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 32);
}

#endif
