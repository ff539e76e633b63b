// SPDX-License-Identifier: GPL-2.0-only
#include "policy_roots.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"

#define LINKS_MAX 40        /* as the kernel's own limit */
#define ANSWER_TIME_MS 2000 /* for a remote file system to answer at all; all of them together get twice that */

int host_mounts(struct mounts *mounts)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *text = NULL;
	size_t room = 0;
	ssize_t got;
	int error = 0;

	if (!file)
		return -errno;
	got = getdelim(&text, &room, 0, file); /* it has no zero byte */
	if (got < 0)
		error = errno ? -errno : -ENODATA;
	fclose(file);
	if (!error)
		return mounts_parse(mounts, text);
	free(text);
	return error;
}

/* ---- paths ---- */

enum path_state { PATH_FOLDER, PATH_OTHER, PATH_MISSING, PATH_REMOTE, PATH_ERROR };

/* A path walked by hand, link by link, so that the type of each mount is known before it is touched. */
struct walk {
	char done[POLICY_PATH_SIZE]; /* real so far */
	size_t used;
	char rest[POLICY_PATH_SIZE]; /* what is still to be walked */
	int links, error;
};

/* Takes the next component off rest. 0: there is none. */
static size_t walk_take(struct walk *walk, char *part)
{
	size_t skip = strspn(walk->rest, "/"), length = strcspn(walk->rest + skip, "/");

	memcpy(part, walk->rest + skip, length);
	part[length] = 0;
	memmove(walk->rest, walk->rest + skip + length, strlen(walk->rest + skip + length) + 1);
	return length;
}

/* Walking goes on with the target of the link that done ends in; before: length of done without it. */
static bool walk_link(struct walk *walk, size_t before)
{
	char target[POLICY_PATH_SIZE], joined[POLICY_PATH_SIZE];
	ssize_t got = readlink(walk->done, target, sizeof(target) - 1);
	int length;

	if (got < 0 || ++walk->links > LINKS_MAX) {
		walk->error = got < 0 ? errno : ELOOP;
		return false;
	}
	target[got] = 0;
	length = snprintf(joined, sizeof(joined), "%s/%s", target, walk->rest);
	if (length < 0 || (size_t)length >= sizeof(joined)) {
		walk->error = ENAMETOOLONG;
		return false;
	}
	memcpy(walk->rest, joined, (size_t)length + 1);
	walk->used = target[0] == '/' ? 0 : before;
	walk->done[walk->used] = 0;
	return true;
}

static void walk_up(struct walk *walk)
{
	while (walk->used > 0 && walk->done[walk->used] != '/')
		walk->used--;
	walk->done[walk->used] = 0;
}

/* One component further. What stands at its end is the answer; PATH_FOLDER: the walk may go on. */
static enum path_state walk_step(const struct mounts *mounts, struct walk *walk, const char *part, size_t length)
{
	size_t before = walk->used;
	struct stat status;

	if (strcmp(part, ".") == 0)
		return PATH_FOLDER;
	if (strcmp(part, "..") == 0) {
		walk_up(walk);
		return PATH_FOLDER;
	}
	if (walk->used + 1 + length >= sizeof(walk->done)) {
		walk->error = ENAMETOOLONG;
		return PATH_ERROR;
	}
	walk->done[walk->used] = '/';
	memcpy(walk->done + walk->used + 1, part, length + 1);
	walk->used += 1 + length;
	if (mount_is_remote(mounts_find(mounts, walk->done)))
		return PATH_REMOTE;
	if (lstat(walk->done, &status) < 0) {
		walk->error = errno;
		return errno == ENOENT ? PATH_MISSING : PATH_ERROR;
	}
	if (S_ISLNK(status.st_mode))
		return walk_link(walk, before) ? PATH_FOLDER : PATH_ERROR;
	return S_ISDIR(status.st_mode) ? PATH_FOLDER : PATH_OTHER;
}

/* path (POLICY_PATH_SIZE) becomes the real path; from a remote mount or a missing name on it stays as it is written. */
static enum path_state real_path(const struct mounts *mounts, char *path, int *error_out)
{
	struct walk walk = {0};
	enum path_state state = PATH_FOLDER;
	char part[POLICY_PATH_SIZE];
	size_t length;

	memcpy(walk.rest, path, strlen(path) + 1);
	while (state != PATH_ERROR && (length = walk_take(&walk, part)) > 0) {
		if (state == PATH_FOLDER) {
			state = walk_step(mounts, &walk, part, length);
		} else if (state == PATH_OTHER || strcmp(part, "..") == 0) {
			walk.error = ENOTDIR; /* a path through a file, or a link that cannot be followed to its end */
			state = PATH_ERROR;
		} else if (strcmp(part, ".") != 0) {
			if (walk.used + 1 + length >= sizeof(walk.done)) {
				walk.error = ENAMETOOLONG;
				state = PATH_ERROR;
				break;
			}
			walk.done[walk.used] = '/';
			memcpy(walk.done + walk.used + 1, part, length + 1);
			walk.used += 1 + length;
		}
	}
	if (walk.used == 0)
		walk.done[walk.used++] = '/';
	memcpy(path, walk.done, walk.used);
	path[walk.used] = 0;
	*error_out = walk.error;
	return state;
}

/* ---- what must not be marked ---- */

enum refusal { REFUSED_NOT, REFUSED_KERNEL, REFUSED_REMOTE, REFUSED_ROOT };

static enum refusal mount_refusal(const struct policy *policy, const struct policy_watch *watch,
				  const struct mounts *mounts, const struct mount_entry *mount)
{
	if (watch->mode == MODE_OFF)
		return REFUSED_NOT; /* nothing is marked for it */
	if (mount_is_kernel(mount))
		return REFUSED_KERNEL;
	if (watch->mode == MODE_ENFORCE && mount_is_remote(mount))
		return REFUSED_REMOTE;
	if (!policy->allow_root_filesystem && mounts_share(mount, mounts_find(mounts, "/")))
		return REFUSED_ROOT;
	return REFUSED_NOT;
}

static void refusal_text(enum refusal refusal, const struct mount_entry *mount, char *out, size_t size)
{
	const char *type = mount ? mount->type : "not listed in mountinfo";

	switch (refusal) {
	case REFUSED_NOT:
		out[0] = 0;
		return;
	case REFUSED_KERNEL:
		snprintf(out, size, "lies on %s, which holds no mail: watch another path", type);
		return;
	case REFUSED_REMOTE:
		snprintf(out, size, "lies on %s, whose calls may never end: use mode = observe, or a local file system",
			 type);
		return;
	case REFUSED_ROOT:
		snprintf(out, size,
			 "lies on the file system of / (%s): put allow-root-filesystem = yes at the top, or give it "
			 "one of its own",
			 type);
		return;
	}
}

static void refuse_mount(const struct policy *policy, const struct policy_watch *watch, const struct mounts *mounts,
			 struct complaints *complaints)
{
	const struct mount_entry *mount = mounts_find(mounts, watch->path);
	enum refusal refusal = mount_refusal(policy, watch, mounts, mount);
	char text[160];

	if (refusal == REFUSED_NOT)
		return;
	refusal_text(refusal, mount, text, sizeof(text));
	if (refusal == REFUSED_ROOT)
		snprintf(text, sizeof(text), "lies on the file system of / (%s)",
			 mount ? mount->type : "not listed in mountinfo");
	complain(complaints, false, policy->files[watch->place.file], watch->place.line, "the watch \"%.400s\" %s%s",
		 watch->path, text,
		 refusal == REFUSED_ROOT
			 ? ", and marking it would hold every open of this host: put "
			   "`allow-root-filesystem = yes` at the top, or give the watch a file system of "
			   "its own"
			 : "");
}

static void refuse_same_watch(const struct policy *policy, uint32_t index, struct complaints *complaints)
{
	const struct policy_watch *watch = &policy->watches[index];
	char first[POLICY_FILE_SIZE + 16];

	for (uint32_t i = 0; i < policy->watch_count; i++) {
		if (i == index || strcmp(policy->watches[i].path, watch->path) != 0)
			continue;
		policy_place_text(policy, policy->watches[i].place, first, sizeof(first));
		complain(complaints, false, policy->files[watch->place.file], watch->place.line,
			 "this watch is repeated, through a symbolic link: \"%.400s\" is watched in %s too, keep one",
			 watch->path, first);
	}
}

static void settle_watch(struct policy *policy, uint32_t index, const struct mounts *mounts,
			 struct complaints *complaints)
{
	struct policy_watch *watch = &policy->watches[index];
	const char *file = policy->files[watch->place.file];
	char path[POLICY_PATH_SIZE];
	enum path_state state;
	int error;

	memcpy(path, watch->path, strlen(watch->path) + 1);
	state = real_path(mounts, path, &error);
	if (state == PATH_ERROR) {
		complain(complaints, false, file, watch->place.line,
			 "the watch \"%.400s\" cannot be looked at (%s): name a folder, or a path that does not exist "
			 "yet",
			 watch->path, strerror(error));
		return;
	}
	if (strcmp(path, watch->path) != 0) {
		complain(complaints, true, file, watch->place.line,
			 "the watch \"%.300s\" is reached by a symbolic link; \"%.300s\" is watched: write that path",
			 watch->path, path);
		memcpy(watch->path, path, strlen(path) + 1);
		refuse_same_watch(policy, index, complaints);
	}
	if (watch->mode == MODE_OFF || state == PATH_MISSING)
		return; /* it is judged again when it appears */
	if (state == PATH_OTHER)
		complain(complaints, false, file, watch->place.line,
			 "the watch \"%.400s\" is not a folder: watch the folder that it lies in", watch->path);
	else
		refuse_mount(policy, watch, mounts, complaints);
}

bool policy_settle(struct policy *policy, const struct mounts *mounts, struct complaints *complaints)
{
	size_t before = complaints->errors;

	for (uint32_t i = 0; i < policy->watch_count; i++)
		settle_watch(policy, i, mounts, complaints);
	return complaints->errors == before;
}

/* ---- roots ---- */

/* Does a remote file system answer? A child asks, so that only the child is stuck; it keeps nothing of ours open. */
static bool remote_answers(int *patience_ms, const char *path)
{
	int patience = *patience_ms < ANSWER_TIME_MS ? *patience_ms : ANSWER_TIME_MS;
	struct pollfd end = {.events = POLLIN};
	int status = 1;
	pid_t pid = patience > 0 ? fork() : -1;

	if (pid < 0)
		return false;
	if (pid == 0) {
		struct stat ignored;
		syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
		_exit(stat(path, &ignored) < 0 && errno != ENOENT);
	}
	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (end.fd < 0 || poll(&end, 1, patience) != 1) {
		*patience_ms -= patience;
		kill(pid, SIGKILL);
	}
	if (end.fd >= 0 && poll(&end, 1, ANSWER_TIME_MS / 10) == 1)
		waitpid(pid, &status, 0);
	if (end.fd >= 0)
		close(end.fd);
	return status == 0;
}

static int open_folder(const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			       .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* The mount that an open folder lies on, from the kernel and not from its name. NULL: not told, or not listed. */
static const struct mount_entry *mount_of(const struct mounts *mounts, int fd)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &status) < 0 ||
	    !(status.stx_mask & STATX_MNT_ID))
		return NULL;
	return mounts_by_id(mounts, status.stx_mnt_id);
}

static void explain_error(int error, const char *type, char *out, size_t size)
{
	if (error == -ENOENT)
		snprintf(out, size, "does not exist (yet)");
	else if (error == -ENOTDIR)
		snprintf(out, size, "is not a folder");
	else if (error == -ELOOP)
		snprintf(out, size, "is reached by a symbolic link now: reload the policy");
	else if (error == -ETIMEDOUT)
		snprintf(out, size, "its file system (%s) does not answer", type);
	else
		snprintf(out, size, "cannot be opened: %s", strerror(-error));
}

/* Opens the folder of a watch or of a mount below one. Descriptor; or -errno with why. */
static int open_root(struct policy_roots *roots, const struct policy *policy, const struct policy_watch *watch,
		     const struct mounts *mounts, const char *path, char *why, size_t size)
{
	const struct mount_entry *mount = mounts_find(mounts, path), *opened;
	enum refusal refusal = mount_refusal(policy, watch, mounts, mount);
	int fd;

	/* Of a path that is not there yet only this much is certain. */
	if (mount_is_remote(mount) && refusal != REFUSED_NOT) {
		refusal_text(refusal, mount, why, size);
		return -EPERM;
	}
	fd = mount_is_remote(mount) && !remote_answers(&roots->patience_ms, path) ? -ETIMEDOUT : open_folder(path);
	if (fd < 0) {
		explain_error(fd, mount ? mount->type : "", why, size);
		return fd;
	}
	opened = mount_of(mounts, fd);
	if (opened)
		mount = opened;
	refusal = mount_refusal(policy, watch, mounts, mount);
	if (refusal == REFUSED_NOT)
		return fd;
	refusal_text(refusal, mount, why, size);
	close(fd);
	return -EPERM;
}

bool policy_root_stands(const struct policy_watch *watch, int fd)
{
	int now = open_folder(watch->path);
	bool same = now >= 0 && folder_is_same(now, fd);

	if (now >= 0)
		close(now);
	return same;
}

uint32_t device_of(const struct mounts *mounts, int fd)
{
	const struct mount_entry *mount = mount_of(mounts, fd);

	return mount ? (uint32_t)mount->major << 20 | mount->minor : 0;
}

/* Takes fd over. */
static void roots_add(struct policy_roots *roots, const struct mounts *mounts, uint32_t watch, int fd)
{
	if (roots->count < ROOTS_MAX) {
		roots->list[roots->count++] =
			(struct policy_root){.watch = watch, .fd = fd, .device = device_of(mounts, fd)};
		return;
	}
	close(fd);
	snprintf(roots->why[watch], sizeof(roots->why[watch]),
		 "not all of it: more than %d folders and mounts are watched in all", ROOTS_MAX);
}

static bool open_own_root(const struct policy *policy, const struct mounts *mounts, uint32_t index,
			  struct policy_roots *roots)
{
	const struct policy_watch *watch = &policy->watches[index];
	const struct mount_entry *mount = mounts_find(mounts, watch->path);
	int fd = open_root(roots, policy, watch, mounts, watch->path, roots->why[index], sizeof(roots->why[index]));

	if (mount && fd != -ENOENT)
		snprintf(roots->file_system[index], sizeof(roots->file_system[index]), "%s", mount->type);
	if (fd < 0)
		return false;
	roots_add(roots, mounts, index, fd);
	return true;
}

/* A mount below a watch is a root of its own. What cannot be one is told; of several, the last. */
static void open_nested_root(const struct policy *policy, const struct mounts *mounts, const struct mount_entry *mount,
			     uint32_t index, struct policy_roots *roots)
{
	char reason[160] = "";
	int fd;

	/* Hidden by another mount, which has its own entry; or where no mail is (a chroot's /proc). */
	if (mounts_find(mounts, mount->point) != mount || mount_is_kernel(mount))
		return;
	fd = open_root(roots, policy, &policy->watches[index], mounts, mount->point, reason, sizeof(reason));
	if (fd >= 0)
		roots_add(roots, mounts, index, fd);
	else if (fd != -ENOENT)
		snprintf(roots->why[index], sizeof(roots->why[index]), "not all of it: %.60s %.80s", mount->point,
			 reason);
}

void policy_roots_open(const struct policy *policy, const struct mounts *mounts, struct policy_roots *roots)
{
	memset(roots, 0, sizeof(*roots));
	roots->patience_ms = 2 * ANSWER_TIME_MS;
	for (uint32_t i = 0; i < policy->watch_count; i++) {
		const struct policy_watch *watch = &policy->watches[i];
		/* A watch that is off has its roots, too: they tell what it takes out of a larger one. */
		if (!open_own_root(policy, mounts, i, roots))
			continue;
		for (size_t m = 0; m < mounts->count; m++) {
			const struct mount_entry *mount = &mounts->list[m];
			if (path_is_below(mount->point, watch->path) && policy_match(policy, mount->point) == (int)i)
				open_nested_root(policy, mounts, mount, i, roots);
		}
	}
}

void policy_roots_close(struct policy_roots *roots)
{
	while (roots->count > 0)
		close(roots->list[--roots->count].fd);
}

/* ---- programs ---- */

/* Descriptor, or -errno with why. */
static int open_program(const struct mounts *mounts, const char *path, int *patience_ms, char *why, size_t size)
{
	char real[POLICY_PATH_SIZE];
	enum path_state state;
	struct stat status;
	int error, fd;

	snprintf(real, sizeof(real), "%s", path);
	state = real_path(mounts, real, &error);
	if (state == PATH_REMOTE && !remote_answers(patience_ms, path)) {
		snprintf(why, size, "its file system does not answer");
		return -ETIMEDOUT;
	}
	fd = state == PATH_ERROR ? -1 : open(path, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		error = state == PATH_ERROR ? error : errno;
		snprintf(why, size, "%s", error == ENOENT ? "does not exist" : strerror(error));
		return -error;
	}
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_mode & 0111)
		return fd;
	snprintf(why, size, "is not a program");
	close(fd);
	return -EACCES;
}

void policy_programs_open(const struct policy *policy, const struct mounts *mounts, struct policy_programs *programs)
{
	int patience_ms = ANSWER_TIME_MS;

	memset(programs, 0, sizeof(*programs));
	for (uint32_t i = 0; i < policy->mail_software_count; i++) {
		const struct policy_mail_software *software = &policy->mail_software[i];
		for (uint32_t root = 0; root < software->root_count; root++) {
			int fd = open_program(mounts, software->roots[root], &patience_ms, programs->why[i][root],
					      sizeof(programs->why[i][root]));
			if (fd >= 0)
				programs->list[programs->count++] = (struct policy_program){
					.software = i, .root = root, .fd = fd, .device = device_of(mounts, fd)};
		}
	}
}

void policy_programs_close(struct policy_programs *programs)
{
	while (programs->count > 0)
		close(programs->list[--programs->count].fd);
}
