// SPDX-License-Identifier: GPL-2.0-only
#include "service.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int sock = -1;
static struct sockaddr_un address;
static socklen_t address_size;

static void notify_open(const char *name)
{
	size_t length = name ? strlen(name) : 0;

	if (length < 2 || length >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@'))
		return;
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, name, length);
	address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
	if (name[0] == '@')
		address.sun_path[0] = 0;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

uint64_t service_open(void)
{
	const char *limit = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t usec = limit ? strtoull(limit, NULL, 10) : 0;

	notify_open(getenv("NOTIFY_SOCKET"));
	if (sock < 0 || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return usec * 1000 / 2;
}

void service_tell(const char *format, ...)
{
	char text[256];
	va_list arguments;
	int length;

	if (sock < 0)
		return;
	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length > 0 && length < (int)sizeof(text) &&
	    sendto(sock, text, (size_t)length, MSG_NOSIGNAL, (struct sockaddr *)&address, address_size) < 0)
		errno = 0; /* the manager is busy or gone: the next beat tells it */
}
