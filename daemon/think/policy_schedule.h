/* SPDX-License-Identifier: GPL-2.0-only */
/* The block schedule { ... } of a policy. Complaints as in policy_values.h. */
#ifndef MAILWARD_POLICY_SCHEDULE_H
#define MAILWARD_POLICY_SCHEDULE_H

#include "policy_values.h"

/* May stand once in all the files. */
void policy_take_schedule(const struct policy_reading *at, struct policy *policy, cfg_t *block);

/* "HH:MM" of a 24-hour clock as a minute of the day; false: it is none. */
bool policy_clock(const char *text, uint16_t *minute_out);

#endif
