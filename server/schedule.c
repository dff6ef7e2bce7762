#include "server/schedule.h"

#include <stddef.h>

/* Every so often the first to arrive goes next, whoever it is. */
enum { CHOICES_PER_ELDER = 8 };

void ct_schedule_init(struct ct_schedule *schedule, struct ct_client *clients, int n_clients)
{
    *schedule = (struct ct_schedule){.clients = clients, .n_clients = n_clients};
    for (int i = 0; i < n_clients; i++)
        clients[i] = (struct ct_client){0};
}

/* The client's place; a new client takes the place of the least served of those that are not here,
 * of whom nothing needs to be remembered soonest. */
static struct ct_client *find_client(struct ct_schedule *schedule, uint64_t id)
{
    struct ct_client *spare = NULL;
    for (int i = 0; i < schedule->n_clients; i++) {
        struct ct_client *client = &schedule->clients[i];
        if (client->id == id && (client->n_turns > 0 || client->served_ns > 0))
            return client;
        if (client->n_turns == 0 && (spare == NULL || client->served_ns < spare->served_ns))
            spare = client;
    }
    *spare = (struct ct_client){.id = id};
    return spare;
}

void ct_schedule_enter(struct ct_schedule *schedule, struct ct_turn *turn, uint64_t client_id)
{
    struct ct_client *client = find_client(schedule, client_id);
    if (client->n_turns == 0) {
        double least_ns = -1;
        for (int i = 0; i < schedule->n_clients; i++) {
            const struct ct_client *other = &schedule->clients[i];
            if (other->n_turns > 0 && (least_ns < 0 || other->served_ns < least_ns))
                least_ns = other->served_ns;
        }
        if (client->served_ns < least_ns)
            client->served_ns = least_ns;
    }
    client->n_turns++;
    turn->client = client;
    turn->number = schedule->n_arrived++;
}

void ct_schedule_leave(struct ct_turn *turn)
{
    turn->client->n_turns--;
}

bool ct_turn_is_before(const struct ct_turn *a, const struct ct_turn *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->client->served_ns != b->client->served_ns)
        return a->client->served_ns < b->client->served_ns;
    if (a->due_ns != b->due_ns)
        return a->due_ns < b->due_ns;
    return a->number < b->number;
}

/* The first of turns [n] that may be chosen, by age or by rank; prompts: only those of which a
 * prompt is being read and that have no part in the step yet. */
static int first_of(struct ct_turn *const *turns, int n, bool is_by_age, bool is_of_prompts)
{
    int best = -1;
    for (int i = 0; i < n; i++) {
        const struct ct_turn *turn = turns[i];
        if (!turn->is_ready || (is_of_prompts && (turn->n_step > 0 || ct_turn_is_decoding(turn))))
            continue;
        if (best < 0 ||
            (is_by_age ? turn->number < turns[best]->number : ct_turn_is_before(turn, turns[best])))
            best = i;
    }
    return best;
}

static bool is_elders_choice(uint64_t n_choices)
{
    return n_choices % CHOICES_PER_ELDER == CHOICES_PER_ELDER - 1;
}

int ct_schedule_next(const struct ct_schedule *schedule, struct ct_turn *const *turns, int n)
{
    return first_of(turns, n, is_elders_choice(schedule->n_admissions), false);
}

void ct_schedule_count(struct ct_schedule *schedule)
{
    schedule->n_admissions++;
}

int ct_schedule_victim(struct ct_turn *const *turns, int n)
{
    int worst = -1;
    for (int i = 0; i < n; i++) {
        const struct ct_turn *a = turns[i], *b = worst >= 0 ? turns[worst] : NULL;
        if (b == NULL || (a->is_ready != b->is_ready   ? !a->is_ready
                          : a->priority != b->priority ? a->priority > b->priority
                                                       : a->number > b->number))
            worst = i;
    }
    return worst;
}

int ct_schedule_decodes(struct ct_turn *const *turns, int n, int max)
{
    int n_decodes = 0;
    for (int i = 0; i < n; i++) {
        turns[i]->n_step = turns[i]->is_ready && ct_turn_is_decoding(turns[i]);
        n_decodes += turns[i]->n_step;
    }
    /* Too many: those that were part of the latest steps sit out. */
    for (; n_decodes > max; n_decodes--) {
        struct ct_turn *latest = NULL;
        for (int i = 0; i < n; i++)
            if (turns[i]->n_step > 0 &&
                (latest == NULL || turns[i]->last_step > latest->last_step ||
                 (turns[i]->last_step == latest->last_step && turns[i]->number > latest->number)))
                latest = turns[i];
        latest->n_step = 0;
    }
    return n_decodes;
}

int ct_schedule_prompts(struct ct_schedule *schedule, struct ct_turn *const *turns, int n,
                        int budget)
{
    bool is_by_age = is_elders_choice(schedule->n_steps);
    int n_given = 0;
    while (n_given < budget) {
        const int i = first_of(turns, n, is_by_age, true);
        if (i < 0)
            break;
        const int n_left = turns[i]->n_tok - turns[i]->n_done;
        if (turns[i]->is_whole && n_given > 0 && n_left > budget - n_given)
            break;
        const bool is_all = turns[i]->is_whole || n_left < budget - n_given;
        turns[i]->n_step = is_all ? n_left : budget - n_given;
        n_given += turns[i]->n_step;
        is_by_age = false;
    }
    schedule->n_steps += n_given > 0;
    return n_given;
}
