// SPDX-License-Identifier: GPL-2.0-only
#include "moves.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#define TOLD (FAN_MOVED_TO | FAN_CREATE | FAN_CLOSE_WRITE | FAN_ONDIR)

struct moves {
	int group_fd;
	size_t size, next;
	_Alignas(struct fanotify_event_metadata) char events[32768];
};

int moves_open(struct moves **moves_out, int group_fd)
{
	struct moves *moves = calloc(1, sizeof(*moves));

	if (!moves)
		return -ENOMEM;
	moves->group_fd = group_fd;
	*moves_out = moves;
	return 0;
}

/* The handle of the thing itself, among the records behind an event (that of its folder stands there too). */
static bool take_target(const char *record, const char *end, struct generation *file_out)
{
	while (record + sizeof(struct fanotify_event_info_header) <= end) {
		const struct fanotify_event_info_fid *info = (const void *)record;
		const struct file_handle *handle = (const void *)info->handle;
		if (info->hdr.len < sizeof(info->hdr) || record + info->hdr.len > end)
			return false;
		if (info->hdr.info_type == FAN_EVENT_INFO_TYPE_FID &&
		    info->hdr.len >= sizeof(*info) + sizeof(*handle) && handle->handle_bytes <= HANDLE_SIZE &&
		    info->hdr.len >= sizeof(*info) + sizeof(*handle) + handle->handle_bytes) {
			*file_out = (struct generation){.handle_type = handle->handle_type,
							.handle_size = (uint8_t)handle->handle_bytes};
			memcpy(file_out->handle, handle->f_handle, handle->handle_bytes);
			return true;
		}
		record += info->hdr.len;
	}
	return false;
}

unsigned moves_next(struct moves *moves, struct generation *file_out)
{
	for (;;) {
		/* Events with records behind them are laid out at multiples of 4, not of 8. */
		struct fanotify_event_metadata head = {0}, *event = &head;
		const char *start = moves->events + moves->next;
		if (moves->size - moves->next >= sizeof(head))
			memcpy(&head, start, sizeof(head));
		if (!FAN_EVENT_OK(event, moves->size - moves->next)) {
			ssize_t size = read(moves->group_fd, moves->events, sizeof(moves->events));
			moves->next = 0;
			moves->size = size > 0 ? (size_t)size : 0;
			if (size <= 0)
				return size < 0 && errno != EAGAIN && errno != EINTR ? NEWS_LOST : NEWS_NONE;
			continue;
		}
		moves->next += event->event_len;
		if (event->mask & FAN_Q_OVERFLOW)
			return NEWS_LOST;
		if (event->mask & FAN_ONDIR) {
			if (!(event->mask & FAN_MOVED_TO))
				continue; /* a new, empty folder */
			return take_target(start + event->metadata_len, start + event->event_len, file_out)
				       ? NEWS_FOLDER
				       : NEWS_LOST;
		}
		if (!take_target(start + event->metadata_len, start + event->event_len, file_out))
			return NEWS_LOST;
		return (event->mask & (FAN_MOVED_TO | FAN_CREATE) ? NEWS_NAME : 0u) |
		       (event->mask & FAN_CLOSE_WRITE ? NEWS_CLOSE : 0u);
	}
}

int moves_watch(struct moves *moves, int fd)
{
	return fanotify_mark(moves->group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, TOLD, fd, NULL) < 0 ? -errno : 0;
}

int moves_unwatch(struct moves *moves, int fd)
{
	unsigned flags = FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM;

	return fanotify_mark(moves->group_fd, flags, TOLD, fd, NULL) < 0 ? -errno : 0;
}
