// SPDX-License-Identifier: GPL-2.0-only
/* mailward clean PATH | MESSAGE-ID: shows what would be done; with --yes it is done. */
#include "clean.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "findings.h"
#include "frame.h"
#include "log.h"
#include "mbox.h"
#include "output.h"
#include "policy.h"
#include "steward.h"

#define KEEP_PATIENCE_MS 120000
#define HEAD_LOOKED_AT 65536 /* bytes */
#define COPIES_MOST 64       /* of one message, in the mailboxes of one user */

struct wish {
	char path[4097]; /* or empty */
	const char *message_id;
	const char *user;
	bool yes;
};

/* ---- what is known ---- */

static bool row_fits(const struct wish *wish, const struct row_frame *row)
{
	unsigned number;
	unsigned long long at;
	const char *said = strstr(row->detail, "in stored message ");

	if (row->kind != ROW_RECORD || row->verdict.kind != VERDICT_INFECTED || !said ||
	    sscanf(said, MESSAGE_AT, &number, &at) != 2)
		return false;
	if (wish->message_id)
		return strcmp(row->message_id, wish->message_id) == 0;
	return row->path_size == strlen(wish->path) && memcmp(row->path, wish->path, row->path_size) == 0;
}

/* The latest that the history tells of it. *found_out: there is one. */
static int history_ask(const struct options *options, const struct wish *wish, struct row_frame *latest,
		       bool *found_out)
{
	struct recorder_request request = {.version = WIRE_VERSION, .verb = RECORDER_BLOCKED, .uid = UINT32_MAX};
	static struct row_frame row;
	int sock, error, code;

	memcpy(request.path, wish->path, sizeof(request.path) - 1);
	code = client_ask_recorder(options, &request, -1, &sock);
	if (code != EXIT_FINE)
		return code;
	while ((error = client_next_row(sock, &row, HISTORY_PATIENCE_MS)) == 0 && row.kind != ROW_END) {
		if (!row_fits(wish, &row) || (*found_out && row.time_ns < latest->time_ns))
			continue;
		*latest = row;
		*found_out = true;
	}
	close(sock);
	if (!error)
		return EXIT_FINE;
	trouble("can't tell: the recorder does not answer (%s)", strerror(-error));
	return EXIT_CANNOT_TELL;
}

static int store_find(const struct options *options, struct infected *infected)
{
	const struct status_page *page;
	static struct status_page copy;
	int code = client_status_page(options, &page);

	if (code != EXIT_FINE)
		return code;
	status_copy(page, &copy);
	for (uint32_t i = 0; i < copy.gate.watch_count; i++)
		if (strcmp(copy.gate.watches[i].path, infected->row.watch) == 0)
			infected->store = (enum store)copy.gate.watches[i].store;
	if (infected->store != STORE_MBOX && infected->store != STORE_MDBOX)
		return trouble(
			"the watch %s is no mbox or mdbox now: one file is one message there, which the policy may "
			"move away (on-infected = quarantine)",
			infected->row.watch);
	return EXIT_FINE;
}

/* Has the message at `start` this Message-ID? */
static bool head_has_id(int fd, uint64_t start, uint64_t end, const char *message_id)
{
	static char head[HEAD_LOOKED_AT + 1];
	uint64_t most = end - start < HEAD_LOOKED_AT ? end - start : HEAD_LOOKED_AT;
	ssize_t got = pread(fd, head, most, (off_t)start);

	if (got <= 0)
		return false;
	head[got] = 0;
	for (char *line = head; line && *line && *line != '\n' && *line != '\r';) {
		if (strncasecmp(line, "message-id:", 11) == 0) {
			line += 11 + strspn(line + 11, " \t\r\n");
			size_t length = strcspn(line, " \t\r\n");
			return length == strlen(message_id) && memcmp(line, message_id, length) == 0;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return false;
}

/* Where the message lies in the mbox now: others before it may have gone since. Without a Message-ID it is known by its
 * place alone, which counts as long as nobody has changed the file. */
static int mbox_message_find(struct infected *infected, const struct stat *status)
{
	const char *message_id = infected->row.message_id;
	int64_t changed = (int64_t)status->st_ctim.tv_sec * 1000000000 + status->st_ctim.tv_nsec;
	static struct mbox mbox;
	struct mbox_message message;
	uint64_t was_at = infected->at;
	unsigned found = 0, number = 0;

	for (bool more = mbox_open(&mbox, infected->fd); more && (more = mbox_next(&mbox, &message));) {
		number++;
		bool same = message_id[0] ? head_has_id(infected->fd, message.start, message.end, message_id)
					  : message.from == was_at && changed <= infected->row.time_ns;
		if (!same || (found && message.from != was_at))
			continue;
		infected->at = message.from;
		infected->end = message.end;
		infected->number = number;
		found++;
		if (message.from == was_at)
			return EXIT_FINE;
	}
	if (found == 1)
		return EXIT_FINE;
	if (found)
		return trouble("%s has changed since, and several messages have the Message-ID %s now: nothing is done",
			       infected->path, message_id);
	return trouble(
		"%s has changed since: the message is there no more (mailward blocked --path tells what is found in "
		"it now)",
		infected->path);
}

/* What a run before this one left behind when it was killed. */
static int mend(const struct infected *infected, bool yes)
{
	static struct removal removal;
	char path[4097];
	int error;

	if (infected->store != STORE_MBOX)
		return EXIT_FINE;
	snprintf(path, sizeof(path), "%.*s", (int)infected->row.path_size, infected->row.path);
	error = clean_mend_mbox(path, yes, &removal);
	if (error < 0)
		return trouble("%s: %s", path, removal.text[0] ? removal.text : strerror(-error));
	if (error > 0)
		fprintf(stderr, "mailward: a run before this one was cut off; that is put right\n");
	return EXIT_FINE;
}

static int message_find(struct infected *infected)
{
	unsigned long long at;
	struct stat status;

	sscanf(strstr(infected->row.detail, "in stored message "), MESSAGE_AT, &infected->number, &at);
	infected->at = at;
	snprintf(infected->path, sizeof(infected->path), "%.*s", (int)infected->row.path_size, infected->row.path);
	infected->fd = open(infected->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (infected->fd < 0)
		return trouble("%s: %s", infected->path, strerror(errno));
	if (fstat(infected->fd, &status) < 0 || !S_ISREG(status.st_mode))
		return trouble("%s is no file", infected->path);
	return infected->store == STORE_MBOX ? mbox_message_find(infected, &status) : EXIT_FINE;
}

/* ---- what is to be done ---- */

static int removal_find(const struct infected *infected, const struct wish *wish, struct removal *removal)
{
	int error = clean_find_dovecot(infected, wish->user, removal);

	if (error == -ENOENT && !wish->user && infected->store == STORE_MBOX)
		error = clean_find_mbox(infected, removal);
	if (error == 0)
		return EXIT_FINE;
	if (error == -ENOENT && !removal->text[0])
		return trouble("%s: Dovecot knows nobody whose mail lies there (or is not here): name him with --user",
			       infected->path);
	return trouble("%s, message %u: %s", infected->path, infected->number,
		       removal->text[0] ? removal->text : strerror(-error));
}

static int content_fd(const struct removal *removal)
{
	int fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	while (fd >= 0 && done < removal->size) {
		ssize_t wrote = write(fd, removal->content + done, removal->size - done);
		if (wrote <= 0) {
			close(fd);
			return -1;
		}
		done += (size_t)wrote;
	}
	if (fd >= 0)
		fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	return fd;
}

/* The message goes to the quarantine first. id: 32 bytes. */
static int message_keep(const struct options *options, const struct infected *infected, const struct removal *removal,
			char *id)
{
	static struct steward_row row;
	static struct steward_ask ask;
	int sock, error, fd, code = client_connect(options, STEWARD_SOCKET, &sock);

	if (code != EXIT_FINE)
		return code;
	ask = (struct steward_ask){.version = WIRE_VERSION, .verb = STEWARD_KEEP, .flags = infected->number};
	ask.path_size = (uint32_t)strlen(infected->path);
	memcpy(ask.path, infected->path, ask.path_size);
	memcpy(ask.name, infected->row.verdict.signature, sizeof(ask.name));
	snprintf(ask.text, sizeof(ask.text), "%.255s", infected->row.message_id);
	fd = content_fd(removal);
	error = fd < 0 ? -ENOMEM : frame_send(sock, &ask, sizeof(ask), fd);
	if (fd >= 0)
		close(fd);
	fd = -1;
	if (!error)
		error = client_receive(sock, &row, sizeof(row), &fd, KEEP_PATIENCE_MS);
	if (fd >= 0)
		close(fd);
	close(sock);
	row.text[sizeof(row.text) - 1] = 0;
	if (error || row.version != WIRE_VERSION || row.more)
		return trouble("the quarantine does not answer (%s): nothing was removed",
			       strerror(error ? -error : EBADMSG));
	if (row.result < 0)
		return trouble("the quarantine did not take it (%s): nothing was removed",
			       row.text[0] ? row.text : strerror(-row.result));
	snprintf(id, 32, "%.31s", row.text);
	return EXIT_FINE;
}

static int removal_do(const struct infected *infected, struct removal *removal)
{
	int error = removal->route == ROUTE_REWRITE ? clean_by_rewrite(infected, removal)
						    : clean_by_dovecot(infected, removal);

	if (error)
		return trouble("%s, message %u: %s", infected->path, infected->number,
			       removal->text[0] ? removal->text : strerror(-error));
	return EXIT_FINE;
}

/* ---- telling it ---- */

static const char *const route_names[] = {"", "doveadm expunge", "doveadm purge", "rewrite"};

static void print_done(const struct options *options, const struct infected *infected, const struct removal *removal,
		       const char *id, bool done)
{
	const struct row_frame *row = &infected->row;
	char path[QUOTED_ROOM(4096)], message_id[QUOTED_ROOM(256)], signature[QUOTED_ROOM(SIGNATURE_SIZE)],
		user[QUOTED_ROOM(USER_SIZE)];

	if (options->json) {
		json_t *json = json_pack("{s:b, s:o, s:o, s:I, s:I}", "done", done, "path",
					 json_text(infected->path, strlen(infected->path)), "path_hex",
					 json_hex(infected->path, strlen(infected->path)), "message",
					 (json_int_t)infected->number, "at", (json_int_t)infected->at);
		json_object_set_new(json, "message_id", json_text(row->message_id, strlen(row->message_id)));
		json_object_set_new(json, "signature",
				    json_text(row->verdict.signature, strlen(row->verdict.signature)));
		json_object_set_new(json, "by", json_string(route_names[removal->route]));
		json_object_set_new(json, "user", json_text(removal->user, strlen(removal->user)));
		json_object_set_new(json, "mailbox_guid", json_string(removal->mailbox));
		json_object_set_new(json, "uid", json_integer(removal->uid));
		json_object_set_new(json, "quarantine", json_string(id));
		print_json(stdout, json);
		return;
	}
	text_quote(path, sizeof(path), infected->path, strlen(infected->path));
	text_quote(message_id, sizeof(message_id), row->message_id, strlen(row->message_id));
	text_quote(signature, sizeof(signature), row->verdict.signature, strlen(row->verdict.signature));
	text_quote(user, sizeof(user), removal->user, strlen(removal->user));
	printf("%s: message %u, at byte %llu, %s%s%s\n", path, infected->number, (unsigned long long)infected->at,
	       signature, message_id[0] ? ", " : "", message_id);
	printf("%s: %s", done ? "removed by" : "would be removed by", route_names[removal->route]);
	if (removal->user[0])
		printf(", user %s", user);
	if (removal->mailbox[0])
		printf(", mailbox-guid %s uid %u", removal->mailbox, removal->uid);
	printf("%s%s\n", id[0] ? "; kept in the quarantine as " : "", id);
	if (!done)
		puts("nothing was done: say --yes");
}

/* ---- the verb ---- */

static int clean_one(const struct options *options, const struct wish *wish, const struct infected *infected,
		     struct removal *removal)
{
	char id[32] = "";
	int code = EXIT_FINE;

	if (wish->yes && removal->content)
		code = message_keep(options, infected, removal, id);
	if (wish->yes && code == EXIT_FINE)
		code = removal_do(infected, removal);
	if (code == EXIT_FINE)
		print_done(options, infected, removal, id, wish->yes);
	free(removal->content);
	removal->content = NULL;
	return code;
}

static int clean(const struct options *options, const struct wish *wish)
{
	static struct infected infected = {.fd = -1};
	static struct removal removal;
	bool found = false;
	int code = history_ask(options, wish, &infected.row, &found);

	if (code != EXIT_FINE)
		return code;
	if (!found)
		return trouble(
			"no infected message is known in a file of many that is called so (mailward blocked --reason "
			"infected)");
	code = store_find(options, &infected);
	if (code == EXIT_FINE)
		code = mend(&infected, wish->yes);
	if (code == EXIT_FINE)
		code = message_find(&infected);
	if (code == EXIT_FINE)
		code = removal_find(&infected, wish, &removal);
	if (code == EXIT_FINE)
		code = clean_one(options, wish, &infected, &removal);
	/* Copies that Dovecot made of it share its bytes: these go with the last of them. */
	for (int i = 0; i < COPIES_MOST && wish->yes && code == EXIT_FINE && infected.store == STORE_MDBOX &&
			removal.route == ROUTE_EXPUNGE && clean_find_dovecot(&infected, wish->user, &removal) == 0 &&
			removal.route == ROUTE_EXPUNGE;
	     i++)
		code = clean_one(options, wish, &infected, &removal);
	free(removal.content);
	if (infected.fd >= 0)
		close(infected.fd);
	return code;
}

int verb_clean(const struct options *options, int argc, char **argv)
{
	static struct wish wish;
	const char *what = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--yes") == 0)
			wish.yes = true;
		else if (strcmp(argv[i], "--user") == 0 && i + 1 < argc)
			wish.user = argv[++i];
		else if (strncmp(argv[i], "--user=", 7) == 0)
			wish.user = argv[i] + 7;
		else if (argv[i][0] == '-' || what)
			return usage_error("clean", "unexpected argument %s", argv[i]);
		else
			what = argv[i];
	}
	if (!what || !what[0])
		return usage_error("clean", "it takes the path of an mbox or mdbox file, or a Message-ID");
	if (what[0] == '<' || (strchr(what, '@') && !strchr(what, '/'))) {
		wish.message_id = what;
		return clean(options, &wish);
	}
	char *real = realpath(what, NULL);
	if (!real || strlen(real) >= sizeof(wish.path) - 1) {
		free(real);
		return trouble("%s: %s", what, strerror(real ? ENAMETOOLONG : errno));
	}
	memcpy(wish.path, real, strlen(real));
	free(real);
	return clean(options, &wish);
}
