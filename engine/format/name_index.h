/* Names of a file's tensors or keys -> their positions: a sorted array and binary search. Sorting
 * finds duplicates in n log n whatever the names are; a hash could be flooded by a hostile file.
 *
 * Filled by one thread, then immutable; any thread. Texts are kept by the caller and need no
 * NUL. */
#ifndef CT_FORMAT_NAME_INDEX_H
#define CT_FORMAT_NAME_INDEX_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct ct_name_entry {
    const char *text;
    size_t n_bytes;
    int position;
};

struct ct_name_index {
    struct ct_name_entry *entries;
    int n_entries;
    int capacity;
};

/* Room for `capacity` names. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_name_index_init(struct ct_name_index *index, int capacity);
void ct_name_index_deinit(struct ct_name_index *index); /* a zeroed struct is fine */

/* Positions count from 0 in the order of adding. No more than `capacity` names are added. */
void ct_name_index_add(struct ct_name_index *index, const char *text, size_t n_bytes);

/* After the last add, before the first find. Returns a name that was added twice, or NULL. */
const struct ct_name_entry *ct_name_index_sort(struct ct_name_index *index);

/* The same where names may be added more than once: each stays once, and its position is its place in
 * the order of names. */
void ct_name_index_unique(struct ct_name_index *index);

/* The position of a name, or -1. */
int ct_name_index_find(const struct ct_name_index *index, const char *text, size_t n_bytes);

/* Whether a name is fit for messages and files: 1..CT_MAX_NAME bytes, no control characters. */
enum { CT_MAX_NAME = 255 };
bool ct_name_is_plain(const char *text, size_t n_bytes);

/* Whether a name that a model's file gives is that of a file in the same directory. */
bool ct_name_is_file(const char *text, size_t n_bytes);

#endif
