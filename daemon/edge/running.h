/* SPDX-License-Identifier: GPL-2.0-only */
/* The processes that run now, from /proc. For the policy reader: it takes a while, and allocates. */
#ifndef MAILWARD_RUNNING_H
#define MAILWARD_RUNNING_H

#include <stdbool.h>

#include "lineage.h"

/* proc_fd: directory /proc. *list_out is the caller's to free(). Returns how many, or -errno. */
int running_list(int proc_fd, struct running **list_out);

/* What it executes now, into device and inode; who it is, is checked by `started`. false: it has ended. */
bool running_look_again(int proc_fd, struct running *process);

#endif
