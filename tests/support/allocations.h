/* Counts allocations, and lets one fail: the functions are wrapped by the linker
 * (tests/CMakeLists.txt), in our own code and, through engine/base/json_read.c, in jansson. For one
 * file of a program. */
#ifndef CT_TESTS_ALLOCATIONS_H
#define CT_TESTS_ALLOCATIONS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_int n_allocations, n_live_blocks;
static atomic_int n_until_failure; /* 0: none fails */

/* Since the program began. */
static inline int ct_n_allocations(void)
{
    return atomic_load(&n_allocations);
}

/* Allocated and not freed. */
static inline int ct_n_live_blocks(void)
{
    return atomic_load(&n_live_blocks);
}

/* The n-th allocation from now on fails, n >= 1, and no other; 0: none does. */
static inline void ct_allocations_fail(int n)
{
    atomic_store(&n_until_failure, n);
}

/* Whether the failure that was asked for is yet to come. */
static inline bool ct_allocations_will_fail(void)
{
    return atomic_load(&n_until_failure) > 0;
}

/* Whether this one succeeds. */
static bool count_allocation(void)
{
    atomic_fetch_add(&n_allocations, 1);
    for (int n = atomic_load(&n_until_failure); n > 0;)
        if (atomic_compare_exchange_weak(&n_until_failure, &n, n - 1)) {
            errno = ENOMEM;
            return n > 1;
        }
    return true;
}

static void *count_block(void *p)
{
    atomic_fetch_add(&n_live_blocks, p != NULL);
    return p;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *text);
void __real_free(void *p);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *context);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *text);
void __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *context);
FILE *__real_open_memstream(char **text, size_t *n_bytes);
FILE *__wrap_open_memstream(char **text, size_t *n_bytes);

void *__wrap_malloc(size_t n)
{
    return count_allocation() ? count_block(__real_malloc(n)) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return count_allocation() ? count_block(__real_calloc(n, size)) : NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (!count_allocation())
        return NULL;
    return p == NULL ? count_block(__real_realloc(p, n)) : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return count_allocation() ? count_block(__real_aligned_alloc(alignment, n)) : NULL;
}

char *__wrap_strdup(const char *text)
{
    return count_allocation() ? count_block(__real_strdup(text)) : NULL;
}

void __wrap_free(void *p)
{
    atomic_fetch_sub(&n_live_blocks, p != NULL);
    __real_free(p);
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    return count_allocation() ? __real_mmap(at, n, protection, flags, fd, offset) : MAP_FAILED;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *context)
{
    return count_allocation() ? __real_pthread_create(thread, attr, run, context) : EAGAIN;
}

/* Its text is allocated by the stream, and freed by us. */
FILE *__wrap_open_memstream(char **text, size_t *n_bytes)
{
    FILE *file = count_allocation() ? __real_open_memstream(text, n_bytes) : NULL;
    count_block(file);
    return file;
}

#endif
