/* Memory that ends where the program may not read: each block's last byte is followed by a
 * PROT_NONE page, and the bytes before its first are a pattern that guard_check verifies. For the
 * tests of code that works on raw pointers. One thread; failures abort. */
#ifndef CT_TESTS_GUARD_H
#define CT_TESTS_GUARD_H

#include <stddef.h>

/* n_bytes that end exactly at an unreadable page, filled with a pattern. */
void *guard_take(size_t n_bytes);

/* Aborts, with `what`, when bytes before a block were written. */
void guard_check(const char *what);

/* Releases every block. */
void guard_release(void);

#endif
