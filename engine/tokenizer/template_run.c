/* Runs a template's statements. */
#include "engine/tokenizer/template_ast.h"

#include "engine/tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { BASE_OUTPUT_BYTES = 1 << 20, BASE_ARENA_BYTES = 64 << 20 };

/* How a body ended. */
enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

static enum ct_status run_body(struct tmpl_run *run, const struct tmpl_node *node, enum flow *flow);

static enum ct_status put(struct tmpl_run *run, struct tmpl_text text)
{
    if (text.n_bytes > run->max_out - run->n_out)
        return ct_error_set(run->err, CT_TOO_LARGE, "chat template: more than %zu bytes of output",
                            run->max_out);
    if (text.n_bytes >= run->out_capacity - run->n_out) { /* a NUL comes at the end */
        size_t capacity = 2 * (run->n_out + text.n_bytes) + 256;
        char *grown = realloc(run->out, capacity);
        if (grown == NULL)
            return ct_error_set(run->err, CT_MEMORY, "chat template: out of memory");
        run->out = grown;
        run->out_capacity = capacity;
    }
    if (text.n_bytes > 0)
        memcpy(run->out + run->n_out, text.data, text.n_bytes);
    run->n_out += text.n_bytes;
    return CT_OK;
}

static enum ct_status run_print(struct tmpl_run *run, const struct tmpl_node *node)
{
    struct tmpl_value value;
    struct tmpl_text text;
    TMPL_TRY(tmpl_evaluate(run, node->a, &value));
    TMPL_TRY(tmpl_to_text(run, value, &text));
    return put(run, text);
}

static enum ct_status run_if(struct tmpl_run *run, const struct tmpl_node *node, enum flow *flow)
{
    for (const struct tmpl_node *branch = node->a; branch != NULL; branch = branch->next) {
        struct tmpl_value condition = tmpl_bool(true);
        if (branch->a != NULL)
            TMPL_TRY(tmpl_evaluate(run, branch->a, &condition));
        if (tmpl_is_true(condition))
            return run_body(run, branch->body, flow);
    }
    return CT_OK;
}

/* One value to one name, or an item to each of several. */
static enum ct_status assign(struct tmpl_run *run, const struct tmpl_node *targets,
                             struct tmpl_value value)
{
    if (targets->next == NULL)
        return tmpl_variable_set(run, &run->scope->variables, targets->text, value);
    const struct tmpl_list *items;
    TMPL_TRY(tmpl_iterate(run, value, &items));
    size_t i = 0;
    for (; targets != NULL && i < items->n; targets = targets->next, i++)
        TMPL_TRY(tmpl_variable_set(run, &run->scope->variables, targets->text, items->items[i]));
    if (targets != NULL || i < items->n)
        return tmpl_fail(run, "%zu values for another number of names", items->n);
    return CT_OK;
}

/* The items that a loop's condition lets through. */
static enum ct_status filter_items(struct tmpl_run *run, const struct tmpl_node *node,
                                   const struct tmpl_list **items)
{
    struct tmpl_value kept;
    struct tmpl_value *out;
    size_t n_kept = 0;
    TMPL_TRY(tmpl_list_new(run, (*items)->n, false, &kept, &out));
    for (size_t i = 0; i < (*items)->n; i++) {
        struct tmpl_scope scope = {.parent = run->scope};
        struct tmpl_value condition;
        run->scope = &scope;
        enum ct_status status = assign(run, node->targets, (*items)->items[i]);
        if (status == CT_OK)
            status = tmpl_evaluate(run, node->b, &condition);
        run->scope = scope.parent;
        if (status != CT_OK)
            return status;
        if (tmpl_is_true(condition))
            out[n_kept++] = (*items)->items[i];
    }
    struct tmpl_list *list;
    TMPL_TRY(tmpl_alloc(run, sizeof *list, &list));
    *list = (struct tmpl_list){out, n_kept, false};
    *items = list;
    return CT_OK;
}

/* Runs a body in a scope of its own; with a loop, for one of its items. */
static enum ct_status run_scoped(struct tmpl_run *run, const struct tmpl_node *body,
                                 const struct tmpl_node *targets, const struct tmpl_loop *loop,
                                 enum flow *flow)
{
    struct tmpl_scope scope = {.parent = run->scope};
    enum ct_status status = CT_OK;
    run->scope = &scope;
    if (loop != NULL) {
        struct tmpl_value value = {.kind = TMPL_LOOP, .loop = loop};
        status = assign(run, targets, loop->items->items[loop->index]);
        if (status == CT_OK)
            status = tmpl_variable_set(run, &scope.variables, (struct tmpl_text){"loop", 4}, value);
    }
    if (status == CT_OK)
        status = run_body(run, body, flow);
    run->scope = scope.parent;
    return status;
}

static enum ct_status run_for(struct tmpl_run *run, const struct tmpl_node *node)
{
    struct tmpl_value value;
    const struct tmpl_list *items;
    enum flow flow = FLOW_ON;
    TMPL_TRY(tmpl_evaluate(run, node->a, &value));
    TMPL_TRY(tmpl_iterate(run, value, &items));
    if (node->b != NULL)
        TMPL_TRY(filter_items(run, node, &items));
    if (items->n == 0)
        return run_scoped(run, node->otherwise, NULL, NULL, &flow);
    struct tmpl_loop *loop;
    TMPL_TRY(tmpl_alloc(run, sizeof *loop, &loop));
    for (*loop = (struct tmpl_loop){.items = items}; loop->index < items->n; loop->index++) {
        TMPL_TRY(tmpl_charge(run, 0));
        TMPL_TRY(run_scoped(run, node->body, node->targets, loop, &flow));
        if (flow == FLOW_BREAK)
            break;
        flow = FLOW_ON;
    }
    return CT_OK;
}

/* The body's output as a value. */
static enum ct_status capture(struct tmpl_run *run, const struct tmpl_node *body,
                              struct tmpl_value *value)
{
    size_t from = run->n_out;
    char *text;
    enum flow flow = FLOW_ON;
    TMPL_TRY(run_scoped(run, body, NULL, NULL, &flow));
    size_t n_bytes = run->n_out - from;
    TMPL_TRY(tmpl_alloc(run, n_bytes, &text));
    if (n_bytes > 0)
        memcpy(text, run->out + from, n_bytes);
    run->n_out = from;
    *value = tmpl_text(text, n_bytes);
    return CT_OK;
}

static enum ct_status run_set(struct tmpl_run *run, const struct tmpl_node *node)
{
    struct tmpl_value value, object;
    if (node->a != NULL)
        TMPL_TRY(tmpl_evaluate(run, node->a, &value));
    else
        TMPL_TRY(capture(run, node->body, &value));
    const struct tmpl_node *attribute = node->targets->a;
    if (attribute == NULL)
        return assign(run, node->targets, value);
    TMPL_TRY(tmpl_evaluate(run, node->targets, &object));
    if (object.kind != TMPL_NAMESPACE)
        return tmpl_fail(run, "an attribute of a %s is set, which only a namespace allows",
                         tmpl_kind_name(object));
    return tmpl_variable_set(run, object.names, attribute->text, value);
}

static enum ct_status run_body(struct tmpl_run *run, const struct tmpl_node *node, enum flow *flow)
{
    for (; node != NULL && *flow == FLOW_ON; node = node->next) {
        TMPL_TRY(tmpl_charge(run, 0));
        switch (node->kind) {
        case TMPL_N_TEXT:
            TMPL_TRY(put(run, node->text));
            break;
        case TMPL_N_PRINT:
            TMPL_TRY(run_print(run, node));
            break;
        case TMPL_N_IF:
            TMPL_TRY(run_if(run, node, flow));
            break;
        case TMPL_N_FOR:
            TMPL_TRY(run_for(run, node));
            break;
        case TMPL_N_SET:
            TMPL_TRY(run_set(run, node));
            break;
        case TMPL_N_BREAK:
            *flow = FLOW_BREAK;
            break;
        case TMPL_N_CONTINUE:
            *flow = FLOW_CONTINUE;
            break;
        default: /* a group */
            TMPL_TRY(run_body(run, node->body, flow));
            break;
        }
    }
    return CT_OK;
}

/* Text from outside, repaired where it is not UTF-8. */
static enum ct_status outer_text(struct tmpl_run *run, const char *text, size_t n_bytes,
                                 struct tmpl_value *value)
{
    *value = tmpl_text(text, n_bytes);
    if (ct_utf8_is_valid(text, n_bytes))
        return CT_OK;
    char *repaired;
    TMPL_TRY(tmpl_alloc(run, 3 * n_bytes, &repaired));
    *value = tmpl_text(repaired, ct_utf8_repair(text, n_bytes, repaired));
    return CT_OK;
}

static enum ct_status message_value(struct tmpl_run *run, const struct ct_message *message,
                                    struct tmpl_value *value)
{
    struct tmpl_dict *dict;
    TMPL_TRY(tmpl_alloc(run, sizeof *dict, &dict));
    TMPL_TRY(tmpl_alloc(run, 4 * sizeof dict->pairs[0], &dict->pairs));
    dict->n = 2;
    dict->pairs[0] = tmpl_text("role", 4);
    TMPL_TRY(outer_text(run, message->role, strlen(message->role), &dict->pairs[1]));
    dict->pairs[2] = tmpl_text("content", 7);
    TMPL_TRY(outer_text(run, message->content, message->n_bytes, &dict->pairs[3]));
    *value = (struct tmpl_value){.kind = TMPL_DICT, .dict = dict};
    return CT_OK;
}

static enum ct_status set_name(struct tmpl_run *run, const char *name, struct tmpl_value value)
{
    return tmpl_variable_set(run, &run->scope->variables, (struct tmpl_text){name, strlen(name)},
                             value);
}

/* What transformers gives a template: also tools and documents, which are none here. */
static enum ct_status set_context(struct tmpl_run *run, const struct ct_message *messages,
                                  size_t n_messages, bool has_generation_prompt, const char *bos,
                                  const char *eos)
{
    struct tmpl_value list, text;
    struct tmpl_value *items;
    TMPL_TRY(tmpl_list_new(run, n_messages, false, &list, &items));
    for (size_t i = 0; i < n_messages; i++)
        TMPL_TRY(message_value(run, &messages[i], &items[i]));
    TMPL_TRY(set_name(run, "messages", list));
    TMPL_TRY(set_name(run, "add_generation_prompt", tmpl_bool(has_generation_prompt)));
    TMPL_TRY(outer_text(run, bos, strlen(bos), &text));
    TMPL_TRY(set_name(run, "bos_token", text));
    TMPL_TRY(outer_text(run, eos, strlen(eos), &text));
    TMPL_TRY(set_name(run, "eos_token", text));
    TMPL_TRY(set_name(run, "tools", (struct tmpl_value){.kind = TMPL_NONE}));
    return set_name(run, "documents", (struct tmpl_value){.kind = TMPL_NONE});
}

enum ct_status ct_template_render(const struct ct_template *tmpl, const struct ct_message *messages,
                                  size_t n_messages, bool has_generation_prompt, const char *bos,
                                  const char *eos, char **out, size_t *n_out, struct ct_error *err)
{
    size_t n_input = tmpl->source.n_bytes;
    for (size_t i = 0; i < n_messages; i++)
        n_input += strlen(messages[i].role) + messages[i].n_bytes;
    struct tmpl_scope scope = {0};
    enum flow flow = FLOW_ON;
    struct tmpl_run run = {
        .max_bytes = BASE_ARENA_BYTES + 16 * n_input,
        .err = err,
        .scope = &scope,
        .max_out = BASE_OUTPUT_BYTES + 4 * n_input,
    };
    ct_arena_init(&run.arena);
    enum ct_status status =
        set_context(&run, messages, n_messages, has_generation_prompt, bos, eos);
    if (status == CT_OK)
        status = run_body(&run, tmpl->body, &flow);
    if (status == CT_OK)
        status = put(&run, (struct tmpl_text){"", 0}); /* room for the NUL */
    ct_arena_deinit(&run.arena);
    if (status != CT_OK) {
        free(run.out);
        return status;
    }
    run.out[run.n_out] = '\0';
    *out = run.out;
    *n_out = run.n_out;
    return CT_OK;
}
