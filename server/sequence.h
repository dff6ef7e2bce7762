/* One sequence's way through its phases, as seen from the engine thread: session, sampling, text.
 *
 *   logits -> token -> bytes -> whole characters -> what no stop string can still claim -> ring
 *
 * Nothing here allocates after admission. Engine thread. */
#ifndef CT_SERVER_SEQUENCE_H
#define CT_SERVER_SEQUENCE_H

#include "server/request.h"

/* WAITING -> RUNNING, with what the engine still has of its tokens. CT_BUSY: there is no session or
 * are no pages now; nothing was changed. Any other error is also noted in the sequence. */
CT_MUST_CHECK enum ct_status ct_sequence_admit(struct ct_sequence *sequence,
                                               struct ct_engine *engine);

/* RUNNING -> WAITING: gives session and pages up, and keeps all that is needed to go on. */
void ct_sequence_yield(struct ct_sequence *sequence);

/* Whether the ring takes what one step may write. If not, the sequence is marked as stalled. */
bool ct_sequence_has_room(struct ct_sequence *sequence);

/* The next turn.n_step tokens that are known and not evaluated. */
struct ct_slice ct_sequence_slice(const struct ct_sequence *sequence);

/* After the step: books the cost, samples where the slice brought logits, and writes a record. Sets
 * finish when that was the last token. Returns whether there is something for the loop thread. */
bool ct_sequence_advance(struct ct_sequence *sequence, const struct ct_engine *engine,
                         const struct ct_slice *slice);

/* -> DONE: gives back session and sampler, and notes the time. */
void ct_sequence_finish(struct ct_sequence *sequence);

#endif
