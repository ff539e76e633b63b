/* SPDX-License-Identifier: GPL-2.0-only */
/* The block notify { } of a policy: who is told of what was found, how often, by which program. */
#ifndef MAILWARD_POLICY_NOTIFY_H
#define MAILWARD_POLICY_NOTIFY_H

#include "policy_values.h"

/* Takes the block into policy->notify. seen: where it stood before (line 0: nowhere), and now. */
void policy_take_notify(const struct policy_reading *at, struct policy *policy, cfg_t *block,
			struct policy_place *seen);

#endif
