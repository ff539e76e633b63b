// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/clients.c daemon/think/denials.c
/*
 * What a client of the recorder sends, as frames of any size with any descriptors, and what lies in the ring. Nothing
 * may end or stall the loop, no descriptor may be lost, and a good client must be served afterwards.
 *
 * The input is a list: a byte that says what (its low bits: frame, record, shut down, run the loop), two bytes of size,
 * then so many bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clients.h"
#include "denials.h"
#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct denials denials;
static struct denial_row row;

static void asked(void *owner, struct client_view *view)
{
	(void)owner;
	if (view->request.verb < RECORDER_BLOCKED || view->request.verb >= RECORDER_VERBS ||
	    strnlen(view->request.path, sizeof(view->request.path)) == sizeof(view->request.path) ||
	    (view->request.verb == RECORDER_EXPLAIN) != (view->file_fd >= 0))
		abort();
	view->position = denials.first_id;
}

static enum client_next next(void *owner, const struct client_view *view, struct client_view *after,
			     struct row_frame *frame)
{
	const struct denial *denial = denials_get(&denials, view->position);

	(void)owner;
	memset(frame, 0, sizeof(*frame));
	frame->kind = ROW_END;
	if (!denial)
		return NEXT_ROW;
	after->position++;
	denial_to_row(denial, &row);
	if (!row_is_wanted(&view->request, &row))
		return NEXT_LATER;
	*frame = row.frame;
	return NEXT_ROW;
}

static void gone(void *owner, const struct client_view *view)
{
	(void)owner;
	(void)view;
}

static void say(void *owner, const char *line)
{
	(void)owner;
	(void)line;
}

static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_size = sizeof(sa_family_t);

static int listener_open(void)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address_size = sizeof(sa_family_t); /* the kernel chooses a name, unix(7) */
	if (sock < 0 || bind(sock, (struct sockaddr *)&address, address_size) < 0 || listen(sock, 16) < 0)
		abort();
	address_size = sizeof(address);
	getsockname(sock, (struct sockaddr *)&address, &address_size);
	return sock;
}

static int client_open(void)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (connect(sock, (struct sockaddr *)&address, address_size) < 0)
		abort();
	return sock;
}

static void send_any(int sock, const uint8_t *bytes, size_t size, unsigned fds)
{
	int list[4] = {0, 1, 2, open("/", O_PATH)};
	char control[CMSG_SPACE(sizeof(list))] = {0};
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fds) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fds * sizeof(int));
		memcpy(CMSG_DATA(head), list + 4 - fds, fds * sizeof(int));
	}
	if (sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		(void)0; /* the connection is gone already, or full */
	close(list[3]);
}

/* Small inputs stand for whole requests: their bytes lie over the first fields and the path of one. */
static void send_request(int sock, const uint8_t *bytes, size_t size, unsigned fds)
{
	struct recorder_request request = {.version = WIRE_VERSION, .uid = UINT32_MAX};
	size_t head = size < 20 ? size : 20;

	memcpy((char *)&request + 4, bytes, head);
	memcpy(request.path, bytes + head, size - head < sizeof(request.path) ? size - head : sizeof(request.path));
	request.verb &= 7;
	send_any(sock, (const uint8_t *)&request, sizeof(request), fds);
}

static void put_record(const uint8_t *bytes, size_t size)
{
	union {
		struct record align;
		uint8_t bytes[RECORD_MAX];
	} copy;

	if (size > sizeof(copy.bytes))
		return;
	memcpy(copy.bytes, bytes, size);
	if (record_is_sound(copy.bytes, size))
		denials_add(&denials, &copy.align, size, 1);
}

static void serve(struct loop *loop, struct clients *clients)
{
	for (int i = 0; i < 4; i++) {
		loop_turn(loop, 0);
		clients_turn(clients);
	}
}

static void good_client_is_served(struct loop *loop, struct clients *clients)
{
	struct recorder_request request = {.version = WIRE_VERSION, .verb = RECORDER_BLOCKED, .uid = UINT32_MAX};
	static struct row_frame frame;
	int sock = client_open(), fd, error = -EAGAIN;

	frame.kind = 0;
	frame_send(sock, &request, sizeof(request), -1);
	for (int i = 0; i < 4000 && frame.kind != ROW_END; i++) {
		serve(loop, clients);
		while ((error = frame_receive(sock, &frame, sizeof(frame), &fd)) == 0 && frame.kind != ROW_END)
			;
	}
	if (error != 0 || frame.kind != ROW_END)
		abort();
	close(sock);
	serve(loop, clients);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct client_source source = {.asked = asked, .next = next, .gone = gone, .say = say};
	int before = lowest_free(), listener = listener_open(), sock;
	struct clients *clients;
	struct loop loop;

	denials_start(&denials, 1);
	if (loop_open(&loop) < 0 || !(clients = clients_open(&loop, listener, &source)))
		abort();
	sock = client_open();
	while (size >= 3) {
		size_t length = (size_t)data[1] << 8 | data[2], left = size - 3;
		unsigned fds = data[0] >> 3 & 3;
		length = length < left ? length : left;
		switch (data[0] & 7) {
		case 0:
			send_any(sock, data + 3, length, fds);
			break;
		case 1:
		case 2:
			send_request(sock, data + 3, length, fds);
			break;
		case 3:
			put_record(data + 3, length);
			break;
		case 4:
			shutdown(sock, data[0] >> 5 & 1 ? SHUT_WR : SHUT_RD);
			break;
		case 5:
			close(sock);
			serve(&loop, clients); /* the queue of the listener is short */
			sock = client_open();
			break;
		default:
			serve(&loop, clients);
		}
		data += 3 + length;
		size = left - length;
	}
	serve(&loop, clients);
	good_client_is_served(&loop, clients);
	close(sock);
	serve(&loop, clients);
	clients_close(clients);
	loop_close(&loop);
	close(listener);
	denials_end(&denials);
	if (lowest_free() != before)
		abort();
	return 0;
}
