/* A ring of bytes between two threads: one writes, one reads, neither waits.
 *
 *      read -->|######## filled ########|--> written          both only grow; the place in the
 * buffer is
 *   [..........|########################|..........]          the count modulo the capacity
 *
 * A record goes in whole: the writer checks ct_ring_room for all of its parts, puts them, and then
 * publishes once. The atomics are sequentially consistent because the writer also announces, by a
 * flag elsewhere, that it found no room, and one of the two sides must see the other. */
#ifndef CT_SERVER_RING_H
#define CT_SERVER_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

struct ct_ring {
    char *bytes;     /* [capacity], the owner's */
    size_t capacity; /* a power of two */
    size_t pending;  /* the writer's: put but not yet published */
    atomic_size_t n_written;
    atomic_size_t n_read;
};

static inline void ct_ring_init(struct ct_ring *ring, char *bytes, size_t capacity)
{
    ring->bytes = bytes;
    ring->capacity = capacity;
    ring->pending = 0;
    atomic_init(&ring->n_written, 0);
    atomic_init(&ring->n_read, 0);
}

/* Writer: bytes that can be put now. */
static inline size_t ct_ring_room(struct ct_ring *ring)
{
    size_t n_filled = atomic_load(&ring->n_written) - atomic_load(&ring->n_read);
    return ring->capacity - n_filled - ring->pending;
}

/* Writer: adds bytes to the record that is being made; there is room. */
static inline void ct_ring_put(struct ct_ring *ring, const void *bytes, size_t n_bytes)
{
    size_t at = (atomic_load(&ring->n_written) + ring->pending) & (ring->capacity - 1);
    size_t n_first = n_bytes < ring->capacity - at ? n_bytes : ring->capacity - at;
    if (n_first > 0)
        memcpy(ring->bytes + at, bytes, n_first);
    if (n_bytes > n_first)
        memcpy(ring->bytes, (const char *)bytes + n_first, n_bytes - n_first);
    ring->pending += n_bytes;
}

static inline void ct_ring_publish(struct ct_ring *ring)
{
    atomic_store(&ring->n_written, atomic_load(&ring->n_written) + ring->pending);
    ring->pending = 0;
}

/* Reader: bytes that are there. */
static inline size_t ct_ring_filled(struct ct_ring *ring)
{
    return atomic_load(&ring->n_written) - atomic_load(&ring->n_read);
}

/* Reader: the first byte, which is there, without taking it. */
static inline char ct_ring_peek(struct ct_ring *ring)
{
    return ring->bytes[atomic_load(&ring->n_read) & (ring->capacity - 1)];
}

/* Reader: takes n_bytes that are there. */
static inline void ct_ring_get(struct ct_ring *ring, void *bytes, size_t n_bytes)
{
    size_t n_read = atomic_load(&ring->n_read);
    size_t at = n_read & (ring->capacity - 1);
    size_t n_first = n_bytes < ring->capacity - at ? n_bytes : ring->capacity - at;
    if (n_first > 0)
        memcpy(bytes, ring->bytes + at, n_first);
    if (n_bytes > n_first)
        memcpy((char *)bytes + n_first, ring->bytes, n_bytes - n_first);
    atomic_store(&ring->n_read, n_read + n_bytes);
}

#endif
