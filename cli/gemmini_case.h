/* Golden files of the simulated Gemmini: programs with the results and the cycles of the real
 * design.
 *
 * A file is JSON, by gzip or not, and of one of four kinds, known by its shape:
 *
 *   cases    a list: programs with memory contents, commands and what memory holds afterwards
 *   scalars  an object of lists: inputs and results of the arithmetic
 *   norms    {"rows": [{"hex", ...}]}: what the RTL writes for programs of a file of cases
 *   cycles   {"rows": [{"cycles", ...}]}: how long programs take under a configuration
 *
 * Whatever a file holds is checked; errors name the case and the field. */
#ifndef CT_CLI_GEMMINI_CASE_H
#define CT_CLI_GEMMINI_CASE_H

#include "engine/backend/gemmini/trace.h"
#include "engine/base/status.h"

#include <jansson.h>

enum ct_gemmini_kind {
    CT_GEMMINI_CASES,
    CT_GEMMINI_SCALARS,
    CT_GEMMINI_NORMS,
    CT_GEMMINI_CYCLES,
};

struct ct_gemmini_file {
    const char *path; /* the caller's */
    enum ct_gemmini_kind kind;
    json_t *root;
    json_t *rows; /* borrowed: the list of cases, norms or cycles; NULL for scalars */
};

/* CT_IO, CT_FORMAT (damaged, or none of the kinds), CT_TOO_LARGE; the message names path. */
CT_MUST_CHECK enum ct_status ct_gemmini_file_open(const char *path, struct ct_gemmini_file *file,
                                                  struct ct_error *err);
void ct_gemmini_file_close(struct ct_gemmini_file *file);

/* A program over its memory. trace.prints are the matrices that it is to leave there; the FNV-1a-64
 * of the i-th one's rows, one after the other and from the offset basis 1469598103934665603, is
 * hashes[i]. */
struct ct_gemmini_case {
    const char *name; /* the file's */
    struct ct_gem_trace trace;
    uint64_t *hashes;
    bool
        is_unverified; /* "rtl_verified": false: results of a model that the hardware contradicts */
};

/* The case that an object of file->rows is. CT_FORMAT, CT_MEMORY; deinit in any case. */
CT_MUST_CHECK enum ct_status ct_gemmini_case_init(const json_t *object, struct ct_gemmini_case *out,
                                                  struct ct_error *err);
void ct_gemmini_case_deinit(struct ct_gemmini_case *c);

/* The hash of what memory, of ct_gem_trace_memory, now holds of a matrix. */
uint64_t ct_gemmini_hash(const struct ct_gem_print *print, const struct ct_gem_segment *memory);

/* The name without its numbers, which is the name of the case's family: "mm_os_16x16x16" is of
 * "mm_os". out holds at least strlen(name) + 1. */
void ct_gemmini_family(const char *name, char *out);

/* A whole number of an object, given as one or as text ("0x80000000"), of at most high. CT_FORMAT
 * names the key. */
CT_MUST_CHECK enum ct_status ct_gemmini_number(const json_t *object, const char *key, uint64_t high,
                                               uint64_t *out, struct ct_error *err);

#endif
