/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text of a policy -> struct policy, or complaints. Parsed by libconfuse, from memory; reads no file. Words, defaults
 * and errors: mailward.conf(5).
 */
#ifndef MAILWARD_POLICY_TEXT_H
#define MAILWARD_POLICY_TEXT_H

#include "policy.h"

/* What is wrong (or, as a warning, doubtful): "file:line: sentence that names the remedy". */
struct complaint {
	bool warning;
	char text[LEASH_TEXT];
};
#define COMPLAINTS_MAX 32
struct complaints {
	size_t count;
	size_t errors;
	struct complaint list[COMPLAINTS_MAX];
};
__attribute__((format(printf, 5, 6))) void complain(struct complaints *complaints, bool warning, const char *file,
						    unsigned line, const char *format, ...);

struct policy_source {
	const char *name; /* for messages */
	const char *text; /* zero-terminated */
	size_t size;      /* without the terminating zero; a zero byte inside is an error */
};

/* The file and its drop-ins, in the order of their names, together. false: complaints has errors and *policy is not
 * to be used. Warnings alone are true. processors: default of `workers` is that, at least 4; memory_bytes: of the
 * host (or its cgroup), for the check of workers x max-scan-size. */
bool policy_parse(struct policy *policy, const struct policy_source *sources, size_t count, unsigned processors,
		  uint64_t memory_bytes, struct complaints *complaints);

#endif
