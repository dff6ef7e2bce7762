/* preload and compute: the execute controller feeds the array row by row, a pass at a time.
 *
 *   pass:    P1      C1+P2     C2+P3     C3        P preloads, C computes; a pass has 16 rows
 *   result:                    of 1      of 2      comes out MESH cycles behind the data (weight stationary)
 *
 * A product and the next preload share a pass if the commands are there in time. A row is read when its
 * banks are free: operands from one bank take turns, and loads and results that are written go first. */
#include "engine/backend/gemmini/timing_units.h"

#include <assert.h>

enum {
    DIM = CT_GEM_DIM,
    ISSUE = 2,      /* cycles from the reservation station to the head of the controller's queue */
    QUEUE = 10,     /* commands in that queue and before the transposer */
    MESH = 2 * DIM, /* from a row's data to its result in the accumulator */
    FLUSH = 6,      /* from the last row of a flush to the next pass */
    MIN_ROWS = 4,   /* of a pass: two additions to one row are as far apart */
};

static struct entry *peek(struct sim *sim, unsigned ahead)
{
    struct queue *q = &sim->queues[EXECUTE];
    if (q->taken + ahead >= q->issued)
        return NULL;
    return &q->entries[(q->taken + ahead) % RING];
}

static uint64_t arrival(const struct entry *entry)
{
    return entry ? entry->issued + ISSUE : NEVER;
}

/* Weights that are transposed go through the transposer a pass earlier than into the array: an extra
 * preload and product before each new block of them. */
static bool is_unrolled(const struct execute_unit *u)
{
    return !u->is_os && u->b_transpose;
}

void ct_gem_execute_next(struct sim *sim)
{
    struct execute_unit *u = &sim->execute;
    if (u->is_running)
        return;
    u->next = NEVER;
    ct_gem_queue_issue(sim, EXECUTE, QUEUE);
    const struct entry *head = peek(sim, 0);
    if (head) {
        const uint64_t at = max64(u->free, arrival(head));
        if (head->instruction == CT_GEM_CONFIG_EX) {
            u->next = u->n_tags == 0 ? max64(at, u->mesh_idle) : at;
        } else if (head->instruction == CT_GEM_PRELOAD) {
            const struct entry *second = peek(sim, 1);
            if (second)
                u->next = max64(at, arrival(second) + is_unrolled(u));
        } else {
            u->next = at;
        }
    }
    /* Output-stationary results leave when nothing else comes. */
    if (u->is_os && u->n_tags > 0 && u->next > u->free)
        u->next = u->free;
}

static bool is_same_bank(const struct sim *sim, struct ct_gem_local a, struct ct_gem_local b)
{
    if (a.is_none || b.is_none)
        return false;
    if (a.is_accumulator || b.is_accumulator)
        return a.is_accumulator && b.is_accumulator;
    return a.row / sim->spad_bank_rows == b.row / sim->spad_bank_rows;
}

/* Results to the scratchpad keep readers out of their bank, row by row over the cycles of a pass. */
static void write_spad(struct sim *sim, const struct ct_gem_block *c, uint64_t at, uint64_t cycles)
{
    struct calendar *bank = &sim->spad_writes[c->local.row / sim->spad_bank_rows % MAX_BANKS];
    for (unsigned row = 0; row < c->rows; row++)
        calendar_mark(bank, at + row * cycles / DIM, 1);
    sim->report->spad_rows_written += c->rows;
}

/* Every product that passes through the array pushes results of earlier ones out of it. */
static void push(struct sim *sim, uint64_t start, uint64_t end)
{
    struct execute_unit *u = &sim->execute;
    const uint64_t behind = (uint64_t)sim->config->spad_read_delay + MESH;
    unsigned kept = 0;
    for (unsigned i = 0; i < u->n_tags; i++) {
        struct tag tag = u->tags[i];
        if (--tag.slots > 0) {
            u->tags[kept++] = tag;
            continue;
        }
        const struct ct_gem_block c = ct_gem_block_decode(tag.entry->command.rs2);
        if (c.local.is_accumulator && c.local.is_add)
            for (uint64_t t = start; t <= end; t += 64)
                calendar_mark(&sim->acc_adds[c.local.row / sim->acc_bank_rows % MAX_BANKS],
                              t + behind - 1, end - t < 64 ? (unsigned)(end - t + 1) : 64);
        if (c.local.is_accumulator)
            sim->report->acc_rows_written += c.rows;
        else
            write_spad(sim, &c, start + behind - 1, end - start + 1);
        u->mesh_idle = max64(u->mesh_idle, end + behind);
        ct_gem_entry_done(sim, EXECUTE, tag.entry, end + behind);
    }
    u->n_tags = kept;
}

static void add_tag(struct sim *sim, struct entry *preload, unsigned slots)
{
    struct execute_unit *u = &sim->execute;
    assert(u->n_tags < MAX_TAGS); /* each pass adds one, and two passes later it is out */
    u->tags[u->n_tags++] = (struct tag){preload, slots};
}

static void run_config(struct sim *sim, struct entry *head, uint64_t at)
{
    struct execute_unit *u = &sim->execute;
    const struct ct_gem_command c = head->command;
    sim->queues[EXECUTE].taken++;
    if (!CT_GEM_GET(c, CONFIG_EX, ONLY_STRIDES)) {
        u->is_os = !CT_GEM_GET(c, CONFIG_EX, WS);
        u->a_transpose = CT_GEM_GET(c, CONFIG_EX, A_TRANSPOSE);
        u->b_transpose = CT_GEM_GET(c, CONFIG_EX, B_TRANSPOSE);
    }
    u->read_banks = 0;
    u->free = at + 1;
    ct_gem_entry_done(sim, EXECUTE, head, at + 1);
}

static void flush(struct sim *sim, uint64_t at)
{
    struct execute_unit *u = &sim->execute;
    push(sim, at, at + DIM - 1);
    u->read_banks = 0;
    u->free = at + DIM + FLUSH;
}

static const struct ct_gem_local none = {.is_none = true};

/* The operands' banks, and how often the busiest is read: operands from one bank take turns. */
static void find_banks(struct sim *sim, struct slot *slot, const struct ct_gem_local operands[3],
                       unsigned rows)
{
    unsigned turns = 1;
    for (int i = 0; i < 3; i++) {
        unsigned same = 1;
        for (int k = 0; k < i; k++)
            same += is_same_bank(sim, operands[i], operands[k]);
        turns = same > turns ? same : turns;
        if (operands[i].is_none || operands[i].is_accumulator)
            continue;
        const unsigned bank = operands[i].row / sim->spad_bank_rows % MAX_BANKS;
        sim->execute.read_banks |= 1u << bank;
        if (same == 1)
            slot->banks[slot->n_banks++] = &sim->spad_writes[bank];
    }
    slot->reads = rows * turns;
}

static void count_reads(struct sim *sim, struct ct_gem_local local, unsigned rows)
{
    if (local.is_none)
        return;
    if (local.is_accumulator)
        sim->report->acc_rows_read += rows;
    else
        sim->report->spad_rows_read += rows;
}

/* With nothing to preload a product takes as many cycles as it has rows; accumulating into the same
 * rows needs MIN_ROWS between two writes. */
static unsigned slot_rows(const struct execute_unit *u, const struct ct_gem_local operands[3],
                          unsigned rows_a, unsigned rows_b)
{
    if (u->is_os || u->a_transpose || u->b_transpose || !operands[2].is_none)
        return DIM;
    const unsigned a = operands[0].is_none ? 1 : rows_a, b = operands[1].is_none ? 1 : rows_b;
    const unsigned rows = a > b ? a : b;
    return rows > MIN_ROWS ? (rows < DIM ? rows : DIM) : MIN_ROWS;
}

static void begin_slot(struct sim *sim, struct entry *compute, struct entry *preload, uint64_t at)
{
    struct execute_unit *u = &sim->execute;
    struct ct_gem_local operands[3] = {none, none, none};
    unsigned rows_a = 0, rows_b = 0;
    u->slot = (struct slot){.compute = compute, .preload = preload, .start = at, .at = at};
    u->is_running = true;
    u->read_banks = 0;
    if (compute) {
        const struct ct_gem_block a = ct_gem_block_decode(compute->command.rs1);
        const struct ct_gem_block b = ct_gem_block_decode(compute->command.rs2);
        operands[0] = a.local;
        operands[1] = b.local;
        rows_a = u->a_transpose ? a.cols : a.rows;
        rows_b = b.rows;
        sim->report->macs += a.local.is_none ? 0 : (uint64_t)a.rows * a.cols * DIM;
        count_reads(sim, a.local, rows_a);
        count_reads(sim, b.local, rows_b);
    }
    if (preload) {
        const struct ct_gem_block d = ct_gem_block_decode(preload->command.rs1);
        operands[2] = d.local;
        count_reads(sim, d.local, d.rows);
    }
    find_banks(sim, &u->slot, operands, slot_rows(u, operands, rows_a, rows_b));
    sim->queues[EXECUTE].taken += (compute && preload) ? 2u : 1u;
}

static void end_slot(struct sim *sim, uint64_t end)
{
    struct execute_unit *u = &sim->execute;
    struct entry *compute = u->slot.compute, *preload = u->slot.preload;
    if (compute && is_unrolled(u) && compute->instruction == CT_GEM_COMPUTE_PRELOADED)
        end += DIM;
    push(sim, u->slot.start, end);
    u->is_running = false;
    u->free = end + 1;
    ct_gem_unit_busy(sim, CT_GEM_UNIT_EXECUTE, compute ? compute : preload, u->slot.start, end + 1);
    if (compute)
        ct_gem_entry_done(sim, EXECUTE, compute, end + 2);
    if (!preload)
        return;
    if (ct_gem_block_decode(preload->command.rs2).local.is_none)
        ct_gem_entry_done(sim, EXECUTE, preload, end + (compute ? 3 : 2));
    else
        add_tag(sim, preload, u->is_os ? 2 : 1);
}

/* Reads row after row, none while a load writes into a bank that is read. What loads write is known
 * for as long as memory takes to answer; then it is the others' turn. */
static void run_slot(struct sim *sim)
{
    struct execute_unit *u = &sim->execute;
    struct slot *slot = &u->slot;
    const uint64_t horizon = u->next + sim->memory.latency;
    while (slot->at < horizon) {
        uint64_t busy = 0;
        for (unsigned i = 0; i < slot->n_banks; i++)
            busy |= calendar_window(slot->banks[i], slot->at);
        const uint64_t known = horizon - slot->at;
        unsigned n = known < 64 ? (unsigned)known : 64;
        if (busy == 0 && slot->reads <= n) {
            end_slot(sim, slot->at + slot->reads - 1);
            ct_gem_execute_next(sim);
            return;
        }
        for (; n > 0; n--, slot->at++, busy >>= 1)
            if (!(busy & 1) && --slot->reads == 0) {
                end_slot(sim, slot->at);
                ct_gem_execute_next(sim);
                return;
            }
    }
    u->next = slot->at;
}

void ct_gem_execute_run(struct sim *sim)
{
    struct execute_unit *u = &sim->execute;
    const uint64_t at = u->next;
    if (u->is_running) {
        run_slot(sim);
        return;
    }
    struct entry *ahead[3];
    for (unsigned i = 0; i < 3; i++) {
        ahead[i] = i > 0 && !ahead[i - 1] ? NULL : peek(sim, i);
        if (arrival(ahead[i]) > at)
            ahead[i] = NULL;
    }
    struct entry *head = ahead[0];
    const bool is_preload = head && head->instruction == CT_GEM_PRELOAD;
    const bool is_config = head && head->instruction == CT_GEM_CONFIG_EX;
    if (!head || (is_config && u->n_tags > 0) || (is_preload && !ahead[1])) {
        flush(sim, at);
        ct_gem_execute_next(sim);
    } else if (is_config) {
        run_config(sim, head, at);
        ct_gem_execute_next(sim);
    } else if (is_preload) {
        begin_slot(sim, NULL, head, at);
        run_slot(sim);
    } else {
        const bool is_both = ahead[2] && ahead[1]->instruction == CT_GEM_PRELOAD;
        begin_slot(sim, head, is_both ? ahead[1] : NULL, at);
        run_slot(sim);
    }
}
