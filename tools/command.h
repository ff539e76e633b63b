/* SPDX-License-Identifier: GPL-2.0-only */
/* Another program asked something: postconf, doveadm. No shell, no terminal, and never longer than it is given. */
#ifndef MAILWARD_COMMAND_H
#define MAILWARD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#define COMMAND_WORDS 32

struct command {
	const char *argv[COMMAND_WORDS]; /* ends with NULL; argv[0]: a name, found by PATH, else in /usr/sbin */
	unsigned patience_ms;            /* then it is killed */
	size_t output_most;              /* bytes of standard output that are kept; what is beyond makes it -E2BIG */
	char *output;                    /* by command_run(): with a zero behind it; freed by command_free() */
	size_t output_size;
	char said[512]; /* by command_run(): the beginning of what it wrote to standard error */
};

/* Its exit status; -ENOENT: there is no such program; -ETIMEDOUT; -E2BIG; -ECHILD: a signal ended it; else -errno. */
int command_run(struct command *command);
void command_free(struct command *command);

#endif
