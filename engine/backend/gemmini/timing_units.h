/* Inside the timing model: what its units know of each other. See timing.h for what it computes and
 * timing.c for the order of events.
 *
 *   front end --allocates--> reservation station --issues--> load, store, execute controllers
 *   (timing.c)               (timing.c)                       (timing_load.c, _store.c, _execute.c)
 *
 * Time is in cycles. Each unit's next function says when it can do something next, NEVER if that
 * hangs on something not yet known; its run function does it. The earliest goes first, so whatever a
 * unit asks about the past is already known. One thread per struct sim. */
#ifndef CT_BACKEND_GEMMINI_TIMING_UNITS_H
#define CT_BACKEND_GEMMINI_TIMING_UNITS_H

#include "engine/backend/gemmini/loop.h"
#include "engine/backend/gemmini/timing.h"

#define NEVER UINT64_MAX

static inline uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

enum { LOAD, STORE, EXECUTE, N_QUEUES };
enum { FRONT_DIRTY = 1 << N_QUEUES };
enum { MAX_TAGS = 4, MAX_SLOTS = 64, RING = 2 * MAX_SLOTS, MAX_BANKS = 16, MAX_IN_FLIGHT = 256 };

/* Rows start <= r < end of the scratchpad, or of the accumulator (bit 31 of both); empty: none. */
struct range {
    uint32_t start, end;
};

/* A command in the reservation station. */
struct entry {
    struct ct_gem_command command;
    enum ct_gem_instruction instruction;
    uint32_t index; /* of the program's command that it came from */
    int slot;
    uint64_t earliest, issued; /* earliest: no hazard known so far reaches past it */
    uint64_t waits[N_QUEUES];  /* a bit for each slot whose end is not known yet */
};

/* One of the three queues of the reservation station. Commands stand in a ring in program order:
 * [taken, issued) are with the unit's controller, [issued, allocated) still wait here. Each has a slot
 * until it is done; a load's or store's configuration loses its slot when it is issued. */
struct queue {
    struct entry entries[RING];
    unsigned taken, issued, allocated;
    uint64_t last_issue;
    int n_slots;
    uint64_t done[MAX_SLOTS]; /* from when on the slot is free; NEVER while not known */
    struct range a[MAX_SLOTS], b[MAX_SLOTS];
    bool is_a_written[MAX_SLOTS];
    unsigned number[MAX_SLOTS]; /* of its command: how many the queue had before */
    /* slots whose end is known, soonest first */
    int n_free;
    uint8_t free[MAX_SLOTS];
};

static inline uint64_t slot_free(const struct queue *queue)
{
    return queue->n_free == 0 ? NEVER : queue->done[queue->free[0]];
}

/* Cycles in which a bank is in use by what goes first: a ring of bits around the present. */
enum { CALENDAR_WORDS = 256 };
struct calendar {
    uint64_t bits[CALENDAR_WORDS], word[CALENDAR_WORDS];
};

static inline uint64_t calendar_word(const struct calendar *calendar, uint64_t word)
{
    const unsigned at = word % CALENDAR_WORDS;
    return calendar->word[at] == word ? calendar->bits[at] : 0;
}

/* The 64 cycles from cycle on, the first in the lowest bit. */
static inline uint64_t calendar_window(const struct calendar *calendar, uint64_t cycle)
{
    const unsigned shift = cycle % 64;
    const uint64_t low = calendar_word(calendar, cycle / 64) >> shift;
    return shift == 0 ? low : low | calendar_word(calendar, cycle / 64 + 1) << (64 - shift);
}

static inline bool calendar_has(const struct calendar *calendar, uint64_t cycle)
{
    return calendar_word(calendar, cycle / 64) >> cycle % 64 & 1;
}

/* Marks n cycles from cycle on, n from 1 to 64. */
static inline void calendar_mark(struct calendar *calendar, uint64_t cycle, unsigned n)
{
    const uint64_t bits = ~UINT64_C(0) >> (64 - n);
    const unsigned shift = cycle % 64;
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t part = i == 0 ? bits << shift : shift + n > 64 ? bits >> (64 - shift) : 0;
        const uint64_t word = cycle / 64 + i;
        const unsigned at = word % CALENDAR_WORDS;
        if (part == 0)
            return;
        if (calendar->word[at] != word) {
            calendar->word[at] = word;
            calendar->bits[at] = 0;
        }
        calendar->bits[at] |= part;
    }
}

/* The memory behind both DMAs: requests are translated, wait for the latency, then for their turn on
 * the bus. Reads and writes share it and go in the order of their requests. */
struct memory {
    uint64_t bus_free; /* in 1/256 cycle */
    uint64_t beat;     /* cycles of one beat, in 1/256 */
    uint64_t latency, miss_cycles;
    uint64_t *pages; /* [n_pages], translations kept: page + 1; the oldest is replaced */
    unsigned n_pages, oldest;
    uint64_t last_page[2]; /* of reads and writes: each keeps one for itself */
    uint64_t n_misses;
};
enum { READ, WRITE };

struct load_unit {
    uint64_t control_free;
    uint64_t fire, request;
    uint64_t accepted[8];
    unsigned n_rows;
    uint64_t in_flight[MAX_IN_FLIGHT];
    unsigned n_requests;
    uint64_t tracker[16]; /* when the last commands were done */
    unsigned n_commands;
    uint64_t merger_free;
    /* the scaler: when it took the last row, when the last few were scaled, and its multipliers */
    uint64_t scaler_taken, scaled[3], last_scaled, multipliers_free;
    unsigned n_scaled;
    /* per mvin, mvin2, mvin3 */
    uint64_t stride[CT_GEM_LOAD_CONFIGS];
    unsigned block_stride[CT_GEM_LOAD_CONFIGS];
    bool is_shrunk[CT_GEM_LOAD_CONFIGS], is_not_one[CT_GEM_LOAD_CONFIGS];
    /* the command whose requests are being sent */
    struct entry *entry;
    uint64_t start, address, row_address, step;
    unsigned rows, row, row_bytes, sent, repeats, block_step;
    uint32_t local;
    bool is_acc, is_add, is_wide, is_scaled;
    uint64_t next;
};

/* A block of a row on its way from the accumulator or the scratchpad to memory. */
struct stored_block {
    uint64_t address, at; /* at: when it reaches the stage before it */
    unsigned bytes;       /* of the row, up to and with this block */
    bool is_last;         /* of the row: the writer sends it */
    bool is_acc;
    enum ct_gem_norm norm;
    unsigned stat;
};

enum { STORE_PIPE = 16 };

struct store_unit {
    uint64_t stride;
    unsigned stat;
    uint64_t control_free, fire, read;
    struct entry *entry;
    uint64_t start, address;
    uint32_t local;
    unsigned rows, row, blocks, block, cols, element_bytes;
    enum ct_gem_activation act;
    struct stored_block pipe[STORE_PIPE];
    struct stored_block waiting; /* read, not yet in the pipe */
    bool is_waiting;
    unsigned n_in, n_scaled, n_written; /* blocks so far: into the pipe, scaled, with the writer */
    uint64_t in, scaled[STORE_PIPE], written[STORE_PIPE];
    uint64_t norm_drain, stat_free[16], divider_free, sqrt_free, reciprocal_free;
    uint64_t lanes_free, exp_divider_free;
    uint32_t exp_sums; /* a bit for each row whose sum of exponentials waits for free lanes */
    /* writer */
    uint64_t writer_free, in_flight[MAX_IN_FLIGHT];
    unsigned n_requests;
    uint64_t packet_address;
    unsigned packet_bytes;
    uint64_t next, write_next, last_ack;
};

struct tag {
    struct entry *entry;
    unsigned slots; /* products to come until the result leaves the array */
};

/* A pass of rows through the array: a product, the next operand's preload, or both. */
struct slot {
    struct entry *compute, *preload;
    struct calendar *banks[3]; /* scratchpad banks that are read */
    unsigned n_banks, reads;   /* reads: still to come, of the bank that has most */
    uint64_t start, at;        /* at: of the next read */
};

struct execute_unit {
    uint64_t free, mesh_idle;
    bool is_os, a_transpose, b_transpose;
    struct tag tags[MAX_TAGS];
    unsigned n_tags;
    bool is_running;
    struct slot slot;
    unsigned read_banks; /* of the scratchpad, by the last pass: a bit each */
    uint64_t next;
};

/* A LOOP_WS being unrolled. */
struct running_loop {
    struct ct_gem_loop loop;
    uint32_t index; /* of its LOOP_WS */
};

struct front {
    uint32_t index;               /* of the next command */
    uint64_t host, taken_at[8];   /* when the host sent the last, and when the last 8 were taken */
    uint64_t time, next;          /* when the last command went out; when the next can */
    enum ct_gem_loop_class class; /* of the next, where a loop runs */
    struct ct_gem_loop_registers registers;
    struct ct_gem_loop_turn turn;
    struct running_loop loops[2];
    unsigned n_loops, head;
    uint64_t class_free[CT_GEM_LOOP_CLASSES];  /* when the class's unroller can begin a loop */
    uint64_t class_ready[CT_GEM_LOOP_CLASSES]; /* when it has a command, but for a slot */
    int program_queue;
    uint64_t program; /* when the program's next can go, but for a slot */
    /* what hazards depend on */
    bool a_transpose, is_ws, is_pooled, is_shrunk[CT_GEM_LOAD_CONFIGS];
    unsigned act, a_stride, c_stride, block_stride[CT_GEM_LOAD_CONFIGS];
};

/* Where the program stood before a LOOP_WS, and what had happened by then. */
struct checkpoint {
    uint64_t state, cycle; /* state: a sum of all that the future hangs on */
    uint32_t index;
    struct ct_gem_timing report;
};

struct sim {
    const struct ct_gem_config *config;
    const struct ct_gem_command *commands;
    size_t n_commands;
    ct_gem_interval_fn *each; /* NULL: nobody wants to know */
    void *context;
    struct ct_gem_timing *report;
    uint64_t busy_until[CT_GEM_UNITS];
    struct queue queues[N_QUEUES];
    struct front front;
    struct load_unit load;
    struct store_unit store;
    struct execute_unit execute;
    struct memory memory;
    struct calendar spad_writes[MAX_BANKS], acc_adds[MAX_BANKS];
    uint32_t spad_bank_rows, acc_bank_rows;
    struct checkpoint *checkpoints; /* one for each LOOP_WS; NULL: repetitions are not skipped */
    unsigned n_checkpoints;
    unsigned dirty; /* a bit for each unit for which something became known */
    enum ct_status status;
    struct ct_error *err;
};

/* timing_station.c: the reservation station. */

/* Puts a command into a free slot of its queue at cycle at; a bad one sets sim->status. */
int ct_gem_queue_of(enum ct_gem_instruction instruction);
void ct_gem_queue_allocate(struct sim *sim, const struct ct_gem_command *command,
                           enum ct_gem_instruction instruction, uint32_t index, uint64_t at);

/* Issues what can be, at most depth commands that its controller has not taken. The oldest of them;
 * NULL: none. */
void ct_gem_queue_issue(struct sim *sim, int queue, unsigned depth);
struct entry *ct_gem_queue_head(struct sim *sim, int queue);

/* Says at which cycle a command is done. */
void ct_gem_entry_done(struct sim *sim, int queue, struct entry *entry, uint64_t done);

/* The units: when each can go on is in its next, and one step. */
void ct_gem_load_next(struct sim *sim);
void ct_gem_load_run(struct sim *sim);
void ct_gem_store_next(struct sim *sim);
void ct_gem_store_run(struct sim *sim);
void ct_gem_write_next(struct sim *sim);
void ct_gem_write_run(struct sim *sim);
void ct_gem_execute_next(struct sim *sim);
void ct_gem_execute_run(struct sim *sim);

/* Until when the last pass is known to read its banks of the scratchpad. */
static inline uint64_t ct_gem_execute_read_until(const struct sim *sim)
{
    return sim->execute.is_running ? sim->execute.next : sim->execute.free;
}

/* At a LOOP_WS: skips repetitions, if there are any to come. */
void ct_gem_repeat_skip(struct sim *sim);

/* Cycles until a request's address is translated. */
uint64_t ct_gem_memory_translate(struct memory *memory, int client, uint64_t address);

/* Sends a request of beats at cycle at; returns the cycle of its first beat back, which is not before
 * not_before. */
uint64_t ct_gem_memory_request(struct memory *memory, uint64_t at, unsigned beats,
                               uint64_t not_before);

/* A unit worked on entry from start until end. Intervals of a unit may overlap but begin in order. */
void ct_gem_unit_busy(struct sim *sim, enum ct_gem_unit unit, const struct entry *entry,
                      uint64_t start, uint64_t end);

/* Of the aligned requests around address, from smallest to max bytes, the one that holds most of the
 * bytes left: its size, and how many of them it holds. */
unsigned ct_gem_memory_packet(uint64_t address, unsigned left, unsigned smallest, unsigned max,
                              unsigned *useful);

#endif
