/* Sessions and the step that advances a batch of them. The engine thread. */
#include "engine/base/clock.h"
#include "engine/runtime/engine_internal.h"
#include "engine/runtime/peaks.h"
#include "engine/runtime/profile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int pages_of(int n_tok)
{
    return (n_tok + CT_PAGE_TOK - 1) / CT_PAGE_TOK;
}

static void set_page(struct ct_session *session, int i, int32_t page)
{
    session->page_ids[i] = page;
    session->pages[i] = ct_kv_data(&session->engine->kv, page);
}

enum ct_status ct_session_open(struct ct_engine *engine, int n_tok, struct ct_session **out)
{
    *out = NULL;
    for (int i = 0; i < engine->info.max_sessions; i++) {
        struct ct_session *s = &engine->sessions[i];
        if (s->is_open)
            continue;
        s->n_tok = s->capacity_tok = s->n_pages = 0;
        enum ct_status status = ct_session_reserve(s, n_tok);
        if (status != CT_OK)
            return status;
        s->is_open = true;
        *out = s;
        return CT_OK;
    }
    return CT_BUSY;
}

void ct_session_close(struct ct_session *session)
{
    if (session == NULL)
        return;
    ct_kv_let_go(&session->engine->kv, session->n_pages, session->page_ids);
    session->is_open = false;
    session->n_pages = 0;
}

enum ct_status ct_session_reserve(struct ct_session *session, int n_tok)
{
    if (n_tok < 0 || n_tok > session->engine->info.context_tok)
        return CT_CONTEXT;
    const int n = pages_of(n_tok) - session->n_pages;
    if (n > 0) {
        enum ct_status status =
            ct_kv_take(&session->engine->kv, n, session->page_ids + session->n_pages);
        if (status != CT_OK)
            return status;
        for (int i = 0; i < n; i++, session->n_pages++)
            set_page(session, session->n_pages, session->page_ids[session->n_pages]);
    }
    if (n_tok > session->capacity_tok)
        session->capacity_tok = n_tok;
    return CT_OK;
}

/* A copy of the front of a page, as the session's next one: n tokens of it. Without a page to spare
 * there is none. */
static void copy_page(struct ct_session *session, int32_t source, const int32_t *tokens, int n)
{
    struct ct_kv *kv = &session->engine->kv;
    const int i = session->n_pages;
    const int32_t parent = i > 0 ? session->page_ids[i - 1] : ct_kv_root(kv);
    ct_kv_hold(kv, source); /* or it might be the one that is taken */
    if (ct_session_reserve(session, session->n_tok + n) == CT_OK) {
        memcpy(session->pages[i], ct_kv_data(kv, source), kv->page_elements * sizeof(uint16_t));
        ct_kv_note(kv, parent, session->page_ids[i], tokens, n);
        session->n_tok += n;
    }
    ct_kv_let_go(kv, 1, &source);
}

int ct_session_reuse(struct ct_session *session, const int32_t *tokens, int n)
{
    struct ct_kv *kv = &session->engine->kv;
    int32_t parent = ct_kv_root(kv);
    assert(session->n_pages == 0 && session->n_tok == 0);
    for (int n_found = CT_PAGE_TOK; n_found == CT_PAGE_TOK;) {
        const int32_t *rest = tokens + session->n_tok;
        const int32_t page = ct_kv_find(kv, parent, rest, n - 1 - session->n_tok, &n_found);
        if (n_found == CT_PAGE_TOK) {
            ct_kv_hold(kv, page);
            set_page(session, session->n_pages++, page);
            session->n_tok += CT_PAGE_TOK;
            parent = page;
        } else if (n_found > 0) {
            copy_page(session, page, rest, n_found);
        }
    }
    session->capacity_tok = session->n_tok;
    return session->n_tok;
}

int ct_engine_n_reusable(const struct ct_engine *engine, const int32_t *tokens, int n)
{
    int32_t parent = ct_kv_root(&engine->kv);
    int n_tok = 0;
    for (int n_found = CT_PAGE_TOK; n_found == CT_PAGE_TOK; n_tok += n_found)
        parent = ct_kv_find(&engine->kv, parent, tokens + n_tok, n - 1 - n_tok, &n_found);
    return n_tok;
}

struct ct_page_counts ct_engine_count_pages(const struct ct_engine *engine)
{
    const struct ct_kv *kv = &engine->kv;
    return (struct ct_page_counts){kv->n_pages - kv->n_free - kv->n_kept, kv->n_kept, kv->n_free};
}

int ct_session_n_tok(const struct ct_session *session)
{
    return session->n_tok;
}

static enum ct_status check_slice(const struct ct_engine *engine, const struct ct_slice *slice,
                                  int i, struct ct_error *err)
{
    const struct ct_session *s = slice->session;
    if (slice->n_tokens < 1 || slice->n_logits < 0 || slice->n_logits > slice->n_tokens)
        return ct_error_set(err, CT_INVALID, "slice %d: %d tokens and %d logits", i,
                            slice->n_tokens, slice->n_logits);
    if (engine->graph.is_encoder && (s->n_tok > 0 || slice->n_logits > 1))
        return ct_error_set(err, CT_INVALID,
                            "slice %d: an encoder takes a sequence whole, and gives one row", i);
    if (slice->n_tokens > s->capacity_tok - s->n_tok)
        return ct_error_set(err, CT_INVALID, "slice %d: %d tokens after %d, the session holds %d",
                            i, slice->n_tokens, s->n_tok, s->capacity_tok);
    if (engine->info.image.n_channels > 0) {
        if (slice->n_tokens == engine->info.context_tok && slice->pixels != NULL)
            return CT_OK;
        return ct_error_set(err, CT_INVALID, "slice %d: %d tokens, an image has %d, and pixels", i,
                            slice->n_tokens, engine->info.context_tok);
    }
    for (int t = 0; t < slice->n_tokens; t++)
        if (slice->tokens[t] < 0 || slice->tokens[t] >= engine->info.n_vocab)
            return ct_error_set(err, CT_INVALID, "slice %d: token %d is outside 0..%d", i,
                                (int)slice->tokens[t], engine->info.n_vocab - 1);
    const int n_types = ct_model_file_hparams(engine->file)->n_types;
    for (int t = 0; t < slice->n_tokens && slice->types != NULL && n_types > 0; t++)
        if (slice->types[t] < 0 || slice->types[t] >= n_types)
            return ct_error_set(err, CT_INVALID, "slice %d: token type %d is outside 0..%d", i,
                                (int)slice->types[t], n_types - 1);
    return CT_OK;
}

static enum ct_status check_slices(const struct ct_engine *engine, const struct ct_slice *slices,
                                   int n, struct ct_error *err)
{
    int64_t n_rows = 0, n_logits = 0;
    enum ct_status status = CT_OK;
    for (int i = 0; i < n && status == CT_OK; i++) {
        status = check_slice(engine, &slices[i], i, err);
        if (status == CT_OK && slices[i].session->is_in_step)
            status =
                ct_error_set(err, CT_INVALID, "slice %d: its session is in the step already", i);
        slices[i].session->is_in_step = true;
        n_rows += slices[i].n_tokens;
        n_logits += slices[i].n_logits;
    }
    for (int i = 0; i < n; i++)
        slices[i].session->is_in_step = false;
    if (status == CT_OK &&
        (n_rows > engine->info.max_step_tok || n_logits > engine->info.max_step_logits))
        status =
            ct_error_set(err, CT_INVALID, "%lld tokens and %lld logits, at most %d and %d a step",
                         (long long)n_rows, (long long)n_logits, engine->info.max_step_tok,
                         engine->info.max_step_logits);
    return status;
}

static struct ct_batch fill_batch(struct ct_engine *engine, const struct ct_slice *slices, int n)
{
    struct ct_batch batch = {
        .tokens = engine->tokens,
        .types = engine->types,
        .pixels = engine->row_pixels,
        .positions = engine->positions,
        .lengths = engine->lengths,
        .pages = engine->row_pages,
        .logit_rows = engine->logit_rows,
    };
    for (int i = 0; i < n; i++) {
        const struct ct_slice *slice = &slices[i];
        const int first = engine->graph.is_encoder ? 0 : slice->n_tokens - slice->n_logits;
        for (int t = 0; t < slice->n_tokens; t++) {
            if (t >= first && t < first + slice->n_logits)
                engine->logit_rows[batch.n_logits++] = batch.n_rows;
            engine->tokens[batch.n_rows] = slice->tokens != NULL ? slice->tokens[t] : 0;
            engine->types[batch.n_rows] = slice->types != NULL ? slice->types[t] : 0;
            engine->row_pixels[batch.n_rows] = slice->pixels;
            engine->positions[batch.n_rows] = slice->session->n_tok + t;
            engine->lengths[batch.n_rows] = slice->session->n_tok + slice->n_tokens;
            engine->row_pages[batch.n_rows++] = slice->session->pages;
        }
    }
    return batch;
}

/* What the slices of a step that is about to run count to. */
static enum ct_status count_slices(struct ct_engine *engine, struct ct_slice *slices, int n,
                                   struct ct_error *err)
{
    for (int i = 0; i < n; i++)
        engine->parts[i] = (struct ct_part){slices[i].n_tokens, slices[i].session->n_tok,
                                            slices[i].n_logits, slices[i].is_simulated};
    enum ct_status status =
        engine->backend->ops->cost(engine->backend, engine->parts, n, engine->costs, err);
    for (int i = 0; i < n && status == CT_OK; i++)
        slices[i].cost = engine->costs[i];
    return status;
}

/* What a step took, shared among its slices by their multiply-accumulates. */
static void share_cost(struct ct_engine *engine, struct ct_slice *slices, int n, uint64_t ns)
{
    struct ct_cost total = {0};
    for (int i = 0; i < n; i++)
        ct_cost_add(&total, &slices[i].cost);
    total.ns = ns;
    ct_energy_meter_end(engine->meter, &total);
    const double macs = (double)(total.macs_i8 + total.macs_f32);
    for (int i = 0; i < n; i++) {
        struct ct_cost *cost = &slices[i].cost;
        double share = macs > 0 ? (double)(cost->macs_i8 + cost->macs_f32) / macs : 1.0 / n;
        cost->ns = (uint64_t)((double)ns * share);
        cost->pj = total.pj * share;
    }
}

/* The slice's tokens are evaluated: notes them where others may find them. */
static void note_tokens(const struct ct_slice *slice)
{
    struct ct_session *s = slice->session;
    struct ct_kv *kv = &s->engine->kv;
    if (s->engine->graph.is_encoder) {
        s->n_tok += slice->n_tokens;
        return;
    }
    for (int t = 0; t < slice->n_tokens;) {
        const int i = s->n_tok / CT_PAGE_TOK, room = CT_PAGE_TOK - s->n_tok % CT_PAGE_TOK;
        const int n = slice->n_tokens - t < room ? slice->n_tokens - t : room;
        const int32_t parent = i > 0 ? s->page_ids[i - 1] : ct_kv_root(kv);
        set_page(s, i, ct_kv_note(kv, parent, s->page_ids[i], slice->tokens + t, n));
        s->n_tok += n;
        t += n;
    }
}

#ifndef NDEBUG
/* The books of pages agree with the sessions. */
static bool is_sound(const struct ct_engine *engine)
{
    int64_t n_holders = 0;
    bool is_ok = ct_kv_is_sound(&engine->kv, &n_holders);
    for (int i = 0; i < engine->info.max_sessions; i++)
        if (engine->sessions[i].is_open)
            n_holders -= engine->sessions[i].n_pages;
    return is_ok && n_holders == 0;
}
#endif

/* Runs the slices, which were checked, and books what they took, without the wait for a turn. ops: see
 * ct_engine_profile; or NULL. */
static enum ct_status run(struct ct_engine *engine, struct ct_slice *slices, int n_slices,
                          struct ct_op_cost *ops, struct ct_error *err)
{
    enum ct_status status = count_slices(engine, slices, n_slices, err);
    if (status != CT_OK)
        return status;
    struct ct_batch batch = fill_batch(engine, slices, n_slices);
    ct_pool_enter(engine->pool);
    const uint64_t start_ns = ct_clock_ns();
    ct_energy_meter_begin(engine->meter);
    if (engine->peaks != NULL)
        ct_peaks_run(engine, &batch);
    else if (ops == NULL)
        engine->backend->ops->run(engine->backend, &batch, 0, engine->graph.n_nodes);
    else
        ct_profile_run(engine, &batch, ops);
    share_cost(engine, slices, n_slices, ct_clock_ns() - start_ns);
    ct_pool_leave(engine->pool);
    return CT_OK;
}

enum ct_status ct_engine_step(struct ct_engine *engine, struct ct_slice *slices, int n_slices,
                              struct ct_error *err)
{
    enum ct_status status = check_slices(engine, slices, n_slices, err);
    if (status != CT_OK || n_slices == 0)
        return status;
    status = run(engine, slices, n_slices, NULL, err);
    if (status != CT_OK)
        return status;
    int64_t ld;
    const int last = engine->graph.nodes[engine->graph.n_nodes - 1].out;
    const float *logits = engine->backend->ops->value(engine->backend, last, &ld);
    for (int i = 0; i < n_slices; i++) {
        note_tokens(&slices[i]);
        slices[i].logits = slices[i].n_logits > 0 ? logits : NULL;
        slices[i].ld_logits = ld;
        logits += slices[i].n_logits * ld;
    }
    assert(is_sound(engine));
    return CT_OK;
}

/* A step of one slice that nobody asked for. */
static enum ct_status run_alone(struct ct_engine *engine, int n_tok, int n_logits, int depth,
                                struct ct_op_cost *ops, struct ct_cost *cost)
{
    const size_t n_pixels = ct_image_floats(&engine->info.image);
    struct ct_slice slice = {.n_tokens = n_tok, .n_logits = n_logits};
    int32_t *tokens = calloc(n_tok > 0 ? (size_t)n_tok : 1, sizeof *tokens);
    float *pixels = calloc(n_pixels + 1, sizeof *pixels);
    enum ct_status status = CT_OK;
    if (tokens == NULL || pixels == NULL)
        status = CT_MEMORY;
    slice.tokens = tokens;
    slice.pixels = pixels;
    if (status == CT_OK)
        status = ct_session_open(engine, depth + n_tok, &slice.session);
    if (status == CT_OK) {
        slice.session->n_tok = depth;
        status = check_slices(engine, &slice, 1, NULL);
    }
    if (status == CT_OK)
        status = run(engine, &slice, 1, ops, NULL);
    if (status == CT_OK)
        *cost = slice.cost;
    ct_session_close(slice.session);
    free(tokens);
    free(pixels);
    return status;
}

enum ct_status ct_engine_measure(struct ct_engine *engine, int n_tok, int n_logits, int depth,
                                 struct ct_cost *cost)
{
    return run_alone(engine, n_tok, n_logits, depth, NULL, cost);
}

enum ct_status ct_engine_profile(struct ct_engine *engine, int n_tok, struct ct_op_cost *ops,
                                 int *n)
{
    struct ct_cost cost;
    struct ct_op_cost by_op[CT_N_OPS] = {0};
    *n = 0;
    enum ct_status status = run_alone(engine, n_tok, 1, 0, by_op, &cost);
    for (int i = 0; i < CT_N_OPS && status == CT_OK; i++)
        if (by_op[i].name != NULL)
            ops[(*n)++] = by_op[i];
    return status;
}
