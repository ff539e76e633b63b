// SPDX-License-Identifier: GPL-2.0-only
/*
 * After new definitions: the mail that lies in watches with recheck = background is judged again, the newest first, a
 * few files at a time and only while nobody waits for a scan (the gate sees to that). What turns out infected is
 * handled there like new.
 *
 * First all names are gone through for the newest files, which are sent in their order; what is older follows in the
 * order of the folders. A pass that did not come to its end (a stop, other definitions, another policy) begins anew:
 * what it had done is known to the gate, so that this costs a look at each.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue.h"
#include "steward_far.h"
#include "steward_state.h"
#include "walk.h"

#define NEWEST_MOST 8192u /* sent in their exact order */
#define OUT_MOST 8u       /* asked and not answered */
#define STEPS_A_TURN 256
#define ANSWER_LATEST (900 * STEWARD_SECOND) /* the longest scan-time, and some */
#define BUSY_PAUSE (STEWARD_SECOND)
#define DONE_FILE "recheck"

enum pass { PASS_NONE = 0, PASS_SEARCH, PASS_NEWEST, PASS_REST, PASS_DRAIN };

struct newest {
	int64_t time_ns;
	uint32_t root;
	char *path; /* from the root on */
};

struct out {
	uint64_t id;      /* 0: free */
	uint64_t sent_ns; /* 0: still to be sent, not before not_before_ns */
	uint64_t not_before_ns;
	int fd;
};

struct recheck_pass {
	uint64_t done;        /* identity of the definitions whose pass is over */
	uint64_t definitions; /* of the pass under way */
	enum pass pass;
	uint32_t root; /* that is walked */
	struct walk *walk;
	struct newest heap[NEWEST_MOST]; /* the oldest of them on top; sorted, the newest first, from PASS_NEWEST on */
	uint32_t count, next;
	bool all;          /* there were no others */
	int64_t cutoff_ns; /* where not: what is younger is in the heap */
	uint64_t next_id, begun_ns, looked, judged, infected;
	struct out out[OUT_MOST];
};

static bool wanted_in(const struct steward *steward, uint32_t root)
{
	const struct policy_watch *watch = &steward->policy->watches[steward->roots[root].watch];

	return watch->recheck == RECHECK_BACKGROUND && watch->mode != MODE_OFF;
}

/* ---- what was done ---- */

static uint64_t done_read(void)
{
	int fd = openat(FD_STATE_DIR, DONE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[32] = "";

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strtoull(text, NULL, 16);
}

static void done_write(uint64_t definitions)
{
	int fd = openat(FD_STATE_DIR, DONE_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return; /* then the next start goes through it once more */
	bool good = dprintf(fd, "%016" PRIx64 "\n", definitions) == 17;
	close(fd);
	if (good)
		renameat(FD_STATE_DIR, DONE_FILE ".new", FD_STATE_DIR, DONE_FILE);
}

/* ---- the newest ---- */

static void swap(struct newest *a, struct newest *b)
{
	struct newest kept = *a;

	*a = *b;
	*b = kept;
}

static void sink(struct recheck_pass *recheck, uint32_t at)
{
	for (;;) {
		uint32_t least = at, left = 2 * at + 1, right = left + 1;
		if (left < recheck->count && recheck->heap[left].time_ns < recheck->heap[least].time_ns)
			least = left;
		if (right < recheck->count && recheck->heap[right].time_ns < recheck->heap[least].time_ns)
			least = right;
		if (least == at)
			return;
		swap(&recheck->heap[at], &recheck->heap[least]);
		at = least;
	}
}

static void rise(struct recheck_pass *recheck, uint32_t at)
{
	for (; at > 0 && recheck->heap[at].time_ns < recheck->heap[(at - 1) / 2].time_ns; at = (at - 1) / 2)
		swap(&recheck->heap[at], &recheck->heap[(at - 1) / 2]);
}

/* A canary of ours, there for a moment. */
static bool is_canary(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strncmp(slash ? slash + 1 : path, SELFTEST_PREFIX, sizeof(SELFTEST_PREFIX) - 1) == 0;
}

static void newest_add(struct recheck_pass *recheck, const struct stat *status)
{
	int64_t time_ns = status->st_mtim.tv_sec * 1000000000ll + status->st_mtim.tv_nsec;
	bool full = recheck->count == NEWEST_MOST;
	static char path[4096];
	char *copy;

	if (full && time_ns <= recheck->heap[0].time_ns) {
		recheck->all = false;
		return;
	}
	if (walk_path(recheck->walk, path, sizeof(path)) && is_canary(path))
		return;
	copy = walk_path(recheck->walk, path, sizeof(path)) ? strdup(path) : NULL;
	if (!copy) {
		recheck->all = false;
		return;
	}
	if (full) {
		recheck->all = false;
		free(recheck->heap[0].path);
		recheck->heap[0] = (struct newest){.time_ns = time_ns, .root = recheck->root, .path = copy};
		sink(recheck, 0);
		return;
	}
	recheck->heap[recheck->count] = (struct newest){.time_ns = time_ns, .root = recheck->root, .path = copy};
	rise(recheck, recheck->count++);
}

static int by_age(const void *left, const void *right)
{
	const struct newest *a = left, *b = right;

	return (a->time_ns < b->time_ns) - (a->time_ns > b->time_ns);
}

/* ---- asking ---- */

static struct out *out_free(struct recheck_pass *recheck)
{
	for (uint32_t i = 0; i < OUT_MOST; i++)
		if (!recheck->out[i].id)
			return &recheck->out[i];
	return NULL;
}

static bool out_none(const struct recheck_pass *recheck)
{
	for (uint32_t i = 0; i < OUT_MOST; i++)
		if (recheck->out[i].id)
			return false;
	return true;
}

static void out_end(struct out *out)
{
	close(out->fd);
	*out = (struct out){.fd = -1};
}

/* fd: O_PATH, ours from now on. There is room. */
static void ask(struct recheck_pass *recheck, int fd)
{
	int readable = walk_read(FD_PROC, fd);

	close(fd);
	if (readable < 0)
		return; /* gone meanwhile */
	*out_free(recheck) = (struct out){.id = STEWARD_RECHECK_ID | ++recheck->next_id, .fd = readable};
}

/* Sends what is to be sent, and again what nobody answers any more (another gate, one that had no room). */
static void outs_tend(struct steward *steward, uint64_t now)
{
	for (uint32_t i = 0; i < OUT_MOST; i++) {
		struct out *out = &steward->recheck->out[i];
		struct steward_reply scan = {
			.version = WIRE_VERSION, .kind = STEWARD_SCAN, .case_id = out->id, .rank = RANK_RECHECK};
		if (out->id && out->sent_ns && now - out->sent_ns > ANSWER_LATEST)
			out->sent_ns = 0;
		if (out->id && !out->sent_ns && now >= out->not_before_ns)
			out->sent_ns = steward_tell_gate(steward, &scan, out->fd) == 0 ? now : 0;
	}
}

void recheck_gate(struct steward *steward)
{
	for (uint32_t i = 0; i < OUT_MOST; i++)
		steward->recheck->out[i].sent_ns = 0;
}

void recheck_finding(struct steward *steward, const struct steward_request *finding)
{
	struct recheck_pass *recheck = steward->recheck;

	for (uint32_t i = 0; i < OUT_MOST; i++) {
		struct out *out = &recheck->out[i];
		if (out->id != finding->case_id || !out->id)
			continue;
		if (finding->result == -EBUSY) {
			out->sent_ns = 0;
			out->not_before_ns = now_ns() + BUSY_PAUSE;
			return;
		}
		recheck->looked++;
		recheck->judged += finding->result == 0 && finding->definitions == recheck->definitions;
		recheck->infected +=
			finding->result == 0 && finding->verdict.kind == VERDICT_INFECTED && !finding->allowed;
		out_end(out);
		return;
	}
}

/* ---- walking ---- */

static void walk_end(struct recheck_pass *recheck)
{
	if (recheck->walk)
		walk_close(&recheck->walk);
}

static void pass_end(struct recheck_pass *recheck)
{
	walk_end(recheck);
	for (uint32_t i = recheck->next; i < recheck->count; i++)
		free(recheck->heap[i].path);
	recheck->count = recheck->next = 0;
	for (uint32_t i = 0; i < OUT_MOST; i++)
		if (recheck->out[i].id)
			out_end(&recheck->out[i]);
	recheck->pass = PASS_NONE;
}

static bool is_quarantine(void *owner, int fd, const struct stat *folder)
{
	struct steward *steward = owner;
	struct stat own;

	(void)fd;
	return fstatat(steward->roots[steward->recheck->root].fd, QUARANTINE_FOLDER, &own, AT_SYMLINK_NOFOLLOW) == 0 &&
	       own.st_dev == folder->st_dev && own.st_ino == folder->st_ino;
}

/* The next root that is to be walked, from this one on. false: there is none left. */
static bool walk_begin(struct steward *steward, uint32_t from)
{
	struct recheck_pass *recheck = steward->recheck;

	walk_end(recheck);
	for (recheck->root = from; recheck->root < steward->root_count; recheck->root++) {
		struct walk_options options = {
			.sizes = recheck->pass == PASS_SEARCH, .leave_out = is_quarantine, .owner = steward};
		char type[64];
		if (wanted_in(steward, recheck->root) &&
		    !far_descriptor(steward->roots[recheck->root].fd, type, sizeof(type)) &&
		    walk_open(&recheck->walk, steward->roots[recheck->root].fd, &options) == 0)
			return true;
	}
	return false;
}

static void next_pass(struct steward *steward)
{
	struct recheck_pass *recheck = steward->recheck;

	switch (recheck->pass) {
	case PASS_SEARCH:
		recheck->cutoff_ns = recheck->count ? recheck->heap[0].time_ns : 0;
		qsort(recheck->heap, recheck->count, sizeof(recheck->heap[0]), by_age);
		recheck->pass = PASS_NEWEST;
		return;
	case PASS_NEWEST:
		recheck->pass = PASS_REST;
		if (recheck->all || !walk_begin(steward, 0))
			recheck->pass = PASS_DRAIN;
		return;
	case PASS_REST:
		recheck->pass = PASS_DRAIN;
		return;
	case PASS_DRAIN:
	case PASS_NONE:
		break;
	}
}

/* One file or folder. */
static void walk_step(struct steward *steward)
{
	struct recheck_pass *recheck = steward->recheck;
	struct walk_found found = {.fd = -1};

	switch (walk_next(recheck->walk, &found)) {
	case WALK_FILE:
		if (recheck->pass == PASS_SEARCH)
			newest_add(recheck, &found.status);
		else if (found.status.st_mtim.tv_sec * 1000000000ll + found.status.st_mtim.tv_nsec <=
			 recheck->cutoff_ns) {
			ask(recheck, found.fd);
			return;
		}
		if (found.fd >= 0)
			close(found.fd);
		return;
	case WALK_END:
		if (!walk_begin(steward, recheck->root + 1))
			next_pass(steward);
		return;
	case WALK_AGAIN:
	case WALK_LEFT_OUT:
		return;
	}
}

static void newest_step(struct steward *steward)
{
	struct recheck_pass *recheck = steward->recheck;
	struct newest *newest = &recheck->heap[recheck->next];
	int fd;

	if (recheck->next == recheck->count) {
		next_pass(steward);
		return;
	}
	fd = walk_open_below(steward->roots[newest->root].fd, newest->path, O_PATH);
	free(newest->path);
	recheck->next++;
	if (fd >= 0)
		ask(recheck, fd);
}

static void pass_over(struct steward *steward)
{
	struct recheck_pass *recheck = steward->recheck;

	recheck->done = recheck->definitions;
	done_write(recheck->done);
	steward_log("recheck with the new definitions: %" PRIu64 " files, %" PRIu64 " judged with them, %" PRIu64
		    " infected, in %" PRIu64 " s",
		    recheck->looked, recheck->judged, recheck->infected,
		    (uint64_t)((now_ns() - recheck->begun_ns) / STEWARD_SECOND));
	pass_end(recheck);
}

/* One step of the pass under way. false: nothing can be done just now. */
static bool step(struct steward *steward)
{
	struct recheck_pass *recheck = steward->recheck;

	if (recheck->pass != PASS_SEARCH && recheck->pass != PASS_DRAIN && !out_free(recheck))
		return false;
	switch (recheck->pass) {
	case PASS_SEARCH:
	case PASS_REST:
		walk_step(steward);
		return true;
	case PASS_NEWEST:
		newest_step(steward);
		return true;
	case PASS_DRAIN:
		if (!out_none(recheck))
			return false;
		pass_over(steward);
		return false;
	case PASS_NONE:
		break;
	}
	return false;
}

static void begin(struct steward *steward, uint64_t definitions)
{
	struct recheck_pass *recheck = steward->recheck;

	pass_end(recheck);
	recheck->definitions = definitions;
	recheck->all = true;
	recheck->looked = recheck->judged = recheck->infected = 0;
	recheck->begun_ns = now_ns();
	recheck->pass = PASS_SEARCH;
	if (!walk_begin(steward, 0)) {
		recheck->done = definitions; /* no watch asks for it */
		done_write(definitions);
		recheck->pass = PASS_NONE;
	}
}

/* ---- the room ---- */

int recheck_open(struct steward *steward)
{
	struct recheck_pass *recheck = calloc(1, sizeof(*recheck));

	if (!recheck)
		return -ENOMEM;
	for (uint32_t i = 0; i < OUT_MOST; i++)
		recheck->out[i].fd = -1;
	recheck->done = done_read();
	steward->recheck = recheck;
	return 0;
}

/* Its folders have other descriptors. */
void recheck_policy(struct steward *steward)
{
	pass_end(steward->recheck);
}

bool recheck_turn(struct steward *steward, uint64_t now)
{
	struct recheck_pass *recheck = steward->recheck;
	uint64_t definitions = __atomic_load_n(&steward->page->gate.definitions, __ATOMIC_ACQUIRE);
	bool more = false;

	if (!steward->policy || !definitions)
		return false;
	if (definitions != (recheck->pass ? recheck->definitions : recheck->done))
		begin(steward, definitions);
	for (int i = 0; i < STEPS_A_TURN && recheck->pass && (more = step(steward)); i++)
		steward_alive(steward);
	outs_tend(steward, now);
	return more;
}
