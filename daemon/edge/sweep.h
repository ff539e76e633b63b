/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers the accesses that a gate had read when it ended. Nobody may read from the group meanwhile: an answer goes to
 * the oldest event with its number, so a successor's would be hit.
 */
#ifndef MAILWARD_SWEEP_H
#define MAILWARD_SWEEP_H

#include <stdint.h>

#include "shared.h"

/* Accesses by watch and answer. Index WATCHES_MAX: those that the gate had no time to note, which are denied. */
struct sweep_count {
	uint32_t answered[WATCHES_MAX + 1][ANSWERS];
};

/* First each noted access by its note, then "deny" to every other number below notes->nofile. Clears the notes, adds
 * to *count, returns how many were answered. Takes some 20 ms for 65,536 numbers; never waits. */
uint64_t sweep_answer(int group, struct gate_notes *notes, struct sweep_count *count);

/* For a gate that can't come up, because its own program lies on a marked file system and nobody answers for its exec:
 * empties the queue, allows the accesses of our own processes and denies all others. Counts like sweep_answer(). */
uint64_t sweep_rescue(int group, const struct gate_notes *notes, struct sweep_count *count);

#endif
