/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a worker may still do: nothing but read the descriptors it is given, answer on its socket, and write into a file
 * system of its own in memory. The layers are those of DESIGN section 4; each is a word of enum box_layer, which is
 * also the exit code of a process whose layer failed. A process that box_enter() has not let in must not serve.
 */
#ifndef MAILWARD_BOX_H
#define MAILWARD_BOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum box_layer {
	BOX_ENTERED = 0,
	BOX_DESCRIPTORS = 64, /* 0-2 on /dev/null, the kept ones at BOX_FIRST_FD and on, all others closed */
	BOX_NAMESPACES,       /* mount, network, IPC, UTS, cgroup */
	BOX_ROOT,             /* a private tmpfs is "/", nothing else is mounted */
	BOX_LIMITS,
	BOX_USER,       /* another uid and gid, no groups, no capabilities */
	BOX_PRIVILEGES, /* no_new_privs, not dumpable, dies with its parent */
	BOX_LANDLOCK,   /* where the kernel has it */
	BOX_SECCOMP,    /* default: kill the process */
	BOX_LAYERS
};

enum box_trade {
	BOX_PARSER, /* may make, read and remove files in its tmpfs */
	BOX_READER  /* preads descriptors, nothing else */
};

#define BOX_FIRST_FD 3
#define BOX_KEEP_MAX 2
struct box {
	enum box_trade trade;
	uid_t uid;
	gid_t gid;
	pid_t parent;
	uint64_t room;          /* bytes of the tmpfs */
	uint32_t inodes;        /* of the tmpfs */
	uint32_t nofile;        /* RLIMIT_NOFILE; a lower one that was inherited stays */
	int null_fd;            /* /dev/null, O_RDWR */
	int keep[BOX_KEEP_MAX]; /* descriptors that become BOX_FIRST_FD, BOX_FIRST_FD + 1; -1: none */
};

/* For a freshly forked process whose working directory is one where it may mount (any directory; it is only covered
 * in the new mount namespace). It needs CAP_SYS_ADMIN, SETUID and SETGID, and has none of them afterwards. Returns
 * BOX_ENTERED, or the layer that failed with errno set; then the caller exits with it. */
enum box_layer box_enter(const struct box *box);

const char *box_layer_name(int layer); /* "namespaces", ...; NULL where the number is no layer */

#endif
