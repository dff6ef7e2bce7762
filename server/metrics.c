#include "server/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const double seconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                 0.5,   1,      2.5,   5,    10,    30,   60,  300};
static const double token_seconds[] = {0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015,
                                       0.02,   0.03,  0.05,  0.075, 0.1,   0.2,    0.5,  1};

static void histogram_init(struct ct_histogram *h, const double *bounds, size_t n_bounds)
{
    *h = (struct ct_histogram){.bounds = bounds, .n_bounds = (int)n_bounds};
}

static void histogram_add(struct ct_histogram *h, double x)
{
    int i = 0;
    while (i < h->n_bounds && x > h->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += x;
}

void ct_metrics_init(struct ct_metrics *metrics)
{
    memset(metrics, 0, sizeof *metrics);
    histogram_init(&metrics->queue_s, seconds, CT_MAX_BUCKETS);
    histogram_init(&metrics->first_token_s, seconds, CT_MAX_BUCKETS);
    histogram_init(&metrics->token_s, token_seconds, CT_MAX_BUCKETS);
    histogram_init(&metrics->request_s, seconds, CT_MAX_BUCKETS);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    metrics->start_s = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void ct_metrics_add(struct ct_metrics *metrics, const struct ct_request *request, bool is_cancelled)
{
    struct ct_ledger ledger;
    ct_request_ledger(request, &ledger);
    metrics->n_prompt_tok += (uint64_t)ledger.n_prompt_tok;
    metrics->n_generated_tok += (uint64_t)ledger.n_generated_tok;
    metrics->prefill_j += ledger.prefill.pj * 1e-12;
    metrics->decode_j += ledger.decode.pj * 1e-12;
    if (is_cancelled) {
        metrics->n_cancelled++;
        return;
    }
    double queue_s = (double)ledger.queue_ns * 1e-9, prefill_s = (double)ledger.prefill_ns * 1e-9;
    histogram_add(&metrics->queue_s, queue_s);
    histogram_add(&metrics->first_token_s, queue_s + prefill_s);
    histogram_add(&metrics->request_s, queue_s + prefill_s + (double)ledger.decode_ns * 1e-9);
    for (int i = 0; i < request->n_sequences; i++) {
        const struct ct_sequence *s = &request->sequences[i];
        if (s->n_generated > 1)
            histogram_add(&metrics->token_s,
                          (double)(s->done_ns - s->first_ns) * 1e-9 / (s->n_generated - 1));
    }
}

/* ---- text ---- */

static void head(struct ct_buffer *out, const char *name, const char *type, const char *help)
{
    ct_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(struct ct_buffer *out, const char *name, const char *type, const char *help,
                   double x)
{
    head(out, name, type, help);
    ct_buffer_printf(out, "%s %.17g\n", name, x);
}

static void histogram(struct ct_buffer *out, const char *name, const char *help,
                      const struct ct_histogram *h)
{
    uint64_t n = 0;
    head(out, name, "histogram", help);
    for (int i = 0; i < h->n_bounds; i++) {
        n += h->counts[i];
        ct_buffer_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, h->bounds[i],
                         (unsigned long long)n);
    }
    n += h->counts[h->n_bounds];
    ct_buffer_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name,
                     (unsigned long long)n, name, h->sum, name, (unsigned long long)n);
}

static void write_answers(const struct ct_metrics *metrics, struct ct_buffer *out)
{
    head(out, "centroid_http_requests_total", "counter",
         "Requests answered, by route and status code.");
    for (int r = 0; r <= CT_N_ROUTES; r++)
        for (int code = 0; code < CT_N_STATUS_CODES; code++)
            if (metrics->n_answers[r][code] > 0)
                ct_buffer_printf(out,
                                 "centroid_http_requests_total{route=\"%s\",code=\"%d\"} %llu\n",
                                 r < CT_N_ROUTES ? ct_routes[r].path : "", code,
                                 (unsigned long long)metrics->n_answers[r][code]);
}

static double resident_bytes(void)
{
    unsigned long n_pages = 0, n_resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu %lu", &n_pages, &n_resident) != 2)
        n_resident = 0;
    fclose(file);
    return (double)n_resident * (double)sysconf(_SC_PAGESIZE);
}

static void write_process(const struct ct_metrics *metrics, struct ct_buffer *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    number(out, "process_cpu_seconds_total", "counter", "Processor time used.", cpu_s);
    number(out, "process_resident_memory_bytes", "gauge",
           "Resident memory, mapped weights included.", resident_bytes());
    number(out, "process_start_time_seconds", "gauge", "When the process started, since 1970.",
           metrics->start_s);
}

static void write_engine(const struct ct_batcher_stats *stats, const struct ct_model *model,
                         struct ct_buffer *out)
{
    const struct ct_roster_stats *roster = &stats->roster;
    head(out, "centroid_model_info", "gauge", "The model that is served.");
    ct_buffer_text(out, "centroid_model_info{model=");
    ct_buffer_json(out, model->name, strlen(model->name));
    ct_buffer_printf(out, ",family=\"%s\",backend=\"%s\",energy_source=\"%s\"} 1\n",
                     model->info->family, model->info->backend, model->info->energy_source);
    number(out, "centroid_sequences_running", "gauge", "Answers that have a session.",
           roster->n_running);
    number(out, "centroid_sequences_waiting", "gauge", "Answers that wait for one.",
           roster->n_waiting);
    number(out, "centroid_steps_total", "counter", "Steps of the engine.", (double)roster->n_steps);
    number(out, "centroid_step_seconds_total", "counter", "Time in steps.",
           (double)roster->step_ns * 1e-9);
    head(out, "centroid_evaluated_tokens_total", "counter", "Tokens evaluated, by phase.");
    ct_buffer_printf(out,
                     "centroid_evaluated_tokens_total{phase=\"prefill\"} %llu\n"
                     "centroid_evaluated_tokens_total{phase=\"decode\"} %llu\n",
                     (unsigned long long)roster->n_prefill_tok,
                     (unsigned long long)roster->n_decode_tok);
    number(out, "centroid_prefix_cache_queried_tokens_total", "counter",
           "Tokens of prompts that were read.", (double)roster->n_prompt_tok);
    number(out, "centroid_prefix_cache_hit_tokens_total", "counter",
           "Of these, tokens that need not be read again.", (double)roster->n_cached_tok);
    number(out, "centroid_preemptions_total", "counter",
           "Sequences that gave their keys and values up to others, to be read again.",
           (double)roster->n_yields);
    head(out, "centroid_kv_pages", "gauge",
         "Pages of keys and values: held by sequences, kept for reuse, or free.");
    ct_buffer_printf(out,
                     "centroid_kv_pages{state=\"held\"} %d\ncentroid_kv_pages{state=\"kept\"} %d\n"
                     "centroid_kv_pages{state=\"free\"} %d\n",
                     roster->pages.n_held, roster->pages.n_kept, roster->pages.n_free);
}

void ct_metrics_write(const struct ct_metrics *metrics, const struct ct_batcher_stats *stats,
                      const struct ct_model *model, int n_connections, struct ct_buffer *out)
{
    write_answers(metrics, out);
    number(out, "centroid_connections", "gauge", "Open connections.", n_connections);
    number(out, "centroid_requests_cancelled_total", "counter",
           "Requests for text that ended without an answer.", (double)metrics->n_cancelled);
    number(out, "centroid_prompt_tokens_total", "counter",
           "Tokens of prompts, of requests that ended.", (double)metrics->n_prompt_tok);
    number(out, "centroid_generated_tokens_total", "counter", "Tokens generated.",
           (double)metrics->n_generated_tok);
    head(out, "centroid_energy_joules_total", "counter", "Energy of answers, by phase.");
    ct_buffer_printf(out,
                     "centroid_energy_joules_total{phase=\"prefill\"} %.9g\n"
                     "centroid_energy_joules_total{phase=\"decode\"} %.9g\n",
                     metrics->prefill_j, metrics->decode_j);
    histogram(out, "centroid_queue_seconds", "From arrival to a session.", &metrics->queue_s);
    histogram(out, "centroid_time_to_first_token_seconds", "From arrival to the first token.",
              &metrics->first_token_s);
    histogram(out, "centroid_time_per_output_token_seconds",
              "Mean time between the tokens of an answer.", &metrics->token_s);
    histogram(out, "centroid_request_seconds", "From arrival to the last token.",
              &metrics->request_s);
    if (stats != NULL)
        write_engine(stats, model, out);
    write_process(metrics, out);
}
