// SPDX-License-Identifier: GPL-2.0-only
/* The other processes: who gets what, when one stands still, what is done when it has ended. */
#include "keeper_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"
#include "log.h"

#define RECORDER_SILENCE (10 * SECOND_NS)
#define STEWARD_SILENCE (30 * SECOND_NS) /* it waits for disks */
/* A killed process whose last thread hangs inside the kernel (a close on a dead NFS server) can answer nobody any
 * more; nobody waits longer for it than this. */
#define LAST_BREATH (300 * SECOND_NS / 1000)
#define GATE_LOAD_TIME (SECOND_NS)
#define SILENCE_LOOK (SECOND_NS / 2) /* two beats of the loader: from then on it is looked at in each turn */
#define FRAMES_A_TURN 16
#define LINK_HOLDS (1 << 20) /* bytes that wait for the other side, which may wait for a disk */
#define DEATHS_BEFORE_READY 4

static const char *const names[PARTS] = {"gate", "loader", "recorder", "steward", "policy reader", "selftest"};

bool part_runs(const struct part *part)
{
	return part->child.pid > 0;
}

void part_show(struct part *part, enum process_state state)
{
	if (!part->entry)
		return;
	part->entry->state = state;
	__atomic_store_n(&part->entry->pid, part->child.pid, __ATOMIC_RELAXED);
}

/* ---- starting ---- */

struct child_plan part_plan(const struct keeper *keeper, int executable, const char *name)
{
	struct child_plan plan = {.executable = executable, .argv = {name, NULL, NULL}, .null_fd = keeper->null_fd};

	plan.error_fd = keeper->error_fd;
	plan.shows_state = true;
	for (int i = 0; i < FD_START_END; i++)
		plan.fds[i] = -1;
	return plan;
}

static void leash_ready(void *owner, uint32_t events);

int part_start(struct part *part, const struct child_plan *plan, uint64_t limit_ns)
{
	struct keeper *keeper = part->keeper;
	int error = child_start(&part->child, plan);

	if (error) {
		log_line("can't start the %s: %s", part->name, strerror(-error));
		return error;
	}
	/* The gate must know it as one of us before it opens anything. Slot 0 is the keeper's own. */
	__atomic_store_n(&keeper->notes->own_pids[1 + part->role], part->child.pid, __ATOMIC_RELEASE);
	child_go(&part->child);
	part->leash = (struct loop_handler){.ready = leash_ready, .owner = part, .fd = -1};
	loop_add(&keeper->loop, &part->leash, part->child.leash, EPOLLIN);
	part->killed_ns = 0;
	part->linked = part->ready = part->stopping = part->heard = false;
	restart_started(&part->restart, now_ns(), limit_ns);
	if (part->entry)
		part->entry->started_ns = wall_ns();
	part_show(part, PROCESS_STARTING);
	return 0;
}

/* Nothing is guarded yet, so nobody waits for it: a machine that is slow at its boot may take its time. */
static uint64_t first_silence(const struct keeper *keeper, uint64_t limit_ns)
{
	return keeper->ready ? limit_ns : FIRST_SILENCE_NS;
}

static void gate_start(struct part *part)
{
	struct keeper *keeper = part->keeper;
	struct child_plan plan = part_plan(keeper, keeper->own_exe, "mailward-gate");

	if (keeper->sweep_again) {
		sweep_answer(keeper->permission_group, keeper->notes, &keeper->unreported);
		keeper->sweep_again = false;
	}
	plan.fds[FD_STATUS_PAGE] = keeper->page_fd;
	plan.fds[FD_GATE_NOTES] = keeper->notes_fd;
	plan.fds[FD_RECORD_RING] = keeper->ring_fd;
	plan.fds[FD_RECORD_BELL] = keeper->bell_fd;
	plan.fds[FD_VERDICTS] = keeper->verdicts_fd;
	plan.fds[FD_PERMISSION_GROUP] = keeper->permission_group;
	plan.fds[FD_CLOSED_GROUP] = keeper->closed_group;
	plan.fds[FD_MOVES_GROUP] = keeper->moves_group;
	plan.fds[FD_PROC] = keeper->proc;
	hooks_hand_over(keeper, &plan);
	plan.nofile = keeper->nofile;
	plan.unlimited_memlock = true;
	plan.shows_state = false; /* it goes first in line, and its own timer ends it whatever the reason */
	if (part_start(part, &plan, first_silence(keeper, GATE_SILENCE_NS)) == 0)
		policies_gate_started(keeper);
	else
		restart_ended(&part->restart, now_ns());
}

static void recorder_start(struct part *part)
{
	struct keeper *keeper = part->keeper;
	struct child_plan plan = part_plan(keeper, keeper->own_exe, "mailward-recorder");

	plan.fds[FD_STATUS_PAGE] = keeper->page_read_only_fd;
	plan.fds[FD_RECORD_RING] = keeper->ring_fd;
	plan.fds[FD_RECORD_BELL] = keeper->bell_fd;
	plan.fds[FD_PROC] = keeper->proc;
	plan.fds[FD_LISTENER] = keeper->recorder_listener;
	plan.fds[FD_STATE_DIR] = keeper->state_dir;
	plan.uid = keeper->recorder_id.uid;
	plan.gid = keeper->recorder_id.gid;
	if (part_start(part, &plan, RECORDER_SILENCE) < 0)
		restart_ended(&part->restart, now_ns());
}

static void steward_start(struct part *part)
{
	struct keeper *keeper = part->keeper;
	struct child_plan plan = part_plan(keeper, keeper->own_exe, "mailward-steward");

	plan.fds[FD_STATUS_PAGE] = keeper->page_read_only_fd;
	plan.fds[FD_PROC] = keeper->proc;
	plan.fds[FD_VERDICTS] = keeper->verdicts_read_only_fd;
	plan.fds[FD_LISTENER] = keeper->steward_listener;
	plan.fds[FD_STATE_DIR] = keeper->steward_dir;
	if (part_start(part, &plan, STEWARD_SILENCE) == 0)
		policies_steward_started(keeper);
	else
		restart_ended(&part->restart, now_ns());
}

static void loader_start(struct part *part)
{
	struct keeper *keeper = part->keeper;
	struct child_plan plan = part_plan(keeper, keeper->scanner_exe, "mailward-loader");
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_START};

	plan.fds[FD_DEFINITIONS] = keeper->definitions;
	plan.fds[FD_OWN_DIR] = keeper->loader_dir;
	/* Looked for anew, by the child: it may have been made, or put in another's place. */
	plan.directory = keeper->options->definitions;
	plan.directory_number = FD_DEFINITIONS;
	frame.scanner = policies_scanner(&keeper->policies);
	frame.value = part->careful;
	if (strlen(keeper->options->definitions) < sizeof(frame.text))
		memcpy(frame.text, keeper->options->definitions, strlen(keeper->options->definitions));
	if (part_start(part, &plan, first_silence(keeper, LOADER_SILENCE_NS)) < 0) {
		restart_ended(&part->restart, now_ns());
		return;
	}
	if (frame_send(part->child.leash, &frame, sizeof(frame), -1) < 0)
		part_kill(part, "takes no settings");
}

/* ---- ending ---- */

void part_kill(struct part *part, const char *why)
{
	if (!part_runs(part) || part->killed_ns)
		return;
	if (why)
		log_line("%s (pid %d) %s; killed", part->name, (int)part->child.pid, why);
	part->killed_ns = now_ns();
	kill(part->child.pid, SIGKILL);
}

int part_tell(struct part *part, enum leash_kind kind, uint64_t value, int fd)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value};

	return part_runs(part) ? frame_send(part->child.leash, &frame, sizeof(frame), fd) : -EPIPE;
}

void part_stop(struct part *part)
{
	if (!part_runs(part) || part->stopping)
		return;
	part->stopping = true;
	if (part_tell(part, LEASH_STOP, 0, -1) < 0)
		part_kill(part, NULL);
}

void parts_serving(struct keeper *keeper, uint64_t count)
{
	struct keeper_part *shown = &keeper->page->keeper;

	/* In an order in which nobody finds both 0 once one has served. */
	if (count == 0 && shown->workers_serving)
		__atomic_store_n(&shown->workers_gone_ns, now_ns(), __ATOMIC_RELEASE);
	__atomic_store_n(&shown->workers_serving, count, __ATOMIC_RELEASE);
	if (count)
		__atomic_store_n(&shown->workers_gone_ns, 0, __ATOMIC_RELEASE);
}

void parts_restart_loader(struct keeper *keeper)
{
	part_kill(&keeper->parts[PART_LOADER], "starts again with other settings");
	restart_succeeded(&keeper->parts[PART_LOADER].restart);
}

/* Answers for a gate that has ended. What it was told by is shown and recorded. */
static void gate_ended(struct keeper *keeper)
{
	uint64_t started = now_ns(), turn = keeper->page->gate.turn;
	uint64_t answered = sweep_answer(keeper->permission_group, keeper->notes, &keeper->unreported);

	if (answered) {
		keeper->has_unreported = true;
		__atomic_fetch_add(&keeper->page->keeper.answered_for_gate, answered, __ATOMIC_RELAXED);
		log_line("answered %" PRIu64 " accesses for the gate, which has ended (%" PRIu64 " ms)", answered,
			 (now_ns() - started) / 1000000);
	}
	__atomic_store_n(&keeper->page->gate.waiting, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&keeper->page->gate.turn, turn + (turn & 1), __ATOMIC_RELEASE);
	keeper->parts[PART_LOADER].linked = keeper->parts[PART_RECORDER].linked = false;
	keeper->parts[PART_STEWARD].linked = false;
	policies_gate_ended(keeper);
}

static void part_ended(struct part *part, const char *how)
{
	struct keeper *keeper = part->keeper;
	pid_t pid = part->child.pid;
	bool expected = part->stopping || keeper->stop != STOP_NOT;

	loop_remove(&keeper->loop, &part->leash);
	child_forget(&part->child);
	__atomic_store_n(&keeper->notes->own_pids[1 + part->role], 0, __ATOMIC_RELEASE);
	if (part->role == PART_READER) {
		policies_reader_ended(keeper, how);
		return;
	}
	if (part->role == PART_SELFTEST) {
		selftests_ended(keeper, how);
		return;
	}
	selftests_disturbed(keeper);
	if (part->role == PART_GATE)
		gate_ended(keeper);
	if (part->role == PART_LOADER) {
		parts_serving(keeper, 0);
		part->careful = part->careful || part->loading;
		part->loading = false;
		keeper->page->keeper.definitions_refused = DEFINITIONS_NEWEST; /* the next one says it again */
		selftests_canary(keeper, "");
	}
	part->linked = part->ready = false;
	part->deaths++;
	restart_ended(&part->restart, now_ns());
	part_show(part, PROCESS_RESTARTING);
	if (expected)
		return;
	part->entry->restarts++;
	log_line("%s (pid %d) has ended (%s); starts again in %" PRIu64 " ms", part->name, (int)pid, how,
		 (part->restart.due_ns - now_ns()) / 1000000);
	if (!keeper->ready && part->deaths >= DEATHS_BEFORE_READY)
		keeper_fail(keeper, 1, "not ready: the %s has ended %u times (%s)", part->name, part->deaths, how);
}

static void describe_end(const siginfo_t *info, char *out, size_t size)
{
	if (info->si_code == CLD_EXITED)
		snprintf(out, size, "exit code %d", info->si_status);
	else
		snprintf(out, size, "signal %d", info->si_status);
}

void parts_reap(struct keeper *keeper)
{
	for (;;) {
		siginfo_t info = {.si_pid = 0};
		struct part *part = NULL;
		char how[32];
		/* Left in place at first: its pid is nobody else's while its last frames are read. */
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		for (int i = 0; i < PARTS; i++)
			if (keeper->parts[i].child.pid == info.si_pid)
				part = &keeper->parts[i];
		while (part && part->leash.fd >= 0)
			leash_ready(part, EPOLLIN);
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		describe_end(&info, how, sizeof(how));
		if (part)
			part_ended(part, how);
	}
}

/* ---- the leashes ---- */

/* The first frame alone: it is sent by code of ours before the part runs, and a descriptor of the part's own choice
 * might keep us waiting when we read from it. */
static bool takes_state(struct part *part, const struct leash_frame *frame, int fd)
{
	bool first = !part->heard;

	part->heard = true;
	if (!first || part->role == PART_GATE || frame->version != WIRE_VERSION || frame->kind != LEASH_STATE)
		return false;
	part->child.state = fd;
	return true;
}

static void leash_ready(void *owner, uint32_t events)
{
	struct part *part = owner;
	struct leash_frame frame;
	int fd, error = 0;

	if (events & EPOLLOUT && part->role == PART_STEWARD)
		policies_deliver_steward(part->keeper);
	else if (events & EPOLLOUT)
		policies_deliver(part->keeper);
	for (int i = 0; i < FRAMES_A_TURN && part->child.leash >= 0; i++) {
		fd = -1;
		error = frame_receive(part->child.leash, &frame, sizeof(frame), &fd);
		if (error)
			break;
		if (takes_state(part, &frame, fd))
			continue;
		if (!part_frame(part, &frame, fd)) {
			part_kill(part, "sent a frame that it must not send");
			error = -EBADMSG;
		}
		if (fd >= 0 && part->role != PART_READER)
			close(fd);
		if (error)
			break;
	}
	if (error == 0 || error == -EAGAIN)
		return;
	/* Its end is closed: it has ended or will not be reached again. waitid() tells how. */
	loop_remove(&part->keeper->loop, &part->leash);
	part_kill(part, NULL);
}

/* ---- handing out ---- */

static void link_to_gate(struct keeper *keeper, struct part *part, enum leash_peer peer)
{
	struct part *gate = &keeper->parts[PART_GATE];
	int ends[2], size = LINK_HOLDS;

	if (part->linked || !part_runs(part) || !part_runs(gate) || frame_pair(ends) < 0)
		return;
	for (int i = 0; i < 2; i++) /* more than net.core.wmem_max it can't be */
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/* Where the second can't be sent now, the first one's end closes, and it gets another one later. */
	if (part_tell(part, LEASH_PEER, PEER_GATE, ends[1]) == 0 && part_tell(gate, LEASH_PEER, peer, ends[0]) == 0)
		part->linked = true;
	close(ends[0]);
	close(ends[1]);
}

/* The rows of a sweep, once there is a recorder that takes them. */
static void report_sweep(struct keeper *keeper)
{
	struct part *recorder = &keeper->parts[PART_RECORDER];
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_NOTE};

	if (!keeper->has_unreported || !recorder->ready || !part_runs(recorder))
		return;
	for (uint32_t watch = 0; watch <= WATCHES_MAX; watch++) {
		for (uint32_t answer = ANSWER_ALLOW; answer < ANSWERS; answer++) {
			uint32_t *count = &keeper->unreported.answered[watch][answer];
			frame.value = *count;
			frame.watch = watch < WATCHES_MAX ? watch : UINT32_MAX;
			frame.answer = answer;
			if (*count && frame_send(recorder->child.leash, &frame, sizeof(frame), -1) < 0)
				return;
			*count = 0;
		}
	}
	keeper->has_unreported = false;
}

/* ---- the clock ---- */

/* The last resort, where the file system of our own programs is marked: a gate whose exec waits for an answer that
 * nobody but itself could give. Files of ours never raise a question there (edge/lasting.h), but a gate may die before
 * it has said so to the kernel again. Nobody reads from the group before a gate is ready, so we may. */
static void rescue_gate(struct keeper *keeper, uint64_t now)
{
	struct part *gate = &keeper->parts[PART_GATE];
	uint64_t denied;

	if (!part_runs(gate) || gate->ready || gate->killed_ns || now < gate->restart.beat_ns + GATE_LOAD_TIME)
		return;
	denied = sweep_rescue(keeper->permission_group, keeper->notes, &keeper->unreported);
	if (!denied)
		return;
	keeper->has_unreported = true;
	__atomic_fetch_add(&keeper->page->keeper.answered_for_gate, denied, __ATOMIC_RELAXED);
	log_line("the gate could not be loaded while nobody answered: refused %" PRIu64 " accesses", denied);
}

static void start_when_due(struct part *part, uint64_t now)
{
	if (part_runs(part) || now < part->restart.due_ns || part->keeper->stop != STOP_NOT)
		return;
	switch (part->role) {
	case PART_GATE:
		gate_start(part);
		break;
	case PART_LOADER:
		loader_start(part);
		break;
	case PART_RECORDER:
		recorder_start(part);
		break;
	case PART_STEWARD:
		steward_start(part);
		break;
	case PART_READER:
	case PART_SELFTEST:
	case PARTS:
		break;
	}
}

/* Silent, or killed and not gone: is it for want of a processor? Then it gets more time. */
static void forgive_starved(struct part *part, uint64_t now)
{
	uint64_t limit = part->restart.limit_ns, before = part->restart.starved_ns, cpu_ns = 0, starved;
	bool runnable;

	if (now < part->restart.beat_ns + SILENCE_LOOK && !part->killed_ns)
		return;
	runnable = child_is_runnable(&part->child, &cpu_ns);
	starved = restart_looked(&part->restart, now, runnable, cpu_ns);
	if (part->killed_ns)
		part->killed_ns += starved;
	else if (before <= limit && part->restart.starved_ns > limit)
		log_line("%s (pid %d) gets no processor: it is silent, and is not ended for that", part->name,
			 (int)part->child.pid);
}

static void end_when_still(struct part *part, uint64_t now)
{
	if (!part_runs(part))
		return;
	forgive_starved(part, now);
	if (part->killed_ns) {
		if (now - part->killed_ns > LAST_BREATH && part->killed_ns < now) {
			/* Answered once more before the next one starts, should it have read something meanwhile. */
			part->keeper->sweep_again = part->keeper->sweep_again || part->role == PART_GATE;
			part_ended(part, "killed, but still held by the kernel");
		}
		return;
	}
	if (restart_stands_still(&part->restart, now))
		part_kill(part, part->role >= PARTS_LASTING ? "took too long" : "stands still");
}

void parts_tick(struct keeper *keeper, uint64_t now)
{
	for (int i = 0; i < PARTS; i++) {
		struct part *part = &keeper->parts[i];
		end_when_still(part, now);
		/* Nothing can run without a policy. */
		if (keeper->policies.current->valid || keeper->policies.offered)
			start_when_due(part, now);
	}
	rescue_gate(keeper, now);
	link_to_gate(keeper, &keeper->parts[PART_LOADER], PEER_LOADER);
	link_to_gate(keeper, &keeper->parts[PART_RECORDER], PEER_RECORDER);
	link_to_gate(keeper, &keeper->parts[PART_STEWARD], PEER_STEWARD);
	report_sweep(keeper);
	if (now - keeper->second_ns >= SECOND_NS) {
		keeper->second_ns = now;
		for (int i = 0; i < PARTS; i++)
			part_next_second(&keeper->parts[i]);
	}
}

void parts_init(struct keeper *keeper)
{
	struct keeper_part *shown = &keeper->page->keeper;

	for (int i = 0; i < PARTS; i++) {
		struct part *part = &keeper->parts[i];
		*part = (struct part){.keeper = keeper, .role = (enum part_role)i, .name = names[i]};
		part->child = (struct child){.leash = -1, .go = -1, .state = -1};
		part->leash.fd = -1;
		restart_init(&part->restart);
		if (i >= PARTS_LASTING)
			continue;
		part->entry = &shown->processes[1 + i];
		snprintf(part->entry->name, sizeof(part->entry->name), "%s", names[i]);
		part->entry->state = PROCESS_STARTING;
	}
	snprintf(shown->processes[0].name, sizeof(shown->processes[0].name), "keeper");
	shown->processes[0].pid = getpid();
	shown->processes[0].state = PROCESS_RUNNING;
	shown->processes[0].started_ns = wall_ns();
	shown->process_count = 1 + PARTS_LASTING; /* the keeper, and those that stay */
	keeper->notes->own_pids[0] = getpid();
	keeper->notes->own_count = 1 + PARTS;
}
