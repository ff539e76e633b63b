// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stand-ins for gate, recorder, policy reader and selftest, linked with the real keeper. What they do is written in the
 * "policy", a file of words with semicolons between; the gate finds it as the name of the policy's first file:
 *
 *   complain TEXT        the reader complains instead of sending a policy
 *   slow-reader          the reader never answers
 *   reader-dies          it ends before its policy
 *   missing              the first watch has no root
 *   root DIR             the first watch's root
 *   workers N            scanner settings
 *   gate WORD...         hold (never in force), silent (no beats), die (at once), liar (wrong frame), read (reads one
 *                        permission event and keeps it), mark DIR
 *   selftest WORD        misses (a canary went through), silent (for ever, but ends when told to), dies, liar
 *
 * The recorder finds its words in the file STATE/recorder/behave: silent, die, liar.
 *
 * The kernel side is what the variable FAKE_HOOKS says: full (maps are memfds), reused (and of an earlier run), labels;
 * else there is none. "on-stop release" is a phrase of the policy.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allowed.h"
#include "attach.h"
#include "frame.h"
#include "gate.h"
#include "log.h"
#include "loop.h"
#include "pages.h"
#include "policy.h"
#include "policy_reader.h"
#include "recorder.h"
#include "rights.h"
#include "selftest.h"
#include "shared.h"
#include "steward_process.h"
#include "wire.h"

static struct policy table;

static int tell(enum leash_kind kind, uint64_t value, const char *text, int fd)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value};

	snprintf(frame.text, sizeof(frame.text), "%s", text);
	return frame_send(FD_LEASH, &frame, sizeof(frame), fd);
}

/* ---- the kernel side ---- */

int attach_run(struct attached *attached, bool keep)
{
	const char *words = getenv("FAKE_HOOKS");

	*attached = (struct attached){.home = -1, .why = "the stand-in has none", .remedy = "and no remedy"};
	for (int i = 0; i < HOOK_MAPS; i++)
		attached->maps[i] = -1;
	if (!words || !keep)
		return 0;
	attached->mode = strcmp(words, "labels") == 0 ? ATTACH_LABELS : ATTACH_FULL;
	attached->reused = strcmp(words, "reused") == 0;
	attached->others = attached->reused;
	attached->hook_count = 1;
	attached->hooks[0].state = HOOK_ATTACHED;
	for (int i = 0; i < HOOK_MAPS; i++)
		if (attached->mode == ATTACH_FULL || i == HOOK_LABELS)
			attached->maps[i] = memfd_create("map", MFD_CLOEXEC);
	return 0;
}

void attach_settle(struct attached *attached)
{
	attached->others = false;
	log_line("stand-in: settled");
}

void attach_detach(struct attached *attached)
{
	(void)attached;
	log_line("stand-in: detached");
}

int attach_label(const struct attached *attached, int pidfd, const struct hook_label *label)
{
	(void)attached;
	log_line("stand-in: %s is labelled %u", pidfd >= 0 ? "a process" : "nobody", label->flags);
	return 0;
}

int attach_release(uint32_t *count_out)
{
	const char *words = getenv("FAKE_HOOKS");

	*count_out = words && strcmp(words, "full") == 0;
	return words && strcmp(words, "busy") == 0 ? -EBUSY : 0;
}

/* How many of the maps' descriptors are open here. */
static void say_maps(const char *who)
{
	char line[64];
	int count = 0;

	for (int i = 0; i < HOOK_MAPS; i++)
		count += fcntl(FD_HOOKS + i, F_GETFD) >= 0;
	snprintf(line, sizeof(line), "%s holds %d maps", who, count);
	tell(LEASH_LOG, 0, line, -1);
}

/* The rest of the phrase that begins with this word, or NULL. */
static const char *line_of(const char *word)
{
	static char line[POLICY_FILE_SIZE];
	size_t length = strlen(word);

	for (const char *at = table.files[0]; at; at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL) {
		if (strncmp(at, word, length) != 0 || !strchr(" ;", at[length]))
			continue;
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, ";"), at);
		return line[length] ? line + length + 1 : line + length;
	}
	return NULL;
}

static bool has_word(const char *words, const char *word)
{
	return words && strstr(words, word);
}

/* ---- reader ---- */

static void send_roots(void)
{
	const char *root = line_of("root");
	int fd = root && !line_of("missing") ? open(root, O_RDONLY | O_DIRECTORY) : -1;

	if (fd >= 0)
		tell(LEASH_ROOT, 0, "", fd);
	else
		tell(LEASH_WATCH_WITHOUT, 0, "there is no such folder", -1);
	tell(LEASH_POLICY_END, 0, "", -1);
}

static void table_fill(void)
{
	const char *text = line_of("workers");

	table.magic = POLICY_MAGIC;
	table.size = sizeof(table);
	table.file_count = table.watch_count = 1;
	table.max_definitions_age_s = 1;
	table.scanner = (struct scanner_settings){.workers = text ? (unsigned)atoi(text) : 4,
						  .max_file_size = 1 << 20,
						  .max_scan_size = 1 << 20,
						  .max_files = 10,
						  .max_depth = 10,
						  .scan_time_ms = 1000};
	table.release_on_stop = has_word(line_of("on-stop"), "release");
	strcpy(table.watches[0].path, "/fake");
	table.watches[0].place.line = 1;
	table.watches[0].mode = MODE_ENFORCE;
	table.watches[0].deadline_ns = 1000000000;
	for (int i = 0; i < POLICY_CASES; i++)
		table.watches[0].actions[i] = (struct policy_action){.answer = ANSWER_DENY, .place.line = 1};
}

int policy_reader_run(int argc, char **argv)
{
	const char *text;
	int fd;

	if (argc < 2) {
		say_maps("the reader");
		if (pread(FD_POLICY, &table, sizeof(table), 0) != (ssize_t)sizeof(table))
			return 1;
		send_roots();
		return 0;
	}
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || read(fd, table.files[0], sizeof(table.files[0]) - 1) < 0) {
		tell(LEASH_COMPLAINT, 0, "can't read the policy", -1);
		return 1;
	}
	if (line_of("slow-reader"))
		pause();
	if (line_of("reader-dies"))
		return 3;
	text = line_of("complain");
	if (text) {
		tell(LEASH_COMPLAINT, 0, text, -1);
		tell(LEASH_COMPLAINT, 0, "and another complaint", -1);
		return 0;
	}
	table_fill();
	fd = pages_sealed_copy("policy", &table, sizeof(table));
	tell(LEASH_POLICY, 0, "", fd);
	send_roots();
	return 0;
}

/* ---- selftest ---- */

int selftest_run(void)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_TESTED, .value = CANARY_BLOCKED};
	struct pollfd leash = {.fd = FD_LEASH, .events = POLLIN};
	const char *words;
	struct leash_frame orders;
	char line[128];
	int fd = -1;

	if (pread(FD_POLICY, &table, sizeof(table), 0) != (ssize_t)sizeof(table) || poll(&leash, 1, 2000) != 1 ||
	    frame_receive(FD_LEASH, &orders, sizeof(orders), &fd) < 0 || orders.kind != LEASH_CANARY)
		return 1;
	words = line_of("selftest");
	snprintf(line, sizeof(line), "policy %lu, canary %.20s, definitions %u", (unsigned long)orders.value,
		 orders.text, orders.counts[0]);
	tell(LEASH_LOG, 0, line, -1);
	if (has_word(words, "liar")) {
		tell(LEASH_IN_FORCE, 1, "", -1);
		pause();
	}
	if (has_word(words, "dies"))
		return 3;
	if (has_word(words, "silent")) {
		poll(&leash, 1, -1);
		if (frame_receive(FD_LEASH, &orders, sizeof(orders), &fd) == 0 && orders.kind == LEASH_STOP)
			tell(LEASH_LOG, 0, "told to end", -1);
		return 1;
	}
	if (has_word(words, "misses")) {
		frame.value = CANARY_NOT_BLOCKED;
		snprintf(frame.text, sizeof(frame.text), "it went through");
	}
	frame.counts[0] = frame.counts[1] = (uint32_t)frame.value;
	frame_send(FD_LEASH, &frame, sizeof(frame), -1);
	tell(LEASH_TESTED_ALL, 0, "", -1);
	return 0;
}

/* ---- gate ---- */

struct gate_fake {
	struct status_page *page;
	struct gate_notes *notes;
	uint64_t number;
	int root;
	bool beats, reads;
};

static void gate_mark(const char *words)
{
	const char *mark = words ? strstr(words, "mark ") : NULL;

	if (mark &&
	    fanotify_mark(FD_PERMISSION_GROUP, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_PERM, AT_FDCWD, mark + 5) < 0)
		tell(LEASH_LOG, 0, strerror(errno), -1);
}

static void gate_in_force(struct gate_fake *gate, const struct leash_frame *frame)
{
	const char *words = line_of("gate");
	char line[64];

	snprintf(line, sizeof(line), "took policy %lu", (unsigned long)frame->value);
	tell(LEASH_LOG, 0, line, -1);
	if (has_word(words, "die"))
		_exit(5);
	if (has_word(words, "liar"))
		tell(LEASH_ROOT, 0, "", -1);
	for (int i = 0; has_word(words, "talk") && i < 50; i++)
		tell(LEASH_LOG, 0, "and another line", -1);
	gate->beats = !has_word(words, "silent");
	gate->reads = has_word(words, "read");
	if (has_word(words, "hold"))
		return;
	gate_mark(words);
	tell(LEASH_IN_FORCE, frame->value, "", -1);
	__atomic_store_n(&gate->page->gate.marks_stand, 1, __ATOMIC_RELEASE);
}

static void gate_frame(struct gate_fake *gate)
{
	struct leash_frame frame;
	int fd = -1, error = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);
	char line[64];

	if (error)
		_exit(error == -EAGAIN ? 6 : 0);
	if (frame.kind == LEASH_POLICY) {
		const struct policy *policy = mmap(NULL, sizeof(*policy), PROT_READ, MAP_SHARED, fd, 0);
		if (policy == MAP_FAILED || policy->number != frame.value)
			_exit(7);
		table = *policy;
		munmap((void *)policy, sizeof(*policy));
	} else if (frame.kind == LEASH_POLICY_END) {
		gate_in_force(gate, &frame);
	} else if (frame.kind == LEASH_ROOT || frame.kind == LEASH_WATCH_WITHOUT) {
		tell(LEASH_LOG, 0, frame.kind == LEASH_ROOT ? "got a root" : "got a watch without a root", -1);
	} else if (frame.kind == LEASH_PEER) {
		snprintf(line, sizeof(line), "got peer %lu", (unsigned long)frame.value);
		tell(LEASH_LOG, 0, line, -1);
	} else if (frame.kind == LEASH_STOP) {
		_exit(0);
	}
	if (fd >= 0)
		close(fd);
}

/* Reads accesses and leaves them, every second one noted with "allow". */
static void gate_read(struct gate_fake *gate)
{
	char buffer[4096];
	ssize_t size = read(FD_PERMISSION_GROUP, buffer, sizeof(buffer));
	struct fanotify_event_metadata *event = (void *)buffer;

	for (; size > 0 && FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
		bool own = false;
		for (unsigned i = 0; i < gate->notes->own_count; i++)
			own = own || gate->notes->own_pids[i] == event->pid;
		if (own) {
			struct fanotify_response response = {.fd = event->fd, .response = FAN_ALLOW};
			if (write(FD_PERMISSION_GROUP, &response, sizeof(response)) < 0)
				_exit(8);
			close(event->fd);
			continue;
		}
		if (gate->page->gate.waiting % 2 == 0) /* not by its number: some between are taken */
			gate->notes->notes[event->fd] = (struct gate_note){.pid = event->pid, .answer = NOTE_ALLOW};
		gate->page->gate.waiting++;
	}
}

int gate_run(void)
{
	struct gate_fake gate = {.beats = true};

	gate.page = pages_map(FD_STATUS_PAGE, sizeof(*gate.page));
	gate.notes = pages_map(FD_GATE_NOTES, sizeof(*gate.notes));
	if (!gate.page || !gate.notes)
		return 4;
	if (rights_gate() < 0) {
		tell(LEASH_LOG, 0, rights_why(), -1);
		return 4;
	}
	tell(LEASH_READY, 0, "", -1);
	say_maps("the gate");
	for (;;) {
		struct pollfd fds[] = {{.fd = FD_LEASH, .events = POLLIN},
				       {.fd = gate.reads ? FD_PERMISSION_GROUP : -1, .events = POLLIN}};
		poll(fds, 2, 100);
		if (fds[0].revents)
			gate_frame(&gate);
		if (fds[1].revents)
			gate_read(&gate);
		if (gate.beats)
			tell(LEASH_BEAT, 0, "", -1);
	}
}

/* ---- recorder ---- */

int recorder_run(void)
{
	struct leash_frame frame;
	int file = openat(FD_STATE_DIR, "behave", O_RDONLY), fd;
	char words[64] = "", line[128];

	if (file >= 0 && read(file, words, sizeof(words) - 1) < 0)
		return 4;
	if (rights_recorder() < 0) {
		tell(LEASH_LOG, 0, rights_why(), -1);
		return 4;
	}
	if (has_word(words, "die"))
		return 9;
	frame = (struct leash_frame){.version = WIRE_VERSION, .kind = LEASH_BEFORE, .value = 3, .counts = {1, 2}};
	frame_send(FD_LEASH, &frame, sizeof(frame), -1);
	tell(LEASH_READY, 0, "", -1);
	if (has_word(words, "liar"))
		tell(LEASH_IN_FORCE, 1, "", -1);
	for (;;) {
		struct pollfd leash = {.fd = FD_LEASH, .events = POLLIN};
		if (poll(&leash, 1, 200) > 0) {
			fd = -1;
			int error = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);
			if (error)
				return 0;
			if (fd >= 0)
				close(fd);
			if (frame.kind == LEASH_STOP)
				return 0;
			if (frame.kind == LEASH_NOTE) {
				snprintf(line, sizeof(line), "note: %lu accesses, watch %u, answer %u",
					 (unsigned long)frame.value, frame.watch, frame.answer);
				tell(LEASH_LOG, 0, line, -1);
			}
		}
		if (!has_word(words, "silent"))
			tell(LEASH_BEAT, 0, "", -1);
	}
}

/* ---- steward ---- */

int steward_run(void)
{
	static const struct allowed_table nothing = {
		.magic = ALLOWED_MAGIC, .number = 1, .size = sizeof(struct allowed_table)};
	struct leash_frame frame;

	if (rights_steward() < 0) {
		tell(LEASH_LOG, 0, rights_why(), -1);
		return 4;
	}
	tell(LEASH_READY, 0, "", -1);
	tell(LEASH_ALLOWED, 0, "", pages_sealed_copy("allow list", &nothing, sizeof(nothing)));
	for (;;) {
		struct pollfd leash = {.fd = FD_LEASH, .events = POLLIN};
		if (poll(&leash, 1, 200) > 0) {
			int fd = -1;
			if (frame_receive(FD_LEASH, &frame, sizeof(frame), &fd))
				return 0;
			if (fd >= 0)
				close(fd);
			if (frame.kind == LEASH_STOP)
				return 0;
			if (frame.kind == LEASH_POLICY_END)
				tell(LEASH_LOG, 0, "has the policy in force", -1);
		}
		tell(LEASH_BEAT, 0, "", -1);
	}
}
