// SPDX-License-Identifier: GPL-2.0-only
/* Knows the connections of the tool. What a row is and which come next is the source's business. */
#include "clients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#define SEND_BUFFER (128 * 1024)
#define ACCEPTS_PER_TURN 32
#define TURN_NS 20000000u
#define ROWS_AT_A_TIME 16
#define PAUSE_NS 100000000u /* after accept() failed for want of something */

struct client {
	struct loop_handler handler;
	struct clients *all;
	uint32_t uid;
	bool used, has_asked, is_full;
	uint64_t quiet_since_ns; /* connected, or its socket full, since */
	struct client_view view;
};

struct clients {
	struct loop *loop;
	struct loop_handler listener;
	struct client_source source;
	uint64_t pause_until_ns; /* 0: accepting */
	unsigned first;          /* whose turn is first, so that all get theirs */
	unsigned dropped_since_said;
	uint64_t said_ns;
	struct client list[CLIENTS_MAX];
};

static void client_drop(struct client *client)
{
	int fd = client->handler.fd;

	loop_remove(client->all->loop, &client->handler);
	close(fd);
	client->used = false; /* before gone(), which counts those that are left */
	if (client->has_asked)
		client->all->source.gone(client->all->source.owner, &client->view);
	if (client->view.file_fd >= 0)
		close(client->view.file_fd);
}

static bool request_is_sound(const struct recorder_request *request, int fd)
{
	if (request->version != WIRE_VERSION || request->verb < RECORDER_BLOCKED || request->verb >= RECORDER_VERBS)
		return false;
	if (memchr(request->path, 0, sizeof(request->path)) == NULL)
		return false;
	if (request->reason >= REASONS && request->reason != RECORDER_REASON_INFECTED &&
	    request->reason != RECORDER_REASON_EXEC_NEVER && request->reason != RECORDER_REASON_HEURISTIC)
		return false;
	if (request->verb != RECORDER_EXPLAIN)
		return fd < 0;
	return fd >= 0 && (fcntl(fd, F_GETFL) & O_PATH);
}

static void client_ready(void *owner, uint32_t events)
{
	struct client *client = owner;
	struct client_view *view = &client->view;
	int fd = -1, error;

	if (client->is_full && (events & EPOLLOUT)) {
		client->is_full = false;
		loop_change(client->all->loop, &client->handler, EPOLLIN);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	error = frame_receive(client->handler.fd, &view->request, sizeof(view->request), &fd);
	if (error == -EAGAIN)
		return;
	if (error < 0 || client->has_asked || !request_is_sound(&view->request, fd)) {
		if (error == 0 && fd >= 0)
			close(fd);
		client_drop(client);
		return;
	}
	client->has_asked = true;
	view->file_fd = fd;
	view->started_ns = now_ns();
	client->all->source.asked(client->all->source.owner, view);
}

/* A place for a newcomer. Where all are taken, or this user's, the oldest that has not asked yet makes way. */
static struct client *client_place(struct clients *clients, uint32_t uid)
{
	struct client *unused = NULL, *silent = NULL, *silent_own = NULL;
	unsigned own = 0;

	for (struct client *client = clients->list; client < clients->list + CLIENTS_MAX; client++) {
		if (!client->used) {
			unused = client;
			continue;
		}
		own += client->uid == uid;
		if (client->has_asked)
			continue;
		if (!silent || client->quiet_since_ns < silent->quiet_since_ns)
			silent = client;
		if (client->uid == uid && (!silent_own || client->quiet_since_ns < silent_own->quiet_since_ns))
			silent_own = client;
	}
	if (own < CLIENTS_PER_USER && unused)
		return unused;
	if (own >= CLIENTS_PER_USER)
		silent = silent_own;
	if (silent)
		client_drop(silent);
	return silent;
}

static void client_take(struct clients *clients, int fd)
{
	struct ucred peer = {.uid = UINT32_MAX};
	socklen_t size = sizeof(peer);
	int buffer = SEND_BUFFER;
	struct client *client;

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	client = client_place(clients, peer.uid);
	if (!client) {
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	memset(client, 0, sizeof(*client));
	client->handler = (struct loop_handler){.ready = client_ready, .owner = client, .fd = -1};
	client->all = clients;
	client->uid = peer.uid;
	client->quiet_since_ns = now_ns();
	client->view.file_fd = -1;
	client->used = loop_add(clients->loop, &client->handler, fd, EPOLLIN) == 0;
	if (!client->used)
		close(fd);
}

static void listener_ready(void *owner, uint32_t events)
{
	struct clients *clients = owner;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(clients->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			client_take(clients, fd);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			if (errno == EAGAIN)
				return;
			loop_change(clients->loop, &clients->listener, 0);
			clients->pause_until_ns = now_ns() + PAUSE_NS;
			return;
		}
	}
}

struct clients *clients_open(struct loop *loop, int listener, const struct client_source *source)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (!clients)
		return NULL;
	clients->loop = loop;
	clients->source = *source;
	clients->listener = (struct loop_handler){.ready = listener_ready, .owner = clients, .fd = -1};
	if (loop_add(loop, &clients->listener, listener, EPOLLIN) < 0) {
		free(clients);
		return NULL;
	}
	return clients;
}

void clients_close(struct clients *clients)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients->list[i].used)
			client_drop(&clients->list[i]);
	loop_remove(clients->loop, &clients->listener);
	free(clients);
}

unsigned clients_count(const struct clients *clients, uint32_t verb)
{
	unsigned count = 0;

	for (int i = 0; i < CLIENTS_MAX; i++)
		count += clients->list[i].used && clients->list[i].has_asked &&
			 clients->list[i].view.request.verb == verb;
	return count;
}

/* True: it has more coming. */
static bool client_feed(struct client *client)
{
	static struct row_frame row;
	const struct client_source *source = &client->all->source;
	struct client_view after;

	for (int i = 0; i < ROWS_AT_A_TIME; i++) {
		after = client->view;
		enum client_next next = source->next(source->owner, &client->view, &after, &row);
		if (next != NEXT_ROW) {
			client->view = after;
			return next == NEXT_LATER;
		}
		int error = frame_send(client->handler.fd, &row, sizeof(row), -1);
		if (error == -EAGAIN) {
			client->is_full = true;
			client->quiet_since_ns = now_ns();
			loop_change(client->all->loop, &client->handler, EPOLLIN | EPOLLOUT);
			return false;
		}
		client->view = after;
		if (error < 0 || row.kind == ROW_END) {
			client_drop(client);
			return false;
		}
	}
	return true;
}

static void drop_quiet(struct clients *clients, uint64_t now)
{
	char line[96];

	for (struct client *client = clients->list; client < clients->list + CLIENTS_MAX; client++) {
		if (!client->used || (client->has_asked && !client->is_full) ||
		    now - client->quiet_since_ns < CLIENT_PATIENCE_NS)
			continue;
		clients->dropped_since_said++;
		client_drop(client);
	}
	if (clients->dropped_since_said && now - clients->said_ns >= 6 * CLIENT_PATIENCE_NS) {
		snprintf(line, sizeof(line), "recorder: clients dropped that did not ask or did not read: %u",
			 clients->dropped_since_said);
		clients->source.say(clients->source.owner, line);
		clients->dropped_since_said = 0;
		clients->said_ns = now;
	}
}

bool clients_turn(struct clients *clients)
{
	uint64_t start = now_ns();
	bool more = false;

	if (clients->pause_until_ns && start >= clients->pause_until_ns) {
		clients->pause_until_ns = 0;
		loop_change(clients->loop, &clients->listener, EPOLLIN);
	}
	drop_quiet(clients, start);
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->list[(clients->first + i) % CLIENTS_MAX];
		if (!client->used || !client->has_asked || client->is_full)
			continue;
		more |= client_feed(client);
		if (now_ns() - start > TURN_NS) {
			clients->first = (clients->first + i + 1) % CLIENTS_MAX;
			return true;
		}
	}
	return more;
}
