// SPDX-License-Identifier: GPL-2.0-only
/* What an earlier run has left in the kernel: getting on with it, taking it back, waiting until it has really gone. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "attach_pins.h"

#define PROGRAMS_MAX 512
#define GONE_TRIES 150
#define GONE_PAUSE_NS 20000000l

struct census {
	uint32_t count;
	uint32_t ids[PROGRAMS_MAX];
};

static void note_program(struct census *census, const char *path)
{
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && census->count < PROGRAMS_MAX)
		census->ids[census->count++] = info.prog_id;
	close(fd);
}

/* The programs of all links below a folder of bpffs; maps are in "maps". */
static void count_programs(struct census *census, const char *folder, int depth)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[4 * PINS_PATH_SIZE];
		if (entry->d_name[0] == '.' || strncmp(entry->d_name, "maps", 4) == 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path))
			continue;
		if (entry->d_type != DT_DIR)
			note_program(census, path);
		else if (depth > 0)
			count_programs(census, path, depth - 1);
	}
	if (dir)
		closedir(dir);
}

/* The kernel takes them out a moment after their last pin; until then they go on to refuse. */
static void wait_until_gone(const struct census *census)
{
	struct timespec pause = {.tv_nsec = GONE_PAUSE_NS};

	for (int tries = 0; tries < GONE_TRIES; tries++) {
		bool left = false;
		for (uint32_t i = 0; i < census->count && !left; i++) {
			int fd = bpf_prog_get_fd_by_id(census->ids[i]);
			if (fd >= 0)
				close(fd);
			left = fd >= 0;
		}
		if (!left)
			return;
		nanosleep(&pause, NULL);
	}
}

/* One set's map of labels, by its folder's name. */
static void label_in(const char *folder, int pidfd, const struct hook_label *label)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);
	char path[4 * PINS_PATH_SIZE];
	int fd;

	snprintf(path, sizeof(path), HOOKS_DIR "/%.255s/maps/labels", folder);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == BPF_MAP_TYPE_TASK_STORAGE &&
	    info.value_size == sizeof(*label))
		bpf_map_update_elem(fd, &pidfd, label, BPF_ANY);
	close(fd);
}

void attach_label_others(const char *current)
{
	const struct hook_label own = {.flags = HOOK_LABEL_OWN};
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	DIR *dir = opendir(HOOKS_DIR);
	struct dirent *entry;

	while (dir && pidfd >= 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, current) != 0)
			label_in(entry->d_name, pidfd, &own);
	if (dir)
		closedir(dir);
	if (pidfd >= 0)
		close(pidfd);
}

int attach_release(uint32_t *count_out)
{
	struct attached attached = {0};
	static struct census census;
	char said[160];

	*count_out = 0;
	if (geteuid() != 0)
		return -EPERM;
	for (int i = 0; i < ATTACH_HOOKS_MAX; i++)
		attached.held[i] = -1;
	for (int i = 0; i < HOOK_MAPS; i++)
		attached.maps[i] = -1;
	attached.home = pins_home(false, said, sizeof(said));
	if (attached.home < 0)
		return attached.home == -ENOENT ? 0 : attached.home;
	census.count = 0;
	count_programs(&census, HOOKS_DIR, 2);
	attach_detach(&attached);
	attach_close(&attached);
	wait_until_gone(&census);
	*count_out = census.count;
	return 0;
}
