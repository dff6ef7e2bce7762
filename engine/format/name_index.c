#include "engine/format/name_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum ct_status ct_name_index_init(struct ct_name_index *index, int capacity)
{
    *index = (struct ct_name_index){.capacity = capacity};
    index->entries = calloc(capacity > 0 ? (size_t)capacity : 1, sizeof *index->entries);
    return index->entries == NULL ? CT_MEMORY : CT_OK;
}

void ct_name_index_deinit(struct ct_name_index *index)
{
    free(index->entries);
    *index = (struct ct_name_index){0};
}

void ct_name_index_add(struct ct_name_index *index, const char *text, size_t n_bytes)
{
    assert(index->n_entries < index->capacity);
    int position = index->n_entries++;
    index->entries[position] = (struct ct_name_entry){text, n_bytes, position};
}

static int compare(const void *left, const void *right)
{
    const struct ct_name_entry *a = left;
    const struct ct_name_entry *b = right;
    size_t n = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int order = n > 0 ? memcmp(a->text, b->text, n) : 0;
    return order != 0 ? order : (a->n_bytes > b->n_bytes) - (a->n_bytes < b->n_bytes);
}

const struct ct_name_entry *ct_name_index_sort(struct ct_name_index *index)
{
    qsort(index->entries, (size_t)index->n_entries, sizeof *index->entries, compare);
    for (int i = 1; i < index->n_entries; i++)
        if (compare(&index->entries[i - 1], &index->entries[i]) == 0)
            return &index->entries[i];
    return NULL;
}

void ct_name_index_unique(struct ct_name_index *index)
{
    int n_unique = 0;
    ct_name_index_sort(index);
    for (int i = 0; i < index->n_entries; i++)
        if (i == 0 || compare(&index->entries[i], &index->entries[n_unique - 1]) != 0) {
            index->entries[n_unique] = index->entries[i];
            index->entries[n_unique].position = n_unique;
            n_unique++;
        }
    index->n_entries = n_unique;
}

int ct_name_index_find(const struct ct_name_index *index, const char *text, size_t n_bytes)
{
    struct ct_name_entry key = {text, n_bytes, 0};
    const struct ct_name_entry *found =
        index->n_entries == 0 ? NULL
                              : bsearch(&key, index->entries, (size_t)index->n_entries,
                                        sizeof *index->entries, compare);
    return found == NULL ? -1 : found->position;
}

bool ct_name_is_plain(const char *text, size_t n_bytes)
{
    if (n_bytes < 1 || n_bytes > CT_MAX_NAME)
        return false;
    for (size_t i = 0; i < n_bytes; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

bool ct_name_is_file(const char *text, size_t n_bytes)
{
    return ct_name_is_plain(text, n_bytes) && strlen(text) == n_bytes && text[0] != '.' &&
           strchr(text, '/') == NULL;
}
