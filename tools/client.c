// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "loop.h"
#include "record.h"

#define ASKED_MOST 3

/* The queue of a listener that nobody serves is full at some time; then connect(2) says EAGAIN at once. */
static int connect_patiently(int sock, const struct sockaddr_un *address)
{
	uint64_t now, end = now_ns() + CLIENT_PATIENCE_MS * 1000000ull;
	struct timespec pause = {.tv_nsec = 10000000};

	for (;;) {
		now = now_ns(); /* before the try: on a busy host we may get no processor for long after it */
		if (connect(sock, (const struct sockaddr *)address, sizeof(*address)) == 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now > end)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}

int client_connect(const struct options *options, const char *name, int *sock_out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int folder = open(options->runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC), sock, error;

	if (folder < 0) {
		error = -errno;
	} else {
		/* by descriptor: the whole path may be longer than an address can be */
		snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder, name);
		sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		error = sock < 0 ? -errno : connect_patiently(sock, &address);
		close(folder);
		if (error == 0) {
			*sock_out = sock;
			return EXIT_FINE;
		}
		if (sock >= 0)
			close(sock);
	}
	if (error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR) {
		trouble("mailwardd is not running (nobody serves %s/%s)", options->runtime_dir, name);
		return EXIT_NOT_RUNNING;
	}
	if (error == -ETIMEDOUT) {
		trouble("can't tell: nobody answers at %s/%s", options->runtime_dir, name);
		return EXIT_CANNOT_TELL;
	}
	if (error == -EACCES || error == -EPERM)
		return trouble("%s/%s is for root and the group _mailward: %s", options->runtime_dir, name,
			       strerror(-error));
	return trouble("%s/%s: %s", options->runtime_dir, name, strerror(-error));
}

int client_receive(int sock, void *frame, size_t size, int *fd_out, int timeout_ms)
{
	uint64_t end = now_ns() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000u;

	for (;;) {
		struct pollfd wait = {.fd = sock, .events = POLLIN};
		uint64_t now = now_ns(); /* before the look, for the same reason */
		int error = frame_receive(sock, frame, size, fd_out), left = -1;
		if (error != -EAGAIN)
			return error;
		if (timeout_ms >= 0) {
			if (now >= end)
				return -ETIMEDOUT;
			left = (int)((end - now) / 1000000u) + 1;
		}
		if (poll(&wait, 1, left) < 0 && errno != EINTR)
			return -errno;
	}
}

int client_ask_recorder(const struct options *options, const struct recorder_request *request, int fd, int *sock_out)
{
	int code = client_connect(options, RECORDER_SOCKET, sock_out), error;

	if (code != EXIT_FINE)
		return code;
	error = frame_send(*sock_out, request, sizeof(*request), fd);
	if (error == 0)
		return EXIT_FINE;
	close(*sock_out);
	trouble("can't tell: the recorder refused the question: %s", strerror(-error));
	return EXIT_CANNOT_TELL;
}

static bool is_terminated(const char *text, size_t room)
{
	return memchr(text, 0, room) != NULL;
}
#define TERMINATED(text) is_terminated(text, sizeof(text))

bool row_is_sound(const struct row_frame *row)
{
	const struct explain_reply *explain = &row->explain;

	return row->version == WIRE_VERSION && row->kind >= ROW_RECORD && row->kind < ROW_KINDS &&
	       row->access < ACCESS_KINDS && row->answer < ANSWERS && row->phase < PHASES &&
	       row->verdict.kind < VERDICT_KINDS && row->verdict.reason < REASONS &&
	       row->verdict.heuristics < 1 << HEURISTICS && explain->verdict.heuristics < 1 << HEURISTICS &&
	       row->path_size <= sizeof(row->path) && row->exe_size <= sizeof(row->exe) &&
	       TERMINATED(row->verdict.signature) && TERMINATED(row->user) && TERMINATED(row->watch) &&
	       TERMINATED(row->policy) && TERMINATED(row->queue_id) && TERMINATED(row->message_id) &&
	       TERMINATED(row->detail) && explain->state < EXPLAIN_STATES && explain->answer < ANSWERS &&
	       explain->verdict.kind < VERDICT_KINDS && explain->verdict.reason < REASONS &&
	       TERMINATED(explain->verdict.signature) && TERMINATED(explain->watch_path) &&
	       TERMINATED(explain->policy) && TERMINATED(explain->detail) && explain->exec_answer < ANSWERS &&
	       explain->origin < EXPLAIN_ORIGINS && TERMINATED(explain->exec_policy);
}

int client_next_row(int sock, struct row_frame *row, int timeout_ms)
{
	int fd = -1, error = client_receive(sock, row, sizeof(*row), &fd, timeout_ms);

	if (error == 0 && fd >= 0)
		close(fd);
	if (error == 0 && !row_is_sound(row))
		return -EBADMSG;
	return error;
}

static const struct status_page *page_map(int fd)
{
	struct stat info;
	const struct status_page *page;

	if (fstat(fd, &info) < 0 || (size_t)info.st_size < sizeof(*page))
		return NULL;
	page = mmap(NULL, sizeof(*page), PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return NULL;
	return page->magic == STATUS_MAGIC && page->version == WIRE_VERSION && page->size == sizeof(*page) ? page
													   : NULL;
}

/* The keeper's answer to one question. EXIT_FINE and *error_out, 0 or -errno; else the code of client_connect(). */
static int status_ask(const struct options *options, int *fd_out, int *error_out)
{
	struct keeper_request request = {.version = WIRE_VERSION, .verb = KEEPER_STATUS};
	struct keeper_reply reply;
	int sock = -1, code = client_connect(options, KEEPER_SOCKET, &sock);

	if (code != EXIT_FINE)
		return code;
	*error_out = frame_send(sock, &request, sizeof(request), -1);
	if (*error_out == 0)
		*error_out = client_receive(sock, &reply, sizeof(reply), fd_out, CLIENT_PATIENCE_MS);
	close(sock);
	return EXIT_FINE;
}

int client_status_page(const struct options *options, const struct status_page **page_out)
{
	int fd = -1, error = -EPIPE, code;

	/* It hangs up on who asks nothing for 2 s, which on a busy host may have been us. */
	for (int i = 0; i < ASKED_MOST && error == -EPIPE; i++) {
		code = status_ask(options, &fd, &error);
		if (code != EXIT_FINE)
			return code;
	}
	if (error < 0) {
		trouble("can't tell: the keeper does not answer (%s)", strerror(-error));
		return EXIT_CANNOT_TELL;
	}
	*page_out = fd < 0 ? NULL : page_map(fd);
	if (fd >= 0)
		close(fd);
	return *page_out ? EXIT_FINE : trouble("the running mailwardd is of another version than this tool");
}
