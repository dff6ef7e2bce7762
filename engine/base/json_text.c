#include "engine/base/json_text.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* Whether an allocation of jansson's has failed in this thread. */
static _Thread_local bool is_short;

static void *allocate(size_t n_bytes)
{
    void *p = malloc(n_bytes);
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
}

enum ct_status ct_json_load(const char *text, size_t n_bytes, json_t **out, json_error_t *problem)
{
    begin();
    *out = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, problem);
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
    if (is_short) {
        free(text);
        return NULL;
    }
    return text;
}
