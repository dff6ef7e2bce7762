/* What every cmocka program includes, in the order that cmocka wants. */
#ifndef CT_TESTS_UNIT_H
#define CT_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
