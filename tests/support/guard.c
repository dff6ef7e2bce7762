/* Blocks of pages, the last of each unreadable; released all together. */
#include "tests/support/guard.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_BLOCKS = 64, PATTERN = 0xa5 };

static struct {
    uint8_t *pages;
    size_t n_pages_bytes; /* without the guard page */
    size_t n_bytes;
} blocks[MAX_BLOCKS];
static int n_blocks;

void *guard_take(size_t n_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (n_bytes + 64 + page - 1) / page * page;
    uint8_t *pages =
        mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || n_blocks == MAX_BLOCKS ||
        mprotect(pages + size, page, PROT_NONE) != 0) {
        fprintf(stderr, "guard: no memory\n");
        abort();
    }
    memset(pages, PATTERN, size);
    blocks[n_blocks].pages = pages;
    blocks[n_blocks].n_pages_bytes = size;
    blocks[n_blocks++].n_bytes = n_bytes;
    return pages + size - n_bytes;
}

void guard_check(const char *what)
{
    for (int b = 0; b < n_blocks; b++)
        for (size_t i = 0; i < blocks[b].n_pages_bytes - blocks[b].n_bytes; i++)
            if (blocks[b].pages[i] != PATTERN) {
                fprintf(stderr, "%s: wrote before a block of %zu bytes\n", what, blocks[b].n_bytes);
                abort();
            }
}

void guard_release(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    while (n_blocks > 0) {
        n_blocks--;
        munmap(blocks[n_blocks].pages, blocks[n_blocks].n_pages_bytes + page);
    }
}
