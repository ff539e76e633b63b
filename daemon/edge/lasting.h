/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that must open even while nobody answers, where their own file system is marked: our own programs (a
 * successor of the gate is executed when there is no gate), the tool, and means of rescue (a shell, kill, sshd), each
 * with the libraries that it needs by its ELF header. Only what belongs to root and nobody else may write.
 */
#ifndef MAILWARD_LASTING_H
#define MAILWARD_LASTING_H

#include <stdbool.h>
#include <stdint.h>

#include "shared.h"

struct lasting {
	uint32_t count;
	int fds[LASTING_MAX]; /* O_PATH; raises no event */
};

/* Finds and opens those that lie on a file system that is marked; the caller closes. is_marked says so of a descriptor
 * (O_PATH). Reads files, so it is not for the gate nor the keeper. */
void lasting_open(struct lasting *lasting, bool (*is_marked)(void *owner, int fd), void *owner);
void lasting_close(struct lasting *lasting);

#endif
