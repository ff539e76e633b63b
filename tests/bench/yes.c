// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor under every scanner that asks fanotify: it reads an event, says yes, and does nothing else.
 *
 *   yes DIR     marks the file system of DIR, prints "ready", answers until it is killed
 *
 * Refuses the file system of `/`: a mark there would put this program under every open of the machine.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int answer_all(int group)
{
	static char buffer[65536] __attribute__((aligned(8)));
	ssize_t size = read(group, buffer, sizeof(buffer));
	struct fanotify_event_metadata *event = (struct fanotify_event_metadata *)buffer;

	if (size <= 0)
		return -1;
	for (; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
		struct fanotify_response yes = {.fd = event->fd, .response = FAN_ALLOW};

		if (event->fd < 0)
			continue;
		if (write(group, &yes, sizeof(yes)) != sizeof(yes))
			return -1;
		close(event->fd);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct stat root, here;
	int group;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 2 || stat("/", &root) < 0 || stat(argv[1], &here) < 0 || root.st_dev == here.st_dev) {
		fprintf(stderr, "usage: yes DIR, on a file system other than that of /\n");
		return 2;
	}
	group = fanotify_init(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC,
			      O_RDONLY | O_LARGEFILE | O_CLOEXEC);
	if (group < 0 ||
	    fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_PERM, AT_FDCWD, argv[1]) < 0) {
		perror("fanotify");
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (answer_all(group) == 0)
		;
	perror("yes");
	return 1;
}
