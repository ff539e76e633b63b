// SPDX-License-Identifier: GPL-2.0-only
/* The state of each kind of sweep: STATE/steward/sweep-NAME, written beside and renamed into its place. It is no loss
 * where a power cut takes the latest: what was judged since is known, or judged once more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "steward_sweep.h"

static const char *const names[SWEEP_KINDS] = {"sweep-scan", "sweep-schedule"};
static const char *const new_names[SWEEP_KINDS] = {"sweep-scan.new", "sweep-schedule.new"};
static char *text; /* SWEEP_STATE_SIZE, from the first use on */

static bool text_is_there(void)
{
	if (!text)
		text = malloc(SWEEP_STATE_SIZE);
	return text != NULL;
}

int keeping_read(enum sweep_kind kind, struct sweep_state *state)
{
	int fd = openat(FD_STATE_DIR, names[kind], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t used = 0;
	ssize_t got = 1;
	struct stat status;

	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && text_is_there())
		while (used < SWEEP_STATE_SIZE && (got = read(fd, text + used, SWEEP_STATE_SIZE - used)) > 0)
			used += (size_t)got;
	close(fd);
	if (used == 0 || got != 0 || !sweep_state_read(text, used, state) || state->kind != kind) {
		steward_log("steward/%s is no state of a sweep: not used", names[kind]);
		return -ENOENT;
	}
	return 0;
}

void keeping_write(struct sweep *sweep)
{
	enum sweep_kind kind = (enum sweep_kind)sweep->state->kind;
	size_t size = text_is_there() ? sweep_state_write(sweep->state, text, SWEEP_STATE_SIZE) : 0;
	int fd = size ? openat(FD_STATE_DIR, new_names[kind], O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
			       0600)
		      : -1;
	bool good;

	sweep->kept_ns = now_ns();
	if (fd < 0)
		return;
	good = write(fd, text, size) == (ssize_t)size;
	close(fd);
	if (good)
		renameat(FD_STATE_DIR, new_names[kind], FD_STATE_DIR, names[kind]);
}

void keeping_show(const struct sweep_state *state, uint64_t next_ns)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_SWEEP, .value = state->kind};

	frame.sweep = (struct sweep_shown){.begun_ns = state->begun_ns,
					   .ended_ns = state->ended_ns,
					   .next_ns = next_ns,
					   .state = state->state,
					   .counts = state->counts};
	frame_send(FD_LEASH, &frame, sizeof(frame), -1);
}
