// SPDX-License-Identifier: GPL-2.0-only
/* Which file is next. What is left out: folders of the quarantine, other roots of the same sweep (these have their own
 * turn), and file systems whose files are no files (/proc and its like: reading them can do something). */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "quarantine_state.h"
#include "steward_far.h"
#include "steward_sweep.h"

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif
#ifndef CONFIGFS_MAGIC
#define CONFIGFS_MAGIC 0x62656570
#endif
#ifndef FUSE_CTL_MAGIC
#define FUSE_CTL_MAGIC 0x65735543
#endif

static bool holds_no_files(int fd)
{
	static const long magics[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC,        DEBUGFS_MAGIC,       TRACEFS_MAGIC,
				      SECURITYFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC,
				      BPF_FS_MAGIC,     MQUEUE_MAGIC,       CONFIGFS_MAGIC,      PSTOREFS_MAGIC,
				      EFIVARFS_MAGIC,   NSFS_MAGIC,         BINFMTFS_MAGIC,      SELINUX_MAGIC,
				      FUSE_CTL_MAGIC};
	struct statfs status;

	if (fstatfs(fd, &status) < 0)
		return false;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if ((unsigned long)status.f_type == (unsigned long)magics[i])
			return true;
	return false;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* root: the one that is gone through. */
static bool left_out(const struct sweep *sweep, uint32_t root, int fd, const struct stat *folder)
{
	for (uint32_t i = 0; i < sweep->state->root_count; i++)
		if (i != root && sweep->roots[i].fd >= 0 && same(&sweep->roots[i].status, folder))
			return true;
	return places_is_inside(sweep->steward->quarantine, folder) ||
	       ((folder->st_dev != sweep->roots[root].status.st_dev || same(folder, &sweep->roots[root].status)) &&
		holds_no_files(fd));
}

static bool leave_out(void *owner, int fd, const struct stat *folder)
{
	const struct sweep *sweep = owner;

	return left_out(sweep, sweep->state->root, fd, folder);
}

static bool leave_out_uncounted(void *owner, int fd, const struct stat *folder)
{
	const struct sweep *sweep = owner;

	return left_out(sweep, sweep->counted_root, fd, folder);
}

/* Entered is no mount whose server may fall silent (steward_far.h). */
static bool is_far_below(const struct sweep *sweep, uint32_t root, const char *below)
{
	static char path[2 * SWEEP_PATH_SIZE + 2];
	const char *top = sweep->state->roots[root].path;
	char type[64];

	snprintf(path, sizeof(path), "%s/%s", strcmp(top, "/") != 0 ? top : "", below);
	return far_path(path, type, sizeof(type));
}

static bool mount_is_far(const struct sweep *sweep, const struct walk *walk, uint32_t root)
{
	static char below[SWEEP_PATH_SIZE];

	return !walk || walk_path(walk, below, sizeof(below)) == 0 || is_far_below(sweep, root, below);
}

static bool leave_mount(void *owner)
{
	const struct sweep *sweep = owner;

	return mount_is_far(sweep, sweep->walk, sweep->state->root);
}

static bool leave_mount_uncounted(void *owner)
{
	const struct sweep *sweep = owner;

	return mount_is_far(sweep, sweep->counter, sweep->counted_root);
}

void walking_path(const struct sweep *sweep, const char *below, char *out, size_t size)
{
	const char *root = sweep->state->roots[sweep->state->root].path;

	snprintf(out, size, "%s%s%s", root, below[0] && strcmp(root, "/") != 0 ? "/" : "", below);
}

/* ---- roots ---- */

/* The root in hand: its walk begins, or the file that it is. */
static void root_begin(struct sweep *sweep)
{
	struct walk_options options = {.mounts = sweep->state->flags & SWEEP_MOUNTS,
				       .leave_out = leave_out,
				       .leave_mount = leave_mount,
				       .owner = sweep};
	const struct sweep_root_open *root = &sweep->roots[sweep->state->root];

	walk_close(&sweep->walk);
	sweep->single = false;
	if (root->fd < 0)
		sweep->state->counts.vanished++;
	else if (S_ISREG(root->status.st_mode))
		sweep->single = true;
	else if (walk_open(&sweep->walk, root->fd, &options) < 0)
		sweep->state->counts.unreadable++;
}

static void go_on(struct sweep *sweep)
{
	struct sweep_state *state = sweep->state;
	struct walk_key *keys = calloc(SWEEP_DEPTH_MAX, sizeof(*keys));

	_Static_assert(SWEEP_DEPTH_MAX == WALK_DEPTH_MAX && SWEEP_NAME_SIZE == WALK_NAME_SIZE, "kept as it is walked");
	if (!keys)
		return;
	for (uint32_t i = 0; i < state->depth; i++) {
		keys[i].ino = state->at[i].ino;
		memcpy(keys[i].name, state->at[i].name, sizeof(keys[i].name));
	}
	walk_go_on(sweep->walk, keys, state->depth);
	free(keys);
}

void walking_begin(struct sweep *sweep)
{
	struct sweep_state *state = sweep->state;

	sweep->redo = 0;
	sweep->redo_count = state->redo_count;
	sweep->redo_paths = state->redo_count ? malloc(sizeof(state->redo)) : NULL;
	if (!sweep->redo_paths)
		sweep->redo_count = 0;
	else
		memcpy(sweep->redo_paths, state->redo, sizeof(state->redo));
	if (state->root < state->root_count)
		root_begin(sweep);
	if (sweep->walk && state->depth)
		go_on(sweep);
	if (state->single)
		sweep->single = false;
	sweep->counting = state->kind == SWEEP_ASKED && state->files_all == 0;
	sweep->counted_root = 0;
}

void walking_end(struct sweep *sweep)
{
	walk_close(&sweep->walk);
	walk_close(&sweep->counter);
	free(sweep->redo_paths);
	sweep->redo_paths = NULL;
	for (uint32_t i = 0; i < SWEEP_ROOTS_MAX; i++) {
		if (sweep->roots[i].fd >= 0)
			close(sweep->roots[i].fd);
		sweep->roots[i].fd = -1;
	}
}

void walking_note(struct sweep *sweep)
{
	struct sweep_state *state = sweep->state;
	struct walk_key *keys = calloc(SWEEP_DEPTH_MAX, sizeof(*keys));

	if (!keys)
		return;
	state->depth = sweep->walk ? (uint32_t)walk_position(sweep->walk, keys, SWEEP_DEPTH_MAX) : 0;
	for (uint32_t i = 0; i < state->depth; i++) {
		state->at[i].ino = keys[i].ino;
		memcpy(state->at[i].name, keys[i].name, sizeof(state->at[i].name));
	}
	free(keys);
}

/* ---- the next file ---- */

/* An O_PATH descriptor (taken over) of a regular file. */
static enum walking open_file(struct sweep *sweep, int fd, const char *below, int *fd_out)
{
	static char path[SWEEP_PATH_SIZE + 64];
	int readable = walk_read(FD_PROC, fd);

	close(fd);
	if (readable >= 0) {
		posix_fadvise(readable, 0, 1 << 20, POSIX_FADV_WILLNEED);
		*fd_out = readable;
		return WALKING_FILE;
	}
	if (readable == -ENOENT || readable == -ESTALE) {
		sweep->state->counts.vanished++;
		return WALKING_AGAIN;
	}
	sweep->state->counts.unreadable++;
	walking_path(sweep, below, path, sizeof(path));
	sweep_tell(sweep, path, NULL, 0, strerrordesc_np(-readable), SWEEP_REPORTED);
	return WALKING_AGAIN;
}

static enum walking take_redo(struct sweep *sweep, int *fd_out, uint64_t *size_out, char *path_out)
{
	const char *path = sweep->redo_paths[sweep->redo++];
	int root = sweep->roots[sweep->state->root].fd, fd;
	struct stat status;

	fd = root < 0  ? -ENOENT
	     : path[0] ? walk_open_below(root, path, O_PATH)
		       : openat(root, "", O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -EXDEV && sweep->state->flags & SWEEP_MOUNTS && !is_far_below(sweep, sweep->state->root, path))
		fd = walk_open_path(root, path, O_PATH);
	if (fd < 0 && !path[0] && root >= 0)
		fd = fcntl(root, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		if (fd >= 0)
			close(fd);
		sweep->state->counts.vanished++;
		return WALKING_AGAIN;
	}
	snprintf(path_out, SWEEP_PATH_SIZE, "%s", path);
	*size_out = (uint64_t)status.st_size;
	return open_file(sweep, fd, path, fd_out);
}

static void take_left_out(struct sweep *sweep, const struct walk_found *found, const char *below)
{
	static char path[SWEEP_PATH_SIZE + 64];

	if (found->error == EXDEV) {
		sweep->state->counts.mounts++;
		return;
	}
	sweep->state->counts.unreadable++;
	walking_path(sweep, below, path, sizeof(path));
	sweep_tell(sweep, path, NULL, 0,
		   found->error == E2BIG ? "more than 256 folders deep" : strerrordesc_np(found->error),
		   SWEEP_REPORTED);
}

/* What was asked about of a root is answered, and told, before the next one begins: so the state needs to name one
 * alone. */
static enum walking next_root(struct sweep *sweep)
{
	struct sweep_state *state = sweep->state;

	if (sweep->in_flight || sweep->row_count)
		return WALKING_NOTHING;
	walk_close(&sweep->walk);
	state->single = 0;
	if (state->root < state->root_count)
		state->root++;
	if (state->root == state->root_count)
		return WALKING_END;
	root_begin(sweep);
	return WALKING_AGAIN;
}

enum walking walking_step(struct sweep *sweep, int *fd_out, uint64_t *size_out, char *path_out)
{
	struct walk_found found;
	int fd;

	if (sweep->state->root == sweep->state->root_count)
		return sweep->in_flight ? WALKING_NOTHING : WALKING_END;
	if (sweep->redo < sweep->redo_count)
		return take_redo(sweep, fd_out, size_out, path_out);
	if (sweep->single) {
		sweep->single = false;
		sweep->state->single = 1;
		path_out[0] = 0;
		*size_out = (uint64_t)sweep->roots[sweep->state->root].status.st_size;
		fd = fcntl(sweep->roots[sweep->state->root].fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? WALKING_AGAIN : open_file(sweep, fd, "", fd_out);
	}
	if (!sweep->walk)
		return next_root(sweep);
	switch (walk_next(sweep->walk, &found)) {
	case WALK_FILE:
		if (walk_path(sweep->walk, path_out, SWEEP_PATH_SIZE) == 0) {
			close(found.fd);
			sweep->state->counts.unreadable++;
			sweep_tell(sweep, sweep->state->roots[sweep->state->root].path, NULL, 0,
				   "a file below it has a path longer than 4095 bytes", SWEEP_REPORTED);
			return WALKING_AGAIN;
		}
		*size_out = (uint64_t)found.status.st_size;
		return open_file(sweep, found.fd, path_out, fd_out);
	case WALK_LEFT_OUT:
		walk_path(sweep->walk, path_out, SWEEP_PATH_SIZE);
		take_left_out(sweep, &found, path_out);
		return WALKING_AGAIN;
	case WALK_AGAIN:
		return WALKING_AGAIN;
	case WALK_END:
		break;
	}
	return next_root(sweep);
}

/* ---- counting, for the progress ---- */

static bool count_root(struct sweep *sweep)
{
	struct walk_options options = {.mounts = sweep->state->flags & SWEEP_MOUNTS,
				       .sizes = true,
				       .leave_out = leave_out_uncounted,
				       .leave_mount = leave_mount_uncounted,
				       .owner = sweep};
	const struct sweep_root_open *root = &sweep->roots[sweep->counted_root];

	if (root->fd >= 0 && S_ISREG(root->status.st_mode)) {
		sweep->state->files_all++;
		sweep->state->bytes_all += (uint64_t)root->status.st_size;
	}
	return root->fd >= 0 && S_ISDIR(root->status.st_mode) && walk_open(&sweep->counter, root->fd, &options) == 0;
}

bool walking_count(struct sweep *sweep)
{
	struct walk_found found = {.fd = -1};

	if (!sweep->counting)
		return false;
	if (!sweep->counter) {
		if (sweep->counted_root == sweep->state->root_count)
			sweep->counting = false;
		else if (!count_root(sweep))
			sweep->counted_root++;
		return sweep->counting;
	}
	switch (walk_next(sweep->counter, &found)) {
	case WALK_FILE:
		sweep->state->files_all++;
		sweep->state->bytes_all += (uint64_t)found.status.st_size;
		break;
	case WALK_END:
		walk_close(&sweep->counter);
		sweep->counted_root++;
		break;
	case WALK_AGAIN:
	case WALK_LEFT_OUT:
		break;
	}
	if (found.fd >= 0)
		close(found.fd);
	return true;
}
