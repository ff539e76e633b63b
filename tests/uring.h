/* SPDX-License-Identifier: GPL-2.0-only */
/* io_uring without a library, for tests: one request at a time. */
#ifndef MAILWARD_TESTS_URING_H
#define MAILWARD_TESTS_URING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
	int fd;
	unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} uring;

/* false: this kernel, or whoever runs it, has none. */
static bool uring_open(void)
{
	struct io_uring_params p = {0};

	uring.fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (uring.fd < 0 || !(p.features & IORING_FEAT_SINGLE_MMAP))
		return false;
	size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	if (size < p.sq_off.array + p.sq_entries * sizeof(unsigned))
		size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	char *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring.fd, IORING_OFF_SQ_RING);
	uring.sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, uring.fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || uring.sqes == MAP_FAILED)
		return false;
	uring.sq_tail = (unsigned *)(ring + p.sq_off.tail);
	uring.sq_mask = (unsigned *)(ring + p.sq_off.ring_mask);
	uring.sq_array = (unsigned *)(ring + p.sq_off.array);
	uring.cq_head = (unsigned *)(ring + p.cq_off.head);
	uring.cq_tail = (unsigned *)(ring + p.cq_off.tail);
	uring.cq_mask = (unsigned *)(ring + p.cq_off.ring_mask);
	uring.cqes = (struct io_uring_cqe *)(ring + p.cq_off.cqes);
	return true;
}

/* What the request ended with: 0 or more, or -errno. */
static int uring_do(const struct io_uring_sqe *request)
{
	unsigned tail = *uring.sq_tail, index = tail & *uring.sq_mask;

	uring.sqes[index] = *request;
	uring.sq_array[index] = index;
	__atomic_store_n(uring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, uring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	unsigned head = *uring.cq_head;
	if (head == __atomic_load_n(uring.cq_tail, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	int result = uring.cqes[head & *uring.cq_mask].res;
	__atomic_store_n(uring.cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

#endif
