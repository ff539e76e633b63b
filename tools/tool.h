/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the verbs of mailward(1) share: the global options and the exit codes. A verb is one file and one function
 * verb_NAME; main.c has the table of them.
 */
#ifndef MAILWARD_TOOL_H
#define MAILWARD_TOOL_H

#include <stdbool.h>

enum exit_code {
	EXIT_FINE = 0,
	EXIT_FOUND = 1,       /* what the verb looks for: an issue, a warning, a denial */
	EXIT_TROUBLE = 2,     /* usage, policy or I/O error */
	EXIT_NOT_RUNNING = 3, /* no daemon there */
	EXIT_CANNOT_TELL = 4, /* not yet, or it does not answer */
};

struct options {
	const char *runtime_dir;
	const char *state_dir;
	bool json;
	bool header;
};

/* argv[0] is the verb; global options have been taken out. Each returns an exit_code. */
int verb_status(const struct options *options, int argc, char **argv);
int verb_blocked(const struct options *options, int argc, char **argv);
int verb_watch(const struct options *options, int argc, char **argv);
int verb_explain(const struct options *options, int argc, char **argv);
int verb_check(const struct options *options, int argc, char **argv);
int verb_selftest(const struct options *options, int argc, char **argv);
int verb_probe(const struct options *options, int argc, char **argv);
int verb_definitions(const struct options *options, int argc, char **argv);
int verb_reload(const struct options *options, int argc, char **argv);
int verb_quarantine(const struct options *options, int argc, char **argv);
int verb_clean(const struct options *options, int argc, char **argv);
int verb_allow(const struct options *options, int argc, char **argv);
int verb_scan(const struct options *options, int argc, char **argv);
int verb_release(const struct options *options, int argc, char **argv);

/* Prints "mailward: sentence" to standard error and returns EXIT_TROUBLE. What comes from outside the tool is passed
 * through text_quote() by this function: control characters forge nothing. */
__attribute__((format(printf, 1, 2))) int trouble(const char *format, ...);

/* "mailward VERB: ..." and a hint at --help; EXIT_TROUBLE. */
__attribute__((format(printf, 2, 3))) int usage_error(const char *verb, const char *format, ...);

#endif
