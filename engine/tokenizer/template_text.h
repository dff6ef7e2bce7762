/* Python's methods of text. Whatever has a status fails as Python would; where Unicode's tables
 * would be needed (case, sets of characters to strip) only ASCII is known and anything else
 * fails. */
#ifndef CT_TOKENIZER_TEMPLATE_TEXT_H
#define CT_TOKENIZER_TEMPLATE_TEXT_H

#include "engine/tokenizer/template_value.h"

enum tmpl_case { TMPL_LOWER, TMPL_UPPER, TMPL_CAPITALIZE, TMPL_TITLE };

static inline bool tmpl_is_given(struct tmpl_value value)
{
    return value.kind != TMPL_UNDEFINED && value.kind != TMPL_NONE;
}

static inline struct tmpl_value tmpl_text_value(struct tmpl_text text)
{
    return tmpl_text(text.data, text.n_bytes);
}

/* The text of a value that must be one. */
CT_MUST_CHECK enum ct_status tmpl_need_text(struct tmpl_run *run, struct tmpl_value value,
                                            struct tmpl_text *text);

/* Without the characters of set, or without white space where none is given. */
CT_MUST_CHECK enum ct_status tmpl_strip_sides(struct tmpl_run *run, struct tmpl_text text,
                                              struct tmpl_value set, bool at_start, bool at_end,
                                              struct tmpl_value *out);

CT_MUST_CHECK enum ct_status tmpl_change_case(struct tmpl_run *run, struct tmpl_text text,
                                              enum tmpl_case wanted, struct tmpl_value *out);

/* Whether text has affix, or one of a tuple of them, at its start or end. */
CT_MUST_CHECK enum ct_status tmpl_has_affix(struct tmpl_run *run, struct tmpl_text text,
                                            struct tmpl_value affix, bool at_start,
                                            struct tmpl_value *out);

/* arguments: separator and number of splits. */
CT_MUST_CHECK enum ct_status tmpl_split(struct tmpl_run *run, struct tmpl_text text,
                                        const struct tmpl_value arguments[2],
                                        struct tmpl_value *out);

/* arguments: old, new and how many. */
CT_MUST_CHECK enum ct_status tmpl_replace(struct tmpl_run *run, struct tmpl_text text,
                                          const struct tmpl_value arguments[3],
                                          struct tmpl_value *out);

/* With has_text_alone, items that are not text fail; otherwise they are turned into it. */
CT_MUST_CHECK enum ct_status tmpl_join(struct tmpl_run *run, const struct tmpl_list *items,
                                       struct tmpl_text separator, bool has_text_alone,
                                       struct tmpl_value *out);

#endif
