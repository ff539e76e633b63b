// SPDX-License-Identifier: GPL-2.0-only
/*
 * mailward scan. Each path comes on a connection of its own, as a descriptor, because a frame carries one; then the
 * sweep is asked for by the id that they have in common. It lives as long as that connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steward_far.h"
#include "steward_sweep.h"

#define PROGRESS_NS 250000000u
#define STAGED_MAX 64
#define STAGED_NS (30 * STEWARD_SECOND)

/* Paths of a sweep that is still to be asked for. Large, and so no static: keeper and gate, which are the same program,
 * lock those. */
static struct staged {
	char id[32];
	uint64_t since_ns;
	uint32_t count;
	struct sweep_root_open open[STAGED_MAX];
	struct sweep_root named[STAGED_MAX];
} * staged;

static void staged_clear(void)
{
	while (staged->count > 0)
		close(staged->open[--staged->count].fd);
	staged->id[0] = 0;
}

int asked_open(struct steward *steward)
{
	struct sweep *sweep = sweeps_of(steward, SWEEP_ASKED);

	staged = calloc(1, sizeof(*staged));
	if (!staged)
		return -ENOMEM;
	if (keeping_read(SWEEP_ASKED, sweep->state) < 0) {
		memset(sweep->state, 0, sizeof(*sweep->state));
		return 0;
	}
	if (sweep->state->state == SWEEP_RUNNING) /* and we were killed */
		sweep->state->state = SWEEP_INTERRUPTED;
	keeping_show(sweep->state, 0);
	return 0;
}

enum steward_next sweeps_path(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	struct sweep_root_open *open = &staged->open[staged->count];
	const struct steward_ask *ask = &client->ask;
	uint64_t now = now_ns();
	struct stat status;
	char type[64];

	(void)steward;
	if (strcmp(staged->id, ask->id) != 0 || now - staged->since_ns > STAGED_NS) {
		staged_clear();
		snprintf(staged->id, sizeof(staged->id), "%s", ask->id);
		open = &staged->open[0];
	}
	staged->since_ns = now;
	if (client->fd < 0 || !ask->id[0] || ask->path_size == 0 || ask->path[0] != '/' ||
	    memchr(ask->path, 0, ask->path_size) || ask->path_size >= SWEEP_PATH_SIZE)
		return steward_end(row, -EINVAL, "a path from / on and its file are needed");
	if (staged->count == STAGED_MAX)
		return steward_end(row, -E2BIG, "more than %d paths at once", STAGED_MAX);
	if (far_descriptor(client->fd, type, sizeof(type)))
		return steward_end(row, -EINVAL, "not scanned: calls on its file system (%s) may never end", type);
	if (fstat(client->fd, &status) < 0 || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)))
		return steward_end(row, -EINVAL, "neither a file nor a folder");
	for (uint32_t i = 0; i < staged->count; i++)
		if (staged->open[i].status.st_dev == status.st_dev && staged->open[i].status.st_ino == status.st_ino)
			return steward_end(row, 0, NULL); /* it is there already */
	*open = (struct sweep_root_open){.fd = client->fd, .status = status};
	client->fd = -1; /* ours */
	memset(&staged->named[staged->count], 0, sizeof(staged->named[0]));
	memcpy(staged->named[staged->count].path, ask->path, ask->path_size);
	staged->named[staged->count].ino = status.st_ino;
	staged->count++;
	return steward_end(row, 0, NULL);
}

/* ---- beginning ---- */

static void begin_staged(struct sweep *sweep, uint32_t flags)
{
	struct sweep_state *state = sweep->state;

	memset(state, 0, sizeof(*state));
	state->kind = SWEEP_ASKED;
	state->flags = flags & SWEEP_FLAGS;
	state->begun_ns = wall_ns();
	state->root_count = staged->count;
	memcpy(sweep->roots, staged->open, staged->count * sizeof(staged->open[0]));
	memcpy(state->roots, staged->named, staged->count * sizeof(staged->named[0]));
	staged->count = 0;
	staged->id[0] = 0;
}

/* Its folders by their paths again; one that is another by now counts as gone. */
static void reopen(struct sweep *sweep)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (uint32_t i = 0; i < sweep->state->root_count; i++) {
		const char *path = sweep->state->roots[i].path;
		struct sweep_root_open *place = &sweep->roots[i];
		char type[64];
		place->fd = -1;
		if (far_path(path, type, sizeof(type)))
			continue;
		place->fd = walk_open_path(root, path[1] ? path + 1 : ".", O_PATH);
		if (place->fd >= 0 &&
		    (fstat(place->fd, &place->status) < 0 || place->status.st_ino != sweep->state->roots[i].ino)) {
			close(place->fd);
			place->fd = -1;
		}
		if (place->fd < 0)
			place->fd = -1;
	}
	close(root);
}

static enum steward_next begin(struct steward *steward, struct sweep *sweep, struct steward_client *client,
			       struct steward_row *row)
{
	const struct steward_ask *ask = &client->ask;

	if (!steward->policy)
		return steward_end(row, -EAGAIN, "no policy is in force yet: try again in a moment");
	if (sweep->running || sweep->client)
		return steward_end(row, -EBUSY, "another mailward scan is under way");
	if (ask->flags & STEWARD_SWEEP_RESUME) {
		if (sweep->state->state != SWEEP_INTERRUPTED)
			return steward_end(row, -ENOENT, "there is no scan that was interrupted");
		reopen(sweep);
	} else {
		if (staged->count == 0 || strcmp(staged->id, ask->id) != 0)
			return steward_end(row, -EINVAL, "no paths were named");
		begin_staged(sweep, ask->flags);
	}
	sweep->client = client;
	sweep->client_begun_ns = client->begun_ns;
	sweep->progress_ns = 0;
	sweep_begin(steward, sweep);
	return STEWARD_NEXT_LATER;
}

/* ---- rows ---- */

static enum steward_next take_row(struct sweep *sweep, struct steward_row *row)
{
	struct sweep_row *found = &sweep->rows[sweep->row_first];

	row->kind = STEWARD_ROW_SWEPT;
	row->more = 1;
	row->item = found->item;
	row->number = found->action;
	row->path_size = (uint32_t)strnlen(found->path, sizeof(row->path));
	memcpy(row->path, found->path, row->path_size);
	snprintf(row->text, sizeof(row->text), "%s", found->text);
	return STEWARD_NEXT_ROW;
}

static void drop_row(struct sweep *sweep)
{
	free(sweep->rows[sweep->row_first].path);
	sweep->row_first = (sweep->row_first + 1) % SWEEP_ROWS;
	sweep->row_count--;
	sweep->row_serial++;
}

static void fill_progress(const struct sweep *sweep, struct steward_row *row)
{
	const struct sweep_state *state = sweep->state;

	row->sweep = (struct sweep_shown){.begun_ns = state->begun_ns,
					  .ended_ns = state->ended_ns,
					  .state = state->state,
					  .counts = state->counts};
	row->files_all = state->files_all;
	row->bytes_all = state->bytes_all;
	row->begun_files = sweep->begun_files;
	row->begun_bytes = sweep->begun_bytes;
	row->elapsed_ns = now_ns() - sweep->begun_ns;
	row->counting = sweep->counting;
	row->throttled = sweep->throttled;
}

/* position: how many findings were sent; each stays until the next question shows that it was. */
static enum steward_next next_row(struct sweep *sweep, struct steward_client *client, struct steward_row *row)
{
	uint64_t now = now_ns();

	while (sweep->row_count && sweep->row_serial < client->position)
		drop_row(sweep);
	if (sweep->row_count) {
		client->position = sweep->row_serial + 1;
		return take_row(sweep, row);
	}
	if (!sweep->running) {
		fill_progress(sweep, row);
		return steward_end(row, 0, NULL);
	}
	if (now - sweep->progress_ns < PROGRESS_NS)
		return STEWARD_NEXT_LATER;
	sweep->progress_ns = now;
	row->kind = STEWARD_ROW_PROGRESS;
	row->more = 1;
	fill_progress(sweep, row);
	return STEWARD_NEXT_ROW;
}

enum steward_next sweeps_ask(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	struct sweep *sweep = sweeps_of(steward, SWEEP_ASKED);

	if (client->ask.flags > STEWARD_SWEEP_FLAGS)
		return steward_end(row, -EINVAL, "unknown flags");
	if (sweep->client != client || sweep->client_begun_ns != client->begun_ns)
		return begin(steward, sweep, client, row);
	return next_row(sweep, client, row);
}

bool asked_has_room(const struct sweep *sweep)
{
	return sweep->row_count + SWEEP_IN_FLIGHT + 2 < SWEEP_ROWS;
}

void asked_forget_rows(struct sweep *sweep, enum sweep_state_kind state)
{
	while (state != SWEEP_ENDED && sweep->row_count)
		drop_row(sweep);
}

bool asked_turn(struct steward *steward, struct sweep *sweep, uint64_t now)
{
	(void)steward;
	(void)now;
	if (sweep->client->used && sweep->client->begun_ns == sweep->client_begun_ns)
		return true;
	sweep->client = NULL;
	return false;
}
