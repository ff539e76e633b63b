// SPDX-License-Identifier: GPL-2.0-only
/*
 * stage MAILWARDD RUNTIME STATE: plays keeper and gate for the real recorder (MAILWARDD with argv[0]
 * mailward-recorder) and for the tool, by the contracts of wire.h and ring.h. One command a line on standard input,
 * one line of answer on standard output; texts of commands are hexadecimal. See the table at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"
#include "loop.h"
#include "record.h"
#include "ring.h"
#include "shared.h"
#include "wire.h"

#define RECORDER_UID 65281
#define ANSWERS_MAX 8

static const char *mailwardd, *runtime, *state;
static int page_fd, ring_fd, bell, keeper_listener, recorder_listener;
static int leash = -1, gate = -1;
static pid_t recorder;
static struct status_page *page;
static struct ring *ring;
static unsigned beats, readies, befores;
static struct leash_frame before;
static char last_log[LEASH_TEXT];
static unsigned logs;
static bool keeper_is_silent, gate_is_silent;
static struct explain_reply explain = {.version = WIRE_VERSION};
static struct keeper_reply reload_reply = {.version = WIRE_VERSION, .verb = KEEPER_RELOAD};
static struct keeper_reply selftest_reply = {.version = WIRE_VERSION, .verb = KEEPER_SELFTEST};
static int keeper_clients[64], keeper_client_count;

static void fail(const char *what)
{
	fprintf(stderr, "stage: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *shared(const char *name, size_t size, int *fd_out)
{
	void *memory;

	*fd_out = memfd_create(name, MFD_CLOEXEC);
	if (*fd_out < 0 || ftruncate(*fd_out, (off_t)size) < 0)
		fail(name);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd_out, 0);
	if (memory == MAP_FAILED)
		fail(name);
	return memory;
}

static int listener(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", runtime, name);
	unlink(address.sun_path);
	if (sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(sock, 128) < 0)
		fail(address.sun_path);
	return sock;
}

/* Moves descriptors to their fixed numbers and becomes the recorder. */
static void become_recorder(int leash_end)
{
	char folder[512], *name[] = {(char *)"mailward-recorder", NULL};
	int from[FD_START_END] = {0}, to;

	snprintf(folder, sizeof(folder), "%s/recorder", state);
	from[FD_LEASH] = leash_end;
	from[FD_STATUS_PAGE] = page_fd;
	from[FD_RECORD_RING] = ring_fd;
	from[FD_RECORD_BELL] = bell;
	from[FD_LISTENER] = recorder_listener;
	from[FD_PROC] = open("/proc", O_RDONLY | O_DIRECTORY);
	from[FD_STATE_DIR] = open(folder, O_RDONLY | O_DIRECTORY);
	for (to = FD_LEASH; to < FD_START_END; to++)
		if (from[to] > 0)
			from[to] = fcntl(from[to], F_DUPFD, 100);
	for (to = FD_LEASH; to < FD_START_END; to++) {
		close(to);
		if (from[to] > 0)
			dup2(from[to], to);
	}
	close_range(FD_START_END, ~0u, 0);
	if (setgid(RECORDER_UID) < 0 || setuid(RECORDER_UID) < 0)
		_exit(120);
	execv(mailwardd, name);
	_exit(121);
}

static void recorder_start(void)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_PEER, .value = PEER_GATE};
	int ends[2], gate_ends[2];

	if (frame_pair(ends) < 0 || frame_pair(gate_ends) < 0)
		fail("socketpair");
	recorder = fork();
	if (recorder == 0)
		become_recorder(ends[1]);
	close(ends[1]);
	leash = ends[0];
	gate = gate_ends[0];
	frame_send(leash, &frame, sizeof(frame), gate_ends[1]);
	close(gate_ends[1]);
}

/* Milliseconds until the recorder ended, and its exit status (128 + signal), or -1 after ten seconds. */
static int recorder_end(unsigned *ms_out)
{
	uint64_t start = now_ns();
	int status;

	while (now_ns() - start < 10000000000u) {
		if (waitpid(recorder, &status, WNOHANG) == recorder) {
			*ms_out = (unsigned)((now_ns() - start) / 1000000);
			recorder = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		poll(NULL, 0, 5);
	}
	*ms_out = 10000;
	return -1;
}

static void hang_up(void)
{
	if (leash >= 0)
		close(leash);
	if (gate >= 0)
		close(gate);
	leash = gate = -1;
}

/* ---- what comes in by itself ---- */

static void leash_in(void)
{
	static struct leash_frame frame;
	int fd = -1;

	while (leash >= 0 && frame_receive(leash, &frame, sizeof(frame), &fd) == 0) {
		beats += frame.kind == LEASH_BEAT;
		readies += frame.kind == LEASH_READY;
		if (frame.kind == LEASH_BEFORE) {
			befores++;
			before = frame;
		}
		if (frame.kind == LEASH_LOG) {
			logs++;
			memcpy(last_log, frame.text, sizeof(last_log));
		}
	}
}

static void gate_in(void)
{
	struct explain_request request;
	int fd = -1;

	while (gate >= 0 && !gate_is_silent && frame_receive(gate, &request, sizeof(request), &fd) == 0) {
		explain.id = request.id;
		if (fd >= 0 && (fcntl(fd, F_GETFL) & O_PATH))
			frame_send(gate, &explain, sizeof(explain), -1);
		if (fd >= 0)
			close(fd);
	}
}

static void keeper_in(void)
{
	struct keeper_request request;
	int sock, fd = -1;

	if (keeper_is_silent)
		return;
	while (keeper_client_count < 64 && (sock = accept4(keeper_listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		keeper_clients[keeper_client_count++] = sock;
	for (int i = 0; i < keeper_client_count; i++) {
		int error = frame_receive(keeper_clients[i], &request, sizeof(request), &fd);
		struct keeper_reply reply = {.version = WIRE_VERSION, .verb = KEEPER_STATUS};
		char path[64];
		if (error == -EAGAIN)
			continue;
		if (error == 0 && request.verb == KEEPER_RELOAD)
			frame_send(keeper_clients[i], &reload_reply, sizeof(reload_reply), -1);
		if (error == 0 && request.verb == KEEPER_SELFTEST)
			frame_send(keeper_clients[i], &selftest_reply, sizeof(selftest_reply), -1);
		if (error == 0 && request.verb == KEEPER_STATUS) {
			snprintf(path, sizeof(path), "/proc/self/fd/%d", page_fd);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			frame_send(keeper_clients[i], &reply, sizeof(reply), fd);
			close(fd);
		}
		close(keeper_clients[i]);
		keeper_clients[i--] = keeper_clients[--keeper_client_count];
	}
}

/* ---- commands ---- */

static const char *value_of(const char *line, const char *key)
{
	char word[64];
	const char *at;

	snprintf(word, sizeof(word), " %s=", key);
	at = strstr(line, word);
	return at ? at + strlen(word) : NULL;
}

static uint64_t number_of(const char *line, const char *key, uint64_t otherwise)
{
	const char *value = value_of(line, key);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static size_t text_of(const char *line, const char *key, char *out, size_t room)
{
	const char *value = value_of(line, key);
	unsigned byte;
	size_t size = 0;

	while (value && size < room && sscanf(value, "%2x", &byte) == 1 && value[0] != ' ' && value[0] != '\n') {
		out[size++] = (char)byte;
		value += 2;
	}
	return size;
}

static void do_record(const char *line)
{
	static const char *const keys[RECORD_TEXTS] = {"signature",  "watch",  "policy", "queue_id",
						       "message_id", "detail", "exe",    "path"};
	static const size_t rooms[RECORD_TEXTS] = {127, 1023, 319, 31, 255, 159, 1024, 8192};
	static char texts[RECORD_TEXTS][8192];
	struct ring_part parts[1 + RECORD_TEXTS];
	uint64_t repeat = number_of(line, "repeat", 1), vary = number_of(line, "vary", 0), done = 0;
	struct record record = {.wait_ns = number_of(line, "wait_ms", 0) * 1000000,
				.dev = 1,
				.ino = number_of(line, "ino", 1),
				.pid = (uint32_t)number_of(line, "pid", 4711),
				.uid = (uint32_t)number_of(line, "uid", 0),
				.access = (uint8_t)number_of(line, "access", ACCESS_OPEN),
				.answer = (uint8_t)number_of(line, "answer", ANSWER_DENY),
				.would = (uint8_t)number_of(line, "would", 0),
				.phase = (uint8_t)number_of(line, "phase", PHASE_SCAN),
				.verdict = (uint8_t)number_of(line, "verdict", VERDICT_INFECTED),
				.reason = (uint8_t)number_of(line, "reason", REASON_NONE)};
	uint64_t one = 1;

	for (int i = 0; i < RECORD_TEXTS; i++) {
		record.sizes[i] = (uint16_t)text_of(line, keys[i], texts[i], rooms[i]);
		parts[1 + i] = (struct ring_part){.bytes = texts[i], .size = record.sizes[i]};
	}
	parts[0] = (struct ring_part){.bytes = &record, .size = sizeof(record)};
	for (uint64_t i = 0; i < repeat; i++) {
		record.time_ns = (int64_t)(wall_ns() - number_of(line, "age_s", 0) * 1000000000u);
		done += ring_put(ring, parts, 1 + RECORD_TEXTS);
		record.ino += vary;
	}
	if (write(bell, &one, sizeof(one)) < 0)
		fail("bell");
	printf("ok %llu\n", (unsigned long long)done);
}

static void do_page(const char *line)
{
	struct keeper_part *keeper = &page->keeper;
	struct gate_part *gate_part = &page->gate;
	const struct {
		const char *name;
		uint64_t *at;
	} fields[] = {{"policy_number", &keeper->policy_number},
		      {"canary_policy", &keeper->canary_policy},
		      {"canary_due_ns", &keeper->canary_due_ns},
		      {"workers_serving", &keeper->workers_serving},
		      {"workers_gone_ns", &keeper->workers_gone_ns},
		      {"definitions_known", &keeper->definitions_known},
		      {"definitions_signatures", &keeper->definitions_signatures},
		      {"definitions_time_ns", &keeper->definitions_time_ns},
		      {"released_unjudged", &keeper->released_unjudged},
		      {"released_lately", &keeper->released_lately},
		      {"started_ns", &keeper->started_ns},
		      {"marks_stand", &gate_part->marks_stand},
		      {"waiting", &gate_part->waiting},
		      {"flushes", &gate_part->flushes},
		      {"kernel_refused", &gate_part->kernel_refused},
		      {"records_lost", &gate_part->records_lost},
		      {"loop_ns", &gate_part->loop_ns}};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		*fields[i].at = number_of(line, fields[i].name, *fields[i].at);
	keeper->guard_mode = (uint32_t)number_of(line, "guard_mode", keeper->guard_mode);
	if (value_of(line, "guard_why"))
		keeper->guard_why[text_of(line, "guard_why", keeper->guard_why, 199)] = 0;
	if (value_of(line, "guard_remedy"))
		keeper->guard_remedy[text_of(line, "guard_remedy", keeper->guard_remedy, 299)] = 0;
	if (value_of(line, "canary_why"))
		keeper->canary_why[text_of(line, "canary_why", keeper->canary_why, 159)] = 0;
	if (value_of(line, "reload_failed"))
		keeper->reload_failed[text_of(line, "reload_failed", keeper->reload_failed, 255)] = 0;
	if (value_of(line, "version"))
		keeper->definitions_version[text_of(line, "version", keeper->definitions_version, 127)] = 0;
	puts("ok");
}

static void do_watch(const char *line)
{
	uint32_t index = (uint32_t)number_of(line, "index", 0);
	struct watch_entry *watch = &page->gate.watches[index % WATCHES_MAX];

	page->gate.turn++;
	watch->path[text_of(line, "path", watch->path, 1023)] = 0;
	watch->why[text_of(line, "why", watch->why, 159)] = 0;
	watch->file_system[text_of(line, "fs", watch->file_system, 31)] = 0;
	watch->covered = (uint8_t)number_of(line, "covered", 1);
	watch->mode = (uint8_t)number_of(line, "mode", 2);
	watch->store = (uint8_t)number_of(line, "store", 0);
	watch->marked = (uint8_t)number_of(line, "marked", 1);
	watch->hooks = (uint8_t)number_of(line, "hooks", 0);
	if (index >= page->gate.watch_count)
		page->gate.watch_count = index + 1;
	page->gate.turn++;
	puts("ok");
}

/* What a selftest has found in a watch. */
static void do_canary(const char *line)
{
	struct keeper_part *keeper = &page->keeper;
	uint32_t index = (uint32_t)number_of(line, "index", 0) % WATCHES_MAX;

	keeper->canary[index] = (uint8_t)number_of(line, "state", CANARY_BLOCKED);
	keeper->canary_open[index] = (uint8_t)number_of(line, "open", keeper->canary[index]);
	keeper->canary_exec[index] = (uint8_t)number_of(line, "exec", keeper->canary[index]);
	keeper->canary_text[index][text_of(line, "text", keeper->canary_text[index], 159)] = 0;
	puts("ok");
}

static void do_process(const char *line)
{
	uint32_t index = (uint32_t)number_of(line, "index", 0) % PROCESSES_MAX;
	struct process_entry *process = &page->keeper.processes[index];

	process->name[text_of(line, "name", process->name, 15)] = 0;
	process->pid = (int32_t)number_of(line, "pid", (uint64_t)getpid());
	process->state = PROCESS_RUNNING;
	process->started_ns = wall_ns();
	process->restarts = number_of(line, "restarts", 0);
	if (index >= page->keeper.process_count)
		page->keeper.process_count = index + 1;
	puts("ok");
}

static void do_note(const char *line)
{
	struct leash_frame frame = {.version = WIRE_VERSION,
				    .kind = LEASH_NOTE,
				    .value = number_of(line, "count", 1),
				    .answer = (uint32_t)number_of(line, "answer", ANSWER_DENY),
				    .watch = (uint32_t)number_of(line, "watch", 0)};

	printf("ok %d\n", frame_send(leash, &frame, sizeof(frame), -1));
}

static void do_lost(const char *line)
{
	ring->lost += number_of(line, "count", 1);
	puts("ok");
}

static void do_explain(const char *line)
{
	gate_is_silent = number_of(line, "silent", 0);
	explain.state = (uint32_t)number_of(line, "state", EXPLAIN_KNOWN);
	explain.answer = (uint32_t)number_of(line, "answer", ANSWER_ALLOW);
	explain.verdict.kind = (uint8_t)number_of(line, "verdict", VERDICT_CLEAN);
	explain.judged_ns = 1788257472000000000u;
	explain.verdict.signature[text_of(line, "signature", explain.verdict.signature, 127)] = 0;
	explain.origin = (uint8_t)number_of(line, "origin", 0);
	explain.levels = (uint8_t)number_of(line, "levels", LEVEL_SIGNATURES | LEVEL_HEURISTICS);
	explain.exec_answer = (uint32_t)number_of(line, "exec_answer", 0);
	explain.exec_policy[text_of(line, "exec_policy", explain.exec_policy, 319)] = 0;
	explain.watch_path[text_of(line, "watch", explain.watch_path, 1023)] = 0;
	explain.policy[text_of(line, "policy", explain.policy, 319)] = 0;
	puts("ok");
}

static void do_reload(const char *line)
{
	reload_reply.result = (int32_t)number_of(line, "result", 0);
	reload_reply.text[text_of(line, "text", reload_reply.text, LEASH_TEXT - 1)] = 0;
	puts("ok");
}

static void do_selftest(const char *line)
{
	selftest_reply.result = (int32_t)number_of(line, "result", 0);
	selftest_reply.text[text_of(line, "text", selftest_reply.text, LEASH_TEXT - 1)] = 0;
	puts("ok");
}

static void do_keeper(const char *line)
{
	keeper_is_silent = number_of(line, "silent", 0);
	puts("ok");
}

static void do_look(const char *line)
{
	(void)line;
	leash_in();
	printf("ok {\"beats\": %u, \"readies\": %u, \"befores\": %u, \"logs\": %u, \"watchers\": %llu, "
	       "\"waiting_bytes\": %llu, "
	       "\"lost_told\": %llu, \"before_hours\": [%u, %u, %u], \"before_released\": %llu, \"lately\": %u, "
	       "\"pid\": %d}\n",
	       beats, readies, befores, logs, (unsigned long long)ring->watchers,
	       (unsigned long long)(ring->head - ring->tail), (unsigned long long)ring->lost_told, before.counts[0],
	       before.counts[1], before.counts[2], (unsigned long long)before.value, before.watch, recorder);
}

static void do_log(const char *line)
{
	(void)line;
	leash_in();
	last_log[strcspn(last_log, "\n")] = 0;
	printf("ok %s\n", last_log);
}

static void do_end(const char *line)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_STOP};
	unsigned ms;
	int code;

	if (strstr(line, " by=stop"))
		frame_send(leash, &frame, sizeof(frame), -1);
	else if (strstr(line, " by=term"))
		kill(recorder, SIGTERM);
	else if (strstr(line, " by=kill"))
		kill(recorder, SIGKILL);
	else
		hang_up();
	code = recorder_end(&ms);
	leash_in();
	hang_up();
	printf("ok %d %u\n", code, ms);
}

static void do_start(const char *line)
{
	(void)line;
	recorder_start();
	puts("ok");
}

static void do_signal(const char *line)
{
	kill(recorder, (int)number_of(line, "number", SIGCONT));
	puts("ok");
}

static void do_junk(const char *line)
{
	static char junk[70000];
	size_t size = number_of(line, "size", 5);

	memset(junk, 0xa5, sizeof(junk));
	printf("ok %zd\n", send(strstr(line, " to=gate") ? gate : leash, junk, size % sizeof(junk), MSG_DONTWAIT));
}

static const struct {
	const char *name;
	void (*run)(const char *line);
} commands[] = {{"record", do_record}, {"page", do_page},         {"watch", do_watch},     {"process", do_process},
		{"note", do_note},     {"lost", do_lost},         {"explain", do_explain}, {"reload", do_reload},
		{"canary", do_canary}, {"selftest", do_selftest}, {"keeper", do_keeper},   {"look", do_look},
		{"log", do_log},       {"end", do_end},           {"start", do_start},     {"signal", do_signal},
		{"junk", do_junk}};

static void command(const char *line)
{
	size_t length = strcspn(line, " \n");

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strlen(commands[i].name) != length || strncmp(commands[i].name, line, length) != 0)
			continue;
		commands[i].run(line);
		fflush(stdout);
		return;
	}
	puts("unknown");
	fflush(stdout);
}

/* Lines of standard input, as they come; false at its end. */
static bool commands_in(void)
{
	static char text[65536];
	static size_t size;
	ssize_t got = read(STDIN_FILENO, text + size, sizeof(text) - 1 - size);
	char *end;

	if (got <= 0)
		return false;
	size += (size_t)got;
	text[size] = 0;
	while ((end = strchr(text, '\n')) != NULL) {
		*end = 0;
		command(text);
		size -= (size_t)(end + 1 - text);
		memmove(text, end + 1, size + 1);
	}
	return true;
}

int main(int argc, char **argv)
{
	char folder[512];

	if (argc != 4)
		return 2;
	mailwardd = argv[1];
	runtime = argv[2];
	state = argv[3];
	signal(SIGPIPE, SIG_IGN);
	page = shared("status", sizeof(*page), &page_fd);
	ring = shared("ring", sizeof(*ring), &ring_fd);
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	page->magic = STATUS_MAGIC;
	page->version = WIRE_VERSION;
	page->size = sizeof(*page);
	page->keeper.started_ns = wall_ns();
	snprintf(folder, sizeof(folder), "%s/recorder", state);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		fail(folder);
	if (chown(folder, RECORDER_UID, RECORDER_UID) < 0)
		fail(folder);
	keeper_listener = listener(KEEPER_SOCKET);
	recorder_listener = listener(RECORDER_SOCKET);
	recorder_start();
	for (;;) {
		struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
				       {.fd = leash, .events = POLLIN},
				       {.fd = gate, .events = POLLIN},
				       {.fd = keeper_listener, .events = POLLIN}};
		poll(fds, 4, keeper_client_count || gate_is_silent ? 5 : 100);
		leash_in();
		gate_in();
		keeper_in();
		if ((fds[0].revents & (POLLIN | POLLHUP)) && !commands_in())
			break;
	}
	if (recorder > 0)
		kill(recorder, SIGKILL);
	return 0;
}
