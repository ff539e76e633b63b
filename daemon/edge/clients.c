// SPDX-License-Identifier: GPL-2.0-only
#include "clients.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

static void client_close(struct client *client)
{
	int fd = client->handler.fd;

	loop_remove(client->clients->loop, &client->handler);
	if (fd >= 0)
		close(fd);
	if (client->clients->full) {
		client->clients->full = false;
		loop_change(client->clients->loop, &client->clients->listener, EPOLLIN);
	}
}

/* Not an answer that can't be delivered is tried again: what the socket doesn't take now, its owner doesn't read. */
static void send_status(struct client *client)
{
	struct keeper_reply reply = {.version = WIRE_VERSION, .verb = KEEPER_STATUS};

	frame_send(client->handler.fd, &reply, sizeof(reply), client->clients->status_page);
	client_close(client);
}

static void client_ready(void *owner, uint32_t events)
{
	struct client *client = owner;
	struct keeper_request request;
	int fd, error;

	(void)events;
	error = frame_receive(client->handler.fd, &request, sizeof(request), &fd);
	if (error == -EAGAIN)
		return;
	if (!error && fd >= 0)
		close(fd);
	if (error || request.version != WIRE_VERSION || client->until_ns == 0) {
		client_close(client);
		return;
	}
	if (request.verb == KEEPER_STATUS) {
		send_status(client);
	} else if (request.verb == KEEPER_RELOAD) {
		client->round = client->clients->reload(client->clients->owner);
		client->until_ns = 0;
	} else {
		client_close(client);
	}
}

static struct client *client_free(struct clients *clients)
{
	for (int i = 0; i < clients->most; i++)
		if (clients->all[i].handler.fd < 0)
			return &clients->all[i];
	return NULL;
}

static void listener_ready(void *owner, uint32_t events)
{
	struct clients *clients = owner;
	struct client *client = client_free(clients);
	int fd = client ? accept4(clients->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	(void)events;
	if (fd < 0) {
		/* No place, or no descriptor: heard again when one has left, or at the next tick. */
		if (!client || (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)) {
			clients->full = true;
			loop_change(clients->loop, &clients->listener, 0);
		}
		return;
	}
	client->until_ns = now_ns() + CLIENT_TIME_NS;
	if (loop_add(clients->loop, &client->handler, fd, EPOLLIN) < 0)
		close(fd);
}

int clients_open(struct clients *clients, struct loop *loop, int listener)
{
	clients->loop = loop;
	clients->full = false;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->all[i];
		*client = (struct client){.clients = clients};
		client->handler = (struct loop_handler){.ready = client_ready, .owner = client, .fd = -1};
	}
	clients->listener = (struct loop_handler){.ready = listener_ready, .owner = clients, .fd = -1};
	return loop_add(loop, &clients->listener, listener, EPOLLIN);
}

void clients_tick(struct clients *clients, uint64_t now)
{
	for (int i = 0; i < clients->most; i++) {
		struct client *client = &clients->all[i];
		if (client->handler.fd >= 0 && client->until_ns && client->until_ns < now)
			client_close(client);
	}
	if (clients->full && client_free(clients)) {
		clients->full = false;
		loop_change(clients->loop, &clients->listener, EPOLLIN);
	}
}

void clients_answer(struct clients *clients, uint64_t round, const struct keeper_reply *replies, int count)
{
	for (int i = 0; i < clients->most; i++) {
		struct client *client = &clients->all[i];
		if (client->handler.fd < 0 || client->until_ns || client->round > round)
			continue;
		for (int j = 0; j < count; j++)
			frame_send(client->handler.fd, &replies[j], sizeof(replies[j]), -1);
		client_close(client);
	}
}
