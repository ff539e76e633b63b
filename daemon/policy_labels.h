/* SPDX-License-Identifier: GPL-2.0-only */
/* The policy reader's room for labels: tells the kernel side who is mail software of those that run already. */
#ifndef MAILWARD_POLICY_LABELS_H
#define MAILWARD_POLICY_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include "mounts.h"
#include "policy.h"

/* Were we started for that: is FD_HOOKS + HOOK_LABELS open? */
bool policy_labels_wanted(void);

/* Labels them. line_out: for the log, empty where there is nothing to say. 0 or -errno. */
int policy_labels(const struct policy *policy, const struct mounts *mounts, char *line_out, size_t size);

#endif
