// SPDX-License-Identifier: GPL-2.0-only
#include "policy_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "lasting.h"
#include "policy_files.h"
#include "policy_labels.h"
#include "policy_roots.h"

#define LIFE_SECONDS 12 /* below the keeper's own limit for it */

/* Half a megabyte, from the start of this process on: static arrays are locked into the keeper's and the gate's memory,
 * which are the same program. */
static struct policy *table;
static struct complaints complaints;
static struct policy_roots roots;
static struct policy_programs programs;

/* Waits for the keeper to read; the alarm ends a wait that does not. 0 or -errno. */
static int send_frame(const struct leash_frame *frame, int fd)
{
	struct pollfd leash = {.fd = FD_LEASH, .events = POLLOUT};
	int error;

	while ((error = frame_send(FD_LEASH, frame, sizeof(*frame), fd)) == -EAGAIN)
		poll(&leash, 1, 50);
	return error;
}

static int tell(enum leash_kind kind, uint64_t value, const char *text, int fd)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value};

	snprintf(frame.text, sizeof(frame.text), "%s", text);
	return send_frame(&frame, fd);
}

static int tell_file(enum leash_kind kind, uint64_t value, uint32_t device, int fd)
{
	const struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value, .device = device};

	return send_frame(&frame, fd);
}

static int tell_complaints(bool warnings)
{
	int error = 0;

	for (size_t i = 0; !error && i < complaints.count; i++)
		if (complaints.list[i].warning == warnings)
			error = tell(LEASH_COMPLAINT, warnings, complaints.list[i].text, -1);
	return error;
}

/* The table as memory that nobody can change any more; -errno. */
static int seal_table(void)
{
	int fd = memfd_create("mailward policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	while (fd >= 0 && done < sizeof(*table)) {
		ssize_t written = write(fd, (const char *)table + done, sizeof(*table) - done);
		if (written <= 0)
			break;
		done += (size_t)written;
	}
	if (fd < 0 || done < sizeof(*table) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
		int error = errno ? -errno : -EIO;
		if (fd >= 0)
			close(fd);
		return error;
	}
	return fd;
}

static int tell_policy(void)
{
	int fd = seal_table(), error;

	if (fd < 0)
		return fd;
	error = tell(LEASH_POLICY, complaints.count - complaints.errors, "", fd);
	close(fd);
	return error;
}

/* What nobody can say of counts as marked: one that is let pass without need costs nothing. */
static bool is_marked(void *owner, int fd)
{
	uint32_t device = device_of(owner, fd);

	for (size_t i = 0; device && i < roots.count; i++)
		if (table->watches[roots.list[i].watch].mode != MODE_OFF &&
		    (roots.list[i].device == device || roots.list[i].device == 0))
			return true;
	return device == 0;
}

/* Our own programs and means of rescue, as far as they lie on a file system that will be marked. */
static int tell_lasting(struct mounts *mounts)
{
	struct lasting lasting;
	int error = 0;

	lasting_open(&lasting, is_marked, mounts);
	for (uint32_t i = 0; !error && i < lasting.count; i++)
		error = tell(LEASH_LASTING, i, "", lasting.fds[i]);
	lasting_close(&lasting);
	return error;
}

/* The programs of mail software. What is not installed is left out. */
static int tell_programs(const struct mounts *mounts)
{
	int error = 0;

	policy_programs_open(table, mounts, &programs);
	for (size_t i = 0; !error && i < programs.count; i++)
		error = tell_file(LEASH_PROGRAM, programs.list[i].software, programs.list[i].device,
				  programs.list[i].fd);
	policy_programs_close(&programs);
	return error;
}

static int tell_roots(struct mounts *mounts)
{
	size_t next = 0;
	int error = 0;

	policy_roots_open(table, mounts, &roots);
	for (uint32_t i = 0; !error && i < table->watch_count; i++) {
		while (!error && next < roots.count && roots.list[next].watch == i) {
			const struct policy_root *root = &roots.list[next++];
			error = tell_file(LEASH_ROOT, i, root->device, root->fd);
		}
		if (!error && roots.why[i][0])
			error = tell(LEASH_WATCH_WITHOUT, i, roots.why[i], -1);
	}
	if (!error)
		error = tell_lasting(mounts);
	if (!error)
		error = tell_programs(mounts);
	policy_roots_close(&roots);
	return error;
}

/* The policy in force, as the keeper gave it. */
static int take_table(void)
{
	struct stat status;
	ssize_t got;

	if (fstat(FD_POLICY, &status) < 0)
		return -errno;
	got = pread(FD_POLICY, table, sizeof(*table), 0);
	if (got < 0)
		return -errno;
	return (size_t)got == sizeof(*table) && status.st_size == (off_t)sizeof(*table) && policy_is_sound(table)
		       ? 0
		       : -EBADMSG;
}

static int read_policy(const char *file, struct mounts *mounts)
{
	int error;

	if (!policy_load(table, file, &complaints) || !policy_settle(table, mounts, &complaints)) {
		error = tell_complaints(false);
		return error ? error : -EINVAL;
	}
	error = tell_policy();
	if (!error)
		error = tell_roots(mounts);
	if (!error)
		error = tell_complaints(true);
	return error;
}

static int find_roots(struct mounts *mounts)
{
	int error = take_table();

	return error ? error : tell_roots(mounts);
}

static int label_running(const struct mounts *mounts)
{
	int error = take_table();
	char line[160] = "";

	if (!error)
		error = policy_labels(table, mounts, line, sizeof(line));
	if (line[0])
		tell(LEASH_LOG, 0, line, -1);
	return error;
}

int policy_reader_run(int argc, char **argv)
{
	struct mounts mounts;
	int error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, SIG_DFL);
	alarm(LIFE_SECONDS);
	table = calloc(1, sizeof(*table));
	error = table ? host_mounts(&mounts) : -ENOMEM;
	if (error) {
		tell(LEASH_COMPLAINT, 0,
		     error == -ENOMEM ? "no memory" : "/proc/self/mountinfo cannot be read: mount /proc", -1);
		return 1;
	}
	if (argc < 2 && policy_labels_wanted())
		error = label_running(&mounts);
	else
		error = argc > 1 ? read_policy(argv[1], &mounts) : find_roots(&mounts);
	mounts_free(&mounts);
	if (!error)
		error = tell(LEASH_POLICY_END, table->number, "", -1);
	return error == -EINVAL ? 2 : error ? 1 : 0;
}
