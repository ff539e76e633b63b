// SPDX-License-Identifier: GPL-2.0-only
#include "groups.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/fanotify.h>

#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x00002000 /* kernel 6.13: the error of an event whose descriptor could not be made */
#endif
#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x00001000 /* kernel 5.17 */
#endif
#define MOVES (FAN_REPORT_FID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_TARGET_FID)

#define COMMON (FAN_CLOEXEC | FAN_NONBLOCK)
#define EVENT_FLAGS (O_RDONLY | O_LARGEFILE | O_CLOEXEC | O_NONBLOCK)

static int group(unsigned flags, unsigned event_flags)
{
	int fd = fanotify_init(flags, event_flags);

	return fd < 0 ? -errno : fd;
}

static int group_with_descriptors(unsigned flags)
{
	int fd = group(flags, EVENT_FLAGS | O_NOATIME);

	return fd == -EINVAL ? group(flags, EVENT_FLAGS) : fd;
}

int groups_permission(void)
{
	unsigned flags = FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | COMMON;
	int fd = group_with_descriptors(flags | FAN_REPORT_FD_ERROR);

	return fd == -EINVAL ? group_with_descriptors(flags) : fd;
}

int groups_closed(void)
{
	return group_with_descriptors(FAN_CLASS_NOTIF | COMMON);
}

int groups_moves(void)
{
	return group(FAN_CLASS_NOTIF | FAN_UNLIMITED_QUEUE | MOVES | COMMON, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
}
