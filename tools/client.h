/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tool's side of the two sockets of a running daemon. Nothing here waits longer than it is told to, whichever of
 * the daemon's processes is stopped. What goes wrong is printed here, and comes back as an exit_code.
 */
#ifndef MAILWARD_CLIENT_H
#define MAILWARD_CLIENT_H

#include <stddef.h>

#include "shared.h"
#include "tool.h"
#include "wire.h"

#define CLIENT_PATIENCE_MS 1000  /* for an answer of a process that should have one at hand */
#define HISTORY_PATIENCE_MS 5000 /* the recorder may have to look through its whole history */

/* Connects to a socket in the runtime directory (KEEPER_SOCKET, RECORDER_SOCKET) within a second. EXIT_FINE and
 * *sock_out, or EXIT_NOT_RUNNING, EXIT_CANNOT_TELL, EXIT_TROUBLE (printed). */
int client_connect(const struct options *options, const char *name, int *sock_out);

/* Waits for one frame. 0; -ETIMEDOUT; -EPIPE: closed; else -errno. *fd_out as in frame_receive(). */
int client_receive(int sock, void *frame, size_t size, int *fd_out, int timeout_ms);

/* The recorder's rows. Sends the request (fd: file of RECORDER_EXPLAIN, or -1). */
int client_ask_recorder(const struct options *options, const struct recorder_request *request, int fd, int *sock_out);
/* One row, checked: enums, sizes and terminated texts can be relied on. timeout_ms -1: for ever. */
int client_next_row(int sock, struct row_frame *row, int timeout_ms);
bool row_is_sound(const struct row_frame *row);

/* The status page of the running daemon, mapped read-only for the rest of the process. */
int client_status_page(const struct options *options, const struct status_page **page_out);

#endif
