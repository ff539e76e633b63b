// SPDX-License-Identifier: GPL-2.0-only
#include "workers.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "frame.h"
#include "proc.h"
#include "scan_reply.h"

#define IDLE_CLASS 3 /* ioprio_set(2) */
#define IDLE_SHARE 4 /* part of its time for which a scan may be starved by all others of the host */

struct worker {
	struct loop_handler handler; /* fd -1: no worker here */
	bool readable;
	uint64_t serial;
	int32_t pid;
	uint64_t case_id; /* 0: idle */
	bool retiring;    /* it was told to end, and does so when it is idle */
	bool background;  /* it is one for which nobody waited when it began */
	bool idles;       /* processor and disk are its when nobody else wants them */
	uint64_t since_ns;
};

struct hash_asked {
	uint64_t case_id;
	uint64_t since_ns;
};

struct workers {
	struct loop *loop;
	int proc_fd; /* -1: nobody's priority is touched */
	uint32_t uid;
	struct worker loader, hasher;
	struct worker all[WORKERS_MAX];
	uint64_t next_serial;
	unsigned processors;
	unsigned turn;                       /* who is asked next, so that two copies of one content meet two workers */
	struct hash_asked asked[HASHES_MAX]; /* oldest first */
	unsigned asked_count;
};

static void became_readable(void *owner, uint32_t events)
{
	(void)events;
	((struct worker *)owner)->readable = true;
}

int workers_open(struct workers **workers_out, struct loop *loop)
{
	struct workers *workers = calloc(1, sizeof(*workers));
	cpu_set_t set;

	if (!workers)
		return -ENOMEM;
	workers->loop = loop;
	workers->proc_fd = -1;
	workers->next_serial = 1;
	workers->processors = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	workers->loader.handler.fd = workers->hasher.handler.fd = -1;
	for (int i = 0; i < WORKERS_MAX; i++)
		workers->all[i].handler.fd = -1;
	*workers_out = workers;
	return 0;
}

static void let_go(struct workers *workers, struct worker *worker)
{
	int fd = worker->handler.fd;

	if (fd < 0)
		return;
	loop_remove(workers->loop, &worker->handler);
	close(fd);
	worker->readable = false;
}

static bool take_in(struct workers *workers, struct worker *worker, int sock, int32_t pid)
{
	let_go(workers, worker);
	*worker = (struct worker){.handler = {.ready = became_readable, .owner = worker, .fd = -1},
				  .pid = pid,
				  .serial = workers->next_serial++};
	if (loop_add(workers->loop, &worker->handler, sock, EPOLLIN) == 0)
		return true;
	close(sock);
	return false;
}

void workers_are(struct workers *workers, int proc_fd, uint32_t uid)
{
	workers->proc_fd = proc_fd;
	workers->uid = uid;
}

/* The pid is the loader's word: nobody's priority is touched but a worker's. Where we may not, all is done at the same
 * priority. */
static void idles_set(const struct workers *workers, struct worker *worker, bool idles)
{
	struct sched_param none = {0};
	uint32_t real, effective;

	if (worker->idles == idles)
		return;
	worker->idles = idles;
	if (workers->proc_fd < 0 || worker->pid <= 0 || !proc_uids(workers->proc_fd, worker->pid, &real, &effective) ||
	    real != workers->uid || effective != workers->uid)
		return;
	sched_setscheduler(worker->pid, idles ? SCHED_IDLE : SCHED_OTHER, &none);
	syscall(SYS_ioprio_set, 1 /* a process */, worker->pid, idles ? IDLE_CLASS << 13 : 0);
}

/* The loader is told to kill it. If the loader doesn't read, its keeper will find that out. */
static void have_killed(struct workers *workers, const struct worker *worker)
{
	struct nursery_frame frame = {.version = WIRE_VERSION, .kind = NURSERY_KILL, .id = worker->pid};

	if (workers->loader.handler.fd >= 0)
		frame_send(workers->loader.handler.fd, &frame, sizeof(frame), -1);
}

void workers_loader(struct workers *workers, int sock)
{
	/* Workers of the old loader end with it; their sockets say so one by one. */
	take_in(workers, &workers->loader, sock, 0);
}

static bool is_idle(const struct worker *worker)
{
	return worker->handler.fd >= 0 && worker->case_id == 0;
}

bool workers_idle(const struct workers *workers, bool background)
{
	unsigned there = 0, idle = 0, behind = 0;

	for (int i = 0; i < WORKERS_MAX; i++) {
		const struct worker *worker = &workers->all[i];
		there += worker->handler.fd >= 0;
		idle += is_idle(worker);
		behind += worker->handler.fd >= 0 && worker->case_id && worker->background;
	}
	return idle > 0 && (!background || behind == 0 || (behind + 1 < there && behind + 1 < workers->processors));
}

bool workers_hasher_full(const struct workers *workers)
{
	return workers->hasher.handler.fd >= 0 && workers->asked_count == HASHES_MAX;
}

bool workers_hasher_busy(const struct workers *workers)
{
	return workers->hasher.handler.fd >= 0 && workers->asked_count > 0;
}

bool workers_scan(struct workers *workers, uint64_t case_id, enum framing framing, int fd, bool background,
		  uint64_t now)
{
	struct scan_request request = {.version = WIRE_VERSION, .framing = framing, .case_id = case_id};

	for (unsigned tried = 0; tried < WORKERS_MAX; tried++) {
		struct worker *worker = &workers->all[workers->turn++ % WORKERS_MAX];
		if (!is_idle(worker))
			continue;
		idles_set(workers, worker, background);
		if (frame_send(worker->handler.fd, &request, sizeof(request), fd) == 0) {
			worker->case_id = case_id;
			worker->background = background;
			worker->since_ns = now;
			return true;
		}
		have_killed(workers, worker);
		let_go(workers, worker);
	}
	return false;
}

bool workers_hash(struct workers *workers, uint64_t case_id, int fd, bool background, uint64_t now)
{
	struct hash_request request = {.version = WIRE_VERSION, .case_id = case_id};

	if (workers->hasher.handler.fd < 0 || workers->asked_count == HASHES_MAX)
		return false;
	idles_set(workers, &workers->hasher, background && workers->asked_count == 0);
	if (frame_send(workers->hasher.handler.fd, &request, sizeof(request), fd) < 0)
		return false;
	workers->asked[workers->asked_count++] = (struct hash_asked){.case_id = case_id, .since_ns = now};
	return true;
}

uint64_t workers_idling(const struct workers *workers, unsigned *at)
{
	while (*at <= WORKERS_MAX) {
		unsigned i = (*at)++;
		if (i == WORKERS_MAX && workers->hasher.idles && workers->asked_count)
			return workers->asked[0].case_id;
		if (i < WORKERS_MAX && workers->all[i].idles && workers->all[i].case_id)
			return workers->all[i].case_id;
	}
	return 0;
}

void workers_hurry(struct workers *workers, uint64_t case_id)
{
	if (workers->asked_count && workers->asked[0].case_id == case_id)
		idles_set(workers, &workers->hasher, false);
	for (int i = 0; i < WORKERS_MAX; i++)
		if (workers->all[i].case_id == case_id)
			idles_set(workers, &workers->all[i], false);
}

/* On a host whose processors are never free a scan would take longer than any scan may, and be called unscanned. */
static void starve_no_longer(struct workers *workers, uint64_t now, uint64_t scan_limit_ns, uint64_t hash_limit_ns)
{
	if (workers->hasher.idles && workers->asked_count &&
	    now - workers->asked[0].since_ns > hash_limit_ns / IDLE_SHARE)
		idles_set(workers, &workers->hasher, false);
	for (int i = 0; i < WORKERS_MAX; i++)
		if (workers->all[i].idles && workers->all[i].case_id &&
		    now - workers->all[i].since_ns > scan_limit_ns / IDLE_SHARE)
			idles_set(workers, &workers->all[i], false);
}

/* A worker is dropped: the case it had, if any, is lost. */
static bool drop(struct workers *workers, struct worker *worker, bool lied, struct workers_event *event)
{
	*event = (struct workers_event){
		.kind = WORKERS_LOST, .case_id = worker->case_id, .worker = worker->serial, .lied = lied};
	idles_set(workers, worker, false);
	have_killed(workers, worker);
	let_go(workers, worker);
	worker->case_id = 0;
	return true;
}

/* What a readable worker has to say. false: nothing yet. */
static bool hear_worker(struct workers *workers, struct worker *worker, struct workers_event *event)
{
	struct scan_reply reply;
	int fd = -1, result = frame_receive(worker->handler.fd, &reply, sizeof(reply), &fd);

	worker->readable = false;
	if (result == -EAGAIN)
		return false;
	if (result == 0 && fd < 0 && worker->case_id && reply.case_id == worker->case_id &&
	    scan_reply_is_sound(&reply)) {
		*event = (struct workers_event){
			.kind = WORKERS_VERDICT, .case_id = worker->case_id, .worker = worker->serial, .reply = reply};
		worker->case_id = 0;
		idles_set(workers, worker, false); /* it may have to end before another one can begin */
		if (reply.last)                    /* it ends by itself; the loader sees that */
			let_go(workers, worker);
		return true;
	}
	if (fd >= 0)
		close(fd);
	if (worker->retiring && !worker->case_id && result < 0 && result != -EBADMSG) {
		let_go(workers, worker);
		return false;
	}
	return drop(workers, worker, result == 0 || result == -EBADMSG, event);
}

static void forget_hash(struct workers *workers, unsigned at)
{
	workers->asked_count--;
	memmove(&workers->asked[at], &workers->asked[at + 1], (workers->asked_count - at) * sizeof(workers->asked[0]));
}

static bool hear_hasher(struct workers *workers, uint64_t now, struct workers_event *event)
{
	struct hash_reply reply;
	int fd = -1, result = frame_receive(workers->hasher.handler.fd, &reply, sizeof(reply), &fd);

	if (result == -EAGAIN) {
		workers->hasher.readable = false;
		return false;
	}
	if (fd >= 0)
		close(fd);
	for (unsigned i = 0; result == 0 && fd < 0 && reply.version == WIRE_VERSION && i < workers->asked_count; i++) {
		if (workers->asked[i].case_id != reply.case_id)
			continue;
		forget_hash(workers, i);
		idles_set(workers, &workers->hasher, false);
		if (workers->asked_count)
			workers->asked[0].since_ns = now; /* its turn has only just come */
		*event = (struct workers_event){
			.kind = WORKERS_DIGEST, .case_id = reply.case_id, .has_digest = reply.ok == 1};
		memcpy(event->digest, reply.digest, sizeof(event->digest));
		return true;
	}
	have_killed(workers, &workers->hasher);
	let_go(workers, &workers->hasher);
	return false;
}

/* Digests that will not come any more, one by one. */
static bool give_up_hash(struct workers *workers, struct workers_event *event)
{
	if (workers->hasher.handler.fd >= 0 || workers->asked_count == 0)
		return false;
	*event = (struct workers_event){.kind = WORKERS_DIGEST, .case_id = workers->asked[0].case_id};
	forget_hash(workers, 0);
	return true;
}

static void retire(struct workers *workers, int32_t pid)
{
	for (int i = 0; i < WORKERS_MAX; i++)
		if (workers->all[i].handler.fd >= 0 && workers->all[i].pid == pid)
			workers->all[i].retiring = true;
}

static bool hear_loader(struct workers *workers, struct workers_event *event)
{
	struct nursery_frame frame;
	int fd = -1, result = frame_receive(workers->loader.handler.fd, &frame, sizeof(frame), &fd);

	if (result == -EAGAIN) {
		workers->loader.readable = false;
		return false;
	}
	if (result == 0 && frame.version == WIRE_VERSION && frame.kind == NURSERY_DEFINITIONS && fd < 0) {
		*event = (struct workers_event){.kind = WORKERS_DEFINITIONS,
						.definitions = frame.definitions,
						.signatures = frame.signatures,
						.levels = (uint8_t)(frame.levels & ((1u << LEVELS) - 1))};
		return true;
	}
	if (result == 0 && frame.version == WIRE_VERSION && frame.kind == NURSERY_RETIRE && fd < 0) {
		retire(workers, frame.id);
		return false;
	}
	if (result == 0 && frame.version == WIRE_VERSION && frame.kind == NURSERY_HASHER && fd >= 0) {
		take_in(workers, &workers->hasher, fd, frame.id);
		return false;
	}
	if (result == 0 && frame.version == WIRE_VERSION && frame.kind == NURSERY_WORKER && fd >= 0) {
		for (int i = 0; i < WORKERS_MAX; i++)
			if (workers->all[i].handler.fd < 0 && workers->all[i].case_id == 0) {
				take_in(workers, &workers->all[i], fd, frame.id);
				return false;
			}
		close(fd); /* more than we asked for */
		return false;
	}
	if (fd >= 0)
		close(fd);
	let_go(workers, &workers->loader);
	*event = (struct workers_event){.kind = WORKERS_LOADER_GONE, .lied = result == 0 || result == -EBADMSG};
	return true;
}

bool workers_next(struct workers *workers, uint64_t now, uint64_t scan_limit_ns, uint64_t hash_limit_ns,
		  struct workers_event *event_out, bool *timed_out_out)
{
	*timed_out_out = false;
	starve_no_longer(workers, now, scan_limit_ns, hash_limit_ns);
	while (workers->loader.handler.fd >= 0 && workers->loader.readable)
		if (hear_loader(workers, event_out))
			return true;
	if (workers->hasher.handler.fd >= 0 && workers->asked_count &&
	    now - workers->asked[0].since_ns > hash_limit_ns) {
		have_killed(workers, &workers->hasher);
		let_go(workers, &workers->hasher);
	}
	while (workers->hasher.handler.fd >= 0 && workers->hasher.readable)
		if (hear_hasher(workers, now, event_out))
			return true;
	if (give_up_hash(workers, event_out))
		return true;
	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *worker = &workers->all[i];
		if (worker->handler.fd < 0)
			continue;
		if (worker->readable && hear_worker(workers, worker, event_out))
			return true;
		if (worker->handler.fd >= 0 && worker->case_id && now - worker->since_ns > scan_limit_ns) {
			*timed_out_out = true;
			return drop(workers, worker, false, event_out);
		}
	}
	return false;
}
