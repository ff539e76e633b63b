// SPDX-License-Identifier: GPL-2.0-only
/* Knows SCM_RIGHTS. What a frame means is its owner's business. */
#include "frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_TAKEN 8 /* more than the one that is right, so that a sender's surplus reaches us and can be closed */

int frame_pair(int ends_out[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_out) < 0 ? -errno : 0;
}

int frame_send(int sock, const void *frame, size_t size, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = (void *)frame, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
	}
	do
		sent = sendmsg(sock, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return (size_t)sent == size ? 0 : -EMSGSIZE;
}

/* Collects every descriptor of a message; returns how many there were. */
static int take_descriptors(struct msghdr *message, int fds[FDS_TAKEN])
{
	int count = 0;

	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here && count < FDS_TAKEN; i++)
			memcpy(&fds[count++], CMSG_DATA(head) + i * sizeof(int), sizeof(int));
	}
	return count;
}

int frame_receive(int sock, void *frame, size_t size, int *fd_out)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_TAKEN * sizeof(int))];
	} control;
	char surplus;
	struct iovec parts[2] = {{.iov_base = frame, .iov_len = size}, {.iov_base = &surplus, .iov_len = 1}};
	struct msghdr message = {.msg_iov = parts,
				 .msg_iovlen = 2,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	int fds[FDS_TAKEN], count;
	ssize_t got;

	do
		got = recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	count = take_descriptors(&message, fds);
	if (got == 0 && count == 0 && !(message.msg_flags & MSG_CTRUNC))
		return -EPIPE;
	if ((size_t)got != size || count > 1 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		while (count > 0)
			close(fds[--count]);
		return -EBADMSG;
	}
	*fd_out = count == 1 ? fds[0] : -1;
	return 0;
}
