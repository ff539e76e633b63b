// SPDX-License-Identifier: GPL-2.0-only
#include "policy_labels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach.h"
#include "lineage.h"
#include "policy_roots.h"
#include "running.h"
#include "wire.h"

#define ROUNDS 5 /* who is born while we look is found by the next round; a label once given is inherited */

static struct attached hooks;
static struct policy_programs programs;
static struct listed listed[MAIL_SOFTWARE_MAX * MAIL_ROOTS_MAX];

bool policy_labels_wanted(void)
{
	return fcntl(FD_HOOKS + HOOK_LABELS, F_GETFD) >= 0;
}

static size_t find_listed(const struct policy *policy, const struct mounts *mounts)
{
	size_t count = 0;

	policy_programs_open(policy, mounts, &programs);
	for (size_t i = 0; i < programs.count; i++) {
		struct stat status;
		if (fstat(programs.list[i].fd, &status) == 0)
			listed[count++] = (struct listed){
				.device = status.st_dev, .inode = status.st_ino, .software = programs.list[i].software};
	}
	policy_programs_close(&programs);
	return count;
}

/* SERVICE goes with the program that was executed. Where that has changed between our look and the label, the kernel
 * side had taken it back before we gave it. */
static int give(int pidfd, struct running *process, struct hook_label label)
{
	uint64_t device = process->device, inode = process->inode;
	int error = attach_label(&hooks, pidfd, &label);

	if (error || !(label.flags & HOOK_LABEL_SERVICE))
		return error;
	if (!running_look_again(FD_PROC, process) || (process->device == device && process->inode == inode))
		return 0;
	label.flags &= ~(uint32_t)HOOK_LABEL_SERVICE;
	return attach_label(&hooks, pidfd, &label);
}

/* 1: it has a label that it had not; 0: it had, or has ended; or -errno. */
static int label_one(struct running *process)
{
	int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0), error;
	uint64_t device = process->device, inode = process->inode;
	struct hook_label label;

	if (pidfd < 0)
		return errno == ESRCH ? 0 : -errno;
	/* From here on the descriptor is that process, whoever gets its number. */
	if (!running_look_again(FD_PROC, process)) {
		close(pidfd);
		return 0;
	}
	if (process->device != device || process->inode != inode)
		process->label.flags &= ~(uint32_t)HOOK_LABEL_SERVICE;
	error = attach_label_of(&hooks, pidfd, &label);
	if (!error && ((label.flags | process->label.flags) != label.flags ||
		       (label.software | process->label.software) != label.software)) {
		label.flags |= process->label.flags;
		label.software |= process->label.software;
		error = give(pidfd, process, label);
		error = error ? error : 1;
	}
	close(pidfd);
	return error == -ESRCH ? 0 : error;
}

/* How many were labelled in this round, or -errno. */
static int label_round(size_t listed_count)
{
	struct running *list;
	int count = running_list(FD_PROC, &list), labelled = 0, error = 0;

	if (count < 0)
		return count;
	lineage_label(list, (size_t)count, listed, listed_count);
	for (int i = 0; i < count; i++) {
		int result = list[i].label.flags ? label_one(&list[i]) : 0;
		labelled += result > 0;
		error = result < 0 ? result : error;
	}
	free(list);
	return error ? error : labelled;
}

int policy_labels(const struct policy *policy, const struct mounts *mounts, char *line_out, size_t size)
{
	size_t count = find_listed(policy, mounts);
	int labelled = 0, round = 1;

	line_out[0] = 0;
	for (int i = 0; i < HOOK_MAPS; i++)
		hooks.maps[i] = -1;
	hooks.maps[HOOK_LABELS] = FD_HOOKS + HOOK_LABELS;
	for (int i = 0; count && round > 0 && i < ROUNDS; i++) {
		round = label_round(count);
		labelled += round > 0 ? round : 0;
	}
	if (count && round < 0)
		snprintf(line_out, size, "not all running mail software could be labelled: %s", strerror(-round));
	else if (labelled)
		snprintf(line_out, size, "%d running processes are mail software", labelled);
	return count && round < 0 ? round : 0;
}
