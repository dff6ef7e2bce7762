#include "engine/backend/gemmini/gem_energy.h"

#include <math.h>
#include <string.h>

/* The choices of energy.table and energy.dram, in the order of gem_config.def. */
enum { CACTI45, CACTI40, CACTI32, CACTI28, CACTI22, DOSA40, HOROWITZ45 };
enum { LPDDR4, DDR3, HBM2, DOSA };

static const struct {
    int table;
    double mac_pj, registers_pj, norm_pj;
} tables[] = {
#define CT_GEM_OPERATION(name, pj, area)
#define CT_GEM_ENERGY_TABLE(table, mac, registers, norm) {table, mac, registers, norm},
#define CT_GEM_ENERGY_SRAM(table, bits, kb, read, write)
#define CT_GEM_ENERGY_LINE(table, bits, pj, pj_kb)
#define CT_GEM_ENERGY_DRAM(memory, pj)
#include "engine/backend/gemmini/gem_energy.def"
#undef CT_GEM_ENERGY_TABLE
#define CT_GEM_ENERGY_TABLE(table, mac, registers, norm)
};

static const struct sram {
    int table, bits;
    double kb, read_pj, write_pj;
} srams[] = {
#undef CT_GEM_ENERGY_SRAM
#define CT_GEM_ENERGY_SRAM(table, bits, kb, read, write) {table, bits, kb, read, write},
#include "engine/backend/gemmini/gem_energy.def"
#undef CT_GEM_ENERGY_SRAM
#define CT_GEM_ENERGY_SRAM(table, bits, kb, read, write)
};

static const struct {
    int table, bits;
    double pj, pj_kb;
} lines[] = {
#undef CT_GEM_ENERGY_LINE
#define CT_GEM_ENERGY_LINE(table, bits, pj, pj_kb) {table, bits, pj, pj_kb},
#include "engine/backend/gemmini/gem_energy.def"
#undef CT_GEM_ENERGY_LINE
#define CT_GEM_ENERGY_LINE(table, bits, pj, pj_kb)
};

static const double dram_pj[] = {
#undef CT_GEM_ENERGY_DRAM
#define CT_GEM_ENERGY_DRAM(memory, pj) [memory] = (pj),
#include "engine/backend/gemmini/gem_energy.def"
#undef CT_GEM_ENERGY_DRAM
#define CT_GEM_ENERGY_DRAM(memory, pj)
};

static const struct ct_gem_operation operations[] = {
#undef CT_GEM_OPERATION
#define CT_GEM_OPERATION(name, pj, area) {name, pj, area},
#include "engine/backend/gemmini/gem_energy.def"
};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

const struct ct_gem_operation *ct_gem_energy_operation(const char *name)
{
    for (size_t i = 0; i < LENGTH(operations); i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    return NULL;
}

const char *ct_gem_energy_name(enum ct_gem_energy_part part)
{
    static const char *const names[CT_GEM_ENERGY_PARTS] = {"mac",  "registers", "spad", "acc",
                                                           "norm", "dram",      "host"};
    return names[part];
}

/* Through (x0, y0) and (x1, y1), straight in logarithms. */
static double power_law(double x, double x0, double y0, double x1, double y1)
{
    return y0 * pow(x / x0, log(y1 / y0) / log(x1 / x0));
}

/* A bank of kb with rows of so many bits; total_kb is all banks together. */
static struct ct_gem_row_energy row_energy(int table, int bits, double kb, double total_kb)
{
    for (size_t i = 0; i < LENGTH(lines); i++)
        if (lines[i].table == table && lines[i].bits == bits) {
            const double pj = lines[i].pj + lines[i].pj_kb * total_kb;
            return (struct ct_gem_row_energy){pj, pj};
        }
    const struct sram *low = NULL, *high = NULL;
    for (size_t i = 0; i < LENGTH(srams); i++) {
        const struct sram *sram = &srams[i];
        if (sram->table != table || sram->bits != bits)
            continue;
        if (high == NULL || high->kb < kb) {
            low = high;
            high = sram;
        } else if (low == NULL) {
            low = sram;
        }
    }
    return (struct ct_gem_row_energy){
        power_law(kb, low->kb, low->read_pj, high->kb, high->read_pj),
        power_law(kb, low->kb, low->write_pj, high->kb, high->write_pj),
    };
}

struct ct_gem_row_energy ct_gem_energy_spad_row(const struct ct_gem_config *config)
{
    return row_energy(config->energy_table, 128, (double)config->spad_kb / config->spad_banks,
                      config->spad_kb);
}

struct ct_gem_row_energy ct_gem_energy_acc_row(const struct ct_gem_config *config)
{
    return row_energy(config->energy_table, 512, (double)config->acc_kb / config->acc_banks,
                      config->acc_kb);
}

void ct_gem_energy(const struct ct_gem_config *config, const struct ct_gem_timing *timing,
                   struct ct_gem_energy *energy)
{
    const struct ct_gem_row_energy spad = ct_gem_energy_spad_row(config);
    const struct ct_gem_row_energy acc = ct_gem_energy_acc_row(config);
    const int table = config->energy_table;
    *energy = (struct ct_gem_energy){0};
    double *pj = energy->pj;
    for (size_t i = 0; i < LENGTH(tables); i++)
        if (tables[i].table == table) {
            pj[CT_GEM_ENERGY_MAC] = (double)timing->macs * tables[i].mac_pj;
            pj[CT_GEM_ENERGY_REGISTERS] = (double)timing->macs * tables[i].registers_pj;
            pj[CT_GEM_ENERGY_NORM] = (double)timing->norm_lanes * tables[i].norm_pj;
        }
    pj[CT_GEM_ENERGY_SPAD] = (double)timing->spad_rows_read * spad.read_pj +
                             (double)timing->spad_rows_written * spad.write_pj;
    pj[CT_GEM_ENERGY_ACC] = (double)timing->acc_rows_read * acc.read_pj +
                            (double)timing->acc_rows_written * acc.write_pj;
    pj[CT_GEM_ENERGY_DRAM] =
        (double)(timing->read_bytes + timing->write_bytes) * dram_pj[config->energy_dram];
    pj[CT_GEM_ENERGY_HOST] = (double)timing->host_instructions * config->host_pj_per_instr;
    for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++)
        energy->total_pj += pj[part];
}
