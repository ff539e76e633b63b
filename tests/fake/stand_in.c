// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands in for mailward-scanner in tests: a loader with workers and a hasher that keep to the frames of wire.h, judge
 * by two strings alone, and do what the file `behaviour` beside the program says, read anew at each request. Words in
 * it, one a line:
 *
 *   hold         no worker reads its file while this word is there
 *   hold-late    no worker answers while this word is there; the file was read and judged before
 *   delay MS     each answer comes so much later
 *   dead         workers never answer, not even when the word is gone
 *   deaf         the loader neither beats nor reads
 *   toil MS      the loader uses so much processor time before each beat
 *   nursery LIE  what the loader sends to the gate before its honest frames: see nursery_lie()
 *   leave        the loader ends when it is started
 *   empty        there are no definitions
 *   blind        everything is clean
 *   blind-canary the canary is clean, and only that
 *   paranoid     everything is infected
 *   mute         no canary is named
 *
 * A file whose content begins with `lie:KIND` makes its worker lie, see reply_lie(). Everything else is judged.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "wire.h"

#define CHILDREN_MAX 64

static char behaviour_path[4096];
static pid_t children[CHILDREN_MAX]; /* 0: free; the hasher is children[0] */
static int gate = -1;
static struct scanner_settings settings;

static void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* Is the word there? Copies what follows it in its line. */
static bool behaves(const char *word, char *rest, size_t size)
{
	char line[256];
	bool found = false;
	FILE *file = fopen(behaviour_path, "re");

	while (file && !found && fgets(line, sizeof(line), file)) {
		size_t n = strlen(word);

		line[strcspn(line, "\n")] = 0;
		found = !strncmp(line, word, n) && (line[n] == ' ' || !line[n]);
		if (found && rest)
			snprintf(rest, size, "%s", line + n + (line[n] == ' '));
	}
	if (file)
		fclose(file);
	return found;
}

/* ---- a worker ---- */
static bool contains(int fd, const char *one, const char *two)
{
	static char bytes[1 << 20];
	char text[128];
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);

	snprintf(text, sizeof(text), "%s%s", one, two); /* not whole in the program either */
	return n > 0 && memmem(bytes, (size_t)n, text, strlen(text));
}

static const char canary[] = "stand-in's own canary, of forty bytes ok"; /* 40, not whole in any file but its own */

static void judge(int fd, struct scan_reply *reply)
{
	reply->verdict.kind = VERDICT_CLEAN;
	if (behaves("blind", NULL, 0))
		return;
	if (behaves("paranoid", NULL, 0)) {
		reply->verdict.kind = VERDICT_INFECTED;
		snprintf(reply->verdict.signature, sizeof(reply->verdict.signature), "Stand.In.Everything");
		return;
	}
	if (!behaves("blind-canary", NULL, 0) && contains(fd, canary, "")) {
		reply->verdict.kind = VERDICT_INFECTED;
		snprintf(reply->verdict.signature, sizeof(reply->verdict.signature), "Mailward.Canary");
	}
	if (contains(fd, "ANTIVIRUS-TEST", "-FILE!") || contains(fd, "marker-4711", "-infected")) {
		reply->verdict.kind = VERDICT_INFECTED;
		snprintf(reply->verdict.signature, sizeof(reply->verdict.signature), "Stand.In.Marker");
	}
}

static void send_with_descriptors(int sock, const void *frame, size_t size, int count)
{
	char control[CMSG_SPACE(16 * sizeof(int))] = {0};
	struct iovec part = {(void *)frame, size};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	for (int i = 0; i < count; i++) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		memcpy(CMSG_DATA(head) + (size_t)i * sizeof(int), &null, sizeof(int));
	}
	(void)sendmsg(sock, &message, MSG_NOSIGNAL);
}

/* Each lie says `clean` where it says something. */
static void reply_lie(int sock, const char *kind, struct scan_reply *reply)
{
	static char giant[150000];
	size_t size = sizeof(*reply);

	reply->verdict.kind = VERDICT_CLEAN;
	if (!strcmp(kind, "wrong-case"))
		reply->case_id += 100000;
	else if (!strcmp(kind, "zero-case"))
		reply->case_id = 0;
	else if (!strcmp(kind, "wrong-version"))
		reply->version += 7;
	else if (!strcmp(kind, "bad-kind"))
		reply->verdict.kind = 200;
	else if (!strcmp(kind, "no-verdict"))
		reply->verdict.kind = VERDICT_NONE;
	else if (!strcmp(kind, "bad-reason"))
		reply->verdict.kind = VERDICT_UNSCANNED, reply->verdict.reason = 99;
	else if (!strcmp(kind, "clean-with-reason"))
		reply->verdict.reason = REASON_TOO_LARGE;
	else if (!strcmp(kind, "clean-with-heuristics"))
		reply->verdict.heuristics = 1 << HEURISTIC_MACRO;
	else if (!strcmp(kind, "unknown-heuristics")) {
		reply->verdict.kind = VERDICT_INFECTED, reply->verdict.heuristics = 0x80;
		snprintf(reply->verdict.signature, SIGNATURE_SIZE, "Heuristics.Unknown");
	} else if (!strcmp(kind, "signature-with-reason")) {
		reply->verdict.kind = VERDICT_INFECTED, reply->verdict.reason = REASON_ENCRYPTED;
		snprintf(reply->verdict.signature, SIGNATURE_SIZE, "Unsure");
	} else if (!strcmp(kind, "endless-signature"))
		reply->verdict.kind = VERDICT_INFECTED, memset(reply->verdict.signature, 'A', SIGNATURE_SIZE);
	else if (!strcmp(kind, "hostile-text")) {
		reply->verdict.kind = VERDICT_INFECTED;
		snprintf(reply->verdict.signature, SIGNATURE_SIZE, "Evil\n2026-01-01 forged\033[2J\xff");
		snprintf(reply->detail, sizeof(reply->detail), "\033[31mforged\nforged");
		memset(reply->queue_id, '\n', sizeof(reply->queue_id));
		memset(reply->message_id, 0x1b, sizeof(reply->message_id));
	} else if (!strcmp(kind, "half-frame"))
		size /= 2;
	else if (!strcmp(kind, "one-byte"))
		size = 1;
	else if (!strcmp(kind, "giant-frame")) {
		memcpy(giant, reply, sizeof(*reply));
		(void)send(sock, giant, sizeof(giant), MSG_NOSIGNAL);
		return;
	} else if (!strcmp(kind, "descriptors")) {
		send_with_descriptors(sock, reply, sizeof(*reply), 12);
		return;
	} else if (!strcmp(kind, "other-cases")) {
		/* clean for every case that may be with somebody else now */
		uint64_t own = reply->case_id;
		for (uint64_t id = own > 200 ? own - 200 : 1; id < own + 200; id++) {
			reply->case_id = id;
			if (id != own)
				(void)send(sock, reply, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		return;
	} else if (!strcmp(kind, "flood")) {
		reply->case_id += 100000;
		for (int i = 0; i < 20000; i++)
			if (send(sock, reply, size, MSG_NOSIGNAL) < 0)
				break;
		return;
	} else if (!strcmp(kind, "crash"))
		abort();
	else if (!strcmp(kind, "leave"))
		_exit(0);
	else if (!strcmp(kind, "silence"))
		return;
	(void)send(sock, reply, size, MSG_NOSIGNAL);
}

static void answer(int sock, const struct scan_request *request, int fd)
{
	struct scan_reply reply = {.version = WIRE_VERSION, .case_id = request->case_id};
	char start[64] = "", word[32];

	if (pread(fd, start, sizeof(start) - 1, 0) > 4 && !strncmp(start, "lie:", 4)) {
		start[4 + strcspn(start + 4, " \n")] = 0;
		reply_lie(sock, start + 4, &reply);
		return;
	}
	while (behaves("hold", NULL, 0))
		pause_ms(20);
	if (behaves("dead", NULL, 0))
		for (;;)
			pause();
	if (behaves("delay", word, sizeof(word)))
		pause_ms(atol(word));
	judge(fd, &reply);
	while (behaves("hold-late", NULL, 0))
		pause_ms(20);
	(void)send(sock, &reply, sizeof(reply), MSG_NOSIGNAL);
}

static void worker_run(int sock)
{
	prctl(PR_SET_NAME, "mailward-worker");
	for (;;) {
		struct scan_request request;
		struct pollfd ready = {.fd = sock, .events = POLLIN};
		int fd = -1, error;

		poll(&ready, 1, -1);
		error = frame_receive(sock, &request, sizeof(request), &fd);
		if (error == -EAGAIN)
			continue;
		if (error)
			_exit(0);
		answer(sock, &request, fd);
		if (fd >= 0)
			close(fd);
	}
}

/* Says that it could not read, so the scan decides alone. */
static void hasher_run(int sock)
{
	prctl(PR_SET_NAME, "mailward-hasher");
	for (;;) {
		struct hash_request request;
		struct pollfd ready = {.fd = sock, .events = POLLIN};
		int fd = -1, error;

		poll(&ready, 1, -1);
		error = frame_receive(sock, &request, sizeof(request), &fd);
		if (error == -EAGAIN)
			continue;
		if (error)
			_exit(0);
		struct hash_reply reply = {.version = WIRE_VERSION, .ok = 0, .case_id = request.case_id};
		(void)send(sock, &reply, sizeof(reply), MSG_NOSIGNAL);
		close(fd);
	}
}

/* ---- the loader ---- */
static void tell_keeper(uint32_t kind, uint64_t value, const char *text)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value};

	snprintf(frame.text, sizeof(frame.text), "%s", text);
	if (frame_send(FD_LEASH, &frame, sizeof(frame), -1) == -EPIPE)
		_exit(0);
}

static void tell_canary(void)
{
	char text[2 * sizeof(canary)];

	for (size_t i = 0; canary[i]; i++)
		snprintf(text + 2 * i, 3, "%02x", (unsigned char)canary[i]);
	if (!behaves("mute", NULL, 0))
		tell_keeper(LEASH_CANARY, 0, text);
}

static bool tell_gate(uint32_t kind, int32_t id, int fd)
{
	bool empty = behaves("empty", NULL, 0);
	struct nursery_frame frame = {.version = WIRE_VERSION,
				      .kind = kind,
				      .id = id,
				      .definitions = empty ? 0 : 0x5741,
				      .signatures = empty ? 0 : 2};

	return gate >= 0 && frame_send(gate, &frame, sizeof(frame), fd) == 0;
}

static void child_start(int slot)
{
	int ends[2];

	if (frame_pair(ends) < 0)
		_exit(1);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		close(FD_LEASH);
		close(gate);
		close(ends[0]);
		if (slot)
			worker_run(ends[1]);
		else
			hasher_run(ends[1]);
	}
	close(ends[1]);
	children[slot] = pid;
	tell_gate(slot ? NURSERY_WORKER : NURSERY_HASHER, pid, ends[0]);
	close(ends[0]);
}

static void nursery_lie(const char *kind)
{
	struct nursery_frame frame = {.version = WIRE_VERSION, .kind = NURSERY_WORKER, .id = 1};
	static char giant[100000];
	int file = open("/etc/hostname", O_RDONLY | O_CLOEXEC);

	if (!strcmp(kind, "half-frame"))
		(void)send(gate, &frame, sizeof(frame) / 2, MSG_NOSIGNAL);
	else if (!strcmp(kind, "giant-frame"))
		(void)send(gate, giant, sizeof(giant), MSG_NOSIGNAL);
	else if (!strcmp(kind, "bad-kind"))
		frame.kind = 77, frame_send(gate, &frame, sizeof(frame), -1);
	else if (!strcmp(kind, "worker-without-socket"))
		frame_send(gate, &frame, sizeof(frame), -1);
	else if (!strcmp(kind, "worker-is-a-file"))
		frame_send(gate, &frame, sizeof(frame), file);
	else if (!strcmp(kind, "descriptors"))
		send_with_descriptors(gate, &frame, sizeof(frame), 12);
	else if (!strcmp(kind, "many-workers")) {
		for (int i = 0; i < 2000; i++) {
			int ends[2];

			if (frame_pair(ends) < 0)
				break;
			frame.id = 100000 + i;
			if (frame_send(gate, &frame, sizeof(frame), ends[0]) == -EAGAIN)
				pause_ms(1);
			close(ends[0]);
			close(ends[1]);
		}
	}
	close(file);
}

static void children_end(void)
{
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (children[i] > 0) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
			children[i] = 0;
		}
}

static void gate_take(int sock)
{
	char lie[64];
	uint32_t workers = settings.workers ? settings.workers : 4;

	children_end();
	if (gate >= 0)
		close(gate);
	gate = sock;
	if (behaves("nursery", lie, sizeof(lie)))
		nursery_lie(lie);
	tell_gate(NURSERY_DEFINITIONS, 0, -1);
	child_start(0);
	if (behaves("empty", NULL, 0))
		return;
	for (uint32_t i = 1; i <= workers && i < CHILDREN_MAX; i++)
		child_start((int)i);
	tell_keeper(LEASH_SERVING, workers, "");
	tell_canary();
}

static void keeper_read(void)
{
	struct leash_frame frame;
	int fd = -1, error = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);

	if (error == -EAGAIN)
		return;
	if (error || frame.kind == LEASH_STOP) {
		children_end();
		_exit(0);
	}
	if (frame.kind == LEASH_START) {
		settings = frame.scanner;
		bool empty = behaves("empty", NULL, 0);
		tell_keeper(LEASH_LOADED, empty ? 0 : 2, empty ? "stand-in: none" : "stand-in");
		if (gate >= 0)
			gate_take(dup(gate));
	} else if (frame.kind == LEASH_PEER && fd >= 0) {
		gate_take(fd);
	}
}

static void gate_read(void)
{
	struct nursery_frame frame;
	int fd = -1, error = frame_receive(gate, &frame, sizeof(frame), &fd);

	if (fd >= 0)
		close(fd);
	if (error == -EAGAIN)
		return;
	if (error) {
		close(gate);
		gate = -1;
		return;
	}
	for (int i = 0; frame.kind == NURSERY_KILL && frame.id > 0 && i < CHILDREN_MAX; i++)
		if (children[i] == frame.id)
			kill(frame.id, SIGKILL); /* replaced when it is reaped */
}

static void reap(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (int i = 0; i < CHILDREN_MAX; i++)
			if (children[i] == pid) {
				children[i] = 0;
				child_start(i);
			}
}

static double used_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void toil_ms(long ms)
{
	double end = used_ms() + (double)ms;

	while (used_ms() < end)
		;
}

int main(int argc, char **argv)
{
	char *slash, word[32];
	ssize_t n = readlink("/proc/self/exe", behaviour_path, sizeof(behaviour_path) - 16);

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("stand-in\n");
		return 0;
	}
	if (n < 0)
		return 1;
	behaviour_path[n] = 0;
	slash = strrchr(behaviour_path, '/');
	strcpy(slash ? slash + 1 : behaviour_path, "behaviour");
	if (behaves("leave", NULL, 0))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct pollfd ready[2] = {{.fd = FD_LEASH, .events = POLLIN}, {.fd = gate, .events = POLLIN}};

		while (behaves("deaf", NULL, 0))
			pause_ms(100);
		if (behaves("toil", word, sizeof(word)))
			toil_ms(atol(word));
		tell_keeper(LEASH_BEAT, 0, "");
		poll(ready, 2, 100);
		if (ready[0].revents)
			keeper_read();
		if (gate >= 0 && ready[1].revents && ready[1].fd == gate)
			gate_read();
		reap();
	}
}
