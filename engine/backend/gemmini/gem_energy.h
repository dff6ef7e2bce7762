/* What a program's work costs in energy: counts of the timing model times a table of picojoules.
 *
 * gem_energy.def has every number with its source. Which table (energy.table, by technology) and which
 * memory (energy.dram) is a matter of the configuration. A bank's access costs by the bank's size, so
 * that banking is worth what it is. Pure functions; any thread. */
#ifndef CT_BACKEND_GEMMINI_GEM_ENERGY_H
#define CT_BACKEND_GEMMINI_GEM_ENERGY_H

#include "engine/backend/gemmini/timing.h"

/* Where the energy goes. */
enum ct_gem_energy_part {
    CT_GEM_ENERGY_MAC,
    CT_GEM_ENERGY_REGISTERS,
    CT_GEM_ENERGY_SPAD,
    CT_GEM_ENERGY_ACC,
    CT_GEM_ENERGY_NORM,
    CT_GEM_ENERGY_DRAM,
    CT_GEM_ENERGY_HOST,
    CT_GEM_ENERGY_PARTS
};

struct ct_gem_energy {
    double pj[CT_GEM_ENERGY_PARTS];
    double total_pj; /* their sum */
};

/* "mac", "registers" and so on. */
const char *ct_gem_energy_name(enum ct_gem_energy_part part);

void ct_gem_energy(const struct ct_gem_config *config, const struct ct_gem_timing *timing,
                   struct ct_gem_energy *energy);

/* Of one access to a row of a bank: the unit that the tables differ most in. */
struct ct_gem_row_energy {
    double read_pj, write_pj;
};
struct ct_gem_row_energy ct_gem_energy_spad_row(const struct ct_gem_config *config);
struct ct_gem_row_energy ct_gem_energy_acc_row(const struct ct_gem_config *config);

/* An arithmetic unit at 45 nm. NULL: no such name. */
struct ct_gem_operation {
    const char *name;
    double pj, area_um2;
};
const struct ct_gem_operation *ct_gem_energy_operation(const char *name);

#endif
