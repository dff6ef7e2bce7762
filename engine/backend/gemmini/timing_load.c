/* mvin: the load controller sends a request a row, the DMA reads memory, and what comes back is merged to
 * rows, scaled and written.
 *
 *   controller -> queue of 5 -> requests, 16 in flight -> memory -> merger -> scaler -> bank
 *
 * Two commands are worked on at a time. A bank that is written cannot be read in that cycle, nor an
 * accumulator bank that is added to: the calendars say when. */
#include "engine/backend/gemmini/timing_units.h"

/* WRITE_*: cycles from a row's leaving the scaler (int8), the merger (int32) or nowhere (zeros) until
 * commands that wait for it can go. */
enum {
    DIM = CT_GEM_DIM,
    FLOAT_ONE = 0x3f800000,
    READ_QUEUE = 5,
    LOAD_QUEUE = 8,
    WRITE_NARROW = 4,
    WRITE_WIDE = 4,
    WRITE_ZEROS = 5,
    SCALE_ENTRIES = 3,
    MULTIPLIERS = 4,
    MULTIPLY = 5, /* cycles */
};

/* The next request of the row waits for one of those in flight to be back. */
static void next_request(struct sim *sim, uint64_t earliest)
{
    struct load_unit *u = &sim->load;
    const unsigned n = (unsigned)sim->config->dma_in_flight;
    u->next = max64(earliest, u->in_flight[u->n_requests % n] + 1);
}

/* The next row leaves the controller and passes the queue before the DMA, which takes it once it has
 * sent all of the row before. */
static void next_row(struct sim *sim, uint64_t earliest)
{
    struct load_unit *u = &sim->load;
    u->fire = max64(earliest, u->accepted[(u->n_rows + 8 - READ_QUEUE) % 8]);
    const uint64_t accepted = max64(u->fire + 1, u->request);
    u->accepted[u->n_rows++ % 8] = accepted;
    u->sent = 0;
    next_request(sim, accepted + 1);
}

static void finish(struct sim *sim, uint64_t done)
{
    struct load_unit *u = &sim->load;
    struct entry *entry = u->entry;
    u->entry = NULL;
    u->control_free = u->fire + (u->rows == 1 ? 2 : 1);
    u->tracker[u->n_commands++ % (unsigned)sim->config->dma_mvin_cmds] = done;
    ct_gem_unit_busy(sim, CT_GEM_UNIT_LOAD, entry, u->start, done);
    ct_gem_entry_done(sim, LOAD, entry, done);
}

static void configure(struct load_unit *u, const struct ct_gem_command *command)
{
    const struct ct_gem_command c = *command;
    const unsigned id = (unsigned)CT_GEM_GET(c, CONFIG_LD, ID) % CT_GEM_LOAD_CONFIGS;
    u->stride[id] = CT_GEM_GET(c, CONFIG_LD, STRIDE);
    u->block_stride[id] = (unsigned)CT_GEM_GET(c, CONFIG_LD, BLOCK_STRIDE);
    u->is_shrunk[id] = CT_GEM_GET(c, CONFIG_LD, SHRINK);
    u->is_not_one[id] = CT_GEM_GET(c, CONFIG_LD, SCALE) != FLOAT_ONE;
}

static void count_rows(struct sim *sim, uint64_t rows)
{
    if (sim->load.is_acc)
        sim->report->acc_rows_written += rows;
    else
        sim->report->spad_rows_written += rows;
}

/* Zeros need no memory, one row a cycle; nothing at all takes one. */
static void write_zeros(struct sim *sim)
{
    struct load_unit *u = &sim->load;
    const unsigned blocks = (u->row_bytes / (u->is_wide ? 4 : 1) + DIM - 1) / DIM;
    const uint64_t rows = (uint64_t)u->rows * blocks;
    u->fire = u->start + rows - (rows > 0);
    count_rows(sim, rows);
    finish(sim, u->fire + WRITE_ZEROS);
}

static void begin(struct sim *sim, struct entry *entry)
{
    struct load_unit *u = &sim->load;
    const struct ct_gem_command c = entry->command;
    const int id = entry->instruction == CT_GEM_MVIN    ? 0
                   : entry->instruction == CT_GEM_MVIN2 ? 1
                                                        : 2;
    const struct ct_gem_block block = ct_gem_block_decode(c.rs2);
    const bool is_empty = block.rows == 0 || block.cols == 0;
    const bool is_zero = c.rs1 == 0 || is_empty, is_repeated = u->stride[id] == 0 && !is_zero;
    u->entry = entry;
    u->start = max64(max64(entry->issued + 1, u->control_free),
                     u->tracker[u->n_commands % (unsigned)sim->config->dma_mvin_cmds]);
    u->is_acc = block.local.is_accumulator;
    u->is_add = block.local.is_add;
    u->is_scaled = u->is_not_one[id];
    u->is_wide = u->is_acc && !u->is_shrunk[id];
    u->rows = is_repeated ? 1 : block.rows;
    u->repeats = is_repeated ? block.rows : 1;
    u->row_bytes = block.cols * (u->is_wide ? 4 : 1);
    u->step = u->stride[id];
    u->block_step = u->block_stride[id];
    u->local = block.local.row;
    u->address = u->row_address = c.rs1;
    u->row = 0;
    if (is_zero) {
        write_zeros(sim);
        ct_gem_load_next(sim);
        return;
    }
    next_row(sim, u->start);
}

void ct_gem_load_next(struct sim *sim)
{
    struct load_unit *u = &sim->load;
    if (u->entry)
        return;
    u->next = NEVER;
    ct_gem_queue_issue(sim, LOAD, LOAD_QUEUE);
    struct entry *head = ct_gem_queue_head(sim, LOAD);
    if (!head)
        return;
    sim->queues[LOAD].taken++;
    if (head->instruction == CT_GEM_CONFIG_LD) {
        configure(u, &head->command);
        u->control_free = max64(u->control_free, head->issued + 1) + 1;
        ct_gem_load_next(sim);
        return;
    }
    begin(sim, head);
}

/* Cycles from a request's first beat to the last row that is put together from it: a row leaves once
 * all its bytes are there, and the next request's first beat comes in with the last row's leaving. */
static unsigned merge_cycles(unsigned beats, unsigned beat_bytes, unsigned shift, unsigned useful,
                             unsigned row_bytes, unsigned offset)
{
    unsigned sent = 0, out = 0, first = row_bytes - offset;
    while (sent < useful) {
        const unsigned need = sent + row_bytes < useful ? sent + row_bytes : useful;
        const unsigned beat = (shift + need + beat_bytes - 1) / beat_bytes;
        out = out + 1 > beat ? out + 1 : beat;
        sent = sent + first < useful ? sent + first : useful;
        first = row_bytes;
    }
    return out > beats ? out : beats;
}

/* Writing keeps others out of a scratchpad bank, and adding out of an accumulator's. */
static void mark_row(struct sim *sim, unsigned block, uint64_t at)
{
    struct load_unit *u = &sim->load;
    struct calendar *banks = u->is_acc ? sim->acc_adds : sim->spad_writes;
    const uint32_t bank_rows = u->is_acc ? sim->acc_bank_rows : sim->spad_bank_rows;
    const uint32_t row = u->local + u->row + block * u->block_step;
    if (!u->is_acc || u->is_add)
        calendar_mark(&banks[row / bank_rows % MAX_BANKS], at, 1);
}

/* A row that leaves the merger at cycle at or later passes the scaler, which holds three, in order; by a
 * scale other than 1 its 16 values go through 4 multipliers. Returns when the merger is rid of it. */
static uint64_t scale_row(struct load_unit *u, uint64_t at)
{
    const uint64_t out = max64(at, u->scaler_taken);
    const uint64_t taken = max64(out, u->scaled[u->n_scaled % SCALE_ENTRIES]) + 1;
    uint64_t scaled = taken + 1;
    if (u->is_scaled) {
        const uint64_t begin = max64(taken + 1, u->multipliers_free);
        u->multipliers_free = begin + DIM / MULTIPLIERS;
        scaled = begin + DIM / MULTIPLIERS + MULTIPLY;
    }
    scaled = max64(scaled, u->last_scaled + 1);
    u->scaler_taken = taken;
    u->scaled[u->n_scaled++ % SCALE_ENTRIES] = u->last_scaled = scaled;
    return out;
}

/* rows that a request completes, the last of them put together at cycle at, go to their places. The rest of
 * a row that another request began is added when that part is there, and keeps the bank until then. */
static void write_rows(struct sim *sim, unsigned rows, uint64_t at)
{
    struct load_unit *u = &sim->load;
    const unsigned row_bytes = u->is_wide ? CT_GEM_ACC_ROW_BYTES : DIM;
    const unsigned write = u->is_wide ? WRITE_WIDE : WRITE_NARROW;
    for (unsigned i = 0; i < rows; i++) {
        const uint64_t begun = u->last_scaled + 1 + (uint64_t)sim->config->acc_latency;
        const bool is_rest = i == 0 && u->is_add && u->sent % row_bytes != 0;
        uint64_t out = max64(at - (rows - 1 - i), u->merger_free);
        for (unsigned k = 0; k < u->repeats; k++) {
            if (u->is_wide)
                u->last_scaled = max64(out, u->last_scaled + 1);
            else
                out = scale_row(u, out);
            for (; is_rest && u->last_scaled < begun; u->last_scaled++)
                mark_row(sim, u->sent / row_bytes, u->last_scaled + write);
            mark_row(sim, u->sent / row_bytes + i, u->last_scaled + write);
        }
        u->merger_free = out;
    }
}

/* Sends the next request of the row; returns how many bytes of the row it brings. */
static unsigned request(struct sim *sim)
{
    struct load_unit *u = &sim->load;
    const struct ct_gem_config *config = sim->config;
    const unsigned bus = (unsigned)config->dma_bus_bytes;
    const unsigned row = u->is_wide ? CT_GEM_ACC_ROW_BYTES : DIM;
    unsigned useful;
    const unsigned size = ct_gem_memory_packet(u->address, u->row_bytes - u->sent, bus,
                                               (unsigned)config->dma_max_bytes, &useful);
    const unsigned shift = (unsigned)(u->address % size), beats = size / bus;
    const unsigned offset = u->sent % row, rows = (offset + useful + row - 1) / row;
    u->request = u->next + ct_gem_memory_translate(&sim->memory, READ, u->address);
    const uint64_t start = ct_gem_memory_request(&sim->memory, u->request, beats, u->merger_free);
    const uint64_t last = start + ((beats - 1) * sim->memory.beat + 255) / 256;
    const unsigned merge =
        shift == 0 && offset == 0 ? beats : merge_cycles(beats, bus, shift, useful, row, offset);
    write_rows(sim, rows, start + merge);
    u->merger_free = max64(u->merger_free, last + 1);
    u->in_flight[u->n_requests++ % (unsigned)config->dma_in_flight] = last;
    sim->report->read_requests++;
    sim->report->read_bytes += size;
    count_rows(sim, (uint64_t)rows * u->repeats);
    return useful;
}

void ct_gem_load_run(struct sim *sim)
{
    struct load_unit *u = &sim->load;
    const unsigned useful = request(sim);
    u->sent += useful;
    u->address += useful;
    if (u->sent < u->row_bytes) {
        next_request(sim, u->request + 1);
    } else if (++u->row < u->rows) {
        u->row_address += u->step;
        u->address = u->row_address;
        next_row(sim, u->fire + 1);
    } else {
        finish(sim, u->last_scaled + (u->is_wide ? WRITE_WIDE : WRITE_NARROW));
        ct_gem_load_next(sim);
    }
}
