/* centroid gemmini check: golden numbers of the arithmetic. */
#include "cli/gemmini_check.h"

#include "engine/backend/gemmini/arith.h"

#include <stdlib.h>
#include <string.h>

static int32_t int_at(const json_t *row, size_t i)
{
    return (int32_t)json_integer_value(json_array_get(row, i));
}

static float float_at(const json_t *row, size_t i)
{
    const char *bits = json_string_value(json_array_get(row, i));
    return ct_gem_float(bits != NULL ? (uint32_t)strtoul(bits, NULL, 16) : 0);
}

static int32_t int_of(const json_t *row, const char *key)
{
    return (int32_t)json_integer_value(json_object_get(row, key));
}

static bool is_shift(const json_t *row)
{
    const int32_t shift = int_at(row, 1);
    return shift >= 0 && shift < 32 &&
           ct_gem_clip(ct_gem_shift(int_at(row, 0), (unsigned)shift), 8) == int_at(row, 2);
}

static bool is_scale(const json_t *row)
{
    return ct_gem_scale(int_at(row, 0), float_at(row, 1)) == int_at(row, 2);
}

/* The result, and the constants that belong to the step S. */
static bool is_igelu(const json_t *row)
{
    int32_t qb, qc;
    const double s = json_number_value(json_object_get(row, "S"));
    if (!(s >= 1e-4 && s <= 1e4))
        return false;
    ct_gem_igelu_constants((float)s, &qb, &qc);
    return qb == int_of(row, "qb") && qc == int_of(row, "qc") &&
           ct_gem_igelu(int_of(row, "q"), qb, qc) == int_of(row, "out");
}

static bool is_iexp(const json_t *row)
{
    const double s = json_number_value(json_object_get(row, "S"));
    if (!(s >= 1e-4 && s <= 1e4))
        return false;
    struct ct_gem_iexp c = ct_gem_iexp_constants((float)s);
    c.is_masked = true;
    return c.ln2 == int_of(row, "qln2") && c.ln2_inverse == int_of(row, "qln2_inv") &&
           c.qb == int_of(row, "qb") && c.qc == int_of(row, "qc") &&
           ct_gem_iexp(int_of(row, "q"), &c) == int_of(row, "out");
}

static bool is_sqrt(const json_t *row)
{
    return ct_gem_isqrt(int_at(row, 0)) == int_at(row, 1);
}

enum ct_status ct_gemmini_check_scalars(struct ct_gemmini_check *check, const json_t *root,
                                        struct ct_error *err)
{
    static const struct {
        const char *name;
        bool (*is_exact)(const json_t *row);
    } lists[] = {
        {"rounding_shift_sat8", is_shift},
        {"acc_scale", is_scale},
        {"mvin_scale", is_scale},
        {"igelu", is_igelu},
        {"iexp", is_iexp},
        {"int_sqrt", is_sqrt},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct ct_gemmini_family *family = ct_gemmini_family_of(check, lists[i].name);
        if (family == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for families");
        size_t k;
        const json_t *row;
        json_array_foreach(json_object_get(root, lists[i].name), k, row)
        {
            const bool is_exact = lists[i].is_exact(row);
            family->cases++;
            family->exact += is_exact;
            family->wrong += !is_exact;
        }
    }
    return CT_OK;
}
