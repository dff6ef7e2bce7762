/* What a model is for. */
#ifndef CT_BASE_TASK_H
#define CT_BASE_TASK_H

enum ct_task {
    CT_TASK_GENERATE, /* the next token of a text */
    CT_TASK_EMBED,    /* one vector of a sequence or an image */
    CT_TASK_CLASSIFY, /* one number a label */
};

#endif
