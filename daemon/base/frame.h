/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One fixed-size struct and at most one descriptor over a SOCK_SEQPACKET socket (unix(7), SCM_RIGHTS). Nothing here
 * waits (every call is non-blocking whatever the socket's flags) and nothing raises SIGPIPE.
 */
#ifndef MAILWARD_FRAME_H
#define MAILWARD_FRAME_H

#include <stddef.h>

/* Two connected ends, close-on-exec and non-blocking. 0 or -errno. */
int frame_pair(int ends_out[2]);

/* Sends one frame; fd (borrowed, or -1) goes with it. 0; -EAGAIN: the other side does not read; -EPIPE, -ECONNRESET:
 * it is gone; else -errno. */
int frame_send(int sock, const void *frame, size_t size, int fd);

/* Takes one frame of exactly `size` bytes. *fd_out is the descriptor that came with it, close-on-exec and now the
 * caller's, or -1. 0; -EAGAIN: none there; -EPIPE: the other side has closed; -EBADMSG: a frame of another size, more
 * than one descriptor, or descriptors that did not fit (all are closed); else -errno. */
int frame_receive(int sock, void *frame, size_t size, int *fd_out);

#endif
