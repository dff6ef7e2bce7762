#include "engine/base/json_text.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* Whether jansson is reading or writing in this thread, and an allocation of its has failed. */
static _Thread_local bool is_busy, is_short;

/* Once one has failed, all do: jansson drops a byte that it has no room for, and if the next allocation
 * went well it would look for the end of a token that has lost its quote. */
static void *allocate(size_t n_bytes)
{
    void *p = is_busy && is_short ? NULL : malloc(n_bytes);
    is_short = is_short || p == NULL;
    return p;
}

static void set_allocator(void)
{
    json_set_alloc_funcs(allocate, free);
}

static void begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_allocator);
    is_short = false;
    is_busy = true;
}

enum ct_status ct_json_load(const char *text, size_t n_bytes, json_t **out, json_error_t *problem)
{
    begin();
    *out = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, problem);
    is_busy = false;
    if (is_short) {
        json_decref(*out);
        *out = NULL;
        return CT_MEMORY;
    }
    return *out != NULL ? CT_OK : CT_FORMAT;
}

char *ct_json_dump(const json_t *value, size_t flags)
{
    begin();
    char *text = json_dumps(value, flags | JSON_ENCODE_ANY);
    is_busy = false;
    if (is_short) {
        free(text);
        return NULL;
    }
    return text;
}
