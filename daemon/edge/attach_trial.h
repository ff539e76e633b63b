/* SPDX-License-Identifier: GPL-2.0-only */
/* attach.c's own room: does this kernel call BPF LSM programs at all? Seen by an effect, not by a version or a list. */
#ifndef MAILWARD_ATTACH_TRIAL_H
#define MAILWARD_ATTACH_TRIAL_H

#include <bpf/btf.h>

#include "obstacle.h"

/* Loads a program of six instructions that only counts, attaches it to a hook that hardly anybody meets (task_getsid),
 * meets it once, looks at the count, and detaches it. Where bpf is missing in lsm= everything loads and attaches
 * without a complaint, and nothing is ever called. *error_out: -errno, 0: none. */
enum obstacle trial_lsm(const struct btf *kernel, int *error_out);

#endif
