#include "server/reply.h"

#include <string.h>

/* Events are made ahead of the socket up to this many bytes; the rest waits in the rings. */
enum { MAX_OUT_BYTES = 16384 };

enum ct_status ct_reply_init(struct ct_reply *reply, struct ct_request *request)
{
    *reply = (struct ct_reply){.request = request};
    reply->choices =
        ct_arena_alloc(&request->arena, (size_t)request->n_sequences * sizeof *reply->choices);
    return reply->choices ? CT_OK : CT_MEMORY;
}

void ct_reply_deinit(struct ct_reply *reply)
{
    for (int i = 0; reply->choices != NULL && i < reply->request->n_sequences; i++) {
        ct_buffer_deinit(&reply->choices[i].text);
        for (int k = 0; k < CT_N_LOGPROB_ARRAYS; k++)
            ct_buffer_deinit(&reply->choices[i].logprobs[k]);
    }
    ct_buffer_deinit(&reply->out);
}

/* ---- records ---- */

static void write_bytes(struct ct_buffer *out, const char *bytes, size_t n_bytes)
{
    ct_buffer_text(out, ",\"bytes\":[");
    for (size_t i = 0; i < n_bytes; i++)
        ct_buffer_printf(out, i ? ",%u" : "%u", (unsigned char)bytes[i]);
    ct_buffer_text(out, "]");
}

static void write_chat_logprob(const struct ct_reply *reply, struct ct_buffer *out,
                               const struct ct_logprob *p)
{
    size_t n = 0;
    const char *bytes = ct_engine_token_bytes(reply->request->model->engine, p->token, &n);
    ct_buffer_text(out, "{\"token\":");
    ct_buffer_json(out, bytes, n);
    ct_buffer_printf(out, ",\"logprob\":%.6g", p->logprob);
    write_bytes(out, bytes, n);
}

static void add_chat_logprobs(const struct ct_reply *reply, struct ct_choice *choice,
                              const struct ct_record *record, const struct ct_logprob *top)
{
    struct ct_buffer *out = &choice->logprobs[CT_LOGPROB_TOKENS];
    ct_buffer_text(out, out->n_bytes ? "," : "");
    write_chat_logprob(reply, out, &record->chosen);
    ct_buffer_text(out, ",\"top_logprobs\":[");
    for (int i = 0; i < record->n_top; i++) {
        ct_buffer_text(out, i ? "," : "");
        write_chat_logprob(reply, out, &top[i]);
        ct_buffer_text(out, "}");
    }
    ct_buffer_text(out, "]}");
}

static void add_completion_logprobs(const struct ct_reply *reply, struct ct_choice *choice,
                                    const struct ct_record *record, const struct ct_logprob *top)
{
    size_t n = 0;
    const char *bytes =
        ct_engine_token_bytes(reply->request->model->engine, record->chosen.token, &n);
    const char *comma = choice->logprobs[CT_LOGPROB_TOKENS].n_bytes ? "," : "";
    for (int k = 0; k < CT_N_LOGPROB_ARRAYS; k++)
        ct_buffer_text(&choice->logprobs[k], comma);
    ct_buffer_json(&choice->logprobs[CT_LOGPROB_TOKENS], bytes, n);
    ct_buffer_printf(&choice->logprobs[CT_LOGPROB_VALUES], "%.6g", record->chosen.logprob);
    ct_buffer_printf(&choice->logprobs[CT_LOGPROB_OFFSETS], "%lld", (long long)choice->n_chars);
    for (size_t i = 0; i < n; i++)
        choice->n_chars += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    struct ct_buffer *out = &choice->logprobs[CT_LOGPROB_TOP];
    ct_buffer_text(out, "{");
    for (int i = 0; i < record->n_top; i++) {
        bytes = ct_engine_token_bytes(reply->request->model->engine, top[i].token, &n);
        ct_buffer_text(out, i ? "," : "");
        ct_buffer_json(out, bytes, n);
        ct_buffer_printf(out, ":%.6g", top[i].logprob);
    }
    ct_buffer_text(out, "}");
}

/* Text is escaped piece by piece, each of whole characters. */
static void take_text(struct ct_sequence *sequence, size_t n_left, struct ct_buffer *out)
{
    char piece[512];
    while (n_left > 0) {
        size_t n = n_left < sizeof piece - 4 ? n_left : sizeof piece - 4;
        ct_ring_get(&sequence->ring, piece, n);
        n_left -= n;
        while (n_left > 0 && ((unsigned char)ct_ring_peek(&sequence->ring) & 0xc0) == 0x80) {
            ct_ring_get(&sequence->ring, piece + n++, 1);
            n_left--;
        }
        ct_buffer_json_part(out, piece, n);
    }
}

/* Takes one record out of sequence i's ring, if there is one, and adds it to its choice. */
static bool take_record(struct ct_reply *reply, int i)
{
    struct ct_sequence *sequence = &reply->request->sequences[i];
    struct ct_choice *choice = &reply->choices[i];
    if (ct_ring_filled(&sequence->ring) == 0)
        return false;
    struct ct_record record;
    struct ct_logprob top[CT_MAX_TOP_LOGPROBS];
    ct_ring_get(&sequence->ring, &record, sizeof record);
    ct_ring_get(&sequence->ring, top, (size_t)record.n_top * sizeof *top);
    take_text(sequence, record.n_text, &choice->text);
    ct_batcher_read_from(reply->request->model->batcher, sequence);
    if (record.chosen.token >= 0 && reply->request->kind == CT_REQUEST_CHAT)
        add_chat_logprobs(reply, choice, &record, top);
    else if (record.chosen.token >= 0)
        add_completion_logprobs(reply, choice, &record, top);
    return true;
}

void ct_reply_collect(struct ct_reply *reply)
{
    for (int i = 0; i < reply->request->n_sequences; i++)
        while (take_record(reply, i))
            ;
}

bool ct_reply_has_records(const struct ct_reply *reply)
{
    for (int i = 0; i < reply->request->n_sequences; i++)
        if (ct_ring_filled(&reply->request->sequences[i].ring) > 0)
            return true;
    return false;
}

enum ct_status ct_reply_check(const struct ct_reply *reply, struct ct_refusal *refusal)
{
    for (int i = 0; i < reply->request->n_sequences; i++) {
        const struct ct_error *error = &reply->request->sequences[i].error;
        if (error->status != CT_OK)
            return ct_refuse(refusal, ct_status_http(error->status), NULL, NULL, "%s",
                             error->message);
    }
    return CT_OK;
}

/* ---- JSON ---- */

static void write_head(const struct ct_reply *reply, bool is_chunk, struct ct_buffer *out)
{
    const struct ct_request *request = reply->request;
    const char *object = request->kind == CT_REQUEST_COMPLETION ? "text_completion"
                         : is_chunk                             ? "chat.completion.chunk"
                                                                : "chat.completion";
    ct_buffer_printf(out,
                     "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", request->id,
                     object, (long long)request->created_s);
    ct_buffer_json(out, reply->request->model->name, strlen(reply->request->model->name));
    ct_buffer_printf(out, ",\"system_fingerprint\":\"centroid-%s-%s\",\"choices\":[",
                     CENTROID_VERSION, reply->request->model->info->backend);
}

static void write_logprobs(const struct ct_reply *reply, const struct ct_choice *choice,
                           struct ct_buffer *out)
{
    static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    if (!reply->request->has_logprobs) {
        ct_buffer_text(out, "\"logprobs\":null,");
        return;
    }
    bool is_chat = reply->request->kind == CT_REQUEST_CHAT;
    ct_buffer_text(out, "\"logprobs\":{");
    for (int k = 0; k < (is_chat ? 1 : CT_N_LOGPROB_ARRAYS); k++) {
        ct_buffer_printf(out, "%s\"%s\":[", k ? "," : "", is_chat ? "content" : names[k]);
        ct_buffer_append(out, choice->logprobs[k].data, choice->logprobs[k].n_bytes);
        ct_buffer_text(out, "]");
    }
    ct_buffer_text(out, is_chat ? ",\"refusal\":null}," : "},");
}

static void write_finish(enum ct_finish finish, struct ct_buffer *out)
{
    static const char *const reasons[] = {"null", "\"stop\"", "\"length\""};
    ct_buffer_printf(out, "\"finish_reason\":%s}", reasons[finish]);
}

static void write_usage(const struct ct_ledger *ledger, struct ct_buffer *out)
{
    ct_buffer_printf(
        out,
        ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
        "\"prompt_tokens_details\":{\"cached_tokens\":%lld}}",
        (long long)ledger->n_prompt_tok, (long long)ledger->n_generated_tok,
        (long long)(ledger->n_prompt_tok + ledger->n_generated_tok),
        (long long)ledger->n_cached_tok);
}

static void write_simulated(const struct ct_engine_info *info, const char *phase,
                            const struct ct_simulated *simulated, struct ct_buffer *out)
{
    ct_buffer_printf(out,
                     ",\"%s\":{\"cycles\":%.0f,\"host_cycles\":%.0f,\"ms\":%.6g,"
                     "\"macs\":%.0f,\"utilisation\":%.6g,\"dram_bytes\":%.0f,"
                     "\"energy_mj\":{\"total\":%.6g",
                     phase, simulated->cycles, simulated->host_cycles,
                     simulated->cycles / info->simulated_ghz * 1e-6, simulated->macs,
                     ct_simulated_utilisation(simulated), simulated->dram_bytes,
                     ct_simulated_pj(simulated) * 1e-9);
    for (int i = 0; i < CT_SIMULATED_PARTS; i++)
        ct_buffer_printf(out, ",\"%s\":%.6g", ct_simulated_part_name((enum ct_simulated_part)i),
                         simulated->pj[i] * 1e-9);
    ct_buffer_text(out, "}}");
}

void ct_reply_write_cost(const struct ct_request *request, const struct ct_ledger *ledger,
                         struct ct_buffer *out)
{
    const struct ct_engine_info *info = request->model->info;
    ct_buffer_printf(out,
                     ",\"centroid\":{\"queue_ms\":%.3f,\"prefill_ms\":%.3f,\"decode_ms\":%.3f,"
                     "\"energy_mj\":{\"prefill\":%.6g,\"decode\":%.6g},\"energy_source\":",
                     (double)ledger->queue_ns * 1e-6, (double)ledger->prefill_ns * 1e-6,
                     (double)ledger->decode_ns * 1e-6, ledger->prefill.pj * 1e-9,
                     ledger->decode.pj * 1e-9);
    ct_buffer_json(out, info->energy_source, strlen(info->energy_source));
    ct_buffer_printf(out, ",\"backend\":\"%s\"", info->backend);
    if (request->is_simulated && !request->is_estimate) {
        ct_buffer_printf(out, ",\"simulated\":{\"backend\":\"%s\",\"clock_ghz\":%.9g",
                         info->simulated, info->simulated_ghz);
        write_simulated(info, "prefill", &ledger->prefill.simulated, out);
        write_simulated(info, "decode", &ledger->decode.simulated, out);
        ct_buffer_text(out, "}");
    }
    ct_buffer_text(out, "}");
}

void ct_reply_write_estimate(const struct ct_request *request, struct ct_buffer *out)
{
    const struct ct_model *model = request->model;
    const struct ct_ledger *estimate = &request->estimate;
    ct_buffer_text(out, "{\"object\":\"estimate\",\"model\":");
    ct_buffer_json(out, model->name, strlen(model->name));
    ct_buffer_printf(out,
                     ",\"prompt_tokens\":%lld,\"cached_tokens\":%lld,\"max_output_tokens\":%lld",
                     (long long)estimate->n_prompt_tok, (long long)estimate->n_cached_tok,
                     (long long)estimate->n_generated_tok);
    ct_reply_write_cost(request, estimate, out);
    ct_buffer_text(out, "}");
}

void ct_reply_write(struct ct_reply *reply, struct ct_buffer *out)
{
    struct ct_ledger ledger;
    ct_request_ledger(reply->request, &ledger);
    write_head(reply, false, out);
    bool is_chat = reply->request->kind == CT_REQUEST_CHAT;
    for (int i = 0; i < reply->request->n_sequences; i++) {
        struct ct_choice *choice = &reply->choices[i];
        ct_buffer_printf(out, "%s{\"index\":%d,%s", i ? "," : "", i,
                         is_chat ? "\"message\":{\"role\":\"assistant\",\"content\":\""
                                 : "\"text\":\"");
        ct_buffer_append(out, choice->text.data, choice->text.n_bytes);
        out->is_short |= choice->text.is_short;
        ct_buffer_text(out, is_chat ? "\",\"refusal\":null}," : "\",");
        write_logprobs(reply, choice, out);
        write_finish(reply->request->sequences[i].finish, out);
    }
    ct_buffer_text(out, "]");
    write_usage(&ledger, out);
    ct_reply_write_cost(reply->request, &ledger, out);
    ct_buffer_text(out, "}");
}

/* ---- events ---- */

/* One event for choice i: what its buffers hold, which are emptied; finish CT_FINISH_NONE for all
 * but the last. ledger: NULL, or the cost to tell with it. */
static void write_event(struct ct_reply *reply, int i, enum ct_finish finish,
                        const struct ct_ledger *ledger)
{
    struct ct_choice *choice = &reply->choices[i];
    struct ct_buffer *out = &reply->out;
    ct_buffer_text(out, "data: ");
    write_head(reply, true, out);
    ct_buffer_printf(out, "{\"index\":%d,", i);
    if (reply->request->kind == CT_REQUEST_COMPLETION) {
        ct_buffer_text(out, "\"text\":\"");
        ct_buffer_append(out, choice->text.data, choice->text.n_bytes);
        ct_buffer_text(out, "\",");
    } else {
        ct_buffer_text(out, "\"delta\":{");
        if (!choice->has_begun)
            ct_buffer_text(out, "\"role\":\"assistant\",");
        if (finish == CT_FINISH_NONE || !choice->has_begun) {
            ct_buffer_text(out, "\"content\":\"");
            ct_buffer_append(out, choice->text.data, choice->text.n_bytes);
            ct_buffer_text(out, "\"");
        }
        ct_buffer_text(out, "},");
    }
    choice->has_begun = true;
    write_logprobs(reply, choice, out);
    write_finish(finish, out);
    ct_buffer_text(out, reply->request->has_usage ? "],\"usage\":null" : "]");
    if (ledger != NULL)
        ct_reply_write_cost(reply->request, ledger, out);
    ct_buffer_text(out, "}\n\n");
    out->is_short |= choice->text.is_short;
    choice->text.n_bytes = 0;
    for (int k = 0; k < CT_N_LOGPROB_ARRAYS; k++)
        choice->logprobs[k].n_bytes = 0;
}

/* The events after all records: how each choice ended, what it took, and that this was all. */
static void write_end(struct ct_reply *reply)
{
    struct ct_request *request = reply->request;
    struct ct_refusal refusal;
    reply->is_over = true;
    if (ct_reply_check(reply, &refusal) != CT_OK) {
        reply->is_broken = true;
        ct_buffer_text(&reply->out, "data: ");
        ct_refusal_write(&refusal, &reply->out);
        ct_buffer_text(&reply->out, "\n\n");
        return;
    }
    struct ct_ledger ledger;
    ct_request_ledger(request, &ledger);
    for (int i = 0; i < request->n_sequences; i++) {
        bool is_last = i + 1 == request->n_sequences && !request->has_usage;
        write_event(reply, i, request->sequences[i].finish, is_last ? &ledger : NULL);
    }
    if (request->has_usage) {
        ct_buffer_text(&reply->out, "data: ");
        write_head(reply, true, &reply->out);
        ct_buffer_text(&reply->out, "]");
        write_usage(&ledger, &reply->out);
        ct_reply_write_cost(reply->request, &ledger, &reply->out);
        ct_buffer_text(&reply->out, "}\n\n");
    }
    ct_buffer_text(&reply->out, "data: [DONE]\n\n");
}

size_t ct_reply_pull(struct ct_reply *reply, bool is_finished, char *out, size_t max)
{
    if (reply->n_sent == reply->out.n_bytes) {
        reply->out.n_bytes = reply->n_sent = 0;
        bool has_more = true;
        while (has_more && reply->out.n_bytes < MAX_OUT_BYTES) {
            has_more = false;
            for (int i = 0; i < reply->request->n_sequences; i++) {
                if (take_record(reply, i)) {
                    write_event(reply, i, CT_FINISH_NONE, NULL);
                    has_more = true;
                }
            }
        }
        if (is_finished && !has_more && !reply->is_over)
            write_end(reply);
        if (reply->out.is_short)
            reply->is_over = reply->is_broken = true;
    }
    size_t n = reply->out.n_bytes - reply->n_sent;
    if (n > max)
        n = max;
    if (n > 0)
        memcpy(out, reply->out.data + reply->n_sent, n);
    reply->n_sent += n;
    return n;
}
