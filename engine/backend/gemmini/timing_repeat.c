/* Whole repetitions of a program are skipped.
 *
 * A tiled product is the same few LOOP_WS over and over, at other addresses. Just before a LOOP_WS is
 * taken the machine's state is summed up, times counted from now and addresses taken modulo a request's
 * length. If it has been in that state before, and the commands to come are those that came then, then
 * what happened in between will happen again, to the cycle: time, counters and program move on by as
 * many whole repetitions as the program has. Times long past count as equal, for nothing reaches back
 * further than PAST. */
#include "engine/backend/gemmini/timing_units.h"

enum { PAST = 1024, REACH = 256, PLACE = 256 };

/* A pass over all of the state: it sums it up, or moves it on in time by shift cycles. */
struct walk {
    bool is_shift;
    uint64_t now, past, shift, sum;
};

static void value(struct walk *w, uint64_t v)
{
    w->sum = (w->sum ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    w->sum ^= w->sum >> 29;
}

static void cycle(struct walk *w, uint64_t *t)
{
    if (w->is_shift)
        *t += *t == NEVER ? 0 : w->shift;
    else
        value(w, *t == NEVER ? NEVER : *t + w->past > w->now ? *t + w->past - w->now : 0);
}

static uint64_t place_of(uint64_t address)
{
    return address == 0 ? 0 : PLACE + address % PLACE;
}

/* A command without where in memory it works. */
static struct ct_gem_command placeless(struct ct_gem_command c)
{
    if (c.funct == CT_GEM_MVIN_FUNCT || c.funct == CT_GEM_MVIN2_FUNCT ||
        c.funct == CT_GEM_MVIN3_FUNCT || c.funct == CT_GEM_MVOUT_FUNCT ||
        c.funct == CT_GEM_LOOP_ADDRS_AB_FUNCT || c.funct == CT_GEM_LOOP_ADDRS_DC_FUNCT)
        c.rs1 = place_of(c.rs1);
    if (c.funct == CT_GEM_LOOP_ADDRS_AB_FUNCT || c.funct == CT_GEM_LOOP_ADDRS_DC_FUNCT)
        c.rs2 = place_of(c.rs2);
    return c;
}

/* n cycles of a ring, from the oldest on. */
static void ring(struct walk *w, uint64_t *cycles, unsigned next, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        cycle(w, &cycles[(next + i) % n]);
}

/* What a slot is known by, whichever it is: how many commands ago it was taken. */
static uint64_t age(const struct queue *q, unsigned slot)
{
    return q->allocated - q->number[slot];
}

static void walk_command(struct walk *w, const struct ct_gem_command *command)
{
    const struct ct_gem_command c = placeless(*command);
    value(w, c.funct);
    value(w, c.rs1);
    value(w, c.rs2);
}

static void walk_entry(struct walk *w, struct sim *sim, struct entry *entry)
{
    walk_command(w, &entry->command);
    cycle(w, &entry->earliest);
    cycle(w, &entry->issued);
    uint64_t waits = 0; /* a sum, for slots have no order */
    for (int q = 0; q < N_QUEUES; q++)
        for (unsigned slot = 0; slot < MAX_SLOTS && entry->waits[q] >> slot != 0; slot++)
            if (entry->waits[q] >> slot & 1) {
                struct walk one = {0};
                value(&one, age(&sim->queues[q], slot) * N_QUEUES + (unsigned)q);
                waits += one.sum;
            }
    value(w, waits);
}

static void walk_queue(struct walk *w, struct sim *sim, struct queue *q)
{
    uint64_t slots = 0;
    for (int i = 0; i < q->n_slots; i++) {
        struct walk one = *w;
        one.sum = 0;
        cycle(&one, &q->done[i]);
        if (one.is_shift || q->done[i] <= w->now)
            continue;
        value(&one, age(q, (unsigned)i));
        value(&one, (uint64_t)q->a[i].start << 32 | q->a[i].end);
        value(&one, (uint64_t)q->b[i].start << 32 | q->b[i].end);
        value(&one, q->is_a_written[i]);
        slots += one.sum;
    }
    value(w, slots);
    value(w, q->issued - q->taken);
    cycle(w, &q->last_issue);
    for (unsigned i = q->taken; i != q->allocated; i++)
        walk_entry(w, sim, &q->entries[i % RING]);
}

static void walk_current(struct walk *w, const struct queue *q, const struct entry *entry)
{
    value(w, entry != NULL);
    if (!entry)
        return;
    value(w, age(q, (unsigned)entry->slot));
    walk_command(w, &entry->command);
}

static void walk_load(struct walk *w, struct sim *sim)
{
    struct load_unit *u = &sim->load;
    cycle(w, &u->control_free);
    cycle(w, &u->fire);
    cycle(w, &u->request);
    ring(w, u->accepted, u->n_rows, 8);
    ring(w, u->in_flight, u->n_requests, (unsigned)sim->config->dma_in_flight);
    ring(w, u->tracker, u->n_commands, (unsigned)sim->config->dma_mvin_cmds);
    cycle(w, &u->merger_free);
    cycle(w, &u->scaler_taken);
    cycle(w, &u->last_scaled);
    cycle(w, &u->multipliers_free);
    ring(w, u->scaled, u->n_scaled, 3);
    cycle(w, &u->next);
    for (int i = 0; i < CT_GEM_LOAD_CONFIGS; i++) {
        value(w, u->stride[i]);
        value(w, u->block_stride[i]);
        value(w, (unsigned)u->is_shrunk[i] | (unsigned)u->is_not_one[i] << 1);
    }
    walk_current(w, &sim->queues[LOAD], u->entry);
    if (!u->entry)
        return;
    cycle(w, &u->start);
    value(w, place_of(u->address));
    value(w, place_of(u->row_address));
    value(w, u->row);
    value(w, u->sent);
}

static void walk_block(struct walk *w, struct stored_block *block)
{
    cycle(w, &block->at);
    value(w, place_of(block->address));
    value(w, block->bytes);
    value(w, (unsigned)block->is_last | (unsigned)block->is_acc << 1);
    value(w, block->norm);
    value(w, block->stat);
}

static void walk_store(struct walk *w, struct sim *sim)
{
    struct store_unit *u = &sim->store;
    uint64_t *const cycles[] = {&u->control_free, &u->fire,
                                &u->read,         &u->in,
                                &u->norm_drain,   &u->divider_free,
                                &u->sqrt_free,    &u->reciprocal_free,
                                &u->lanes_free,   &u->exp_divider_free,
                                &u->writer_free,  &u->next,
                                &u->write_next,   &u->last_ack};
    for (size_t i = 0; i < sizeof cycles / sizeof *cycles; i++)
        cycle(w, cycles[i]);
    for (int i = 0; i < 16; i++)
        cycle(w, &u->stat_free[i]);
    ring(w, u->scaled, u->n_scaled, STORE_PIPE);
    ring(w, u->written, u->n_written, STORE_PIPE);
    ring(w, u->in_flight, u->n_requests, (unsigned)sim->config->dma_in_flight);
    value(w, u->stride);
    value(w, u->stat);
    value(w, u->act);
    value(w, u->exp_sums);
    value(w, u->packet_bytes);
    value(w, u->packet_bytes > 0 ? place_of(u->packet_address) : 0);
    value(w, u->n_in - u->n_scaled);
    for (unsigned i = u->n_written; i != u->n_in; i++)
        walk_block(w, &u->pipe[i % STORE_PIPE]);
    value(w, u->is_waiting);
    if (u->is_waiting)
        walk_block(w, &u->waiting);
    walk_current(w, &sim->queues[STORE], u->entry);
    if (!u->entry)
        return;
    value(w, place_of(u->address));
    value(w, u->row);
    value(w, u->block);
}

static void walk_execute(struct walk *w, struct sim *sim)
{
    struct execute_unit *u = &sim->execute;
    struct queue *q = &sim->queues[EXECUTE];
    cycle(w, &u->free);
    cycle(w, &u->mesh_idle);
    cycle(w, &u->next);
    value(w, (unsigned)u->is_os | (unsigned)u->a_transpose << 1 | (unsigned)u->b_transpose << 2);
    for (unsigned i = 0; i < u->n_tags; i++) {
        walk_current(w, q, u->tags[i].entry);
        value(w, u->tags[i].slots);
    }
    value(w, u->read_banks);
    value(w, u->is_running);
    if (!u->is_running)
        return;
    walk_current(w, q, u->slot.compute);
    walk_current(w, q, u->slot.preload);
    cycle(w, &u->slot.start);
    cycle(w, &u->slot.at);
    value(w, u->slot.reads);
}

static void walk_loop(struct walk *w, const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const uint64_t values[] = {r->i,
                               r->j,
                               r->k,
                               r->pad_i,
                               r->pad_j,
                               r->pad_k,
                               place_of(r->a),
                               place_of(r->b),
                               place_of(r->c),
                               place_of(r->d),
                               r->a_stride,
                               r->b_stride,
                               r->c_stride,
                               r->d_stride,
                               loop->is_accumulate,
                               loop->is_full_c,
                               loop->is_low_d,
                               loop->is_resadd,
                               loop->a_transpose,
                               loop->b_transpose,
                               loop->act,
                               loop->a_row,
                               loop->b_row,
                               loop->c_row};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        value(w, values[i]);
    for (int c = 0; c < CT_GEM_LOOP_CLASSES; c++) {
        const struct ct_gem_loop_position *at = &loop->at[c];
        value(w, (uint64_t)at->i << 32 | at->j);
        value(w, (uint64_t)at->k << 32 | at->row);
        value(w, (uint64_t)at->stat << 32 | at->pass << 2 | (unsigned)at->is_second << 1 |
                     at->is_done);
    }
}

static void walk_front(struct walk *w, struct sim *sim)
{
    struct front *f = &sim->front;
    cycle(w, &f->host);
    cycle(w, &f->time);
    cycle(w, &f->next);
    cycle(w, &f->program);
    for (int i = 0; i < 8; i++)
        cycle(w, &f->taken_at[i]);
    for (int c = 0; c < CT_GEM_LOOP_CLASSES; c++) {
        cycle(w, &f->class_free[c]);
        cycle(w, &f->class_ready[c]);
    }
    struct ct_gem_loop registers = {.registers = f->registers};
    walk_loop(w, &registers);
    value(w, f->turn.spad);
    value(w, f->turn.acc);
    value(w, f->n_loops);
    for (unsigned i = 0; i < f->n_loops; i++)
        walk_loop(w, &f->loops[(f->head + i) % 2].loop);
    value(w, (unsigned)f->a_transpose | (unsigned)f->is_ws << 1 | (unsigned)f->is_pooled << 2 |
                 f->act << 3);
    value(w, f->a_stride);
    value(w, f->c_stride);
    for (int i = 0; i < CT_GEM_LOAD_CONFIGS; i++)
        value(w, f->block_stride[i] << 1 | f->is_shrunk[i]);
}

/* A bank's next cycles, as far as a calendar reaches. */
static void walk_calendar(struct walk *w, struct calendar *calendar)
{
    uint64_t bits[CALENDAR_WORDS - 1];
    for (unsigned i = 0; i < CALENDAR_WORDS - 1; i++) {
        bits[i] = calendar_window(calendar, w->now + 64 * i);
        value(w, bits[i]);
    }
    if (!w->is_shift)
        return;
    *calendar = (struct calendar){0};
    for (unsigned i = 0; i < CALENDAR_WORDS - 1; i++)
        for (unsigned k = 0; k < 64; k++)
            if (bits[i] >> k & 1)
                calendar_mark(calendar, w->now + w->shift + 64 * i + k, 1);
}

static void walk_all(struct walk *w, struct sim *sim)
{
    for (int q = 0; q < N_QUEUES; q++)
        walk_queue(w, sim, &sim->queues[q]);
    walk_load(w, sim);
    walk_store(w, sim);
    walk_execute(w, sim);
    walk_front(w, sim);
    for (int i = 0; i < CT_GEM_UNITS; i++)
        cycle(w, &sim->busy_until[i]);
    for (int i = 0; i < sim->config->spad_banks; i++)
        walk_calendar(w, &sim->spad_writes[i]);
    for (int i = 0; i < sim->config->acc_banks; i++)
        walk_calendar(w, &sim->acc_adds[i]);
    if (w->is_shift)
        sim->memory.bus_free += w->shift * 256;
    else
        value(w, sim->memory.bus_free > w->now * 256 ? sim->memory.bus_free - w->now * 256 : 0);
}

static bool is_same(const struct ct_gem_command *a, const struct ct_gem_command *b)
{
    const struct ct_gem_command x = placeless(*a), y = placeless(*b);
    return x.funct == y.funct && x.rs1 == y.rs1 && x.rs2 == y.rs2;
}

/* How many whole repetitions of the n commands before index come from there on. */
static uint32_t repetitions(const struct sim *sim, uint32_t index, uint32_t n)
{
    uint32_t same = 0;
    while (index + same < sim->n_commands &&
           is_same(&sim->commands[index + same], &sim->commands[index + same - n]))
        same++;
    uint32_t times = same / n;
    /* It ends before a LOOP_WS, as it began. */
    const uint32_t end = index + times * n;
    if (times > 0 && (end >= sim->n_commands || sim->commands[end].funct != CT_GEM_LOOP_WS_FUNCT))
        times--;
    return times;
}

static void add_report(struct ct_gem_timing *report, const struct ct_gem_timing *before, uint64_t n)
{
    const struct ct_gem_timing now = *report;
#define ADD(field) report->field += n * (now.field - before->field)
    for (int i = 0; i < CT_GEM_UNITS; i++)
        ADD(busy_cycles[i]);
    ADD(read_requests);
    ADD(read_bytes);
    ADD(write_requests);
    ADD(write_bytes);
    ADD(macs);
    ADD(spad_rows_read);
    ADD(spad_rows_written);
    ADD(acc_rows_read);
    ADD(acc_rows_written);
    ADD(norm_lanes);
#undef ADD
}

void ct_gem_repeat_skip(struct sim *sim)
{
    struct front *f = &sim->front;
    if (!sim->checkpoints)
        return;
    struct walk w = {.now = f->next, .past = PAST + sim->memory.latency};
    walk_all(&w, sim);
    struct checkpoint *now = &sim->checkpoints[sim->n_checkpoints++];
    *now = (struct checkpoint){w.sum, f->next, f->index, *sim->report};
    for (unsigned back = 1; back <= REACH && back < sim->n_checkpoints; back++) {
        const struct checkpoint *then = now - back;
        if (then->state != now->state)
            continue;
        const uint32_t n_commands = now->index - then->index;
        const uint32_t times = repetitions(sim, now->index, n_commands);
        if (times == 0)
            continue;
        w.is_shift = true;
        w.shift = times * (now->cycle - then->cycle);
        walk_all(&w, sim);
        add_report(sim->report, &then->report, times);
        f->index += times * n_commands;
        for (unsigned i = 0; i < f->n_loops; i++)
            f->loops[(f->head + i) % 2].index += times * n_commands;
        *now = (struct checkpoint){now->state, f->next, f->index, *sim->report};
        return;
    }
}
