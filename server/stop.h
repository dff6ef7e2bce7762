/* Stop strings, also across the borders of tokens.
 *
 *   held:  [ text that may go out | tail that may be the beginning of a stop string ]
 *
 * New text is put behind what is held; what can no longer be part of a stop string is released.
 * Text is whole characters and so are stop strings, so that no cut ever splits a character. One
 * owner thread. */
#ifndef CT_SERVER_STOP_H
#define CT_SERVER_STOP_H

#include <stdbool.h>
#include <stddef.h>

struct ct_stop_text {
    const char *bytes; /* not empty */
    size_t n_bytes;
};

struct ct_stop {
    const struct ct_stop_text *texts; /* [n_texts], the caller's */
    int n_texts;
    char *held; /* [capacity], the caller's: the longest stop string plus the longest piece of new
                   text */
    size_t n_held;
};

/* After n_new bytes of text were written at held + n_held: how many bytes at the front of held may
 * be shown. *is_hit: a stop string begins right behind them, and nothing after them may ever be
 * shown. */
size_t ct_stop_push(struct ct_stop *stop, size_t n_new, bool *is_hit);

/* Removes n_bytes from the front, once they were shown. */
void ct_stop_release(struct ct_stop *stop, size_t n_bytes);

#endif
