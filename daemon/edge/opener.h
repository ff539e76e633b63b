/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who asks: read from /proc/PID/exe and /proc/PID/status alone, because these never wait for the process (cmdline,
 * environ and maps can: they take its mm's lock). Failing to find out delays nothing: fields stay unknown.
 */
#ifndef MAILWARD_OPENER_H
#define MAILWARD_OPENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct opener {
	uint32_t uid; /* effective; UINT32_MAX: not known */
	size_t exe_size;
	char exe[1024]; /* cut where longer; not terminated */
};

/* proc_fd: directory /proc. pid 0 (outside our pid namespace): unknown. */
void opener_identify(int proc_fd, int32_t pid, struct opener *opener_out);

/* Is the process that has this number now the one that had it at that time (CLOCK_BOOTTIME, ns): called the same, and
 * started before? false also where it is gone. */
bool opener_was(int proc_fd, int32_t pid, const char *comm, uint64_t boot_ns);

#endif
