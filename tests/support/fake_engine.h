/* A test double of the engine, linked instead of it: no model, no arithmetic, and every step under
 * the test's control.
 *
 * The vocabulary is the 256 bytes, an end token, and a few fillers. What follows a history is a
 * function of its hash; but after "echo:TEXT|" comes TEXT, byte by byte, and then the end token, so
 * that a test can say what is generated. Sessions count their tokens and check the contract of
 * engine.h with assertions. */
#ifndef CT_TESTS_FAKE_ENGINE_H
#define CT_TESTS_FAKE_ENGINE_H

#include "engine/engine.h"

enum { CT_FAKE_EOS = 256, CT_FAKE_VOCAB = 300 };

/* Any thread. What is open now, and the steps so far. */
int ct_fake_n_sessions(void);
int ct_fake_n_samplers(void);
int ct_fake_n_steps(void);

/* Each step takes this long; 0 at first (or the environment's CENTROID_FAKE_STEP_US). */
void ct_fake_set_step_us(int step_us);

/* Steps wait from now on; allow lets n more of them go; release lets all go again. */
void ct_fake_hold(void);
void ct_fake_allow(int n_steps);
void ct_fake_release(void);

/* The next step fails with this status. */
void ct_fake_fail_step(enum ct_status status);

/* The slices of the last step, as n_tokens of each, in order; returns how many, at most
 * capacity. */
int ct_fake_last_step(int *n_tokens, int capacity);

#endif
