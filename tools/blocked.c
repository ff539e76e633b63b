// SPDX-License-Identifier: GPL-2.0-only
/* blocked: denials out of the history, and with --follow those that come. watch: every decision as it is made. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "loop.h"
#include "output.h"
#include "since.h"

#define RECONNECT_MS 10000 /* a recorder that was restarted is back by then */

struct question {
	struct recorder_request request;
	bool follow, fail_on_found;
	int64_t shown_ns;   /* the latest row that was printed: after a restart of the recorder, go on from there */
	int64_t resumed_ns; /* what was printed before the restart */
};

static int reason_number(const char *name, uint32_t *number_out)
{
	static const char *const names[REASONS] = REASON_NAMES;

	for (uint32_t i = 1; i < REASONS; i++)
		if (strcmp(names[i], name) == 0)
			return (int)(*number_out = i);
	*number_out = strcmp(name, "infected") == 0     ? RECORDER_REASON_INFECTED
		      : strcmp(name, "heuristic") == 0  ? RECORDER_REASON_HEURISTIC
		      : strcmp(name, "exec-never") == 0 ? RECORDER_REASON_EXEC_NEVER
							: 0;
	return (int)*number_out;
}

static bool user_number(const char *name, uint32_t *uid_out)
{
	const struct passwd *entry = getpwnam(name);
	unsigned long number;
	char *end;

	if (entry) {
		*uid_out = entry->pw_uid;
		return true;
	}
	errno = 0;
	number = strtoul(name, &end, 10);
	*uid_out = (uint32_t)number;
	return name[0] >= '0' && name[0] <= '9' && *end == 0 && errno == 0 && number < UINT32_MAX;
}

/* What the kernel would call it: links resolved where it exists, else made absolute. */
static bool path_absolute(const char *path, char *out, size_t room)
{
	char *real = realpath(path, NULL), here[PATH_MAX] = "";
	int length;

	if (real)
		length = snprintf(out, room, "%s", real);
	else if (path[0] == '/' || !getcwd(here, sizeof(here)))
		length = snprintf(out, room, "%s", path);
	else
		length = snprintf(out, room, "%s/%s", here, path);
	free(real);
	return length > 0 && (size_t)length < room;
}

static int take_option(struct question *question, const char *verb, int option)
{
	struct recorder_request *request = &question->request;

	switch (option) {
	case 's':
		if (since_parse(optarg, (int64_t)wall_ns(), &request->since_ns))
			return EXIT_FINE;
		return usage_error(verb, "--since %s: not a span (30s, 10min, 1h, 7d) or a time (RFC 3339)", optarg);
	case 'p':
		if (optarg[0] && path_absolute(optarg, request->path, sizeof(request->path)))
			return EXIT_FINE;
		return usage_error(verb, "--path: empty or too long");
	case 'u':
		if (user_number(optarg, &request->uid))
			return EXIT_FINE;
		return usage_error(verb, "--user %s: no such user", optarg);
	case 'r':
		if (reason_number(optarg, &request->reason))
			return EXIT_FINE;
		return usage_error(
			verb,
			"--reason %s: there are infected heuristic exec-never timeout too-large too-deep encrypted"
			" unsupported io-error engine-error crashed no-definitions busy",
			optarg);
	case 'f':
		question->follow = true;
		return EXIT_FINE;
	case 'F':
		question->fail_on_found = true;
		return EXIT_FINE;
	default:
		return usage_error(verb, "unknown option, or one without its value");
	}
}

static int take_arguments(struct question *question, const struct option *known, int argc, char **argv)
{
	int option, code;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		code = take_option(question, argv[0], option);
		if (code != EXIT_FINE)
			return code;
	}
	if (optind < argc)
		return usage_error(argv[0], "unexpected argument %s", argv[optind]);
	return EXIT_FINE;
}

/* Prints rows until the last one, or until the recorder goes away (-EPIPE). found: a row was printed. */
static int print_rows(const struct options *options, struct question *question, int sock, bool *found)
{
	static struct row_frame row;
	bool live = question->request.verb != RECORDER_BLOCKED, colours = colours_are_on();
	unsigned width = terminal_width();
	int error;

	while ((error = client_next_row(sock, &row, live ? -1 : HISTORY_PATIENCE_MS)) == 0) {
		if (row.kind == ROW_END)
			return 0;
		if (row.kind == ROW_RECORD && row.time_ns <= question->resumed_ns)
			continue;
		if (options->json)
			print_json(stdout, row_to_json(&row));
		else
			print_row(stdout, &row, width, colours);
		if (live && (fflush(stdout) != 0 || ferror(stdout)))
			return -EIO;
		if (row.kind != ROW_RECORD)
			continue;
		if (row.time_ns > question->shown_ns)
			question->shown_ns = row.time_ns;
		*found = true;
		if (question->fail_on_found && live && row.answer == ANSWER_DENY)
			return 0;
	}
	return error;
}

/* After the recorder went away: asks again, from the last row on, until it is back. */
static int ask_again(const struct options *options, struct question *question, int *sock_out)
{
	uint64_t end = now_ns() + RECONNECT_MS * 1000000ull;
	struct timespec pause = {.tv_nsec = 100000000};
	int code;

	question->resumed_ns = question->shown_ns;
	if (question->shown_ns > question->request.since_ns)
		question->request.since_ns = question->shown_ns;
	do {
		nanosleep(&pause, NULL);
		code = client_ask_recorder(options, &question->request, -1, sock_out);
	} while (code == EXIT_CANNOT_TELL && now_ns() < end);
	return code;
}

static int answer_question(const struct options *options, struct question *question)
{
	bool found = false;
	int sock, error, code = client_ask_recorder(options, &question->request, -1, &sock);

	if (code != EXIT_FINE)
		return code;
	if (options->header && !options->json)
		print_rows_header(stdout, terminal_width());
	fflush(stdout);
	for (;;) {
		error = print_rows(options, question, sock, &found);
		close(sock);
		if (error != -EPIPE || question->request.verb == RECORDER_BLOCKED)
			break;
		code = ask_again(options, question, &sock);
		if (code != EXIT_FINE)
			return code;
	}
	if (error == -EIO)
		return EXIT_TROUBLE; /* main says it */
	if (error < 0) {
		trouble("can't tell: the recorder %s", error == -EPIPE ? "ended the connection" : "does not answer");
		return EXIT_CANNOT_TELL;
	}
	return found && question->fail_on_found ? EXIT_FOUND : EXIT_FINE;
}

int verb_blocked(const struct options *options, int argc, char **argv)
{
	static const struct option known[] = {{"since", 1, NULL, 's'},  {"path", 1, NULL, 'p'},
					      {"user", 1, NULL, 'u'},   {"reason", 1, NULL, 'r'},
					      {"follow", 0, NULL, 'f'}, {"fail-on-found", 0, NULL, 'F'},
					      {NULL, 0, NULL, 0}};
	struct question question = {.request = {.version = WIRE_VERSION, .uid = UINT32_MAX}};
	int code = take_arguments(&question, known, argc, argv);

	question.request.verb = question.follow ? RECORDER_FOLLOW : RECORDER_BLOCKED;
	if (question.follow && question.request.since_ns == 0)
		question.request.since_ns = (int64_t)wall_ns();
	return code == EXIT_FINE ? answer_question(options, &question) : code;
}

int verb_watch(const struct options *options, int argc, char **argv)
{
	static const struct option known[] = {{"path", 1, NULL, 'p'},
					      {"user", 1, NULL, 'u'},
					      {"reason", 1, NULL, 'r'},
					      {"fail-on-found", 0, NULL, 'F'},
					      {NULL, 0, NULL, 0}};
	struct question question = {.request = {.version = WIRE_VERSION, .verb = RECORDER_WATCH, .uid = UINT32_MAX}};
	int code = take_arguments(&question, known, argc, argv);

	return code == EXIT_FINE ? answer_question(options, &question) : code;
}
