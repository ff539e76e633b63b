/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loading, attaching, pinning and detaching the programs of bpf/. Done by the keeper at its start, before it gives up
 * its rights, by `mailwardd --release`, and by `mailward probe`. The gate gets the maps as descriptors (hooks.h).
 *
 * Pins: HOOKS_DIR/vVERSION/maps/NAME and HOOKS_DIR/vVERSION/links.N/NAME, folders of root with mode 0700. Programs that
 * are pinned go on when the daemon has ended. An upgrade with the same HOOKS_VERSION attaches the new programs to the
 * old maps, then removes the old links, so that no moment is without; another version loads beside, attaches, then
 * removes the old ones (verdicts are found anew; the mark on disk keeps origins).
 */
#ifndef MAILWARD_ATTACH_H
#define MAILWARD_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hooks.h"

enum attach_mode {
	ATTACH_NONE = 0, /* nothing loads */
	ATTACH_LABELS,   /* tracepoints alone: who is mail software; reduced mode */
	ATTACH_FULL,
};

/* Of one hook that the programs use. */
enum hook_state_of {
	HOOK_ABSENT = 0 /* this kernel has none, another one does its work */,
	HOOK_FAILED,
	HOOK_ATTACHED
};
struct attach_hook {
	char name[40];
	uint8_t state; /* enum hook_state_of */
	int16_t error; /* -errno where it failed */
};
#define ATTACH_HOOKS_MAX 48

struct attached {
	enum attach_mode mode;
	int maps[HOOK_MAPS]; /* O_CLOEXEC; -1: not there. The caller's to close, attach_close() does */
	bool reused;         /* maps of an earlier run went on */
	uint32_t hook_count;
	struct attach_hook hooks[ATTACH_HOOKS_MAX];
	char why[200];    /* mode is not full: one sentence why */
	char remedy[300]; /* and the exact thing to do about it (a line for the kernel command line), or empty */
};

/* keep: pin, and go on after we have ended; else all is detached when the descriptors are closed (probe). Another live
 * keeper that already uses the pins: ATTACH_NONE with the reason in why. Takes up to some seconds; allocates and frees.
 * Returns 0 whatever the mode is, or -errno where not even that could be found out. */
int attach_run(struct attached *attached, bool keep);
void attach_close(struct attached *attached);

/* Removes every pin of any version. Programs go a moment later. *count_out: programs that were attached. 0 (also where
 * nothing was pinned) or -errno. */
int attach_release(uint32_t *count_out);

/* Sets label flags of a process by its pidfd. 0 or -errno. */
int attach_label(const struct attached *attached, int pidfd, const struct hook_label *label);

#endif
