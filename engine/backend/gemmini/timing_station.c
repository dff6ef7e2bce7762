/* The reservation station: a command gets a slot, waits for those whose rows it needs, and goes to its
 * controller in program order.
 *
 *   load       waits for the execution and stores that use its rows
 *   execution  waits for the loads that bring its operands, and stores of what it overwrites
 *   store      waits for the loads and executions that write its rows, and for all stores before it
 *
 * Commands that could not be carried out are refused here, in the words of the functional machine. */
#include "engine/backend/gemmini/timing_units.h"

#include <string.h>

enum { DIM = CT_GEM_DIM };

struct entry *ct_gem_queue_head(struct sim *sim, int queue)
{
    struct queue *q = &sim->queues[queue];
    return q->taken == q->issued ? NULL : &q->entries[q->taken % RING];
}

void ct_gem_entry_done(struct sim *sim, int queue, struct entry *entry, uint64_t done)
{
    const uint64_t bit = UINT64_C(1) << entry->slot;
    struct queue *own = &sim->queues[queue];
    int at = own->n_free++;
    own->done[entry->slot] = done;
    for (; at > 0 && own->done[own->free[at - 1]] > done; at--)
        own->free[at] = own->free[at - 1];
    own->free[at] = (uint8_t)entry->slot;
    sim->dirty |= FRONT_DIRTY;
    for (int other = 0; other < N_QUEUES; other++) {
        struct queue *q = &sim->queues[other];
        if (other == queue && queue != STORE)
            continue;
        for (unsigned i = q->issued; i != q->allocated; i++) {
            struct entry *waiting = &q->entries[i % RING];
            if (waiting->waits[queue] & bit) {
                waiting->waits[queue] ^= bit;
                waiting->earliest = max64(waiting->earliest, done);
                sim->dirty |= 1u << other;
            }
        }
    }
}

static bool is_config(enum ct_gem_instruction instruction)
{
    return instruction <= CT_GEM_CONFIG_NORM;
}

void ct_gem_queue_issue(struct sim *sim, int queue, unsigned depth)
{
    struct queue *q = &sim->queues[queue];
    while (q->issued != q->allocated && q->issued - q->taken < depth) {
        struct entry *entry = &q->entries[q->issued % RING];
        if (entry->waits[LOAD] | entry->waits[STORE] | entry->waits[EXECUTE])
            return;
        entry->issued = q->last_issue = max64(entry->earliest, q->last_issue + 1);
        q->issued++;
        /* A load's or store's configuration has no work to wait for. */
        if (queue != EXECUTE && is_config(entry->instruction))
            ct_gem_entry_done(sim, queue, entry, entry->issued + 1);
    }
}

static struct range range_of(struct ct_gem_local local, unsigned rows)
{
    if (local.is_none)
        return (struct range){0, 0};
    const uint32_t start = local.row | (local.is_accumulator ? CT_GEM_LOCAL_ACCUMULATOR : 0);
    return (struct range){start, start + rows};
}

static bool overlaps(struct range a, struct range b)
{
    return a.start < b.end && b.start < a.end;
}

int ct_gem_queue_of(enum ct_gem_instruction instruction)
{
    switch (instruction) {
    case CT_GEM_CONFIG_LD:
    case CT_GEM_MVIN:
    case CT_GEM_MVIN2:
    case CT_GEM_MVIN3:
        return LOAD;
    case CT_GEM_CONFIG_ST:
    case CT_GEM_CONFIG_NORM:
    case CT_GEM_MVOUT:
        return STORE;
    default:
        return EXECUTE;
    }
}

static enum ct_status check_rows(const struct sim *sim, const struct ct_gem_local *local,
                                 uint64_t n)
{
    const unsigned limit = local->is_accumulator ? ct_gem_config_acc_rows(sim->config)
                                                 : ct_gem_config_spad_rows(sim->config);
    if (local->is_none || local->row + n <= limit)
        return CT_OK;
    return ct_error_set(sim->err, CT_INVALID, "rows %u to %llu of the %s, which has %u", local->row,
                        (unsigned long long)(local->row + n - 1),
                        local->is_accumulator ? "accumulator" : "scratchpad", limit);
}

/* A block that the array works on: cols x rows of the memory, rows stride apart. */
static enum ct_status operand(const struct sim *sim, const struct ct_gem_block *block,
                              unsigned lines, unsigned stride, struct range *range)
{
    *range = range_of(block->local, lines * stride);
    if (block->local.is_none)
        return CT_OK;
    if (block->rows > DIM || block->cols > DIM)
        return ct_error_set(sim->err, CT_INVALID, "%u rows and %u columns of at most %d",
                            block->rows, block->cols, DIM);
    return lines == 0 ? CT_OK : check_rows(sim, &block->local, (uint64_t)(lines - 1) * stride + 1);
}

/* A block that a load or store moves: its 16 columns after the first are block_stride rows on. */
static enum ct_status moved(const struct sim *sim, const struct ct_gem_block *block,
                            unsigned block_stride, unsigned element_bytes, struct range *range)
{
    const unsigned max_bytes = (unsigned)sim->config->dma_max_bytes / element_bytes;
    const unsigned max_cols = max_bytes > DIM ? max_bytes : DIM;
    if (block->local.is_none)
        return ct_error_set(sim->err, CT_INVALID, "moves a block without a local address");
    if (block->rows > DIM || block->cols > max_cols)
        return ct_error_set(sim->err, CT_INVALID, "%u rows and %u columns of at most %d and %u",
                            block->rows, block->cols, DIM, max_cols);
    if (block->rows == 0 || block->cols == 0)
        return CT_OK;
    const unsigned rows = (block->cols - 1) / DIM * block_stride + block->rows;
    *range = range_of(block->local, rows);
    return check_rows(sim, &block->local, rows);
}

static enum ct_status configure_ex(struct sim *sim, struct ct_gem_command c)
{
    struct front *f = &sim->front;
    f->a_stride = (unsigned)CT_GEM_GET(c, CONFIG_EX, A_STRIDE);
    f->c_stride = (unsigned)CT_GEM_GET(c, CONFIG_EX, C_STRIDE);
    if (CT_GEM_GET(c, CONFIG_EX, ONLY_STRIDES))
        return CT_OK;
    const unsigned shift = (unsigned)CT_GEM_GET(c, CONFIG_EX, SHIFT);
    const bool b_transpose = CT_GEM_GET(c, CONFIG_EX, B_TRANSPOSE);
    f->a_transpose = CT_GEM_GET(c, CONFIG_EX, A_TRANSPOSE);
    f->is_ws = CT_GEM_GET(c, CONFIG_EX, WS);
    if (sim->config->array_dataflow == (f->is_ws ? CT_GEM_DATAFLOW_OS : CT_GEM_DATAFLOW_WS))
        return ct_error_set(sim->err, CT_UNSUPPORTED, "this array is not %s stationary",
                            f->is_ws ? "weight" : "output");
    if (shift > 31)
        return ct_error_set(sim->err, CT_INVALID, "shift %u of at most 31", shift);
    if (b_transpose && f->a_transpose == f->is_ws)
        return ct_error_set(sim->err, CT_INVALID, "%s",
                            f->is_ws ? "both A and B transposed, weight stationary"
                                     : "B but not A transposed, output stationary");
    return CT_OK;
}

static enum ct_status configure_ld(struct sim *sim, struct ct_gem_command c)
{
    struct front *f = &sim->front;
    const unsigned id = (unsigned)CT_GEM_GET(c, CONFIG_LD, ID);
    const unsigned pixels = (unsigned)CT_GEM_GET(c, CONFIG_LD, PIXELS);
    if (id >= CT_GEM_LOAD_CONFIGS)
        return ct_error_set(sim->err, CT_INVALID, "id %u of at most %d", id,
                            CT_GEM_LOAD_CONFIGS - 1);
    if (pixels > 1)
        return ct_error_set(sim->err, CT_UNSUPPORTED, "%u pixels in a row: only 1 is modelled",
                            pixels);
    f->block_stride[id] = (unsigned)CT_GEM_GET(c, CONFIG_LD, BLOCK_STRIDE);
    f->is_shrunk[id] = CT_GEM_GET(c, CONFIG_LD, SHRINK);
    return CT_OK;
}

static enum ct_status configure_norm(struct sim *sim, struct ct_gem_command c)
{
    struct front *f = &sim->front;
    const unsigned stat = (unsigned)CT_GEM_GET(c, CONFIG_NORM, STAT), act = f->act & 3;
    const bool is_softmax = CT_GEM_GET(c, CONFIG_NORM, SOFTMAX);
    if (stat >= (unsigned)sim->config->norm_stat_ids)
        return ct_error_set(sim->err, CT_INVALID, "statistics %u of at most %d", stat,
                            sim->config->norm_stat_ids - 1);
    if (CT_GEM_GET(c, CONFIG_NORM, ONLY_STAT))
        return CT_OK;
    if (is_softmax && act != CT_GEM_ACT_NONE)
        return ct_error_set(sim->err, CT_INVALID, "softmax beside activation %u of config_st", act);
    f->act = is_softmax ? CT_GEM_ACT_SOFTMAX : act;
    return CT_OK;
}

static enum ct_status stored(const struct sim *sim, const struct ct_gem_block *block,
                             struct range *range)
{
    const struct front *f = &sim->front;
    const bool is_normalised = block->local.norm != CT_GEM_NORM_RESET ||
                               f->act == CT_GEM_ACT_LAYERNORM || f->act == CT_GEM_ACT_SOFTMAX;
    if (f->is_pooled)
        return ct_error_set(sim->err, CT_UNSUPPORTED, "pooling is not modelled");
    if (block->local.is_accumulator && is_normalised && !sim->config->norm_enabled)
        return ct_error_set(sim->err, CT_UNSUPPORTED, "normalises, but norm.enabled is 0");
    return moved(sim, block, DIM, 1, range);
}

/* The rows that a command works on, a what it writes, if it writes any, and whether it can be carried
 * out at all, in the functional machine's words. */
static enum ct_status operands(struct sim *sim, const struct ct_gem_command *command,
                               enum ct_gem_instruction instruction, struct range *a,
                               struct range *b, bool *is_a_written)
{
    struct front *f = &sim->front;
    const struct ct_gem_command c = *command;
    const struct ct_gem_block one = ct_gem_block_decode(c.rs1), two = ct_gem_block_decode(c.rs2);
    int id = 0;
    *a = *b = (struct range){0, 0};
    *is_a_written = false;
    enum ct_status status = CT_OK;
    switch (instruction) {
    case CT_GEM_CONFIG_EX:
        return configure_ex(sim, c);
    case CT_GEM_CONFIG_LD:
        return configure_ld(sim, c);
    case CT_GEM_CONFIG_ST:
        f->is_pooled = CT_GEM_GET(c, CONFIG_ST, POOL_STRIDE) != 0;
        f->act = (unsigned)CT_GEM_GET(c, CONFIG_ST, ACT);
        return CT_OK;
    case CT_GEM_CONFIG_NORM:
        return configure_norm(sim, c);
    case CT_GEM_MVIN3:
        id++; /* fall through */
    case CT_GEM_MVIN2:
        id++; /* fall through */
    case CT_GEM_MVIN:
        *is_a_written = true;
        return moved(sim, &two, f->block_stride[id],
                     two.local.is_accumulator && !f->is_shrunk[id] ? 4 : 1, a);
    case CT_GEM_MVOUT:
        return stored(sim, &two, a);
    case CT_GEM_PRELOAD:
        *is_a_written = true;
        status = operand(sim, &two, two.rows, f->c_stride, a);
        return status != CT_OK ? status : operand(sim, &one, one.rows, 1, b);
    case CT_GEM_COMPUTE_PRELOADED:
    case CT_GEM_COMPUTE_ACCUMULATED:
        status = operand(sim, &one, f->a_transpose ? one.cols : one.rows, f->a_stride, a);
        return status != CT_OK ? status : operand(sim, &two, two.rows, 1, b);
    default:
        return ct_error_set(sim->err, CT_UNSUPPORTED, "no instruction that is modelled");
    }
}

/* Notes which entries of another queue, valid at cycle at, the new one has to wait for. */
static void find_hazards(struct sim *sim, struct entry *entry, int queue, uint64_t at,
                         struct range a, struct range b, bool is_a_written, int other)
{
    const struct queue *q = &sim->queues[other];
    for (int i = 0; i < q->n_slots; i++) {
        if (q->done[i] <= at)
            continue;
        bool hits;
        if (other == queue)
            hits = true; /* stores wait for all stores before them */
        else if (queue == LOAD)
            hits = overlaps(a, q->a[i]) || overlaps(a, q->b[i]);
        else if (queue == EXECUTE && other == LOAD)
            hits = overlaps(a, q->a[i]) || overlaps(b, q->a[i]);
        else if (queue == EXECUTE)
            hits = is_a_written && overlaps(a, q->a[i]);
        else
            hits = q->is_a_written[i] && overlaps(a, q->a[i]);
        if (!hits)
            continue;
        if (q->done[i] == NEVER)
            entry->waits[other] |= UINT64_C(1) << i;
        else
            entry->earliest = max64(entry->earliest, q->done[i]);
    }
}

void ct_gem_queue_allocate(struct sim *sim, const struct ct_gem_command *command,
                           enum ct_gem_instruction instruction, uint32_t index, uint64_t at)
{
    const int queue = ct_gem_queue_of(instruction);
    struct queue *q = &sim->queues[queue];
    const int slot = q->free[0];
    memmove(q->free, q->free + 1, (size_t)--q->n_free);
    struct entry *entry = &q->entries[q->allocated % RING];
    *entry = (struct entry){.command = *command,
                            .instruction = instruction,
                            .index = index,
                            .slot = slot,
                            .earliest = at + 1};
    sim->status =
        operands(sim, command, instruction, &q->a[slot], &q->b[slot], &q->is_a_written[slot]);
    q->done[slot] = 0;
    q->number[slot] = q->allocated;
    if (!is_config(instruction))
        for (int other = 0; other < N_QUEUES; other++)
            if (other != queue)
                find_hazards(sim, entry, queue, at, q->a[slot], q->b[slot], q->is_a_written[slot],
                             other);
    if (queue == STORE)
        find_hazards(sim, entry, queue, at, q->a[slot], q->b[slot], false, STORE);
    q->done[slot] = NEVER;
    q->allocated++;
    sim->dirty |= 1u << queue;
}
