/* mvout: the store controller reads blocks of rows, which pass the normaliser and the scaler, and the DMA
 * writes them to memory, the blocks of a row together.
 *
 *   controller -> bank -> normaliser -> scaler, 8 cycles -> writer -> requests, 16 in flight -> memory
 *
 * The array reads a bank of the scratchpad before a store does, and adds to one of the accumulator.
 * A command is done, for the reservation station, when its last row is read. Steps of a normalisation
 * that only gather statistics end in the normaliser. */
#include "engine/backend/gemmini/timing_units.h"

enum {
    DIM = CT_GEM_DIM,
    STORE_QUEUE = 4,
    PASS_QUEUE = 2,  /* blocks that stand where a normaliser would be, in a build without one */
    SPAD_QUEUE = 4,  /* blocks of the scratchpad on their way, which pass by both */
    ISSUE_QUEUE = 5, /* blocks between the scaler's input and the writer */
    SCALE_CYCLES = 8,
    SPAD_CYCLES = 1,
    /* the normaliser's units, of which there is one each: cycles for a row */
    LANES = 4,
    DIVIDE = 18,
    SQRT = 18,
    RECIPROCAL = 16,
};

static void configure(struct store_unit *u, const struct entry *entry)
{
    const struct ct_gem_command c = entry->command;
    u->control_free = max64(u->control_free, entry->issued + 1) + 1;
    if (entry->instruction == CT_GEM_CONFIG_ST) {
        u->stride = CT_GEM_GET(c, CONFIG_ST, STRIDE);
        u->act = (enum ct_gem_activation)CT_GEM_GET(c, CONFIG_ST, ACT);
        return;
    }
    u->stat = (unsigned)CT_GEM_GET(c, CONFIG_NORM, STAT);
    if (!CT_GEM_GET(c, CONFIG_NORM, ONLY_STAT))
        u->act = CT_GEM_GET(c, CONFIG_NORM, SOFTMAX) ? CT_GEM_ACT_SOFTMAX
                                                     : (enum ct_gem_activation)(u->act & 3);
}

/* A bank holds one row until the pipe takes it, so the next is read when that is known. */
static void next_block(struct sim *sim)
{
    struct store_unit *u = &sim->store;
    u->next = u->is_waiting ? NEVER : max64(max64(u->fire, u->read) + 1, u->in);
}

static void begin(struct sim *sim, struct entry *entry)
{
    struct store_unit *u = &sim->store;
    const struct ct_gem_block block = ct_gem_block_decode(entry->command.rs2);
    u->entry = entry;
    u->fire = u->start = max64(entry->issued + 1, u->control_free);
    u->address = entry->command.rs1;
    u->local = (uint32_t)entry->command.rs2;
    u->rows = block.rows;
    u->cols = block.cols;
    u->blocks = (block.cols + DIM - 1) / DIM;
    u->element_bytes = block.local.is_accumulator && block.local.is_full ? 4 : 1;
    u->row = u->block = 0;
    next_block(sim);
}

static void finish(struct sim *sim, uint64_t read)
{
    struct store_unit *u = &sim->store;
    struct entry *entry = u->entry;
    u->entry = NULL;
    u->control_free = max64(u->fire, read - 1);
    ct_gem_unit_busy(sim, CT_GEM_UNIT_STORE, entry, u->start, read + 2);
    ct_gem_entry_done(sim, STORE, entry, read + 2);
    ct_gem_store_next(sim);
}

void ct_gem_store_next(struct sim *sim)
{
    struct store_unit *u = &sim->store;
    if (u->entry) {
        next_block(sim);
        return;
    }
    u->next = NEVER;
    ct_gem_queue_issue(sim, STORE, STORE_QUEUE);
    struct entry *head = ct_gem_queue_head(sim, STORE);
    if (!head)
        return;
    sim->queues[STORE].taken++;
    if (head->instruction != CT_GEM_MVOUT) {
        configure(u, head);
        ct_gem_store_next(sim);
        return;
    }
    begin(sim, head);
    if (u->rows == 0 || u->cols == 0)
        finish(sim, u->start);
}

/* A step on a unit that works on one row at a time; returns when it begins. */
static uint64_t use(uint64_t *unit_free, uint64_t at, unsigned cycles, uint64_t *end)
{
    const uint64_t begin = max64(at, *unit_free);
    *end = *unit_free = begin + cycles;
    return begin;
}

/* A sum of exponentials is divided once the lanes are free, and other rows may keep them busy; those
 * waiting go one after the other. */
static void divide_exp_sums(struct store_unit *u, unsigned exp_divide)
{
    for (unsigned stat = 0; u->exp_sums >> stat != 0; stat++)
        if (u->exp_sums >> stat & 1)
            use(&u->exp_divider_free, u->lanes_free, exp_divide, &u->stat_free[stat]);
    u->exp_sums = 0;
}

/* Takes a block into the normaliser, not before cycle at; returns when. The last block of a
 * LayerNorm's pass keeps others out until the sums have left the lanes and the divider takes them. */
static uint64_t normalise(struct sim *sim, const struct stored_block *block, uint64_t at)
{
    struct store_unit *u = &sim->store;
    const unsigned exp_divide = (unsigned)sim->config->norm_exp_divide;
    if (u->exp_sums >> block->stat & 1)
        divide_exp_sums(u, exp_divide);
    const uint64_t in = max64(at, max64(u->stat_free[block->stat], u->norm_drain));
    const uint64_t summed = in + 2 + LANES;
    uint64_t drain = in, free = in + 1;
    if (block->norm != CT_GEM_NORM_RESET && block->norm != CT_GEM_NORM_MAX) {
        if (in >= u->lanes_free)
            divide_exp_sums(u, exp_divide);
        u->lanes_free = summed;
    }
    switch (block->norm) {
    case CT_GEM_NORM_MEAN:
        drain = use(&u->divider_free, summed, DIVIDE, &free);
        break;
    case CT_GEM_NORM_INV_STDDEV:
        drain = use(&u->divider_free, summed, DIVIDE, &free);
        use(&u->sqrt_free, free + 1, SQRT, &free);
        use(&u->reciprocal_free, free + 1, RECIPROCAL, &free);
        break;
    case CT_GEM_NORM_INV_SUM_EXP:
        u->exp_sums |= 1u << block->stat;
        drain = in + 2;
        break;
    case CT_GEM_NORM_MAX:
        drain = in + 2;
        break;
    default:
        break;
    }
    u->norm_drain = drain;
    u->stat_free[block->stat] = free;
    return in;
}

static bool is_silent(const struct sim *sim, const struct stored_block *block)
{
    return block->is_acc && sim->config->norm_enabled && block->norm != CT_GEM_NORM_RESET;
}

/* The block that was read goes on when there is room for it. */
static bool enter(struct sim *sim)
{
    struct store_unit *u = &sim->store;
    struct stored_block *block = &u->waiting;
    const bool is_normalised = block->is_acc && sim->config->norm_enabled;
    const unsigned room = is_normalised ? 1 : block->is_acc ? PASS_QUEUE : SPAD_QUEUE;
    if (!u->is_waiting || u->n_in - u->n_scaled >= room)
        return false;
    uint64_t in = max64(u->read, u->in) + 1;
    if (u->n_in >= room)
        in = max64(in, u->scaled[(u->n_in - room) % STORE_PIPE]);
    if (is_normalised)
        in = normalise(sim, block, in);
    u->in = in;
    u->is_waiting = false;
    if (!is_silent(sim, block)) {
        block->at = in;
        u->pipe[u->n_in++ % STORE_PIPE] = *block;
    }
    return true;
}

static bool scale(struct sim *sim)
{
    struct store_unit *u = &sim->store;
    if (u->n_scaled == u->n_in || u->n_scaled - u->n_written >= ISSUE_QUEUE)
        return false;
    struct stored_block *block = &u->pipe[u->n_scaled % STORE_PIPE];
    uint64_t at = block->at + 1;
    if (u->n_scaled > 0)
        at = max64(at, u->scaled[(u->n_scaled - 1) % STORE_PIPE] + 1);
    if (u->n_scaled >= ISSUE_QUEUE)
        at = max64(at, u->written[(u->n_scaled - ISSUE_QUEUE) % STORE_PIPE]);
    block->at = at + (block->is_acc ? SCALE_CYCLES : SPAD_CYCLES);
    u->scaled[u->n_scaled++ % STORE_PIPE] = at;
    return true;
}

/* Whatever can be known of the blocks between the bank and the writer. */
static void flow(struct sim *sim)
{
    while (enter(sim) || scale(sim))
        ;
    if (sim->store.entry)
        next_block(sim);
    ct_gem_write_next(sim);
}

/* What a row's last block does, its others only prepare. */
static enum ct_gem_norm step_of(enum ct_gem_norm norm, bool is_last)
{
    if (is_last)
        return norm;
    return norm == CT_GEM_NORM_MEAN          ? CT_GEM_NORM_SUM
           : norm == CT_GEM_NORM_INV_STDDEV  ? CT_GEM_NORM_VARIANCE
           : norm == CT_GEM_NORM_INV_SUM_EXP ? CT_GEM_NORM_SUM_EXP
                                             : norm;
}

/* Whether the block's bank cannot be read at the cycle that was meant for it: then the cycle moves on. */
static bool is_kept_out(struct sim *sim, const struct ct_gem_local *local)
{
    struct store_unit *u = &sim->store;
    const uint32_t row = local->row + u->block * DIM + u->row;
    const unsigned at =
        row / (local->is_accumulator ? sim->acc_bank_rows : sim->spad_bank_rows) % MAX_BANKS;
    const struct calendar *bank =
        local->is_accumulator ? &sim->acc_adds[at] : &sim->spad_writes[at];
    const uint64_t before = u->next;
    if (!local->is_accumulator && sim->execute.read_banks >> at & 1)
        u->next = max64(u->next, ct_gem_execute_read_until(sim));
    while (calendar_has(bank, u->next))
        u->next++;
    u->read = u->next - 1;
    return u->next != before;
}

static void count_block(struct sim *sim, const struct stored_block *block, unsigned cols)
{
    if (!block->is_acc) {
        sim->report->spad_rows_read++;
        return;
    }
    const enum ct_gem_activation act = sim->store.act;
    sim->report->acc_rows_read++;
    if (sim->config->norm_enabled && (act == CT_GEM_ACT_LAYERNORM || act == CT_GEM_ACT_SOFTMAX))
        sim->report->norm_lanes += cols;
}

void ct_gem_store_run(struct sim *sim)
{
    struct store_unit *u = &sim->store;
    const struct ct_gem_local local = ct_gem_local_decode(u->local);
    if (is_kept_out(sim, &local))
        return;
    const bool is_last = u->block + 1 == u->blocks;
    const unsigned cols = is_last ? u->cols - u->block * DIM : DIM;
    u->waiting = (struct stored_block){
        .address = u->address,
        .bytes = (u->block * DIM + cols) * u->element_bytes,
        .is_last = is_last,
        .is_acc = local.is_accumulator,
        .norm = step_of(local.norm, is_last),
        .stat = u->stat,
    };
    u->is_waiting = true;
    count_block(sim, &u->waiting, cols);
    u->read = u->next;
    u->fire++;
    if (is_last) {
        u->block = 0;
        u->row++;
        u->address += u->stride;
    } else {
        u->block++;
    }
    if (u->row == u->rows)
        finish(sim, u->read);
    flow(sim);
}

/* The writer: gathers the blocks of a row, then sends the row in aligned requests. */
void ct_gem_write_next(struct sim *sim)
{
    struct store_unit *u = &sim->store;
    const unsigned n = (unsigned)sim->config->dma_in_flight;
    u->write_next = NEVER;
    if (u->packet_bytes > 0) {
        u->write_next = max64(u->writer_free, u->in_flight[u->n_requests % n]);
        return;
    }
    if (u->n_written == u->n_scaled)
        return;
    const struct stored_block *block = &u->pipe[u->n_written % STORE_PIPE];
    u->write_next = max64(block->at, u->writer_free);
}

/* Sends one request. With all in flight, its beats behind the first wait for one to come back. */
static void send(struct sim *sim, uint64_t at)
{
    struct store_unit *u = &sim->store;
    const unsigned n = (unsigned)sim->config->dma_in_flight;
    const unsigned bus = (unsigned)sim->config->dma_bus_bytes;
    unsigned useful;
    const unsigned size = ct_gem_memory_packet(u->packet_address, u->packet_bytes, bus,
                                               (unsigned)sim->config->dma_max_bytes, &useful);
    const unsigned beats = size / bus;
    uint64_t last = at + ct_gem_memory_translate(&sim->memory, WRITE, u->packet_address);
    if (beats > 1)
        last = max64(last + 1, u->in_flight[(u->n_requests + 1) % n]) + beats - 2;
    u->last_ack = ct_gem_memory_request(&sim->memory, last, beats, 0) + 1;
    u->in_flight[u->n_requests++ % n] = u->last_ack;
    sim->report->write_requests++;
    sim->report->write_bytes += useful;
    u->packet_address += useful;
    u->packet_bytes -= useful;
    u->writer_free = u->packet_bytes > 0 ? last + 1 : last;
}

void ct_gem_write_run(struct sim *sim)
{
    struct store_unit *u = &sim->store;
    if (u->packet_bytes > 0) {
        send(sim, u->write_next);
        ct_gem_write_next(sim);
        return;
    }
    const struct stored_block *block = &u->pipe[u->n_written % STORE_PIPE];
    u->written[u->n_written++ % STORE_PIPE] = u->write_next;
    u->writer_free = u->write_next + 1;
    if (block->is_last) {
        u->packet_address = block->address;
        u->packet_bytes = block->bytes;
    }
    flow(sim);
}
