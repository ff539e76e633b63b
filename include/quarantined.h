/* SPDX-License-Identifier: GPL-2.0-only */
/* How much the quarantine holds, as the steward tells it the keeper, and the status page the tool. */
#ifndef MAILWARD_QUARANTINED_H
#define MAILWARD_QUARANTINED_H

#include <stdint.h>

struct quarantine_shown {
	uint64_t known; /* 1: the steward has looked; the rest is 0 before */
	uint64_t items, bytes;
	uint64_t oldest_ns;            /* CLOCK_REALTIME, when it was moved; 0: there is none */
	uint64_t max_bytes, max_age_s; /* of the policy in force */
};

#endif
