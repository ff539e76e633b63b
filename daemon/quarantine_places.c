// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the quarantine lies: a folder in the root directory of each mount that holds a root of a watch, because names
 * are moved by rename(2), which does not cross mounts. What was found once is remembered by its file handle: whoever
 * owns that root directory can give the folder another name, and it is found all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quarantine_state.h"

#define KNOWN "places" /* in FD_STATE_DIR: struct known_place, one behind the other */
#define KNOWN_MAX 128

struct known_place {
	int32_t type;
	uint32_t size;
	uint8_t handle[HANDLE_SIZE];
};

static struct known_place known[KNOWN_MAX];
static size_t known_count;

static uint64_t mount_of(int fd)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0 || !(status.stx_mask & STATX_MNT_ID))
		return 0;
	return status.stx_mnt_id;
}

/* ---- remembered ---- */

static bool handle_of(int fd, struct known_place *out)
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + HANDLE_SIZE];
	} room = {.head.handle_bytes = HANDLE_SIZE};
	int mount;

	if (name_to_handle_at(fd, "", &room.head, &mount, AT_EMPTY_PATH) < 0)
		return false;
	*out = (struct known_place){.type = room.head.handle_type, .size = room.head.handle_bytes};
	memcpy(out->handle, room.head.f_handle, out->size);
	return true;
}

static void known_read(void)
{
	int fd = openat(FD_STATE_DIR, KNOWN, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, known, sizeof(known));

	known_count = size > 0 ? (size_t)size / sizeof(known[0]) : 0;
	if (fd >= 0)
		close(fd);
}

static void known_add(int fd)
{
	struct known_place place;
	int file;

	if (!handle_of(fd, &place) || known_count == KNOWN_MAX)
		return;
	for (size_t i = 0; i < known_count; i++)
		if (memcmp(&known[i], &place, sizeof(place)) == 0)
			return;
	known[known_count++] = place;
	file = openat(FD_STATE_DIR, KNOWN ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0)
		return;
	if (write(file, known, known_count * sizeof(known[0])) == (ssize_t)(known_count * sizeof(known[0])) &&
	    fsync(file) == 0)
		renameat(FD_STATE_DIR, KNOWN ".new", FD_STATE_DIR, KNOWN);
	close(file);
}

/* ---- a folder of ours ---- */

static bool is_ours(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == 0 &&
	       (status.st_mode & 07777) == 0700;
}

/* One that was made before, whatever it is called now. -1: none. */
static int find_known(int on)
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + HANDLE_SIZE];
	} room;

	for (size_t i = 0; i < known_count; i++) {
		struct known_place again;
		if (known[i].size > HANDLE_SIZE)
			continue;
		room.head.handle_bytes = known[i].size;
		room.head.handle_type = known[i].type;
		memcpy(room.head.f_handle, known[i].handle, known[i].size);
		int fd = open_by_handle_at(on, &room.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* The same handle can be of another file system's, too: it is ours by what it is. */
		if (fd >= 0 && is_ours(fd) && handle_of(fd, &again) && mount_of(fd) == mount_of(on) &&
		    faccessat(fd, ".mailward", F_OK, 0) == 0)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

int places_on(int place, int on)
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + HANDLE_SIZE];
	} room;
	struct known_place handle;
	struct stat one, other;
	int fd;

	if (!handle_of(place, &handle))
		return -EXDEV;
	room.head.handle_bytes = handle.size;
	room.head.handle_type = handle.type;
	memcpy(room.head.f_handle, handle.handle, handle.size);
	fd = open_by_handle_at(on, &room.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(place, &one) == 0 && fstat(fd, &other) == 0 && one.st_ino == other.st_ino &&
	    one.st_dev == other.st_dev)
		return fd;
	close(fd);
	return -EXDEV;
}

/* The root directory of the mount that this directory is on; -errno. */
static int mount_root(int on)
{
	uint64_t mount = mount_of(on);
	int here = openat(on, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int depth = 0; here >= 0 && depth < 4096; depth++) {
		struct stat status, above_status;
		int above = openat(here, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (above < 0 || fstat(here, &status) < 0 || fstat(above, &above_status) < 0 ||
		    mount_of(above) != mount ||
		    (status.st_ino == above_status.st_ino && status.st_dev == above_status.st_dev)) {
			if (above >= 0)
				close(above);
			return here;
		}
		close(here);
		here = above;
	}
	return here < 0 ? -errno : -ELOOP;
}

/* Is this directory itself a mailbox, in which another folder would show up? */
static bool is_mailbox(int fd)
{
	return (faccessat(fd, "cur", F_OK, 0) == 0 && faccessat(fd, "new", F_OK, 0) == 0) ||
	       faccessat(fd, "dbox-Mails", F_OK, 0) == 0 || faccessat(fd, "mailboxes", F_OK, 0) == 0;
}

/* -errno */
static int make_folder(int on)
{
	int root = mount_root(on), fd, mark;

	if (root < 0)
		return root;
	if (is_mailbox(root)) {
		close(root);
		return -EISDIR;
	}
	if (mkdirat(root, QUARANTINE_FOLDER, 0700) == 0)
		fsync(root);
	fd = openat(root, QUARANTINE_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(root);
	if (fd >= 0 && (!is_ours(fd) || mount_of(fd) != mount_of(on))) {
		close(fd);
		return -EPERM;
	}
	if (fd < 0)
		return fd;
	mark = openat(fd, ".mailward", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (mark >= 0)
		close(mark);
	known_add(fd);
	return fd;
}

struct quarantine_place *places_copies(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;
	struct quarantine_place *place = &quarantine->places[quarantine->place_count];
	struct stat status;
	int fd;

	for (uint32_t i = 0; i < quarantine->place_count; i++)
		if (quarantine->places[i].copies)
			return &quarantine->places[i];
	if (quarantine->place_count == PLACES_MAX)
		return NULL;
	if (mkdirat(FD_STATE_DIR, COPIES, 0700) == 0)
		fsync(FD_STATE_DIR);
	fd = openat(FD_STATE_DIR, COPIES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (!is_ours(fd) || fstat(fd, &status) < 0) {
		close(fd);
		return NULL;
	}
	*place = (struct quarantine_place){.fd = fd,
					   .on = fcntl(fd, F_DUPFD_CLOEXEC, 0),
					   .dev = status.st_dev,
					   .ino = status.st_ino,
					   .copies = true};
	quarantine->place_count++;
	places_tell_gate(steward);
	return place;
}

static bool have_mount(const struct quarantine *quarantine, uint64_t mount)
{
	for (uint32_t i = 0; i < quarantine->place_count; i++)
		if (quarantine->places[i].mount_id == mount)
			return true;
	return false;
}

static bool add_place(struct steward *steward, int on, uint32_t watch)
{
	struct quarantine *quarantine = steward->quarantine;
	struct quarantine_place *place;
	struct stat status;
	int fd = find_known(on);

	if (fd < 0)
		fd = make_folder(on);
	if (fd < 0) {
		steward_log("what is moved away from a mount of %s is copied to the state folder: %s",
			    steward->policy->watches[watch].path,
			    fd == -EISDIR  ? "the root of its mount is a mailbox itself"
			    : fd == -EPERM ? "there is something else of the name " QUARANTINE_FOLDER
					   : strerror(-fd));
		return false;
	}
	if (fstat(fd, &status) < 0) {
		close(fd);
		return false;
	}
	place = &quarantine->places[quarantine->place_count];
	*place = (struct quarantine_place){.fd = fd,
					   .on = fcntl(on, F_DUPFD_CLOEXEC, 0),
					   .dev = status.st_dev,
					   .mount_id = mount_of(on),
					   .ino = status.st_ino};
	quarantine->place_count++;
	return true;
}

/* Only where the policy moves anything away from: nobody else gets a folder of ours. */
static bool watch_moves(const struct policy_watch *watch)
{
	for (int i = 0; i < POLICY_CASES; i++)
		if (watch->actions[i].quarantine && watch->mode == MODE_ENFORCE)
			return true;
	return false;
}

void places_find(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;

	if (known_count == 0)
		known_read();
	for (uint32_t i = 0; i < steward->root_count; i++) {
		const struct steward_root *root = &steward->roots[i];
		if (have_mount(quarantine, mount_of(root->fd)) || quarantine->place_count >= PLACES_MAX - 1)
			continue;
		if (watch_moves(&steward->policy->watches[root->watch])) {
			add_place(steward, root->fd, root->watch);
		} else {
			int fd = find_known(root->fd); /* of an earlier policy */
			if (fd >= 0) {
				close(fd);
				add_place(steward, root->fd, root->watch);
			}
		}
	}
	if (faccessat(FD_STATE_DIR, COPIES, F_OK, 0) == 0)
		places_copies(steward);
	places_tell_gate(steward);
}

void places_tell_gate(struct steward *steward)
{
	struct steward_reply reply = {.version = WIRE_VERSION, .kind = STEWARD_PLACE};
	struct quarantine *quarantine = steward->quarantine;

	for (uint32_t i = 0; i < quarantine->place_count; i++) {
		reply.moved = i; /* 0: those that were told before count no more */
		if (!quarantine->places[i].told)
			quarantine->places[i].told = steward_tell_gate(steward, &reply, quarantine->places[i].fd) == 0;
	}
}

struct quarantine_place *places_of(struct steward *steward, const struct stat *file, uint64_t mount_id,
				   const char **why)
{
	struct quarantine *quarantine = steward->quarantine;
	struct quarantine_place *place = NULL;

	*why = "there is no quarantine on its mount";
	for (uint32_t i = 0; i < quarantine->place_count; i++)
		if (quarantine->places[i].mount_id == mount_id)
			place = &quarantine->places[i];
	if (!place)
		place = places_copies(steward);
	(void)file; /* on btrfs the device number may be another one, and rename(2) says so */
	return place;
}

bool places_holds(const struct quarantine *quarantine, int folder)
{
	struct stat here, above;

	return (fstat(folder, &here) == 0 && places_is_inside(quarantine, &here)) ||
	       (fstatat(folder, "..", &above, AT_SYMLINK_NOFOLLOW) == 0 && places_is_inside(quarantine, &above));
}

bool places_is_inside(const struct quarantine *quarantine, const struct stat *folder)
{
	for (uint32_t i = 0; i < quarantine->place_count; i++)
		if (quarantine->places[i].dev == folder->st_dev && quarantine->places[i].ino == folder->st_ino)
			return true;
	return false;
}
