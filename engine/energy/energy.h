/* Energy of work done on this machine's CPU.
 *
 * Where the kernel shows RAPL through /sys/class/powercap, the processor's own counters are read
 * before and after a step; elsewhere the counted work (multiply-accumulates by type, bytes by
 * memory level) is multiplied by the picojoules of a platform in platforms.def, each with its
 * published source. The answer says which of the two it is. The engine thread owns a meter.
 * (Survey, figure on energy of arithmetic and memory; clustering study, section V, energy.) */
#ifndef CT_ENERGY_ENERGY_H
#define CT_ENERGY_ENERGY_H

#include "engine/base/status.h"
#include "engine/energy/cost.h"

struct ct_energy_meter;

/* root: NULL for /sys/class/powercap (a test gives its own directory). platform: a name of
 * platforms.def, or NULL for the default. CT_NOT_FOUND names the platforms there are; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_energy_meter_open(const char *root, const char *platform,
                                                  struct ct_energy_meter **out,
                                                  struct ct_error *err);
void ct_energy_meter_close(struct ct_energy_meter *meter);

enum ct_energy_source ct_energy_meter_source(const struct ct_energy_meter *meter);

/* "rapl" or "estimate:<platform>": what an answer's energy_source says. Owned by the meter. */
const char *ct_energy_meter_name(const struct ct_energy_meter *meter);

/* Around one step: begin before it, end after it, which sets cost->pj for the counts and time that
 * the caller has filled in. RAPL counters that wrap are handled. Allocates nothing. */
void ct_energy_meter_begin(struct ct_energy_meter *meter);
void ct_energy_meter_end(struct ct_energy_meter *meter, struct ct_cost *cost);

#endif
