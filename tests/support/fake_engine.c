#include "tests/support/fake_engine.h"

#include "engine/backend/backend.h"
#include "engine/base/rng.h"

#include <assert.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SLICES = 4096 };

struct ct_engine {
    struct ct_engine_info info;
    int n_open; /* sessions */
    unsigned step;
    int n_free_tok;
    int32_t *left; /* [n_left]: the history of the session that was closed last */
    int n_left;
    float *logits;
    char name[64];
};

struct ct_session {
    struct ct_engine *engine;
    int n_tok, capacity;
    unsigned step;    /* the last that it was part of */
    int32_t *history; /* [capacity] */
};

struct ct_sampler {
    const struct ct_engine *engine;
    struct ct_sampling how;
    struct ct_rng rng;
};

static atomic_int n_sessions, n_samplers, step_us;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* under the lock */
static int n_allowed = -1; /* -1: all */
static int n_steps;
static enum ct_status next_status = CT_OK;
static int last_step[MAX_SLICES], n_last_step;

/* ---- control ---- */

int ct_fake_n_sessions(void)
{
    return atomic_load(&n_sessions);
}

int ct_fake_n_samplers(void)
{
    return atomic_load(&n_samplers);
}

int ct_fake_n_steps(void)
{
    pthread_mutex_lock(&lock);
    int n = n_steps;
    pthread_mutex_unlock(&lock);
    return n;
}

void ct_fake_set_step_us(int us)
{
    atomic_store(&step_us, us);
}

static void set_allowed(int n, bool is_added)
{
    pthread_mutex_lock(&lock);
    n_allowed = is_added && n_allowed >= 0 ? n_allowed + n : n;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void ct_fake_hold(void)
{
    set_allowed(0, false);
}

void ct_fake_allow(int n)
{
    set_allowed(n, true);
}

void ct_fake_release(void)
{
    set_allowed(-1, false);
}

void ct_fake_fail_step(enum ct_status status)
{
    pthread_mutex_lock(&lock);
    next_status = status;
    pthread_mutex_unlock(&lock);
}

int ct_fake_last_step(int *n_tokens, int capacity)
{
    pthread_mutex_lock(&lock);
    int n = n_last_step < capacity ? n_last_step : capacity;
    memcpy(n_tokens, last_step, (size_t)n * sizeof *n_tokens);
    pthread_mutex_unlock(&lock);
    return n;
}

/* ---- engine ---- */

static void sleep_us(long us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

/* A FIFO: it takes until somebody has opened the other end, and has written a byte or closed it. */
static void wait_at_gate(void)
{
    const char *gate = getenv("CENTROID_FAKE_LOAD_GATE");
    int fd = gate ? open(gate, O_RDONLY | O_CLOEXEC) : -1;
    char byte;
    if (fd < 0)
        return;
    if (read(fd, &byte, 1) < 0)
        abort();
    close(fd);
}

const struct ct_backend_type *ct_backend_find(const char *name, struct ct_error *err)
{
    static const struct ct_backend_type cpu = {.name = "cpu"}, simulated = {.name = "gemmini"};
    if (strcmp(name, cpu.name) == 0)
        return &cpu;
    if (strcmp(name, simulated.name) == 0)
        return &simulated;
    ct_error_set(err, CT_NOT_FOUND, "backend '%s' is none of cpu, gemmini", name);
    return NULL;
}

enum ct_status ct_engine_open(const char *path, const struct ct_engine_options *options,
                              struct ct_engine **out, struct ct_error *err)
{
    wait_at_gate();
    if (strcmp(path, "missing") == 0)
        return ct_error_set(err, CT_NOT_FOUND, "%s: no such model", path);
    if (getenv("CENTROID_FAKE_STEP_US") != NULL)
        ct_fake_set_step_us(atoi(getenv("CENTROID_FAKE_STEP_US")));
    struct ct_engine *e = calloc(1, sizeof *e);
    assert(e != NULL);
    snprintf(e->name, sizeof e->name, "%s", path);
    e->info = (struct ct_engine_info){
        .name = e->name,
        .family = "fake",
        .backend = "fake",
        .energy_source = "estimate:fake",
        .n_vocab = CT_FAKE_VOCAB,
        .bos_id = -1,
        .context_tok = options->context_tok ? options->context_tok : 8192,
        .max_sessions = options->max_sessions ? options->max_sessions : 64,
        .max_step_tok = options->max_step_tok ? options->max_step_tok : 512,
        .n_threads = 1,
        .sampling = {.temperature = 1, .top_p = 1},
        .n_parameters = 1,
        .n_weight_bytes = 1,
        .n_kv_bytes_tok = 1,
        .page_tok = 1,
        .has_prefix_cache = options->has_prefix_cache,
        .has_chat_template = true,
    };
    e->info.max_step_logits = e->info.max_sessions;
    /* a token of KV is a byte and a page */
    e->info.n_kv_pages = e->info.max_sessions * e->info.context_tok;
    if (options->memory_bytes > 0 && options->memory_bytes < e->info.n_kv_pages)
        e->info.n_kv_pages = (int)options->memory_bytes;
    e->n_free_tok = e->info.n_kv_pages;
    e->logits = malloc((size_t)e->info.max_step_logits * CT_FAKE_VOCAB * sizeof *e->logits);
    assert(e->logits != NULL);
    *out = e;
    return CT_OK;
}

void ct_engine_close(struct ct_engine *engine)
{
    if (engine == NULL)
        return;
    assert(engine->n_open == 0 && ct_fake_n_samplers() == 0);
    free(engine->logits);
    free(engine->left);
    free(engine);
}

const struct ct_engine_info *ct_engine_info(const struct ct_engine *engine)
{
    return &engine->info;
}

/* ---- text ---- */

enum ct_status ct_engine_tokenize(const struct ct_engine *engine, const char *text, size_t n_bytes,
                                  bool has_special, int32_t *ids, size_t capacity, size_t *n_ids)
{
    (void)engine;
    (void)has_special;
    for (size_t i = 0; i < n_bytes && i < capacity; i++)
        ids[i] = (unsigned char)text[i];
    *n_ids = n_bytes;
    return CT_OK;
}

/* Both, with a filler between, and the types that say which is which. */
enum ct_status ct_engine_tokenize_pair(const struct ct_engine *engine, const char *first,
                                       size_t n_first_bytes, const char *second,
                                       size_t n_second_bytes, int32_t *ids, int32_t *types,
                                       size_t capacity, size_t *n_ids)
{
    (void)engine;
    *n_ids = n_first_bytes + 1 + n_second_bytes;
    for (size_t i = 0; i < *n_ids && i < capacity; i++) {
        types[i] = i > n_first_bytes;
        ids[i] = i < n_first_bytes    ? (unsigned char)first[i]
                 : i == n_first_bytes ? CT_FAKE_EOS + 1
                                      : (unsigned char)second[i - n_first_bytes - 1];
    }
    return CT_OK;
}

/* Any bytes that begin with an I are an image. */
enum ct_status ct_engine_read_image(const struct ct_engine *engine, const uint8_t *data,
                                    size_t n_bytes, float *planes, struct ct_error *err)
{
    (void)engine;
    (void)planes;
    return n_bytes > 0 && data[0] == 'I' ? CT_OK
                                         : ct_error_set(err, CT_INVALID, "the image is damaged");
}

const char *ct_engine_label(const struct ct_engine *engine, int i)
{
    (void)engine;
    (void)i;
    return "label";
}

const char *ct_engine_token_bytes(const struct ct_engine *engine, int id, size_t *n_bytes)
{
    (void)engine;
    *n_bytes = id < 256;
    static const char all[] = {
#define ROW(x)                                                                                     \
    (char)(x), (char)(x + 1), (char)(x + 2), (char)(x + 3), (char)(x + 4), (char)(x + 5),          \
        (char)(x + 6), (char)(x + 7)
#define ROWS(x) ROW(x), ROW(x + 8), ROW(x + 16), ROW(x + 24)
        ROWS(0),   ROWS(32),  ROWS(64), ROWS(96), ROWS(128),
        ROWS(160), ROWS(192), ROWS(224)
#undef ROWS
#undef ROW
    };
    return id < 256 ? all + id : "";
}

bool ct_engine_is_eos(const struct ct_engine *engine, int id)
{
    (void)engine;
    return id == CT_FAKE_EOS;
}

/* "role:content" lines; the last message ends the prompt. */
enum ct_status ct_engine_chat(const struct ct_engine *engine, const struct ct_message *messages,
                              size_t n_messages, char **out, size_t *n_out, struct ct_error *err)
{
    (void)engine;
    size_t n = 1;
    for (size_t i = 0; i < n_messages; i++)
        n += strlen(messages[i].role) + messages[i].n_bytes + 2;
    char *text = malloc(n), *p = text;
    if (text == NULL)
        return ct_error_set(err, CT_MEMORY, "out of memory");
    for (size_t i = 0; i < n_messages; i++) {
        p += sprintf(p, "%s%s:", i ? "\n" : "", messages[i].role);
        memcpy(p, messages[i].content, messages[i].n_bytes);
        p += messages[i].n_bytes;
    }
    *p = '\0';
    *out = text;
    *n_out = (size_t)(p - text);
    return CT_OK;
}

/* ---- sessions and steps ---- */

enum ct_status ct_session_open(struct ct_engine *engine, int n_tok, struct ct_session **out)
{
    if (engine->n_open == engine->info.max_sessions)
        return CT_BUSY;
    struct ct_session *session = calloc(1, sizeof *session);
    assert(session != NULL);
    session->engine = engine;
    enum ct_status status = ct_session_reserve(session, n_tok);
    if (status != CT_OK) {
        free(session);
        return status;
    }
    engine->n_open++;
    atomic_fetch_add(&n_sessions, 1);
    *out = session;
    return CT_OK;
}

void ct_session_close(struct ct_session *session)
{
    if (session == NULL)
        return;
    struct ct_engine *engine = session->engine;
    engine->n_free_tok += session->capacity;
    engine->n_open--;
    atomic_fetch_sub(&n_sessions, 1);
    free(engine->left);
    engine->left = session->history;
    engine->n_left = session->n_tok;
    free(session);
}

enum ct_status ct_session_reserve(struct ct_session *session, int n_tok)
{
    struct ct_engine *engine = session->engine;
    if (n_tok > engine->info.context_tok)
        return CT_CONTEXT;
    if (n_tok - session->capacity > engine->n_free_tok)
        return CT_BUSY;
    if (n_tok <= session->capacity)
        return CT_OK;
    session->history = realloc(session->history, (size_t)n_tok * sizeof *session->history);
    assert(session->history != NULL);
    engine->n_free_tok -= n_tok - session->capacity;
    session->capacity = n_tok;
    return CT_OK;
}

int ct_engine_n_reusable(const struct ct_engine *engine, const int32_t *tokens, int n)
{
    int n_same = 0;
    while (engine->info.has_prefix_cache && n_same < n - 1 && n_same < engine->n_left &&
           tokens[n_same] == engine->left[n_same])
        n_same++;
    return n_same;
}

int ct_session_reuse(struct ct_session *session, const int32_t *tokens, int n)
{
    assert(session->n_tok == 0 && session->capacity == 0);
    int n_same = ct_engine_n_reusable(session->engine, tokens, n);
    if (n_same == 0 || ct_session_reserve(session, n_same) != CT_OK)
        return 0;
    memcpy(session->history, tokens, (size_t)n_same * sizeof *tokens);
    session->n_tok = n_same;
    return n_same;
}

struct ct_page_counts ct_engine_count_pages(const struct ct_engine *engine)
{
    return (struct ct_page_counts){.n_held = engine->info.n_kv_pages - engine->n_free_tok,
                                   .n_free = engine->n_free_tok};
}

int ct_session_n_tok(const struct ct_session *session)
{
    return session->n_tok;
}

/* After "echo:TEXT|": TEXT's byte or the end token; otherwise -1. */
static int echoed(const struct ct_session *s)
{
    static const char mark[] = "echo:";
    for (int at = s->n_tok - 5; at >= 0; at--) {
        int k = 0;
        while (k < 5 && s->history[at + k] == mark[k])
            k++;
        if (k < 5)
            continue;
        int bar = at + 5;
        while (bar < s->n_tok && s->history[bar] != '|')
            bar++;
        if (bar == s->n_tok)
            return -1;
        int i = s->n_tok - bar - 1;
        return at + 5 + i < bar ? s->history[at + 5 + i] : CT_FAKE_EOS;
    }
    return -1;
}

static void fill_logits(const struct ct_session *s, float *logits)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < s->n_tok; i++)
        hash = (hash ^ (uint64_t)s->history[i]) * 1099511628211u;
    struct ct_rng rng;
    ct_rng_init(&rng, hash);
    for (int id = 0; id < CT_FAKE_VOCAB; id++)
        logits[id] =
            (id >= 'a' && id <= 'z') || id == ' ' ? (float)(4 * ct_rng_uniform(&rng)) : -60;
    int target = echoed(s);
    if (target >= 0)
        logits[target] = 60;
}

/* Waits for its turn; the status that this step has. */
static enum ct_status begin_step(const struct ct_slice *slices, int n_slices)
{
    pthread_mutex_lock(&lock);
    while (n_allowed == 0)
        pthread_cond_wait(&changed, &lock);
    if (n_allowed > 0)
        n_allowed--;
    enum ct_status status = next_status;
    next_status = CT_OK;
    n_steps++;
    n_last_step = n_slices;
    for (int i = 0; i < n_slices; i++)
        last_step[i] = slices[i].n_tokens;
    pthread_mutex_unlock(&lock);
    if (atomic_load(&step_us) > 0)
        sleep_us(atomic_load(&step_us));
    return status;
}

enum ct_status ct_engine_step(struct ct_engine *engine, struct ct_slice *slices, int n_slices,
                              struct ct_error *err)
{
    const unsigned step = ++engine->step;
    int n_tokens = 0, n_logits = 0;
    assert(n_slices > 0 && n_slices <= MAX_SLICES);
    enum ct_status status = begin_step(slices, n_slices);
    if (status != CT_OK)
        return ct_error_set(err, status, "a step that was told to fail");
    for (int i = 0; i < n_slices; i++) {
        struct ct_slice *slice = &slices[i];
        struct ct_session *s = slice->session;
        assert(slice->n_tokens >= 1 && s->n_tok + slice->n_tokens <= s->capacity);
        assert(s->step != step && slice->n_logits <= 1);
        s->step = step;
        memcpy(s->history + s->n_tok, slice->tokens, (size_t)slice->n_tokens * sizeof(int32_t));
        s->n_tok += slice->n_tokens;
        slice->logits = slice->n_logits ? engine->logits + (size_t)n_logits * CT_FAKE_VOCAB : NULL;
        if (slice->n_logits)
            fill_logits(s, engine->logits + (size_t)n_logits * CT_FAKE_VOCAB);
        slice->ld_logits = CT_FAKE_VOCAB;
        slice->cost = (struct ct_cost){.ns = 1000000 * (uint64_t)slice->n_tokens,
                                       .pj = 1e6 * slice->n_tokens};
        n_tokens += slice->n_tokens;
        n_logits += slice->n_logits;
    }
    bool is_within =
        n_tokens <= engine->info.max_step_tok && n_logits <= engine->info.max_step_logits;
    assert(is_within);
    return is_within ? CT_OK : CT_INTERNAL;
}

enum ct_status ct_engine_measure(struct ct_engine *engine, int n_tok, int n_logits, int depth,
                                 struct ct_cost *cost)
{
    assert(n_tok <= engine->info.max_step_tok && n_logits <= n_tok &&
           depth + n_tok <= engine->info.context_tok);
    *cost = (struct ct_cost){.ns = 1000000 * (uint64_t)n_tok, .pj = 1e6 * n_tok};
    return CT_OK;
}

/* ---- sampling ---- */

enum ct_status ct_sampler_open(const struct ct_engine *engine, const struct ct_sampling *sampling,
                               struct ct_sampler **out, struct ct_error *err)
{
    struct ct_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL)
        return ct_error_set(err, CT_MEMORY, "out of memory");
    sampler->engine = engine;
    sampler->how = *sampling;
    ct_rng_init(&sampler->rng, sampling->seed);
    atomic_fetch_add(&n_samplers, 1);
    *out = sampler;
    return CT_OK;
}

void ct_sampler_close(struct ct_sampler *sampler)
{
    if (sampler == NULL)
        return;
    atomic_fetch_sub(&n_samplers, 1);
    free(sampler);
}

int ct_sampler_next(struct ct_sampler *sampler, const float *logits, float *logprob)
{
    double weight[CT_FAKE_VOCAB], total = 0;
    float biased[CT_FAKE_VOCAB];
    int best = 0;
    (void)logprob; /* the server computes its own */
    memcpy(biased, logits, sizeof biased);
    for (int i = 0; i < sampler->how.n_bias; i++)
        biased[sampler->how.bias_ids[i]] += sampler->how.bias[i];
    for (int id = 1; id < CT_FAKE_VOCAB; id++)
        best = biased[id] > biased[best] ? id : best;
    if (sampler->how.temperature <= 0)
        return best;
    for (int id = 0; id < CT_FAKE_VOCAB; id++)
        total += weight[id] = exp((biased[id] - biased[best]) / sampler->how.temperature);
    double x = ct_rng_uniform(&sampler->rng) * total;
    for (int id = 0; id < CT_FAKE_VOCAB; id++)
        if ((x -= weight[id]) < 0)
            return id;
    return best;
}
