/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who asks the recorder: the listening socket and its connections. Each client sends one struct recorder_request and
 * gets struct row_frame until ROW_END, or until it goes. A client is hostile: a wrong frame, a second one, silence for
 * ten seconds or not reading for ten seconds costs it its connection and nobody else anything. Rows are made when there
 * is room for them, so a client that doesn't read takes up no memory beyond its socket's.
 */
#ifndef MAILWARD_CLIENTS_H
#define MAILWARD_CLIENTS_H

#include "loop.h"
#include "wire.h"

#define CLIENTS_MAX 256
#define CLIENTS_PER_USER                                                                                               \
	128 /* of one uid; a newcomer then takes the place of the oldest that has asked nothing yet                    \
	     */
#define CLIENT_PATIENCE_NS 10000000000u

/* One client's question and how far it has been answered; the source's to use. */
struct client_view {
	struct recorder_request request;
	int file_fd;         /* RECORDER_EXPLAIN: the file; closed by clients.c */
	uint64_t position;   /* the source's */
	uint64_t end;        /* the source's */
	uint64_t started_ns; /* CLOCK_MONOTONIC, when the request came */
};

enum client_next { NEXT_ROW = 1, NEXT_NOTHING, NEXT_LATER };
struct client_source {
	void *owner;
	/* A new request, checked for version, verb and terminated path. */
	void (*asked)(void *owner, struct client_view *view);
	/* The next row for this client (ROW_END ends it). view_after: *view as it is to be once the row was sent.
	 * NEXT_NOTHING: none there now; NEXT_LATER: looked at some, call again soon. */
	enum client_next (*next)(void *owner, const struct client_view *view, struct client_view *view_after,
				 struct row_frame *row);
	void (*gone)(void *owner, const struct client_view *view);
	void (*say)(void *owner, const char *line);
};

struct clients;

/* Serves a listening SOCK_SEQPACKET socket (borrowed). NULL: no memory or no epoll. */
struct clients *clients_open(struct loop *loop, int listener, const struct client_source *source);
void clients_close(struct clients *clients);

/* Sends what there is to whom has room, within about 20 ms; takes away who kept still too long. Call it in each turn
 * of the loop. True: more is to be sent now, so don't sleep. */
bool clients_turn(struct clients *clients);

/* How many clients asked with this verb. */
unsigned clients_count(const struct clients *clients, uint32_t verb);

#endif
