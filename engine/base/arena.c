#include "engine/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct ct_arena_chunk {
    struct ct_arena_chunk *next;
    size_t used;
    size_t capacity;
    _Alignas(16) unsigned char data[];
};

enum { CHUNK_BYTES = 16 * 1024 };

void ct_arena_init(struct ct_arena *arena)
{
    arena->chunks = NULL;
    arena->n_bytes = 0;
}

void ct_arena_deinit(struct ct_arena *arena)
{
    struct ct_arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        struct ct_arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    ct_arena_init(arena);
}

void *ct_arena_alloc(struct ct_arena *arena, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX / 2)
        return NULL;
    size_t need = (n_bytes + 15) & ~(size_t)15;
    struct ct_arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < need) {
        size_t capacity = need > CHUNK_BYTES ? need : CHUNK_BYTES;
        struct ct_arena_chunk *fresh = malloc(sizeof *fresh + capacity);
        if (fresh == NULL)
            return NULL;
        fresh->used = 0;
        fresh->capacity = capacity;
        fresh->next = chunk;
        arena->chunks = fresh;
        chunk = fresh;
    }
    void *block = chunk->data + chunk->used;
    chunk->used += need;
    arena->n_bytes += need;
    memset(block, 0, need);
    return block;
}

char *ct_arena_text(struct ct_arena *arena, const char *text, size_t n_bytes)
{
    if (n_bytes == SIZE_MAX)
        return NULL;
    char *copy = ct_arena_alloc(arena, n_bytes + 1);
    if (copy != NULL && n_bytes > 0)
        memcpy(copy, text, n_bytes);
    return copy;
}
