// SPDX-License-Identifier: GPL-2.0-only
/* allow add|list|remove: what is allowed although the scanner finds something, until when, by whom and why. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "allowances.h"
#include "client.h"
#include "frame.h"
#include "log.h"
#include "output.h"
#include "since.h"
#include "steward.h"

#define STEWARD_PATIENCE_MS 15000 /* it waits for the gate to have the new list, and for its disk */
#define DEFAULT_UNTIL "30d"
#define NAMES_LOOKED_AT 20000 /* rows of the history */

static const char *const kinds[] = ALLOWED_KIND_NAMES;

static int64_t wall(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void digest_text(char out[65], const uint8_t digest[32])
{
	for (size_t i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* ---- rows ---- */

static bool row_is_good(struct steward_row *row)
{
	struct allowed_record *record = &row->allowed;

	if (row->version != WIRE_VERSION || row->kind >= STEWARD_ROW_KINDS)
		return false;
	row->text[sizeof(row->text) - 1] = record->reason[sizeof(record->reason) - 1] = 0;
	return row->kind != STEWARD_ROW_ALLOWED || allowed_entry_is_sound(&record->entry);
}

static json_t *record_to_json(const struct allowed_record *record)
{
	const struct allowed_entry *entry = &record->entry;
	json_t *json = json_object();
	char time[32], digest[65];

	digest_text(digest, entry->digest);
	json_object_set_new(json, "id", json_integer(entry->id));
	json_object_set_new(json, "kind", json_string(kinds[entry->kind]));
	json_object_set_new(json, "signature", json_text(entry->name, strlen(entry->name)));
	json_object_set_new(json, "sha256", json_string(entry->kind == ALLOWED_CONTENT ? digest : ""));
	time_text(time, (int64_t)entry->until_ns, true);
	json_object_set_new(json, "until", entry->until_ns ? json_string(time) : json_null());
	time_text(time, (int64_t)record->added_ns, true);
	json_object_set_new(json, "added", json_string(time));
	json_object_set_new(json, "uid", json_integer(record->uid));
	json_object_set_new(json, "reason", json_text(record->reason, strlen(record->reason)));
	return json;
}

static void print_record(const struct options *options, const struct allowed_record *record)
{
	char until[32], added[32], digest[65], what[QUOTED_ROOM(SIGNATURE_SIZE)],
		reason[QUOTED_ROOM(ALLOWED_REASON_SIZE)];

	if (options->json) {
		print_json(stdout, record_to_json(record));
		return;
	}
	time_text(until, (int64_t)record->entry.until_ns, false);
	time_text(added, (int64_t)record->added_ns, false);
	digest_text(digest, record->entry.digest);
	if (record->entry.kind == ALLOWED_CONTENT)
		snprintf(what, sizeof(what), "%s", digest);
	else
		text_column(what, sizeof(what), record->entry.name, strlen(record->entry.name));
	text_quote(reason, sizeof(reason), record->reason, strlen(record->reason));
	printf("%-5u %-20s %-9s %-64s %-20s %5u %s\n", record->entry.id, until[0] ? until : "never",
	       kinds[record->entry.kind], what, added, record->uid, reason);
}

/* Sends the question and prints the rows; the last one into *last_out. An exit_code. */
static int ask_steward(const struct options *options, const struct steward_ask *ask, struct steward_row *last_out)
{
	int sock, fd, error, code = client_connect(options, STEWARD_SOCKET, &sock);

	if (code != EXIT_FINE)
		return code;
	error = frame_send(sock, ask, sizeof(*ask), -1);
	if (!error && ask->verb == STEWARD_ALLOW_LIST && !options->json && options->header)
		printf("%-5s %-20s %-9s %-64s %-20s %5s %s\n", "ID", "UNTIL", "KIND", "WHAT", "ADDED", "UID", "REASON");
	while (!error) {
		fd = -1;
		error = client_receive(sock, last_out, sizeof(*last_out), &fd, STEWARD_PATIENCE_MS);
		if (fd >= 0)
			close(fd);
		if (!error && !row_is_good(last_out))
			error = -EBADMSG;
		if (error || !last_out->more)
			break;
		if (last_out->kind == STEWARD_ROW_ALLOWED)
			print_record(options, &last_out->allowed);
	}
	close(sock);
	if (!error)
		return last_out->result == 0
			       ? EXIT_FINE
			       : trouble("%s", last_out->text[0] ? last_out->text : strerror(-last_out->result));
	trouble("can't tell: the steward does not answer (%s)", strerror(-error));
	return EXIT_CANNOT_TELL;
}

static int change(const struct options *options, const struct steward_ask *ask, const char *done)
{
	static struct steward_row last;
	int code = ask_steward(options, ask, &last);
	unsigned id = 0;

	if (code != EXIT_FINE)
		return code;
	if (options->json) {
		const char *number = strstr(last.text, "entry ");
		if (number)
			id = (unsigned)strtoul(number + strlen("entry "), NULL, 10);
		print_json(stdout, json_pack("{s:i, s:s, s:s}", "id", (int)id, "result", done, "text", last.text));
	} else {
		puts(last.text);
	}
	return code;
}

/* ---- add ---- */

static bool digest_parse(const char *text, uint8_t digest[32])
{
	if (strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		char pair[3] = {text[2 * i], text[2 * i + 1], 0};
		digest[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return true;
}

/* Has any file here had this name? A name that nobody has seen may be a slip of the pen. */
static bool name_was_seen(const struct options *options, const char *name, uint32_t reason)
{
	static struct row_frame row;
	struct recorder_request request = {
		.version = WIRE_VERSION, .verb = RECORDER_BLOCKED, .uid = UINT32_MAX, .reason = reason};
	bool seen = false;
	int sock;

	if (client_ask_recorder(options, &request, -1, &sock) != EXIT_FINE)
		return true; /* said already */
	for (int i = 0; i < NAMES_LOOKED_AT && !seen; i++) {
		if (client_next_row(sock, &row, HISTORY_PATIENCE_MS) < 0 || row.kind == ROW_END)
			break;
		seen = strcmp(row.verdict.signature, name) == 0;
	}
	close(sock);
	return seen;
}

static void warn_of_name(const struct options *options, const char *name)
{
	char quoted[QUOTED_ROOM(SIGNATURE_SIZE)];

	if (name_was_seen(options, name, RECORDER_REASON_INFECTED) ||
	    name_was_seen(options, name, RECORDER_REASON_HEURISTIC))
		return;
	text_quote(quoted, sizeof(quoted), name, strlen(name));
	fflush(stdout);
	fprintf(stderr, "mailward: warning: no access here was ever blocked for %s: is the name right?\n", quoted);
}

struct words {
	const char *digest, *name, *until, *reason;
};

/* --NAME VALUE or --NAME=VALUE. 0, or an exit_code that was told. */
static int take_words(int argc, char **argv, struct words *words)
{
	const struct {
		const char *name;
		const char **value;
	} known[] = {{"--sha256", &words->digest},
		     {"--signature", &words->name},
		     {"--until", &words->until},
		     {"--reason", &words->reason}};

	for (int i = 2; i < argc; i++) {
		bool taken = false;
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]) && !taken; k++) {
			size_t length = strlen(known[k].name);
			if (strncmp(argv[i], known[k].name, length) != 0 || (argv[i][length] && argv[i][length] != '='))
				continue;
			if (*known[k].value)
				return usage_error("allow", "%s is there twice", known[k].name);
			if (argv[i][length] == '=')
				*known[k].value = argv[i] + length + 1;
			else if (i + 1 < argc)
				*known[k].value = argv[++i];
			else
				return usage_error("allow", "%s needs a value", known[k].name);
			taken = true;
		}
		if (!taken)
			return usage_error("allow", "unexpected argument %s", argv[i]);
	}
	return EXIT_FINE;
}

static int take_until(const char *text, struct steward_ask *ask)
{
	int64_t until, now = wall();

	if (strcmp(text, "never") == 0)
		return EXIT_FINE;
	if (!until_parse(text, now, &until))
		return usage_error("allow",
				   "--until %s is no time: a duration (12h, 30d), a date (2027-01-31, "
				   "2027-01-31T12:00:00Z) or never",
				   text);
	if (until <= now)
		return usage_error("allow", "--until %s lies in the past", text);
	ask->until_ns = (uint64_t)until;
	return EXIT_FINE;
}

static int add(const struct options *options, int argc, char **argv)
{
	struct steward_ask ask = {.version = WIRE_VERSION, .verb = STEWARD_ALLOW_ADD};
	struct words words = {0};
	int code = take_words(argc, argv, &words);

	if (code != EXIT_FINE)
		return code;
	if (!words.digest == !words.name)
		return usage_error("allow", "add takes either --sha256 HEX or --signature NAME");
	if (words.digest && !digest_parse(words.digest, ask.digest))
		return usage_error("allow", "%s is no SHA-256: 64 hexadecimal digits", words.digest);
	if (words.name && !allowed_name_is_sound(words.name))
		return usage_error("allow", "%s is no name of a signature: 1 to %d printable ASCII characters",
				   words.name, SIGNATURE_SIZE - 1);
	if (!words.reason || !words.reason[0])
		return usage_error("allow", "add needs --reason TEXT, for who reads the list next");
	if (strlen(words.reason) >= ALLOWED_REASON_SIZE || strpbrk(words.reason, "\r\n"))
		return usage_error("allow", "--reason is one line of at most %d bytes", ALLOWED_REASON_SIZE - 1);
	code = take_until(words.until ? words.until : DEFAULT_UNTIL, &ask);
	if (code != EXIT_FINE)
		return code;
	ask.number = words.name ? ALLOWED_SIGNATURE : ALLOWED_CONTENT;
	if (words.name)
		snprintf(ask.name, sizeof(ask.name), "%s", words.name);
	snprintf(ask.text, sizeof(ask.text), "%s", words.reason);
	code = change(options, &ask, "added");
	if (code == EXIT_FINE && words.name)
		warn_of_name(options, words.name);
	return code;
}

static int remove_entry(const struct options *options, const char *id)
{
	struct steward_ask ask = {.version = WIRE_VERSION, .verb = STEWARD_ALLOW_REMOVE};

	if (!id[0] || strlen(id) > 10 || strspn(id, "0123456789") != strlen(id))
		return usage_error("allow", "%s is no ID of mailward allow list", id);
	ask.number = strtoull(id, NULL, 10);
	return change(options, &ask, "removed");
}

int verb_allow(const struct options *options, int argc, char **argv)
{
	const struct steward_ask all = {.version = WIRE_VERSION, .verb = STEWARD_ALLOW_LIST};
	static struct steward_row last;
	const char *what = argc > 1 ? argv[1] : "list";

	if (strcmp(what, "list") == 0 && argc <= 2)
		return ask_steward(options, &all, &last);
	if (strcmp(what, "add") == 0)
		return add(options, argc, argv);
	if (strcmp(what, "remove") == 0 && argc == 3)
		return remove_entry(options, argv[2]);
	return usage_error("allow", "it is: list, add --sha256 HEX|--signature NAME [--until TIME] --reason TEXT, "
				    "remove ID");
}
