/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file systems that a policy's paths lie on, and the folders that are to be marked. Used by the policy reader, a
 * short-lived child that may wait for a disk, and by `mailward check`; never by the gate or the keeper.
 */
#ifndef MAILWARD_POLICY_ROOTS_H
#define MAILWARD_POLICY_ROOTS_H

#include "mounts.h"
#include "policy.h"
#include "policy_text.h"

/* The mounts of this process's namespace. 0 or -errno. */
int host_mounts(struct mounts *mounts);

/* The kernel's number of the file system that a descriptor lies on, from its mount (statx(2) STATX_MNT_ID, kernel 5.8):
 * major << 20 | minor; 0: not known. stat() says other numbers for files of an overlay and for subvolumes of btrfs. */
uint32_t device_of(const struct mounts *mounts, int fd);

/* Looks at each watch's path: follows links (the real path goes into the table, with a warning), refuses what is not a
 * folder, `enforce` where calls may never end, the file system of "/" without leave, and watches that are the same
 * after all. What does not exist is no error. Touches nothing on remote file systems. false: complaints has errors. */
bool policy_settle(struct policy *policy, const struct mounts *mounts, struct complaints *complaints);

/* The folders that the watches consist of: each one's own, then those of the mounts below it. */
struct policy_root {
	uint32_t watch;
	int fd;          /* O_RDONLY of the folder, close-on-exec */
	uint32_t device; /* device_of() */
};
struct policy_roots {
	size_t count;
	struct policy_root list[ROOTS_MAX]; /* in the order of the watches */
	char why[WATCHES_MAX][160];         /* empty: all is there; else what is missing of this watch */
	char file_system[WATCHES_MAX][32];  /* type, empty where not known */
	int patience_ms;                    /* left for remote file systems that do not answer */
};

/* Opens them, those of watches that are off too. A watch that must not be marked (see policy_settle()) gets a `why`
 * here, not an error. */
void policy_roots_open(const struct policy *policy, const struct mounts *mounts, struct policy_roots *roots);
void policy_roots_close(struct policy_roots *roots);
/* Does the path of the watch still lead to the folder that was opened as fd? false also where it cannot be told. For
 * file systems that ask no server. */
bool policy_root_stands(const struct policy_watch *watch, int fd);

/* The programs that mail software starts with (mail-software NAME { roots = ... }). */
struct policy_program {
	uint32_t software, root; /* index in policy.mail_software, and in its roots */
	int fd;                  /* O_PATH, close-on-exec */
	uint32_t device;         /* as above */
};
struct policy_programs {
	size_t count;
	struct policy_program list[MAIL_SOFTWARE_MAX * MAIL_ROOTS_MAX];
	char why[MAIL_SOFTWARE_MAX][MAIL_ROOTS_MAX][96]; /* empty: it is in the list */
};

/* Opens them; links are followed. One that is not there (not installed) is no error: `why` says so, for `mailward
 * check`, and a reload looks for it again. */
void policy_programs_open(const struct policy *policy, const struct mounts *mounts, struct policy_programs *programs);
void policy_programs_close(struct policy_programs *programs);

#endif
