/* The front end, which takes the program's commands and unrolls LOOP_WS, and the order of events. See
 * timing.h.
 *
 * When a unit knows at which cycle a command will be done it says so at once; what waits for it then
 * knows when it can go on. So nothing happens in a cycle but what the units themselves do next, and the
 * earliest of that goes first. */
#include "engine/backend/gemmini/timing_units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* DECODE: cycles from the host's sending of a command to its place in the reservation station. */
enum { DIM = CT_GEM_DIM, DECODE = 4, HOST_QUEUE = 8 };

static struct running_loop *loop_at(struct front *f, unsigned i)
{
    return &f->loops[(f->head + i) % 2];
}

/* The oldest loop in which a class has something left. */
static struct running_loop *loop_of(struct front *f, enum ct_gem_loop_class class)
{
    for (unsigned i = 0; i < f->n_loops; i++)
        if (!loop_at(f, i)->loop.at[class].is_done)
            return loop_at(f, i);
    return NULL;
}

/* Which of the loads of A and B goes next: those of the older loop; in one loop, B where A is ahead. */
static enum ct_gem_loop_class load_class(struct front *f)
{
    const struct running_loop *a = loop_of(f, CT_GEM_LOOP_LD_A), *b = loop_of(f, CT_GEM_LOOP_LD_B);
    if (!a || !b)
        return a ? CT_GEM_LOOP_LD_A : CT_GEM_LOOP_LD_B;
    if (a != b)
        return a == loop_at(f, 0) ? CT_GEM_LOOP_LD_A : CT_GEM_LOOP_LD_B;
    const struct ct_gem_loop_position *at_a = &a->loop.at[CT_GEM_LOOP_LD_A],
                                      *at_b = &b->loop.at[CT_GEM_LOOP_LD_B];
    if (a->loop.is_resadd)
        return CT_GEM_LOOP_LD_A;
    return at_a->k > at_b->k || (at_b->k == 0 && at_b->j == 0) ? CT_GEM_LOOP_LD_B
                                                               : CT_GEM_LOOP_LD_A;
}

static bool is_loop_command(const struct ct_gem_command *command)
{
    return command->funct >= CT_GEM_LOOP_WS_FUNCT && command->funct <= CT_GEM_LOOP_STRIDES_DC_FUNCT;
}

/* When the host sends the next command. */
static uint64_t host_time(const struct sim *sim)
{
    const struct front *f = &sim->front;
    return f->index == 0
               ? 0
               : max64(f->host + (uint64_t)sim->config->host_issue_interval, f->taken_at[0]);
}

static const int class_queue[CT_GEM_LOOP_CLASSES] = {LOAD, LOAD, LOAD, EXECUTE, STORE};

/* When the next command of the program can be taken, but for a slot in its queue. */
static uint64_t program_next(struct sim *sim)
{
    struct front *f = &sim->front;
    f->program_queue = N_QUEUES;
    if (f->index == sim->n_commands)
        return NEVER;
    const struct ct_gem_command *command = &sim->commands[f->index];
    if (command->funct == CT_GEM_FENCE_FUNCT)
        return NEVER; /* passes when nothing is left to do: see ct_gem_time */
    if (is_loop_command(command))
        return f->n_loops == (unsigned)sim->config->rob_loops_in_flight ? NEVER
                                                                        : host_time(sim) + DECODE;
    if (f->n_loops > 0)
        return NEVER;
    if (command->funct != CT_GEM_FLUSH_FUNCT && command->funct != CT_GEM_COUNTER_FUNCT)
        f->program_queue = ct_gem_queue_of(ct_gem_command_instruction(command));
    return host_time(sim) + DECODE;
}

/* What could go next, but for a slot: known until another command goes. */
static void find_candidates(struct sim *sim)
{
    struct front *f = &sim->front;
    for (int c = 0; c < CT_GEM_LOOP_CLASSES; c++)
        f->class_ready[c] = NEVER;
    f->program = program_next(sim);
    if (f->n_loops == 0)
        return;
    const enum ct_gem_loop_class classes[] = {load_class(f), CT_GEM_LOOP_LD_D, CT_GEM_LOOP_EX,
                                              CT_GEM_LOOP_ST_C};
    for (int i = 0; i < 4; i++) {
        const enum ct_gem_loop_class c = classes[i];
        const struct running_loop *run = loop_of(f, c);
        if (run && ct_gem_loop_is_ready(&run->loop, c))
            f->class_ready[c] = f->class_free[c];
    }
}

static void front_next(struct sim *sim)
{
    static const enum ct_gem_loop_class order[] = {
        CT_GEM_LOOP_ST_C, CT_GEM_LOOP_EX, CT_GEM_LOOP_LD_D, CT_GEM_LOOP_LD_A, CT_GEM_LOOP_LD_B};
    struct front *f = &sim->front;
    f->next = NEVER;
    for (int i = 0; i < CT_GEM_LOOP_CLASSES; i++) {
        const uint64_t ready = max64(f->class_ready[order[i]], f->time + 1);
        if (ready >= f->next)
            continue;
        const uint64_t at = max64(ready, slot_free(&sim->queues[class_queue[order[i]]]));
        if (at < f->next) {
            f->next = at;
            f->class = order[i];
        }
    }
    uint64_t at = max64(f->program, f->time + 1);
    if (at < f->next && f->program_queue < N_QUEUES)
        at = max64(at, slot_free(&sim->queues[f->program_queue]));
    if (at < f->next) {
        f->next = at;
        f->class = CT_GEM_LOOP_CLASSES;
    }
}

static void start_loop(struct sim *sim, const struct ct_gem_command *command)
{
    struct front *f = &sim->front;
    struct running_loop *run = loop_at(f, f->n_loops);
    sim->status = ct_gem_loop_start(sim->config, &f->registers, command, true, &f->turn, &run->loop,
                                    sim->err);
    if (sim->status == CT_OK && !run->loop.is_resadd && !f->is_ws)
        sim->status =
            ct_error_set(sim->err, CT_INVALID, "config_ex chose the output stationary dataflow");
    if (sim->status != CT_OK)
        return;
    run->index = f->index;
    f->n_loops++;
    for (int c = 0; c < CT_GEM_LOOP_CLASSES; c++) {
        const uint64_t delay = c == CT_GEM_LOOP_EX ? 2 : c == CT_GEM_LOOP_ST_C ? 3 : 1;
        f->class_free[c] = max64(f->class_free[c], f->next + delay);
    }
}

static void run_loop(struct sim *sim)
{
    struct front *f = &sim->front;
    struct running_loop *run = loop_of(f, f->class);
    struct ct_gem_command command;
    if (!ct_gem_loop_next(&run->loop, f->class, &command))
        return;
    f->time = f->next;
    const enum ct_gem_instruction instruction = ct_gem_command_instruction(&command);
    ct_gem_queue_allocate(sim, &command, instruction, run->index, f->time + 1);
    if (sim->status != CT_OK)
        ct_error_prefix(sim->err, "its %s", ct_gem_instructions[instruction].mnemonic);
    if (run->loop.at[f->class].is_done)
        f->class_free[f->class] = f->time + 2;
    while (f->n_loops > 0 && ct_gem_loop_is_done(&loop_at(f, 0)->loop)) {
        f->head = (f->head + 1) % 2;
        f->n_loops--;
    }
}

static void run_program(struct sim *sim)
{
    struct front *f = &sim->front;
    const struct ct_gem_command *command = &sim->commands[f->index];
    const enum ct_gem_instruction instruction = ct_gem_command_instruction(command);
    f->host = host_time(sim);
    memmove(f->taken_at, f->taken_at + 1, sizeof f->taken_at - sizeof *f->taken_at);
    f->taken_at[HOST_QUEUE - 1] = f->next;
    f->time = f->next;
    if (command->funct == CT_GEM_LOOP_WS_FUNCT)
        start_loop(sim, command);
    else if (is_loop_command(command))
        ct_gem_loop_configure(&f->registers, command);
    else if (instruction != CT_GEM_FLUSH && instruction != CT_GEM_COUNTER)
        ct_gem_queue_allocate(sim, command, instruction, f->index, f->next);
    f->index++;
}

/* Puts in front of an error which command it was. */
static void name_command(struct sim *sim, uint32_t index)
{
    const struct ct_gem_command *command = &sim->commands[index];
    const enum ct_gem_instruction instruction = ct_gem_command_instruction(command);
    char funct[16];
    snprintf(funct, sizeof funct, "funct %d", command->funct);
    ct_error_prefix(sim->err, "command %u (%s)", index,
                    instruction == CT_GEM_UNKNOWN ? funct
                                                  : ct_gem_instructions[instruction].mnemonic);
}

static void front_run(struct sim *sim)
{
    const struct front *f = &sim->front;
    if (f->class == CT_GEM_LOOP_CLASSES && sim->commands[f->index].funct == CT_GEM_LOOP_WS_FUNCT)
        ct_gem_repeat_skip(sim);
    const uint32_t index =
        f->class == CT_GEM_LOOP_CLASSES ? f->index : loop_of(&sim->front, f->class)->index;
    if (f->class == CT_GEM_LOOP_CLASSES)
        run_program(sim);
    else
        run_loop(sim);
    if (sim->status != CT_OK)
        name_command(sim, index);
    find_candidates(sim);
    front_next(sim);
}

static uint64_t idle_cycle(const struct sim *sim)
{
    uint64_t idle = sim->front.time + 1;
    for (int q = 0; q < N_QUEUES; q++)
        for (int i = 0; i < sim->queues[q].n_slots; i++)
            if (sim->queues[q].done[i] != NEVER)
                idle = max64(idle, sim->queues[q].done[i]);
    return max64(idle, sim->store.last_ack);
}

static bool step(struct sim *sim)
{
    while (sim->dirty != 0) {
        const unsigned dirty = sim->dirty;
        sim->dirty = 0;
        if (dirty & 1 << LOAD)
            ct_gem_load_next(sim);
        if (dirty & 1 << STORE)
            ct_gem_store_next(sim);
        if (dirty & 1 << EXECUTE)
            ct_gem_execute_next(sim);
        if (dirty & FRONT_DIRTY)
            front_next(sim);
    }
    uint64_t best = sim->front.next;
    void (*run)(struct sim *) = front_run;
    if (sim->load.entry && sim->load.next < best) {
        best = sim->load.next;
        run = ct_gem_load_run;
    }
    if (sim->execute.next < best) {
        best = sim->execute.next;
        run = ct_gem_execute_run;
    }
    if (sim->store.entry && sim->store.next < best) {
        best = sim->store.next;
        run = ct_gem_store_run;
    }
    if (sim->store.write_next < best) {
        best = sim->store.write_next;
        run = ct_gem_write_run;
    }
    if (best == NEVER)
        return false;
    run(sim);
    return true;
}

void ct_gem_unit_busy(struct sim *sim, enum ct_gem_unit unit, const struct entry *entry,
                      uint64_t start, uint64_t end)
{
    const uint64_t from = max64(start, sim->busy_until[unit]);
    if (end > from) {
        sim->report->busy_cycles[unit] += end - from;
        sim->busy_until[unit] = end;
    }
    if (sim->each)
        sim->each(sim->context, unit, start, end, entry->index);
}

static enum ct_status init(struct sim *sim, const struct ct_gem_config *config,
                           const struct ct_gem_command *commands, size_t n_commands)
{
    sim->config = config;
    sim->commands = commands;
    sim->n_commands = n_commands;
    sim->queues[LOAD].n_slots = config->rob_ld;
    sim->queues[STORE].n_slots = config->rob_st;
    sim->queues[EXECUTE].n_slots = config->rob_ex;
    for (int q = 0; q < N_QUEUES; q++)
        for (int i = 0; i < sim->queues[q].n_slots; i++)
            sim->queues[q].free[sim->queues[q].n_free++] = (uint8_t)i;
    sim->spad_bank_rows = ct_gem_config_spad_rows(config) / (unsigned)config->spad_banks;
    sim->acc_bank_rows = ct_gem_config_acc_rows(config) / (unsigned)config->acc_banks;
    const double beat = config->dma_bus_bytes / config->mem_bytes_per_cycle;
    sim->memory.beat = beat > 1 ? (uint64_t)(beat * 256 + 0.5) : 256;
    sim->memory.latency = (uint64_t)(config->mem_latency + config->dma_rt_overhead - 1);
    sim->memory.miss_cycles = (uint64_t)config->tlb_miss_cycles;
    sim->memory.n_pages = (unsigned)config->tlb_entries;
    sim->load.next = sim->execute.next = sim->store.next = sim->store.write_next = NEVER;
    sim->memory.pages = calloc(sim->memory.n_pages + 1, sizeof *sim->memory.pages);
    size_t n_loops = 0;
    for (size_t i = 0; i < n_commands; i++)
        n_loops += commands[i].funct == CT_GEM_LOOP_WS_FUNCT;
    if (sim->each == NULL && sim->memory.miss_cycles == 0)
        sim->checkpoints = calloc(n_loops + 1, sizeof *sim->checkpoints);
    if (sim->memory.pages == NULL)
        return ct_error_set(sim->err, CT_MEMORY, "no memory for %u translations",
                            sim->memory.n_pages);
    return CT_OK;
}

/* Runs until nothing is left to do, then lets a fence pass, and so on to the program's end. */
static void run(struct sim *sim)
{
    find_candidates(sim);
    front_next(sim);
    while (sim->status == CT_OK) {
        if (step(sim))
            continue;
        struct front *f = &sim->front;
        sim->report->cycles = sim->n_commands == 0 ? 0 : idle_cycle(sim);
        if (f->index == sim->n_commands)
            return;
        if (sim->commands[f->index].funct != CT_GEM_FENCE_FUNCT) {
            sim->status = ct_error_set(sim->err, CT_INVALID, "waits for a command that never ends");
            name_command(sim, f->index);
            return;
        }
        f->index++;
        f->host = sim->report->cycles;
        f->time = sim->report->cycles - 1;
        find_candidates(sim);
        front_next(sim);
    }
}

enum ct_status ct_gem_timeline(const struct ct_gem_config *config,
                               const struct ct_gem_command *commands, size_t n_commands,
                               ct_gem_interval_fn *each, void *context,
                               struct ct_gem_timing *report, struct ct_error *err)
{
    *report = (struct ct_gem_timing){0};
    enum ct_status status = ct_gem_config_check(config, err);
    if (status != CT_OK)
        return status;
    if (n_commands > UINT32_MAX)
        return ct_error_set(err, CT_TOO_LARGE, "%zu commands of at most %u", n_commands,
                            UINT32_MAX);
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the timing model");
    sim->each = each;
    sim->context = context;
    sim->report = report;
    sim->err = err;
    sim->status = init(sim, config, commands, n_commands);
    run(sim);
    status = sim->status;
    report->host_instructions = n_commands;
    report->tlb_misses = sim->memory.n_misses;
    if (report->cycles > 0)
        report->utilisation = (double)report->macs / ((double)report->cycles * DIM * DIM);
    free(sim->memory.pages);
    free(sim->checkpoints);
    free(sim);
    return status;
}

enum ct_status ct_gem_time(const struct ct_gem_config *config,
                           const struct ct_gem_command *commands, size_t n_commands,
                           struct ct_gem_timing *report, struct ct_error *err)
{
    return ct_gem_timeline(config, commands, n_commands, NULL, NULL, report, err);
}
