/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loading, attaching, pinning and detaching the programs of bpf/. Done by the keeper at its start, before it gives up
 * its rights, by `mailwardd --release`, and by `mailward probe`. The gate gets the maps as descriptors (hooks.h).
 *
 * Pins: HOOKS_DIR/vVERSION/maps/NAME and HOOKS_DIR/vVERSION/links-N/NAME, folders of root with mode 0700 (bpffs has no
 * dots in names). Programs that are pinned go on when the daemon has ended. Maps are used again only where their
 * programs have been attached all the time: what changed while nobody counted would pass as unchanged. Then the new
 * programs are attached to the old maps, and the old links are removed after that, so that no moment is without. Any
 * other set of pins (another HOOKS_VERSION, other sizes, half-done, another mode) is put aside as HOOKS_DIR/other-N and
 * goes on to answer until attach_settle(); verdicts are found anew then, the mark on disk keeps origins.
 *
 * One keeper of a host uses the pins: it holds a lock (flock(2)) on HOOKS_DIR for as long as it lives.
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
	int home;         /* HOOKS_DIR, locked; -1: nothing is pinned */
	bool others;      /* pins of another set still answer: attach_settle() */
	int held[ATTACH_HOOKS_MAX]; /* links that are not pinned, -1: none */
};

/* keep: pin, and go on after we have ended; else all is detached when the descriptors are closed (probe). Another live
 * keeper that already uses the pins: ATTACH_NONE with the reason in why. Takes up to some seconds; allocates and frees.
 * Where nothing loads, what an earlier run has left is detached: no gate of ours could answer for it. Returns 0
 * whatever the mode is, or -errno where not even that could be found out. */
int attach_run(struct attached *attached, bool keep);
/* Closes the descriptors; what is pinned goes on. */
void attach_close(struct attached *attached);

/* The new gate answers: other sets of pins are no longer needed. Allocates nothing, opens nothing but folders of bpffs,
 * so the keeper may call it at any time; so with attach_detach(). */
void attach_settle(struct attached *attached);
/* Removes all pins, and the links that are not pinned. The maps stay with who holds them. */
void attach_detach(struct attached *attached);

/* Removes every pin of any version, and waits (3 s at most) until the programs have gone. *count_out: programs that
 * were attached. 0 (also where nothing was pinned); -EBUSY: a keeper lives; -EPERM: not root; or -errno. */
int attach_release(uint32_t *count_out);

/* Sets label flags of a process by its pidfd. 0 or -errno. */
int attach_label(const struct attached *attached, int pidfd, const struct hook_label *label);
/* Reads them; flags 0: it has none. 0 or -errno. */
int attach_label_of(const struct attached *attached, int pidfd, struct hook_label *label_out);

#endif
