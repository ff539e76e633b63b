// SPDX-License-Identifier: GPL-2.0-only
#include "nest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

#define DELAY_FIRST_MS 100
#define DELAY_LAST_MS 5000
#define IDLE_MS 250
#define INODES 20000
#define GRACE_NS 2000000000u /* a gate that has not read its sockets for so long is dead: its own timer is 1.5 s */

void nest_open(struct nest *nest)
{
	nest->gate = -1;
	for (int i = 0; i < CHILDREN_MAX; i++)
		nest->children[i] = (struct child){.gate_end = -1, .report = -1, .handler.fd = -1, .nest = nest};
	nest->delay_ms[0] = nest->delay_ms[1] = DELAY_FIRST_MS;
}

unsigned nest_serving(const struct nest *nest)
{
	unsigned count = 0;

	for (int i = 0; i < CHILDREN_MAX; i++)
		count += nest->children[i].state == CHILD_SERVING && !nest->children[i].is_hasher;
	return count;
}

static void report_close(struct child *child)
{
	if (child->report < 0)
		return;
	loop_remove(child->nest->loop, &child->handler);
	close(child->report);
	child->report = -1;
}

static void child_forget(struct child *child)
{
	bool served = child->state == CHILD_SERVING && !child->is_hasher;

	report_close(child);
	if (child->gate_end >= 0)
		close(child->gate_end);
	child->gate_end = -1;
	child->state = CHILD_FREE;
	child->pid = 0;
	if (served)
		child->nest->serving(child->nest->owner, nest_serving(child->nest));
}

static void trouble_set(struct nest *nest, bool is_hasher, const char *text)
{
	if (!strcmp(nest->trouble[is_hasher], text))
		return;
	snprintf(nest->trouble[is_hasher], sizeof(nest->trouble[is_hasher]), "%s", text);
	nest->troubled(nest->owner, text);
}

static void later(struct nest *nest, bool is_hasher)
{
	nest->again_ns[is_hasher] = now_ns() + nest->delay_ms[is_hasher] * 1000000u;
	nest->delay_ms[is_hasher] *= 2;
	if (nest->delay_ms[is_hasher] > DELAY_LAST_MS)
		nest->delay_ms[is_hasher] = DELAY_LAST_MS;
}

/* ---- forking ---- */

static struct box box_of(const struct nest *nest, bool is_hasher, pid_t parent, int gate, int report)
{
	const struct scanner_settings *settings = nest->settings;
	struct box box = {.uid = settings->worker_uid,
			  .gid = settings->worker_gid,
			  .parent = parent,
			  .null_fd = nest->null_fd,
			  .keep = {gate, report},
			  .nofile = 128 + 4 * settings->max_depth};

	if (is_hasher) {
		box.trade = BOX_READER;
		box.room = 65536;
		box.inodes = 16;
	} else { /* libclamav was seen to hold 1.5 times its scan size in files at once */
		box.trade = BOX_PARSER;
		box.room = settings->max_scan_size + settings->max_scan_size / 2 + (64u << 20);
		box.inodes = INODES + 2 * (settings->max_files < 1000000 ? settings->max_files : 1000000);
	}
	return box;
}

static _Noreturn void child_main(struct nest *nest, bool is_hasher, pid_t parent, int gate, int report)
{
	struct box box = box_of(nest, is_hasher, parent, gate, report);
	sigset_t none;

	prctl(PR_SET_NAME, is_hasher ? "mailward-hasher" : "mailward-worker", 0, 0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (is_hasher)
		hasher_run(&box, nest->settings);
	worker_run(&box, nest->engine, nest->settings);
}

static void report_ready(void *owner, uint32_t events)
{
	struct child *child = owner;
	struct nest *nest = child->nest;
	struct child_report report;
	int fd = -1, result = frame_receive(child->report, &report, sizeof(report), &fd);

	(void)events;
	if (result == -EAGAIN)
		return;
	if (result == 0 && report.ready == CHILD_WORD_ASK && fd >= 0 && child->state == CHILD_SERVING &&
	    !child->is_hasher) {
		nest->asked(nest->owner, child->report, report.number, fd);
		close(fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (result < 0 || child->state != CHILD_STARTING) { /* it ended, or has nothing to say any more */
		report_close(child);
		return;
	}
	report.text[sizeof(report.text) - 1] = 0;
	if (!report.ready) {
		char text[sizeof(nest->trouble[0])];
		snprintf(text, sizeof(text), "no %s starts: %s", child->is_hasher ? "hasher" : "worker", report.text);
		trouble_set(nest, child->is_hasher, text);
		return;
	}
	child->state = CHILD_READY;
	nest->delay_ms[child->is_hasher] = DELAY_FIRST_MS;
	nest->again_ns[child->is_hasher] = 0;
	trouble_set(nest, child->is_hasher, "");
}

static struct child *child_free(struct nest *nest)
{
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (nest->children[i].state == CHILD_FREE)
			return &nest->children[i];
	return NULL;
}

static int child_fork(struct nest *nest, bool is_hasher)
{
	struct child *child = child_free(nest);
	int gate[2], report[2];
	pid_t pid, parent = getpid();

	if (!child)
		return -EAGAIN;
	if (frame_pair(gate) < 0)
		return -EMFILE;
	if (frame_pair(report) < 0) {
		close(gate[0]);
		close(gate[1]);
		return -EMFILE;
	}
	pid = fork();
	if (pid == 0)
		child_main(nest, is_hasher, parent, gate[1], report[1]);
	close(gate[1]);
	close(report[1]);
	if (pid < 0) {
		close(gate[0]);
		close(report[0]);
		return -EAGAIN;
	}
	child->state = CHILD_STARTING;
	child->is_hasher = is_hasher;
	child->pid = pid;
	child->definitions = nest->definitions;
	child->retired_ns = 0;
	child->gate_end = gate[0];
	child->report = report[0];
	child->handler = (struct loop_handler){.ready = report_ready, .owner = child, .fd = -1};
	if (loop_add(nest->loop, &child->handler, report[0], EPOLLIN) < 0) {
		close(child->report);
		child->report = -1;
		kill(pid, SIGKILL);
	}
	return 0;
}

/* ---- ends ---- */

static bool is_old(const struct child *child)
{
	return child->state != CHILD_FREE && child->state != CHILD_DYING && !child->is_hasher &&
	       child->definitions != child->nest->definitions;
}

static void ended(struct child *child, int status)
{
	struct nest *nest = child->nest;
	const char *layer = WIFEXITED(status) ? box_layer_name(WEXITSTATUS(status)) : NULL;
	char text[sizeof(nest->trouble[0])];

	if (child->report >= 0) /* it may have said more than its exit code does */
		report_ready(child, EPOLLIN);
	if ((child->state == CHILD_STARTING || child->state == CHILD_READY) && !is_old(child)) {
		later(nest, child->is_hasher);
		snprintf(text, sizeof(text), "no %s starts: %s %d", child->is_hasher ? "hasher" : "worker",
			 layer                 ? layer
			 : WIFSIGNALED(status) ? "killed by signal"
					       : "exit code",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		if (!nest->trouble[child->is_hasher][0])
			trouble_set(nest, child->is_hasher, text);
	}
	child_forget(child);
}

void nest_reap(struct nest *nest)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		int i = 0;
		while (i < CHILDREN_MAX && nest->children[i].pid != pid)
			i++;
		if (i < CHILDREN_MAX)
			ended(&nest->children[i], status);
		else
			nest->stranger(nest->owner, pid, status);
	}
}

bool nest_kill(struct nest *nest, pid_t pid)
{
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (pid > 0 && nest->children[i].pid == pid)
			return kill(pid, SIGKILL) == 0;
	return false;
}

/* Does not wait for them: one that reads from a dead server may take its time. */
static void kill_which(struct nest *nest, bool hashers_too)
{
	for (int i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &nest->children[i];
		pid_t pid = child->pid;
		if (child->state == CHILD_FREE || (child->is_hasher && !hashers_too))
			continue;
		kill(pid, SIGKILL);
		child_forget(child);
		child->state = CHILD_DYING;
		child->pid = pid;
	}
}

void nest_end(struct nest *nest)
{
	struct timespec moment = {.tv_nsec = 10000000};

	kill_which(nest, true);
	for (int i = 0; i < 100 && waitpid(-1, NULL, WNOHANG) >= 0; i++)
		nanosleep(&moment, NULL);
}

void nest_gate(struct nest *nest, int gate)
{
	/* a hasher that has not been given away yet can go to the new gate */
	bool given = false;

	for (int i = 0; i < CHILDREN_MAX; i++)
		given = given || nest->children[i].state == CHILD_SERVING;
	if (given)
		kill_which(nest, true);
	nest->gate = gate;
	nest->told = false;
	nest->old_ns = 0; /* nobody has a word of them any more */
}

static bool tell(struct nest *nest, enum nursery_kind kind, int32_t id, int fd)
{
	struct nursery_frame frame = {.version = WIRE_VERSION,
				      .kind = kind,
				      .id = id,
				      .levels = nest->levels,
				      .definitions = nest->definitions,
				      .signatures = nest->signatures};

	return frame_send(nest->gate, &frame, sizeof(frame), fd) == 0;
}

/* ---- the old and the new ---- */

unsigned nest_old(const struct nest *nest)
{
	unsigned count = 0;

	for (int i = 0; i < CHILDREN_MAX; i++)
		count += is_old(&nest->children[i]);
	return count;
}

/* Old workers that the gate has get a word, and the time for one scan; others are killed. */
static void old_retire(struct nest *nest)
{
	uint64_t limit = nest->settings->scan_time_ms * 1000000ull + GRACE_NS, now = now_ns();

	for (int i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &nest->children[i];
		struct child_report word = {0};
		if (!is_old(child))
			continue;
		nest->old_ns = now;
		if (child->state != CHILD_SERVING || (child->retired_ns && now - child->retired_ns > limit)) {
			kill(child->pid, SIGKILL);
		} else if (!child->retired_ns && child->report >= 0) {
			child->retired_ns = now;
			tell(nest, NURSERY_RETIRE, child->pid, -1);
			frame_send(child->report, &word, sizeof(word), -1);
		}
	}
}

static bool new_serves(const struct nest *nest)
{
	for (int i = 0; i < CHILDREN_MAX; i++) {
		const struct child *child = &nest->children[i];
		if (child->state == CHILD_SERVING && !child->is_hasher && child->definitions == nest->definitions)
			return true;
	}
	return false;
}

/* May the gate be told of the definitions now? */
static bool old_is_over(const struct nest *nest)
{
	return nest_old(nest) == 0 && (nest->old_ns == 0 || now_ns() - nest->old_ns > GRACE_NS);
}

void nest_definitions(struct nest *nest, struct engine *engine, uint64_t definitions, uint64_t signatures)
{
	nest->engine = engine;
	nest->definitions = definitions;
	nest->signatures = signatures;
	nest->levels = LEVEL_HEURISTICS | (nest->settings->deny_types ? LEVEL_CONTENT : 0) |
		       (nest->settings->engine == ENGINE_CLAMD ? LEVEL_CLAMD : LEVEL_SIGNATURES);
	nest->known = true;
	nest->told = false;
	if (nest_old(nest) > 0)
		nest->old_ns = now_ns();
}

/* ---- the gate ---- */

static void send_ready(struct nest *nest)
{
	if (nest->gate < 0)
		return;
	if (nest->known && !nest->told && old_is_over(nest))
		nest->told = tell(nest, NURSERY_DEFINITIONS, 0, -1);
	for (int i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &nest->children[i];
		if (child->state != CHILD_READY || is_old(child) || (!child->is_hasher && !nest->told && !nest->old_ns))
			continue;
		if (!tell(nest, child->is_hasher ? NURSERY_HASHER : NURSERY_WORKER, child->pid, child->gate_end))
			return;
		close(child->gate_end);
		child->gate_end = -1;
		child->state = CHILD_SERVING;
		if (!child->is_hasher)
			nest->serving(nest->owner, nest_serving(nest));
	}
}

static unsigned there_are(const struct nest *nest, bool is_hasher)
{
	unsigned count = 0;

	for (int i = 0; i < CHILDREN_MAX; i++) {
		const struct child *child = &nest->children[i];
		count += child->state != CHILD_FREE && child->state != CHILD_DYING && child->is_hasher == is_hasher &&
			 (is_hasher || child->definitions == nest->definitions);
	}
	return count;
}

/* Returns false where it has to wait. While none of this kind has ever got through, one at a time tries. */
static bool fill(struct nest *nest, bool is_hasher, unsigned wanted)
{
	unsigned there = there_are(nest, is_hasher);

	if (!is_hasher && wanted + nest_old(nest) > WORKERS_MAX) /* the gate has room for so many */
		wanted = WORKERS_MAX > nest_old(nest) ? WORKERS_MAX - nest_old(nest) : 0;
	if (nest->delay_ms[is_hasher] > DELAY_FIRST_MS && wanted > 1)
		wanted = nest_serving(nest) + 1 < wanted ? nest_serving(nest) + 1 : wanted;
	for (; there < wanted; there++) {
		if (now_ns() < nest->again_ns[is_hasher])
			return false;
		if (child_fork(nest, is_hasher) < 0) {
			later(nest, is_hasher);
			return false;
		}
	}
	return true;
}

int nest_tend(struct nest *nest)
{
	bool idle = fill(nest, true, 1);

	if (nest->engine)
		idle = fill(nest, false, nest->settings->workers) && idle;
	send_ready(nest);
	if (nest->engine && new_serves(nest))
		old_retire(nest);
	return idle ? IDLE_MS : 20;
}
