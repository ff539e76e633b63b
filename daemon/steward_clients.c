// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who asks the steward. One question on a connection, rows as they find room. Hostile like any client: a wrong frame,
 * a second one, silence or not reading for ten seconds costs it its connection. Members of the group may look; only
 * root may change anything.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"
#include "steward_state.h"

#define CLIENTS 64
#define PATIENCE_NS (10 * STEWARD_SECOND)
#define ROWS_AT_A_TIME 32

static const struct verb {
	steward_answer answer;
	bool root_only;
	bool patient; /* who asks may take its time to read: he only keeps up what he asked for */
} verbs[STEWARD_VERBS] = {
	[STEWARD_LIST] = {quarantine_list, false, false},      [STEWARD_SHOW] = {quarantine_show, false, false},
	[STEWARD_RESTORE] = {quarantine_restore, true, false}, [STEWARD_RELEASE] = {quarantine_release, true, false},
	[STEWARD_DELETE] = {quarantine_delete, true, false},   [STEWARD_ALLOW_ADD] = {allow_add, true, false},
	[STEWARD_ALLOW_LIST] = {allow_list, false, false},     [STEWARD_ALLOW_REMOVE] = {allow_remove, true, false},
	[STEWARD_SWEEP_PATH] = {sweeps_path, true, false},     [STEWARD_SWEEP] = {sweeps_ask, true, true},
	[STEWARD_KEEP] = {stores_keep, true, false},
};

static struct steward_client *clients; /* CLIENTS; no static array: keeper and gate lock those */
static struct loop_handler listener;

enum steward_next steward_end(struct steward_row *row, int result, const char *format, ...)
{
	va_list arguments;

	row->kind = STEWARD_ROW_END;
	row->more = 0;
	row->result = result;
	va_start(arguments, format);
	if (format)
		vsnprintf(row->text, sizeof(row->text), format, arguments);
	va_end(arguments);
	return STEWARD_NEXT_ROW;
}

static void client_drop(struct steward_client *client)
{
	int fd = client->handler.fd;

	loop_remove(&client->steward->loop, &client->handler);
	close(fd);
	if (client->fd >= 0)
		close(client->fd);
	client->used = false;
}

static bool terminated(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool ask_is_sound(const struct steward_ask *ask)
{
	return ask->version == WIRE_VERSION && ask->verb >= STEWARD_LIST && ask->verb < STEWARD_VERBS &&
	       verbs[ask->verb].answer && terminated(ask->id, sizeof(ask->id)) &&
	       terminated(ask->name, sizeof(ask->name)) && terminated(ask->text, sizeof(ask->text)) &&
	       ask->path_size <= sizeof(ask->path);
}

static void client_ready(void *owner, uint32_t events)
{
	struct steward_client *client = owner;
	int fd = -1, error;

	if (client->full && (events & EPOLLOUT)) {
		client->full = false;
		loop_change(&client->steward->loop, &client->handler, EPOLLIN);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	error = frame_receive(client->handler.fd, &client->ask, sizeof(client->ask), &fd);
	if (error == -EAGAIN)
		return;
	if (error < 0 || client->asked || !ask_is_sound(&client->ask)) {
		if (fd >= 0)
			close(fd);
		client_drop(client);
		return;
	}
	client->asked = true;
	client->fd = fd;
	client->begun_ns = now_ns();
}

/* A place for a newcomer: a free one, or that of who has kept silent longest. */
static struct steward_client *client_place(void)
{
	struct steward_client *silent = NULL;

	for (struct steward_client *client = clients; client < clients + CLIENTS; client++) {
		if (!client->used)
			return client;
		if (!client->asked && (!silent || client->quiet_since_ns < silent->quiet_since_ns))
			silent = client;
	}
	if (silent)
		client_drop(silent);
	return silent;
}

static void listener_ready(void *owner, uint32_t events)
{
	struct ucred peer = {.uid = UINT32_MAX};
	socklen_t size = sizeof(peer);
	struct steward *steward = owner;
	struct steward_client *client;
	int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	client = client_place();
	if (!client) {
		close(fd);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	*client = (struct steward_client){.steward = steward,
					  .fd = -1,
					  .uid = peer.uid,
					  .quiet_since_ns = now_ns(),
					  .handler = {.ready = client_ready, .owner = client, .fd = -1}};
	client->used = loop_add(&steward->loop, &client->handler, fd, EPOLLIN) == 0;
	if (!client->used)
		close(fd);
}

int steward_clients_open(struct steward *steward, int fd)
{
	clients = calloc(CLIENTS, sizeof(*clients));
	if (!clients)
		return -ENOMEM;
	listener = (struct loop_handler){.ready = listener_ready, .owner = steward, .fd = -1};
	return loop_add(&steward->loop, &listener, fd, EPOLLIN);
}

static enum steward_next ask_verb(struct steward_client *client, struct steward_row *row)
{
	const struct verb *verb = &verbs[client->ask.verb];

	memset(row, 0, sizeof(*row));
	row->version = WIRE_VERSION;
	if (verb->root_only && client->uid != 0)
		return steward_end(row, -EPERM, "only root may do this");
	return verb->answer(client->steward, client, row);
}

/* True: it has more coming at once. */
static bool client_feed(struct steward_client *client)
{
	static struct steward_row row;

	for (int i = 0; i < ROWS_AT_A_TIME; i++) {
		uint64_t before = client->position;
		if (ask_verb(client, &row) == STEWARD_NEXT_LATER)
			return false;
		int error = frame_send(client->handler.fd, &row, sizeof(row), -1);
		/* The last row may tell of what was done and can't be done again: it is sent, or the client is lost. */
		if (error == -EAGAIN && row.more) {
			client->position = before;
			client->full = true;
			client->quiet_since_ns = now_ns();
			loop_change(&client->steward->loop, &client->handler, EPOLLIN | EPOLLOUT);
			return false;
		}
		if (error < 0 || !row.more) {
			client_drop(client);
			return false;
		}
	}
	return true;
}

bool steward_clients_turn(struct steward *steward)
{
	uint64_t now = now_ns();
	bool more = false;

	(void)steward;
	for (struct steward_client *client = clients; client < clients + CLIENTS; client++) {
		if (!client->used)
			continue;
		if (client->asked && !client->full)
			more |= client_feed(client);
		else if (now > client->quiet_since_ns + PATIENCE_NS &&
			 !(client->asked && verbs[client->ask.verb].patient))
			client_drop(client);
	}
	return more;
}
