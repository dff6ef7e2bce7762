#include "server/stop.h"

#include <string.h>

/* Whether a stop string begins at held + at, and is complete (or, where is_partial, may become
 * so). */
static bool begins_at(const struct ct_stop *stop, size_t at, bool is_partial)
{
    size_t n_left = stop->n_held - at;
    for (int i = 0; i < stop->n_texts; i++) {
        const struct ct_stop_text *text = &stop->texts[i];
        if (n_left < text->n_bytes && !is_partial)
            continue;
        size_t n = n_left < text->n_bytes ? n_left : text->n_bytes;
        if (memcmp(stop->held + at, text->bytes, n) == 0)
            return true;
    }
    return false;
}

size_t ct_stop_push(struct ct_stop *stop, size_t n_new, bool *is_hit)
{
    stop->n_held += n_new;
    *is_hit = false;
    for (size_t at = 0; at < stop->n_held && stop->n_texts > 0; at++) {
        if (begins_at(stop, at, false)) {
            *is_hit = true;
            return at;
        }
    }
    /* No complete one: hold from the first place that may still become one. */
    for (size_t at = 0; at < stop->n_held && stop->n_texts > 0; at++)
        if (begins_at(stop, at, true))
            return at;
    return stop->n_held;
}

void ct_stop_release(struct ct_stop *stop, size_t n_bytes)
{
    memmove(stop->held, stop->held + n_bytes, stop->n_held - n_bytes);
    stop->n_held -= n_bytes;
}
