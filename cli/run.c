/* centroid run: one answer for --prompt, or a chat in the terminal.
 *
 * The prompt goes through the model's chat template where it has one (--raw: as it is). In a chat,
 * the session is kept from turn to turn, and only what is new is evaluated. */
#include "cli/cli.h"
#include "cli/run_report.h"
#include "cli/simulated.h"
#include "engine/base/clock.h"
#include "engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    const char *prompt;
    const char *system;
    int64_t max_tokens;
    double temperature;
    double top_p;
    int64_t top_k;
    int64_t seed;
    int64_t n_threads;
    int64_t context_tok;
    int activations;
    int kv;
    struct ct_cli_machine machine;
    const char *page;
    bool is_raw;
    bool wants_cost;
    bool wants_help;

    struct ct_engine *engine;
    struct ct_session *session;
    struct ct_run_report report; /* where a page is wanted */
    int32_t *ids;                /* [context]: what the session has seen */
    int n_ids;
};

/* One turn: what it cost, and the text of the answer. */
struct turn {
    struct ct_cost prefill, decode;
    int n_prompt, n_cached, n_generated;
    char *text;
    size_t n_text, capacity;
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

static enum ct_status append(struct turn *turn, const char *text, size_t n_bytes)
{
    if (turn->n_text + n_bytes + 1 > turn->capacity) {
        size_t capacity = 2 * (turn->n_text + n_bytes) + 256;
        char *larger = realloc(turn->text, capacity);
        if (larger == NULL)
            return CT_MEMORY;
        turn->text = larger;
        turn->capacity = capacity;
    }
    memcpy(turn->text + turn->n_text, text, n_bytes);
    turn->n_text += n_bytes;
    turn->text[turn->n_text] = '\0';
    fwrite(text, 1, n_bytes, stdout);
    fflush(stdout);
    return CT_OK;
}

/* The prompt's tokens after what the session has seen; a session that has seen something else
 * starts anew. Returns how many tokens of ids need not be evaluated. */
static enum ct_status prepare_session(struct run *run, const int32_t *ids, int n_ids, int *n_cached,
                                      struct ct_error *err)
{
    const int n_seen = run->session != NULL ? ct_session_n_tok(run->session) : 0;
    *n_cached = n_seen;
    if (run->session != NULL && n_seen < n_ids &&
        memcmp(ids, run->ids, (size_t)n_seen * sizeof *ids) == 0)
        return CT_OK;
    ct_session_close(run->session);
    *n_cached = 0;
    enum ct_status status =
        ct_session_open(run->engine, ct_engine_info(run->engine)->context_tok, &run->session);
    return status == CT_OK
               ? CT_OK
               : ct_error_set(err, status, "opening a session: %s", ct_status_text(status));
}

/* Evaluates tokens, in steps of what one step takes; the logits of the last are wanted. */
static enum ct_status evaluate(struct run *run, const int32_t *ids, int n, bool is_decode,
                               struct ct_slice *last, struct ct_cost *cost, struct ct_error *err)
{
    const int max_step = ct_engine_info(run->engine)->max_step_tok;
    enum ct_status status = CT_OK;
    for (int i = 0; status == CT_OK && i < n; i += max_step) {
        const bool is_last = i + max_step >= n;
        *last = (struct ct_slice){.session = run->session,
                                  .tokens = ids + i,
                                  .n_tokens = is_last ? n - i : max_step,
                                  .n_logits = is_last ? 1 : 0,
                                  .is_simulated = true};
        const int n_before = ct_session_n_tok(run->session);
        status = ct_engine_step(run->engine, last, 1, err);
        if (status != CT_OK)
            break;
        ct_cost_add(cost, &last->cost);
        if (run->page != NULL)
            status = ct_run_report_add(
                &run->report,
                (struct ct_run_step){last->n_tokens, n_before, last->n_logits, is_decode}, err);
    }
    return status;
}

static enum ct_status generate(struct run *run, struct ct_sampler *sampler, struct ct_slice *last,
                               struct turn *turn, struct ct_error *err)
{
    struct ct_detokenizer detokenizer = {0};
    char out[4096];
    const int context = ct_engine_info(run->engine)->context_tok;
    enum ct_status status = CT_OK;
    while (status == CT_OK && !is_interrupted && turn->n_generated < run->max_tokens) {
        int32_t id = ct_sampler_next(sampler, last->logits, NULL);
        if (ct_engine_is_eos(run->engine, id))
            break;
        turn->n_generated++;
        size_t n_bytes = 0;
        const char *bytes = ct_engine_token_bytes(run->engine, id, &n_bytes);
        if (3 * n_bytes + CT_DETOKENIZER_SLACK > sizeof out)
            return ct_error_set(err, CT_TOO_LARGE, "token %d has %zu bytes", (int)id, n_bytes);
        status = append(turn, out, ct_detokenizer_push(&detokenizer, bytes, n_bytes, out));
        if (status != CT_OK || run->n_ids == context)
            break;
        run->ids[run->n_ids++] = id;
        status = evaluate(run, &run->ids[run->n_ids - 1], 1, true, last, &turn->decode, err);
    }
    if (status == CT_OK)
        status = append(turn, out, ct_detokenizer_finish(&detokenizer, out));
    return status;
}

static enum ct_status answer(struct run *run, const char *text, size_t n_bytes, struct turn *turn,
                             struct ct_error *err)
{
    const int context = ct_engine_info(run->engine)->context_tok;
    const size_t capacity = 3 * n_bytes + CT_AROUND_TOK;
    int32_t *ids = malloc(capacity * sizeof *ids);
    if (ids == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the prompt");
    size_t n_ids = 0;
    struct ct_sampler *sampler = NULL;
    struct ct_slice last;
    enum ct_status status =
        ct_engine_tokenize(run->engine, text, n_bytes, true, ids, capacity, &n_ids);
    if (status != CT_OK)
        ct_error_set(err, status, "the prompt: %s", ct_status_text(status));
    else if (n_ids == 0)
        status = ct_error_set(err, CT_INVALID, "the prompt is empty");
    else if (n_ids > (size_t)context)
        status = ct_error_set(err, CT_CONTEXT, "the prompt has %zu tokens, the context %d", n_ids,
                              context);
    if (status == CT_OK)
        status = prepare_session(run, ids, (int)n_ids, &turn->n_cached, err);
    if (status == CT_OK) {
        memcpy(run->ids, ids, n_ids * sizeof *ids);
        run->n_ids = turn->n_prompt = (int)n_ids;
        const struct ct_sampling sampling = {.temperature = run->temperature,
                                             .top_k = (int)run->top_k,
                                             .top_p = run->top_p,
                                             .seed = (uint64_t)run->seed};
        status = ct_sampler_open(run->engine, &sampling, &sampler, err);
    }
    if (status == CT_OK)
        status = evaluate(run, ids + turn->n_cached, (int)n_ids - turn->n_cached, false, &last,
                          &turn->prefill, err);
    if (status == CT_OK)
        status = generate(run, sampler, &last, turn, err);
    ct_sampler_close(sampler);
    free(ids);
    return status;
}

static void print_cost(const struct run *run, const struct turn *turn)
{
    const double prefill_s = (double)turn->prefill.ns * 1e-9,
                 decode_s = (double)turn->decode.ns * 1e-9;
    fprintf(stderr,
            "[prefill %d tokens (%d cached) %.1f ms %.2f mJ | decode %d tokens %.1f ms %.2f mJ, "
            "%.1f tokens/s | energy: %s]\n",
            turn->n_prompt, turn->n_cached, prefill_s * 1e3, turn->prefill.pj * 1e-9,
            turn->n_generated, decode_s * 1e3, turn->decode.pj * 1e-9,
            decode_s > 0 ? turn->n_generated / decode_s : 0,
            ct_engine_info(run->engine)->energy_source);
    ct_cli_print_simulated(ct_engine_info(run->engine), 2, (const char *[]){"prefill", "decode"},
                           (const struct ct_cost *[]){&turn->prefill, &turn->decode});
}

static enum ct_status run_prompt(struct run *run, struct ct_error *err)
{
    char *text = NULL;
    size_t n_bytes = strlen(run->prompt);
    struct turn turn = {0};
    enum ct_status status = CT_OK;
    if (!run->is_raw && ct_engine_info(run->engine)->has_chat_template) {
        struct ct_message messages[2];
        size_t n = 0;
        if (run->system != NULL)
            messages[n++] = (struct ct_message){"system", run->system, strlen(run->system)};
        messages[n++] = (struct ct_message){"user", run->prompt, n_bytes};
        status = ct_engine_chat(run->engine, messages, n, &text, &n_bytes, err);
    }
    if (status == CT_OK)
        status = answer(run, text != NULL ? text : run->prompt, n_bytes, &turn, err);
    if (status == CT_OK) {
        putchar('\n');
        fflush(stdout);
        if (run->wants_cost)
            print_cost(run, &turn);
    }
    free(turn.text);
    free(text);
    return status;
}

/* ---- chat ---- */

struct chat {
    struct ct_message *messages;
    size_t n, capacity;
};

static enum ct_status chat_add(struct chat *chat, const char *role, char *content, size_t n_bytes,
                               struct ct_error *err)
{
    if (content != NULL && chat->n == chat->capacity) {
        size_t capacity = chat->capacity > 0 ? 2 * chat->capacity : 16;
        struct ct_message *larger = realloc(chat->messages, capacity * sizeof *larger);
        if (larger != NULL) {
            chat->messages = larger;
            chat->capacity = capacity;
        }
    }
    if (content == NULL || chat->n == chat->capacity) {
        free(content);
        return ct_error_set(err, CT_MEMORY, "no memory for the conversation");
    }
    chat->messages[chat->n++] = (struct ct_message){role, content, n_bytes};
    return CT_OK;
}

static enum ct_status chat_turn(struct run *run, struct chat *chat, struct ct_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    struct turn turn = {0};
    enum ct_status status =
        ct_engine_chat(run->engine, chat->messages, chat->n, &text, &n_bytes, err);
    if (status == CT_OK)
        status = answer(run, text, n_bytes, &turn, err);
    free(text);
    if (status != CT_OK) {
        free(turn.text);
        return status;
    }
    putchar('\n');
    fflush(stdout);
    if (run->wants_cost)
        print_cost(run, &turn);
    return chat_add(chat, "assistant", turn.text, turn.n_text, err);
}

static enum ct_status run_chat(struct run *run, struct ct_error *err)
{
    struct chat chat = {0};
    enum ct_status status = CT_OK;
    if (!ct_engine_info(run->engine)->has_chat_template)
        return ct_error_set(err, CT_UNSUPPORTED, "the model has no chat template; give --prompt");
    if (run->system != NULL)
        status = chat_add(&chat, "system", strdup(run->system), strlen(run->system), err);
    const bool is_terminal = isatty(STDIN_FILENO);
    if (is_terminal)
        fprintf(stderr, "%s: write a message, end with Ctrl-D\n",
                ct_engine_info(run->engine)->name);
    char *line = NULL;
    size_t capacity = 0;
    while (status == CT_OK) {
        if (is_terminal)
            fputs("> ", stderr);
        is_interrupted = 0;
        ssize_t n = getline(&line, &capacity, stdin);
        if (n < 0)
            break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = '\0';
        if (n == 0)
            continue;
        status = chat_add(&chat, "user", strdup(line), (size_t)n, err);
        if (status == CT_OK)
            status = chat_turn(run, &chat, err);
    }
    if (is_terminal)
        fputc('\n', stderr);
    free(line);
    for (size_t i = 0; i < chat.n; i++)
        free((char *)chat.messages[i].content);
    free(chat.messages);
    return status;
}

static enum ct_status run_model(struct run *run, const char *model, struct ct_error *err)
{
    struct ct_engine_options options = {
        .n_threads = (int)run->n_threads,
        .context_tok = (int)run->context_tok,
        .max_sessions = 1,
        .activations = (enum ct_activations)run->activations,
        .kv = (enum ct_kv_type)run->kv,
    };
    enum ct_status status = ct_cli_choose_machine(&run->machine, &options, err);
    if (status == CT_OK)
        status = ct_engine_open(model, &options, &run->engine, err);
    if (status != CT_OK)
        return status;
    if (ct_engine_info(run->engine)->is_encoder)
        status = ct_error_set(err, CT_INVALID, "%s is an encoder: it generates no text", model);
    else if (run->page != NULL && ct_engine_info(run->engine)->simulated == NULL)
        status =
            ct_error_set(err, CT_INVALID, "--report is of a simulated machine: give --backend");
    if (status != CT_OK) {
        ct_engine_close(run->engine);
        return status;
    }
    run->ids = malloc((size_t)ct_engine_info(run->engine)->context_tok * sizeof *run->ids);
    if (run->ids == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %d tokens",
                              ct_engine_info(run->engine)->context_tok);
    else
        status = run->prompt != NULL ? run_prompt(run, err) : run_chat(run, err);
    if (status == CT_OK && run->page != NULL)
        status = ct_run_report_write(&run->report, run->engine, run->page, err);
    ct_run_report_deinit(&run->report);
    ct_session_close(run->session);
    ct_engine_close(run->engine);
    free(run->ids);
    return status;
}

int ct_cli_run(int argc, char **argv)
{
    struct run run = {.max_tokens = 512, .temperature = 0, .top_p = 1};
    const struct ct_option options[] = {
        {"prompt", "TEXT", "answer this and end; without it, chat in the terminal", CT_OPTION_TEXT,
         &run.prompt, 0, 0, NULL},
        {"system", "TEXT", "a system message before the conversation", CT_OPTION_TEXT, &run.system,
         0, 0, NULL},
        {"raw", NULL, "continue the prompt as it is, without the chat template", CT_OPTION_FLAG,
         &run.is_raw, 0, 0, NULL},
        {"max-tokens", "N", "tokens to generate at most (512)", CT_OPTION_INT, &run.max_tokens, 1,
         1e9, NULL},
        {"temperature", "T", "0 is greedy (0)", CT_OPTION_FLOAT, &run.temperature, 0, 100, NULL},
        {"top-p", "P", "draw from the smallest set of this probability (1)", CT_OPTION_FLOAT,
         &run.top_p, 0, 1, NULL},
        {"top-k", "K", "draw from the K likeliest tokens; 0 is all (0)", CT_OPTION_INT, &run.top_k,
         0, 1e9, NULL},
        {"seed", "N", "of the draws (0)", CT_OPTION_INT, &run.seed, 0, 9e15, NULL},
        {"threads", "N", "worker threads (all processors)", CT_OPTION_INT, &run.n_threads, 1, 256,
         NULL},
        {"context", "N", "tokens of the conversation at most (the model's own)", CT_OPTION_INT,
         &run.context_tok, 1, 1 << 24, NULL},
        {"activations", "MODE",
         "int8, float, w8a8 as int8 accelerators have it, or ibert, integers throughout (int8)",
         CT_OPTION_CHOICE, &run.activations, 0, 0, "int8|float|w8a8|ibert"},
        {"kv", "TYPE", "how keys and values are kept: f16, or int8 in half of that (f16)",
         CT_OPTION_CHOICE, &run.kv, 0, 0, "f16|int8"},
        ct_cli_backend_option(&run.machine),
        ct_cli_preset_option(&run.machine),
        ct_cli_config_option(&run.machine),
        {"report", "FILE",
         "writes a page of HTML about the simulated machine: timeline, roofline, energy, operators",
         CT_OPTION_TEXT, &run.page, 0, 0, NULL},
        {"cost", NULL, "print time and energy of each answer, by phase", CT_OPTION_FLAG,
         &run.wants_cost, 0, 0, NULL},
        {"help", NULL, "print this", CT_OPTION_FLAG, &run.wants_help, 0, 0, NULL},
        {0},
    };
    const struct ct_cli_usage usage = {
        "run MODEL [OPTION...]",
        "Generates text. MODEL is a directory or a GGUF file. Without --prompt it is a chat: one\n"
        "message a line, Ctrl-C stops an answer, Ctrl-D ends.",
        1, "MODEL"};
    const char *positional[1];
    int n_positional, exit_code;
    if (!ct_cli_parse(&usage, options, argc, argv, &run.wants_help, positional, 1, &n_positional,
                      &exit_code))
        return exit_code;
    const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    if (run.prompt == NULL)
        sigaction(SIGINT, &action, NULL);
    struct ct_error err;
    return run_model(&run, positional[0], &err) == CT_OK ? CT_EXIT_OK : ct_cli_fail("run", &err);
}
