// SPDX-License-Identifier: GPL-2.0-only
/* The daily sweep: all watches that are not off, and the paths of schedule { }. One that a stop broke off goes on at
 * the next start. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "schedule.h"
#include "steward_far.h"
#include "steward_sweep.h"

#define SCHEDULE_FIRST 3600 /* without a word of the policy, none begins in the first hour */
#define LOOK_NS (1 * STEWARD_SECOND)
#define SECOND 1000000000ull

static uint64_t looked_ns, shown_next_ns;
static int64_t start_s;
static struct sweep_state *before; /* of an earlier run of it, to go on with; NULL: none */

/* A minute of the local calendar. The zone is looked up each time: it may have been changed. */
static int64_t local(void *owner, int64_t around, int days, unsigned minute)
{
	time_t at = around;
	struct tm day;

	(void)owner;
	tzset();
	localtime_r(&at, &day);
	day.tm_mday += days;
	day.tm_hour = (int)(minute / 60);
	day.tm_min = (int)(minute % 60);
	day.tm_sec = 0;
	day.tm_isdst = -1;
	return mktime(&day);
}

void schedule_open(struct steward *steward)
{
	struct sweep *sweep = sweeps_of(steward, SWEEP_SCHEDULED);
	uint32_t random = 0;

	start_s = (int64_t)(wall_ns() / SECOND);
	if (keeping_read(SWEEP_SCHEDULED, sweep->state) < 0) {
		memset(sweep->state, 0, sizeof(*sweep->state));
		sweep->state->kind = SWEEP_SCHEDULED;
		sweep->state->known_ns = wall_ns();
		if (getrandom(&random, sizeof(random), GRND_NONBLOCK) == sizeof(random))
			sweep->state->spread_s = random % SCHEDULE_SPREAD;
		keeping_write(sweep);
	}
	if (sweep->state->spread_s >= SCHEDULE_SPREAD)
		sweep->state->spread_s = 0;
	if (sweep->state->state == SWEEP_RUNNING)
		sweep->state->state = SWEEP_INTERRUPTED;
}

/* 0: none is planned. */
static int64_t next_s(const struct steward *steward, const struct sweep_state *state, int64_t now)
{
	const struct policy_schedule *said = &steward->policy->schedule;
	uint64_t last = state->ended_ns > state->begun_ns ? state->ended_ns : state->begun_ns;
	struct schedule schedule = {.minute = said->minute,
				    .spread = said->sweep == SCHEDULE_DEFAULT ? state->spread_s : 0,
				    .known_s = (int64_t)(state->known_ns / SECOND),
				    .last_s = (int64_t)(last / SECOND),
				    .start_s = start_s,
				    .local = local};

	/* Who has just installed it looks at other things first. */
	if (said->sweep == SCHEDULE_DEFAULT && schedule.known_s <= now && now - schedule.known_s < SCHEDULE_FIRST) {
		schedule.known_s += SCHEDULE_FIRST;
		now = schedule.known_s;
	}
	return said->sweep == SCHEDULE_NEVER ? 0 : schedule_next(&schedule, now);
}

/* ---- its folders ---- */

/* fd is taken over. */
static void add_root(struct sweep *sweep, int fd, const char *path)
{
	struct sweep_state *state = sweep->state;
	struct sweep_root_open *place = &sweep->roots[state->root_count];
	struct stat status;

	if (fd < 0)
		return;
	if (state->root_count == SWEEP_ROOTS_MAX || fstat(fd, &status) < 0 || path[0] != '/' ||
	    strlen(path) >= SWEEP_PATH_SIZE || (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))) {
		close(fd);
		return;
	}
	for (uint32_t i = 0; i < state->root_count; i++) {
		if (sweep->roots[i].status.st_dev == status.st_dev && sweep->roots[i].status.st_ino == status.st_ino) {
			close(fd);
			return;
		}
	}
	*place = (struct sweep_root_open){.fd = fd, .status = status};
	state->roots[state->root_count].ino = status.st_ino;
	memset(state->roots[state->root_count].path, 0, SWEEP_PATH_SIZE);
	memcpy(state->roots[state->root_count].path, path, strlen(path));
	state->root_count++;
}

static void leave_far(const char *path, const char *type)
{
	steward_log("schedule: %s is not swept: calls on its file system (%s) may never end", path, type);
}

static void add_watches(struct steward *steward, struct sweep *sweep)
{
	static char path[SWEEP_PATH_SIZE + 1];
	char link[32];

	for (uint32_t i = 0; i < steward->root_count; i++) {
		const struct steward_root *root = &steward->roots[i];
		char type[64];
		ssize_t length;
		if (steward->policy->watches[root->watch].mode == MODE_OFF)
			continue;
		snprintf(link, sizeof(link), "self/fd/%d", root->fd);
		length = readlinkat(FD_PROC, link, path, sizeof(path) - 1);
		path[length > 0 ? length : 0] = 0;
		if (far_descriptor(root->fd, type, sizeof(type))) {
			leave_far(path, type);
			continue;
		}
		add_root(sweep, fcntl(root->fd, F_DUPFD_CLOEXEC, 0), path);
	}
}

static void add_paths(struct steward *steward, struct sweep *sweep)
{
	int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (uint32_t i = 0; i < steward->policy->schedule.path_count; i++) {
		const char *path = steward->policy->schedule.paths[i];
		char type[64];
		int fd;
		if (far_path(path, type, sizeof(type))) {
			leave_far(path, type);
			continue;
		}
		fd = walk_open_path(top, path[1] ? path + 1 : ".", O_PATH);
		if (fd < 0)
			steward_log("schedule: %s cannot be swept: %s", path, strerror(-fd));
		add_root(sweep, fd, path);
	}
	close(top);
}

/* Where an earlier run of the same folders was: these come first, and are done. */
static void go_on_where_it_was(struct sweep *sweep)
{
	struct sweep_state *state = sweep->state;

	if (before->root_count != state->root_count)
		return;
	for (uint32_t i = 0; i < state->root_count; i++)
		if (strcmp(before->roots[i].path, state->roots[i].path) != 0 ||
		    before->roots[i].ino != state->roots[i].ino)
			return;
	state->root = before->root;
	state->single = before->single;
	state->depth = before->depth;
	memcpy(state->at, before->at, sizeof(state->at));
	state->redo_count = before->redo_count;
	memcpy(state->redo, before->redo, sizeof(state->redo));
	state->counts = before->counts;
}

static void begin(struct steward *steward, struct sweep *sweep)
{
	struct sweep_state *state = sweep->state;
	bool goes_on = state->state == SWEEP_INTERRUPTED;
	uint64_t known_ns = state->known_ns, begun_ns = state->begun_ns;
	uint32_t spread_s = state->spread_s;

	before = goes_on ? malloc(sizeof(*before)) : NULL;
	if (before)
		*before = *state;
	memset(state, 0, sizeof(*state));
	state->kind = SWEEP_SCHEDULED;
	state->known_ns = known_ns;
	state->spread_s = spread_s;
	state->begun_ns = goes_on ? begun_ns : wall_ns();
	add_watches(steward, sweep);
	add_paths(steward, sweep);
	if (before)
		go_on_where_it_was(sweep);
	free(before);
	before = NULL;
	steward_log("sweep %s: %u folders", goes_on ? "goes on" : "begins", state->root_count);
	sweep_begin(steward, sweep);
}

void schedule_ended(struct sweep *sweep)
{
	const struct sweep_counts *counts = &sweep->state->counts;
	int64_t next = next_s(sweep->steward, sweep->state, (int64_t)(wall_ns() / SECOND));

	steward_log("sweep ended: %llu files, %llu infected, %llu unscanned, %llu unreadable, in %llu s",
		    (unsigned long long)counts->files, (unsigned long long)counts->infected,
		    (unsigned long long)counts->unscanned, (unsigned long long)counts->unreadable,
		    (unsigned long long)((sweep->state->ended_ns - sweep->state->begun_ns) / SECOND));
	shown_next_ns = (uint64_t)next * SECOND;
	keeping_show(sweep->state, shown_next_ns);
}

void schedule_turn(struct steward *steward, struct sweep *sweep, uint64_t now)
{
	int64_t wall = (int64_t)(wall_ns() / SECOND), next;
	bool ready = __atomic_load_n(&steward->page->gate.definitions, __ATOMIC_ACQUIRE) != 0 &&
		     __atomic_load_n(&steward->page->keeper.workers_serving, __ATOMIC_RELAXED) != 0;

	if (sweep->running || (looked_ns && now - looked_ns < LOOK_NS))
		return;
	looked_ns = now;
	next = next_s(steward, sweep->state, wall);
	if (shown_next_ns != (uint64_t)next * SECOND || sweep->shown_ns == 0) {
		sweep->shown_ns = now;
		shown_next_ns = (uint64_t)next * SECOND;
		keeping_show(sweep->state, shown_next_ns);
	}
	if (ready && next && (sweep->state->state == SWEEP_INTERRUPTED || next <= wall))
		begin(steward, sweep);
}
