/* The fields of a protobuf message, one after the other where they lie: for messages too large to
 * be unpacked. Any thread. */
#ifndef CT_FORMAT_WIRE_H
#define CT_FORMAT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed but for the range, this stands before the first field. */
struct ct_wire {
    const unsigned char *at, *end; /* what is still to read */
    bool is_broken;                /* the bytes at `at` are no field */
};

struct ct_wire_field {
    uint32_t number;
    bool has_bytes;            /* of length-delimited fields: strings, bytes, messages, packed */
    const unsigned char *data; /* has_bytes: the content */
    size_t n_bytes;            /* of it */
    const unsigned char *begin, *end; /* all of the field, with its tag */
};

/* The next field, or false at the end and where the bytes are broken. */
bool ct_wire_next(struct ct_wire *wire, struct ct_wire_field *field);

#endif
