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
    for (int i = 0; i < CT_MAX_MODELS; i++) {
        struct ct_model_metrics *sums = &metrics->models[i];
        histogram_init(&sums->queue_s, seconds, CT_MAX_BUCKETS);
        histogram_init(&sums->first_token_s, seconds, CT_MAX_BUCKETS);
        histogram_init(&sums->token_s, token_seconds, CT_MAX_BUCKETS);
        histogram_init(&sums->request_s, seconds, CT_MAX_BUCKETS);
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    metrics->start_s = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void ct_metrics_add(struct ct_metrics *metrics, const struct ct_request *request, bool is_cancelled)
{
    struct ct_model_metrics *sums = &metrics->models[request->model->index];
    struct ct_ledger ledger;
    ct_request_ledger(request, &ledger);
    sums->n_prompt_tok += (uint64_t)ledger.n_prompt_tok;
    sums->n_generated_tok += (uint64_t)ledger.n_generated_tok;
    ct_cost_add(&sums->prefill, &ledger.prefill);
    ct_cost_add(&sums->decode, &ledger.decode);
    if (is_cancelled) {
        sums->n_cancelled++;
        return;
    }
    double queue_s = (double)ledger.queue_ns * 1e-9, prefill_s = (double)ledger.prefill_ns * 1e-9;
    histogram_add(&sums->queue_s, queue_s);
    histogram_add(&sums->first_token_s, queue_s + prefill_s);
    histogram_add(&sums->request_s, queue_s + prefill_s + (double)ledger.decode_ns * 1e-9);
    for (int i = 0; i < request->n_sequences; i++) {
        const struct ct_sequence *s = &request->sequences[i];
        if (s->n_generated > 1)
            histogram_add(&sums->token_s,
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

/* The front of a line, up to the model's label. */
static void sample(struct ct_buffer *out, const char *name, const char *ending,
                   const struct ct_model *model)
{
    ct_buffer_printf(out, "%s%s{model=", name, ending);
    ct_buffer_json(out, model->name, strlen(model->name));
}

/* Each model's histogram at this place in struct ct_model_metrics. */
static void histograms(struct ct_buffer *out, const struct ct_metrics *metrics,
                       const struct ct_models *models, size_t offset, const char *name,
                       const char *help)
{
    head(out, name, "histogram", help);
    for (int m = 0; m < models->n; m++) {
        const struct ct_histogram *h = (const void *)((const char *)&metrics->models[m] + offset);
        uint64_t n = 0;
        for (int i = 0; i < h->n_bounds; i++) {
            n += h->counts[i];
            sample(out, name, "_bucket", &models->all[m]);
            ct_buffer_printf(out, ",le=\"%g\"} %llu\n", h->bounds[i], (unsigned long long)n);
        }
        n += h->counts[h->n_bounds];
        sample(out, name, "_bucket", &models->all[m]);
        ct_buffer_printf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)n);
        sample(out, name, "_sum", &models->all[m]);
        ct_buffer_printf(out, "} %.9g\n", h->sum);
        sample(out, name, "_count", &models->all[m]);
        ct_buffer_printf(out, "} %llu\n", (unsigned long long)n);
    }
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

/* ---- the models' ---- */

static const struct {
    const char *name, *type, *labels, *help;
    bool is_simulated;
} series[] = {
#define CT_METRIC(name, type, labels, value, help)           {name, type, labels, help, false},
#define CT_METRIC_SIMULATED(name, type, labels, value, help) {name, type, labels, help, true},
#include "server/metrics.def"
#undef CT_METRIC
#undef CT_METRIC_SIMULATED
};
enum { N_SERIES = sizeof series / sizeof series[0] };

static void evaluate(const struct ct_model_metrics *sums, const struct ct_model *model,
                     double values[N_SERIES])
{
    struct ct_batcher_stats stats;
    const struct ct_roster_stats *roster = &stats.roster;
    const struct ct_simulated *prefill = &sums->prefill.simulated,
                              *decode = &sums->decode.simulated;
    const double hz = model->info->simulated_ghz * 1e9;
    int n = 0;
    ct_batcher_stats(model->batcher, &stats);
#define CT_METRIC(name, type, labels, value, help)           values[n++] = (double)(value);
#define CT_METRIC_SIMULATED(name, type, labels, value, help) values[n++] = (double)(value);
#include "server/metrics.def"
#undef CT_METRIC
#undef CT_METRIC_SIMULATED
}

static void write_series(const struct ct_metrics *metrics, const struct ct_models *models,
                         struct ct_buffer *out)
{
    double values[CT_MAX_MODELS][N_SERIES];
    bool has_simulated = false;
    for (int m = 0; m < models->n; m++) {
        evaluate(&metrics->models[m], &models->all[m], values[m]);
        has_simulated |= models->all[m].info->simulated != NULL;
    }
    for (int i = 0; i < N_SERIES; i++) {
        if (series[i].is_simulated && !has_simulated)
            continue;
        if (i == 0 || strcmp(series[i].name, series[i - 1].name) != 0)
            head(out, series[i].name, series[i].type, series[i].help);
        for (int m = 0; m < models->n; m++) {
            if (series[i].is_simulated && models->all[m].info->simulated == NULL)
                continue;
            sample(out, series[i].name, "", &models->all[m]);
            ct_buffer_printf(out, "%s} %.17g\n", series[i].labels, values[m][i]);
        }
    }
}

static void write_models(const struct ct_models *models, struct ct_buffer *out)
{
    head(out, "centroid_model_info", "gauge", "The models that are served.");
    for (int m = 0; m < models->n; m++) {
        const struct ct_engine_info *info = models->all[m].info;
        sample(out, "centroid_model_info", "", &models->all[m]);
        ct_buffer_printf(out, ",family=\"%s\",backend=\"%s\",energy_source=\"%s\"} 1\n",
                         info->family, info->backend, info->energy_source);
    }
}

void ct_metrics_write(const struct ct_metrics *metrics, const struct ct_models *models,
                      int n_connections, struct ct_buffer *out)
{
    write_answers(metrics, out);
    number(out, "centroid_connections", "gauge", "Open connections.", n_connections);
    write_models(models, out);
    write_series(metrics, models, out);
#define HISTOGRAM(member, name, help)                                                              \
    histograms(out, metrics, models, offsetof(struct ct_model_metrics, member), name, help)
    HISTOGRAM(queue_s, "centroid_queue_seconds", "From arrival to a session.");
    HISTOGRAM(first_token_s, "centroid_time_to_first_token_seconds",
              "From arrival to the first token.");
    HISTOGRAM(token_s, "centroid_time_per_output_token_seconds",
              "Mean time between the tokens of an answer.");
    HISTOGRAM(request_s, "centroid_request_seconds", "From arrival to the last token.");
#undef HISTOGRAM
    write_process(metrics, out);
}
