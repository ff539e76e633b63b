// SPDX-License-Identifier: GPL-2.0-only
#include "mail_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

#define OUTPUT_MOST 4096

/* ---- what the mail software says ---- */

struct limit limit_from(const char *text, size_t size)
{
	static const struct {
		const char *name;
		unsigned shift;
	} units[] = {{"", 0},   {"B", 0},   {"k", 10}, {"K", 10},  {"kB", 10}, {"KB", 10},
		     {"M", 20}, {"MB", 20}, {"G", 30}, {"GB", 30}, {"T", 40},  {"TB", 40}};
	struct limit limit = {.state = LIMIT_KNOWN};
	size_t at = 0;

	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\r'))
		size--;
	if (size == 0 || (size == 9 && memcmp(text, "unlimited", 9) == 0))
		return limit;
	while (at < size && text[at] >= '0' && text[at] <= '9' && at < 16)
		limit.bytes = limit.bytes * 10 + (uint64_t)(text[at++] - '0');
	if (at == 0)
		return (struct limit){.state = LIMIT_NOT_TOLD};
	while (at < size && text[at] == ' ')
		at++;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strlen(units[i].name) != size - at || memcmp(units[i].name, text + at, size - at) != 0)
			continue;
		if (limit.bytes > UINT64_MAX >> units[i].shift)
			break;
		limit.bytes <<= units[i].shift;
		return limit;
	}
	return (struct limit){.state = LIMIT_NOT_TOLD};
}

/* Line `number` of what was printed. empty: what an empty or missing one means. */
static struct limit limit_line(const struct command *command, unsigned number, struct limit empty)
{
	const char *text = command->output, *end = text ? text + command->output_size : text, *line_end;

	for (; text < end; text = line_end + 1) {
		line_end = memchr(text, '\n', (size_t)(end - text));
		if (!line_end)
			break;
		if (number-- == 0)
			return line_end == text ? empty : limit_from(text, (size_t)(line_end - text));
	}
	return empty;
}

static bool postfix_is_configured(void)
{
	const char *folder = getenv("MAIL_CONFIG");
	char path[4096];

	snprintf(path, sizeof(path), "%s/main.cf", folder ? folder : "/etc/postfix");
	return access(path, F_OK) == 0;
}

static void read_postfix(struct mail_limits *limits, unsigned patience_ms)
{
	struct command command = {
		.argv = {"postconf", "-h", "message_size_limit", "mailbox_size_limit", "virtual_mailbox_limit", NULL},
		.patience_ms = patience_ms,
		.output_most = OUTPUT_MOST};
	const struct limit not_told = {.state = LIMIT_NOT_TOLD};
	int status = command_run(&command);

	if (status == -ENOENT)
		return;
	limits->message = limits->mailbox = limits->virtual_mailbox = not_told;
	if (status == 0) {
		limits->message = limit_line(&command, 0, not_told);
		limits->mailbox = limit_line(&command, 1, not_told);
		limits->virtual_mailbox = limit_line(&command, 2, not_told);
	}
	command_free(&command);
}

static void read_dovecot(struct mail_limits *limits, unsigned patience_ms)
{
	struct command command = {.argv = {"doveconf", "-h", "mdbox_rotate_size", "plugin/quota_max_mail_size", NULL},
				  .patience_ms = patience_ms,
				  .output_most = OUTPUT_MOST};
	const struct limit not_told = {.state = LIMIT_NOT_TOLD}, none = {.state = LIMIT_KNOWN};
	int status = command_run(&command);

	if (status == -ENOENT)
		return;
	limits->rotate = limits->append = not_told;
	if (status == 0) {
		limits->rotate = limit_line(&command, 0, not_told);
		limits->append = limit_line(&command, 1, none);
	}
	command_free(&command);
}

void limits_read(struct mail_limits *limits, unsigned patience_ms, bool quick)
{
	*limits = (struct mail_limits){0};
	if (!quick || postfix_is_configured())
		read_postfix(limits, patience_ms);
	read_dovecot(limits, patience_ms);
}

/* ---- against the scanner's ---- */

/* What libclamav counts against max-scan-size: the message, and what its parts are once base64 (4/3) is taken off. What
 * archives hold comes on top, and cannot be foretold. */
static uint64_t layers_of(uint64_t message)
{
	return message + message / 4 * 3;
}

struct comparison {
	void (*say)(void *owner, const char *what, const char *remedy);
	void *owner;
};

static bool is_above(struct limit limit, uint64_t most)
{
	return limit.state == LIMIT_KNOWN && (limit.bytes == 0 || limit.bytes > most);
}

/* who: "Postfix takes messages"; name: of the limit. */
static void say_above(const struct comparison *to, const char *who, const char *name, struct limit limit,
		      const char *ours, uint64_t most)
{
	char what[400], remedy[200];

	if (!is_above(limit, most))
		return;
	if (limit.bytes == 0) {
		snprintf(what, sizeof(what),
			 "%s of any size (%s = 0), %s is %" PRIu64
			 " bytes: a larger one arrives and is unscanned (too-large)",
			 who, name, ours, most);
		snprintf(remedy, sizeof(remedy), "set %s", name);
	} else {
		snprintf(what, sizeof(what),
			 "%s of %" PRIu64 " bytes (%s), %s is %" PRIu64
			 ": a larger one arrives and is unscanned (too-large)",
			 who, limit.bytes, name, ours, most);
		snprintf(remedy, sizeof(remedy), "raise %s or lower %s", ours, name);
	}
	to->say(to->owner, what, remedy);
}

static void compare_layers(const struct comparison *to, const struct mail_limits *limits,
			   const struct scanner_limits *scanner)
{
	char what[400];
	uint64_t needed = layers_of(limits->message.bytes);

	if (limits->message.state != LIMIT_KNOWN || limits->message.bytes > scanner->max_file_size ||
	    needed <= scanner->max_scan_size)
		return;
	snprintf(what, sizeof(what),
		 "Postfix takes messages of %" PRIu64 " bytes (message_size_limit), which are %" PRIu64
		 " with their base64 taken off; max-scan-size is %" PRIu64 ": such a one is unscanned (too-large)",
		 limits->message.bytes, needed, scanner->max_scan_size);
	to->say(to->owner, what, "raise max-scan-size or lower message_size_limit");
}

void limits_compare(const struct mail_limits *limits, const struct scanner_limits *scanner,
		    void (*say)(void *, const char *, const char *), void *owner)
{
	const struct comparison to = {say, owner};
	uint64_t most = scanner->max_file_size;

	say_above(&to, "Postfix takes messages", "message_size_limit", limits->message, "max-file-size", most);
	if (limits->message.bytes)
		compare_layers(&to, limits, scanner);
	if (scanner->mbox) {
		say_above(&to, "Postfix lets an mbox grow to files", "mailbox_size_limit", limits->mailbox,
			  "max-file-size", most);
		say_above(&to, "Postfix lets a virtual mbox grow to files", "virtual_mailbox_limit",
			  limits->virtual_mailbox, "max-file-size", most);
	}
	/* Without such a limit IMAP APPEND takes anything: as Dovecot comes, so no news. */
	if (limits->append.bytes)
		say_above(&to, "Dovecot takes messages", "quota_max_mail_size", limits->append, "max-file-size", most);
	if (scanner->mdbox && limits->rotate.bytes)
		say_above(&to, "Dovecot makes mdbox files", "mdbox_rotate_size", limits->rotate, "max-file-size", most);
}
