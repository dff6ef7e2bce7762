/* An arena: many small blocks with one lifetime, freed together. The owner's thread alone uses
 * it. */
#ifndef CT_BASE_ARENA_H
#define CT_BASE_ARENA_H

#include <stddef.h>

struct ct_arena_chunk;

struct ct_arena {
    struct ct_arena_chunk *chunks;
    size_t n_bytes; /* handed out so far */
};

void ct_arena_init(struct ct_arena *arena);
void ct_arena_deinit(struct ct_arena *arena);

/* n_bytes of zeroed memory, 16-byte aligned; NULL when memory is short. n_bytes 0 gives a valid
 * pointer. */
void *ct_arena_alloc(struct ct_arena *arena, size_t n_bytes);

/* A copy of n_bytes of text with a NUL after it; NULL when memory is short. */
char *ct_arena_text(struct ct_arena *arena, const char *text, size_t n_bytes);

#endif
