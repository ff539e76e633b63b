// SPDX-License-Identifier: GPL-2.0-only
#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

struct sample {
	int number;
	char text[20];
};

static int ends[2];
static struct sample out = {.number = 7, .text = "seven"}, in;
static int fd;

static void open_pair(void)
{
	memset(&in, 0, sizeof(in));
	fd = -2;
	CU_ASSERT_EQUAL_FATAL(frame_pair(ends), 0);
}

static void close_pair(void)
{
	close(ends[0]);
	close(ends[1]);
}

static int descriptors_open(void)
{
	int count = 0;

	for (int i = 0; i < 256; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

/* Sends whatever bytes with that many descriptors, past frame_send()'s rules. */
static void send_raw(const void *bytes, size_t size, int count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		*head = (struct cmsghdr){.cmsg_len = CMSG_LEN((size_t)count * sizeof(int)),
					 .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS};
		for (int i = 0; i < count; i++)
			memcpy(CMSG_DATA(head) + (size_t)i * sizeof(int), &ends[0], sizeof(int));
	}
	CU_ASSERT_EQUAL(sendmsg(ends[0], &message, 0), (ssize_t)size);
}

static void both_ends_close_on_exec_and_never_block(void)
{
	open_pair();
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(fcntl(ends[i], F_GETFD) & FD_CLOEXEC);
		CU_ASSERT_TRUE(fcntl(ends[i], F_GETFL) & O_NONBLOCK);
	}
	close_pair();
}

static void a_frame_arrives_whole_and_without_a_descriptor(void)
{
	open_pair();
	CU_ASSERT_EQUAL(frame_send(ends[0], &out, sizeof(out), -1), 0);
	CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), 0);
	CU_ASSERT_EQUAL(memcmp(&in, &out, sizeof(in)), 0);
	CU_ASSERT_EQUAL(fd, -1);
	close_pair();
}

static void a_descriptor_comes_along_and_closes_on_exec(void)
{
	int pipes[2];
	char byte = 0;

	open_pair();
	CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
	CU_ASSERT_EQUAL(frame_send(ends[0], &out, sizeof(out), pipes[1]), 0);
	CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), 0);
	CU_ASSERT_TRUE_FATAL(fd >= 0 && fd != pipes[1]);
	CU_ASSERT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CU_ASSERT_EQUAL(write(fd, "x", 1), 1);
	CU_ASSERT_EQUAL(read(pipes[0], &byte, 1), 1);
	CU_ASSERT_EQUAL(byte, 'x');
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
	close_pair();
}

static void frames_keep_their_order(void)
{
	open_pair();
	for (int i = 0; i < 10; i++) {
		out.number = i;
		CU_ASSERT_EQUAL(frame_send(ends[0], &out, sizeof(out), -1), 0);
	}
	for (int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), 0);
		CU_ASSERT_EQUAL(in.number, i);
	}
	close_pair();
}

static void nothing_there_is_said_at_once_even_on_a_blocking_socket(void)
{
	open_pair();
	fcntl(ends[1], F_SETFL, fcntl(ends[1], F_GETFL) & ~O_NONBLOCK);
	alarm(5);
	CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), -EAGAIN);
	alarm(0);
	close_pair();
}

static void a_full_socket_is_said_at_once_even_on_a_blocking_socket(void)
{
	int sent = 0, error;

	open_pair();
	fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) & ~O_NONBLOCK);
	alarm(5);
	while ((error = frame_send(ends[0], &out, sizeof(out), -1)) == 0 && sent < 1000000)
		sent++;
	alarm(0);
	CU_ASSERT_EQUAL(error, -EAGAIN);
	CU_ASSERT_TRUE(sent > 0);
	CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), 0);
	CU_ASSERT_EQUAL(frame_send(ends[0], &out, sizeof(out), -1), 0);
	close_pair();
}

static void a_closed_end_is_told_and_raises_no_signal(void)
{
	open_pair();
	CU_ASSERT_EQUAL(frame_send(ends[0], &out, sizeof(out), -1), 0);
	close(ends[0]);
	CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), 0); /* what was sent still arrives */
	CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), -EPIPE);
	CU_ASSERT_EQUAL(frame_send(ends[1], &out, sizeof(out), -1), -EPIPE);
	close(ends[1]);
}

static void a_frame_of_another_size_is_refused_and_the_next_one_taken(void)
{
	static const size_t sizes[] = {1, sizeof(out) - 1, sizeof(out) + 1, 4096};
	char bytes[4096] = "";

	open_pair();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		send_raw(bytes, sizes[i], 0);
		CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), -EBADMSG);
		CU_ASSERT_EQUAL(frame_send(ends[0], &out, sizeof(out), -1), 0);
		CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), 0);
	}
	close_pair();
}

static void surplus_descriptors_are_refused_and_closed(void)
{
	static const int counts[] = {2, 8, 9, 64};
	int before;

	open_pair();
	before = descriptors_open();
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		send_raw(&out, sizeof(out), counts[i]);
		CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), -EBADMSG);
		CU_ASSERT_EQUAL(descriptors_open(), before);
	}
	close_pair();
}

static void a_descriptor_with_a_wrong_frame_is_closed(void)
{
	int before;

	open_pair();
	before = descriptors_open();
	send_raw(&out, sizeof(out) - 1, 1);
	CU_ASSERT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), -EBADMSG);
	send_raw(&out, 0, 1); /* no byte, yet a descriptor: not the end of the stream */
	CU_ASSERT_NOT_EQUAL(frame_receive(ends[1], &in, sizeof(in), &fd), 0);
	CU_ASSERT_EQUAL(descriptors_open(), before);
	close_pair();
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("frame", NULL, NULL);
	CU_ADD_TEST(suite, both_ends_close_on_exec_and_never_block);
	CU_ADD_TEST(suite, a_frame_arrives_whole_and_without_a_descriptor);
	CU_ADD_TEST(suite, a_descriptor_comes_along_and_closes_on_exec);
	CU_ADD_TEST(suite, frames_keep_their_order);
	CU_ADD_TEST(suite, nothing_there_is_said_at_once_even_on_a_blocking_socket);
	CU_ADD_TEST(suite, a_full_socket_is_said_at_once_even_on_a_blocking_socket);
	CU_ADD_TEST(suite, a_closed_end_is_told_and_raises_no_signal);
	CU_ADD_TEST(suite, a_frame_of_another_size_is_refused_and_the_next_one_taken);
	CU_ADD_TEST(suite, surplus_descriptors_are_refused_and_closed);
	CU_ADD_TEST(suite, a_descriptor_with_a_wrong_frame_is_closed);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
