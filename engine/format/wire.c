#include "engine/format/wire.h"

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

static bool read_varint(struct ct_wire *wire, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        unsigned char byte = *wire->at++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Past n_bytes of content. */
static bool take(struct ct_wire *wire, struct ct_wire_field *field, uint64_t n_bytes)
{
    if (n_bytes > (uint64_t)(wire->end - wire->at))
        return false;
    field->data = wire->at;
    field->n_bytes = (size_t)n_bytes;
    wire->at += n_bytes;
    return true;
}

static bool read_field(struct ct_wire *wire, struct ct_wire_field *field)
{
    uint64_t tag, value;
    *field = (struct ct_wire_field){.begin = wire->at};
    if (!read_varint(wire, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return false;
    field->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case VARINT:
        return read_varint(wire, &value);
    case FIXED64:
        return take(wire, field, 8);
    case FIXED32:
        return take(wire, field, 4);
    case LENGTH:
        field->has_bytes = true;
        return read_varint(wire, &value) && take(wire, field, value);
    default: /* groups are gone from protobuf */
        return false;
    }
}

bool ct_wire_next(struct ct_wire *wire, struct ct_wire_field *field)
{
    if (wire->is_broken || wire->at == wire->end)
        return false;
    wire->is_broken = !read_field(wire, field);
    field->end = wire->at;
    return !wire->is_broken;
}
