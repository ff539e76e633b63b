// SPDX-License-Identifier: GPL-2.0-only
/* By doveadm(1), as its manual says: search, fetch, expunge, purge. */
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clean.h"
#include "command.h"

#define DOVEADM_MS 60000
#define CANDIDATES_MOST 64
#define TEXT_MOST (512u << 20)

__attribute__((format(printf, 2, 3))) static void say(struct removal *removal, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(removal->text, sizeof(removal->text), format, arguments);
	va_end(arguments);
}

/* Its exit status or -errno; what it said goes into text where that is no success. */
static int doveadm(struct removal *removal, struct command *command)
{
	int status;

	command->patience_ms = DOVEADM_MS;
	if (!command->output_most)
		command->output_most = 1 << 20;
	status = command_run(command);
	if (status > 0)
		say(removal, "doveadm %s: %.300s", command->argv[1], command->said[0] ? command->said : "it failed");
	else if (status < 0 && status != -ENOENT)
		say(removal, "doveadm %s: %s", command->argv[1], strerror(-status));
	return status;
}

/* ---- whose file is it? ---- */

/* The directory or file of a mail location: "mdbox:/a/b:INBOX=/c", with or without its type. */
static bool location_holds(const char *location, const char *path)
{
	const char *inbox = strstr(location, ":INBOX="), *start = strchr(location, ':');
	size_t length;

	if (inbox) {
		inbox += strlen(":INBOX=");
		length = strcspn(inbox, ":\n");
		if (length > 1 && strncmp(path, inbox, length) == 0 && path[length] == 0)
			return true;
	}
	if (!start || start[1] != '/')
		return false;
	length = strcspn(++start, ":\n");
	while (length > 1 && start[length - 1] == '/')
		length--;
	return length > 1 && strncmp(path, start, length) == 0 && path[length] == '/';
}

static bool user_has(struct removal *removal, const char *user, const char *path)
{
	struct command command = {.argv = {"doveadm", "user", "-f", "mail", user, NULL}};
	bool has;

	if (user[0] == 0 || user[0] == '-' || strlen(user) >= USER_SIZE)
		return false;
	has = doveadm(removal, &command) == 0 && command.output && location_holds(command.output, path);
	command_free(&command);
	if (has)
		snprintf(removal->user, sizeof(removal->user), "%s", user);
	return has;
}

/* NAME and NAME@FOLDER ABOVE for each folder of the path, the last ones first: /var/vmail/example.org/anna/... */
static bool user_by_path(struct removal *removal, const char *path)
{
	char parts[4097], name[USER_SIZE], *part[64], *rest = parts;
	int count = 0;

	snprintf(parts, sizeof(parts), "%s", path);
	for (char *each; count < 64 && (each = strsep(&rest, "/"));)
		if (each[0])
			part[count++] = each;
	for (int i = count - 1; i >= 0; i--) {
		if (user_has(removal, part[i], path))
			return true;
		if (i > 0 && snprintf(name, sizeof(name), "%s@%s", part[i], part[i - 1]) < (int)sizeof(name) &&
		    user_has(removal, name, path))
			return true;
	}
	return false;
}

static bool user_by_owner(struct removal *removal, const struct infected *infected)
{
	struct stat status;
	const struct passwd *entry;

	if (fstat(infected->fd, &status) < 0)
		return false;
	entry = getpwuid(status.st_uid);
	return entry && user_has(removal, entry->pw_name, infected->path);
}

/* ---- which message is it? ---- */

struct candidate {
	char mailbox[GUID_SIZE];
	char uid[12];
};

/* "GUID UID" on each line. */
static unsigned candidates_read(const char *output, struct candidate *list)
{
	unsigned count = 0;
	int used;

	while (output && count < CANDIDATES_MOST &&
	       sscanf(output, "%39[0-9a-f] %11[0-9]%n", list[count].mailbox, list[count].uid, &used) == 2) {
		count++;
		output += used;
		output += strspn(output, " \n");
	}
	return count;
}

/* "text:\n", the message, and "\n\f\n" behind it. Moves it to the beginning. */
static bool text_take(struct command *command)
{
	static const char before[] = "text:\n";
	size_t size = command->output_size, skip = sizeof(before) - 1;

	if (!command->output || size < skip || memcmp(command->output, before, skip) != 0)
		return false;
	while (size > skip && (command->output[size - 1] == '\n' || command->output[size - 1] == '\f'))
		size--;
	memmove(command->output, command->output + skip, size - skip);
	command->output_size = size - skip;
	return true;
}

static int text_fetch(struct removal *removal, const struct candidate *candidate, struct command *command)
{
	int status;

	*command = (struct command){.argv = {"doveadm", "fetch", "-u", removal->user, "text", "mailbox-guid",
					     candidate->mailbox, "uid", candidate->uid, NULL},
				    .output_most = TEXT_MOST};
	status = doveadm(removal, command);
	if (status == 0 && !text_take(command))
		status = -ENODATA;
	return status;
}

/* Are the bytes in the file those of the message, or are they compressed or encrypted? */
static bool stored_as_text(const struct infected *infected)
{
	unsigned char bytes[16];
	ssize_t got = pread(infected->fd, bytes, sizeof(bytes), (off_t)infected->at);

	for (ssize_t i = 0; i < got; i++)
		if (bytes[i] < ' ' && bytes[i] != '\n' && bytes[i] != '\r' && bytes[i] != '\t')
			return false;
	return got == sizeof(bytes);
}

static void removal_is(struct removal *removal, const struct candidate *candidate, struct command *command)
{
	free(removal->content);
	removal->content = command->output;
	removal->size = command->output_size;
	command->output = NULL;
	removal->route = ROUTE_EXPUNGE;
	removal->uid = (uint32_t)strtoul(candidate->uid, NULL, 10);
	memcpy(removal->mailbox, candidate->mailbox, sizeof(removal->mailbox));
}

static int message_of(const struct infected *infected, struct removal *removal, const struct candidate *list,
		      unsigned count)
{
	bool as_text = infected->store == STORE_MBOX || stored_as_text(infected);
	struct command command;
	unsigned found = 0;
	int status;

	for (unsigned i = 0; i < count; i++) {
		status = text_fetch(removal, &list[i], &command);
		if (status == 0 &&
		    (as_text ? clean_same_body(infected, command.output, command.output_size) : count == 1)) {
			if (found++ == 0)
				removal_is(removal, &list[i], &command);
		}
		command_free(&command);
		if (status != 0 && status != -ENODATA)
			return status < 0 ? status : -EIO;
	}
	if (found == 1)
		return 0;
	if (found > 1 && infected->store == STORE_MDBOX)
		return 0; /* copies of one message, which share its bytes: one after the other */
	return found ? -EMLINK : -ESTALE;
}

static int message_search(const struct infected *infected, struct removal *removal)
{
	const char *message_id = infected->row.message_id;
	struct candidate list[CANDIDATES_MOST];
	struct command command = {.argv = {"doveadm", "search", "-u", removal->user, "mailbox", "*", "header",
					   "message-id", message_id, NULL}};
	unsigned count;
	int status;

	if (message_id[0] == 0 || message_id[0] == '-') {
		say(removal, "the message has no Message-ID by which doveadm could find it");
		return -ESTALE;
	}
	status = doveadm(removal, &command);
	count = status == 0 ? candidates_read(command.output, list) : 0;
	command_free(&command);
	if (status != 0)
		return status < 0 ? status : -EIO;
	if (count == 0 && infected->store == STORE_MDBOX) {
		removal->route = ROUTE_PURGE;
		return 0;
	}
	return message_of(infected, removal, list, count);
}

int clean_find_dovecot(const struct infected *infected, const char *user, struct removal *removal)
{
	int status;

	*removal = (struct removal){0};
	if (user ? !user_has(removal, user, infected->path)
		 : !user_by_path(removal, infected->path) && !user_by_owner(removal, infected)) {
		if (user)
			say(removal, "Dovecot has no user %s whose mail lies there", user);
		return -ENOENT;
	}
	removal->text[0] = 0; /* of users that were tried before */
	status = message_search(infected, removal);
	if (status == -EMLINK)
		say(removal, "several messages of %s have this content", removal->user);
	else if (status == -ESTALE && !removal->text[0])
		say(removal, "no message of %s has this content any more", removal->user);
	return status;
}

/* ---- out with it ---- */

static int expunge(struct removal *removal)
{
	char uid[12];
	struct command command = {.argv = {"doveadm", "expunge", "-u", removal->user, "mailbox-guid", removal->mailbox,
					   "uid", uid, NULL}};
	int status;

	snprintf(uid, sizeof(uid), "%u", removal->uid);
	status = doveadm(removal, &command);
	command_free(&command);
	return status;
}

static int purge(struct removal *removal)
{
	struct command command = {.argv = {"doveadm", "purge", "-u", removal->user, NULL}};
	int status = doveadm(removal, &command);

	command_free(&command);
	return status;
}

static int is_gone(struct removal *removal)
{
	char uid[12];
	struct command command = {
		.argv = {"doveadm", "search", "-u", removal->user, "mailbox-guid", removal->mailbox, "uid", uid, NULL}};
	struct candidate list[CANDIDATES_MOST];
	int status;

	snprintf(uid, sizeof(uid), "%u", removal->uid);
	status = doveadm(removal, &command);
	if (status == 0 && candidates_read(command.output, list) != 0) {
		say(removal, "doveadm expunge said nothing, and the message is still there");
		status = -EIO;
	}
	command_free(&command);
	return status;
}

int clean_by_dovecot(const struct infected *infected, struct removal *removal)
{
	int status = 0;

	if (removal->route == ROUTE_EXPUNGE) {
		status = expunge(removal);
		if (status == 0)
			status = is_gone(removal);
	}
	if (status == 0 && infected->store == STORE_MDBOX)
		status = purge(removal);
	return status > 0 ? -EIO : status;
}
