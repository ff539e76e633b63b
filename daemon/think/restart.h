/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When a child stands still, and when the next one is to be started: 100 ms after the first death, twice as long after
 * each further one, 5 s at most; one success sets it back. Times are CLOCK_MONOTONIC in ns, given by the caller.
 */
#ifndef MAILWARD_RESTART_H
#define MAILWARD_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_FIRST_NS 100000000ull
#define RESTART_LAST_NS 5000000000ull

struct restart {
	uint64_t beat_ns;  /* its latest sign of life, its start included; later by what it is forgiven */
	uint64_t limit_ns; /* how long it may be silent */
	uint64_t delay_ns; /* before the next start */
	uint64_t due_ns;   /* when the next one is due; only while it is down */
	uint32_t failures; /* deaths since the last success */
	/* What was seen of it in this silence. */
	uint64_t looked_ns;  /* 0: nothing yet */
	uint64_t cpu_ns;     /* processor time that it had used */
	uint64_t starved_ns; /* how long it has got none */
	bool runnable;
};

void restart_init(struct restart *restart);
/* It has been started now, and may be silent for limit_ns. */
void restart_started(struct restart *restart, uint64_t now, uint64_t limit_ns);
void restart_beat(struct restart *restart, uint64_t now);
/* It does what it is there for. */
void restart_succeeded(struct restart *restart);
/* It has ended; due_ns and the next delay are set. */
void restart_ended(struct restart *restart, uint64_t now);
bool restart_stands_still(const struct restart *restart, uint64_t now);
/* How it was seen now: runnable, and with so much processor time used in its life. Time between two looks in which it
 * was runnable and did not run is forgiven: a host that has no processor for it would have none for its successor
 * either. What it runs is not forgiven, nor is sleep, nor that it was stopped. Returns what was forgiven. */
uint64_t restart_looked(struct restart *restart, uint64_t now, bool runnable, uint64_t cpu_ns);
/* We have not run ourselves for that long (a host that slept): nobody else is to blame for it. */
void restart_forgive(struct restart *restart, uint64_t pause_ns);

#endif
