// SPDX-License-Identifier: GPL-2.0-only
/*
 * mailward scan PATH...: the steward goes through the files, the gate has them judged, this shows how far they are. A
 * path is opened here, without opening a file for reading, and handed over as a descriptor: whatever mount namespace
 * the daemon lives in, that is what is scanned.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "frame.h"
#include "log.h"
#include "loop.h"
#include "output.h"
#include "policy.h"
#include "schedule.h"
#include "steward.h"

#define LINE_NS 60000000000ull /* a line of progress, where there is no terminal for a bar */
#define PATIENCE_MS 30000      /* the steward says something four times a second, unless it waits for a disk */
#define BAR_COLUMNS 20

struct scan {
	const struct options *options;
	uint32_t flags;
	char id[32];
	bool bar, bar_shown;
	uint64_t line_ns;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	stopped = number;
}

/* ---- paths ---- */

static int say_path(const char *path, int error)
{
	return trouble("%s: %s", path, strerror(error));
}

/* One STEWARD_SWEEP_PATH, on a connection of its own. */
static int send_path(const struct scan *scan, const char *path, const char *whole, int fd)
{
	struct steward_ask ask = {.version = WIRE_VERSION, .verb = STEWARD_SWEEP_PATH};
	static struct steward_row row;
	int sock, none = -1, error, code = client_connect(scan->options, STEWARD_SOCKET, &sock);

	if (code != EXIT_FINE)
		return code;
	memcpy(ask.id, scan->id, sizeof(ask.id));
	ask.path_size = (uint32_t)strlen(whole);
	memcpy(ask.path, whole, ask.path_size);
	error = frame_send(sock, &ask, sizeof(ask), fd);
	if (!error)
		error = client_receive(sock, &row, sizeof(row), &none, PATIENCE_MS);
	if (none >= 0)
		close(none);
	close(sock);
	if (error) {
		trouble("can't tell: the steward does not answer (%s)", strerror(-error));
		return EXIT_CANNOT_TELL;
	}
	row.text[sizeof(row.text) - 1] = 0;
	return row.result ? trouble("%s: %s", path, row.text[0] ? row.text : strerror(-row.result)) : EXIT_FINE;
}

/* A link that is named is followed, none below it. */
static int take_path(const struct scan *scan, const char *path)
{
	char *whole = realpath(path, NULL);
	struct stat status;
	int fd, code;

	if (!whole)
		return say_path(path, errno);
	if (strlen(whole) >= sizeof(((struct steward_ask *)0)->path)) {
		free(whole);
		return say_path(path, ENAMETOOLONG);
	}
	fd = open(whole, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		code = say_path(path, errno);
	else if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
		code = trouble("%s: neither a file nor a folder", path);
	else
		code = send_path(scan, path, whole, fd);
	if (fd >= 0)
		close(fd);
	free(whole);
	return code;
}

/* ---- rows ---- */

static bool row_is_good(struct steward_row *row)
{
	struct quarantine_item *item = &row->item;

	if (row->version != WIRE_VERSION || row->kind >= STEWARD_ROW_KINDS || row->path_size > sizeof(row->path) ||
	    item->verdict.kind >= VERDICT_KINDS || item->verdict.reason >= REASONS ||
	    item->verdict.heuristics >= 1 << HEURISTICS || item->which >= POLICY_CASES ||
	    (row->kind == STEWARD_ROW_SWEPT && row->number >= SWEEP_ACTIONS) || row->sweep.state >= SWEEP_STATES)
		return false;
	row->text[sizeof(row->text) - 1] = item->watch[sizeof(item->watch) - 1] = 0;
	item->policy[sizeof(item->policy) - 1] = item->detail[sizeof(item->detail) - 1] = 0;
	item->queue_id[sizeof(item->queue_id) - 1] = item->message_id[sizeof(item->message_id) - 1] = 0;
	item->verdict.signature[SIGNATURE_SIZE - 1] = 0;
	return true;
}

static void bar_clear(struct scan *scan)
{
	if (scan->bar_shown)
		fputs("\r\033[K", stderr);
	scan->bar_shown = false;
}

static json_t *finding_to_json(const struct steward_row *row)
{
	static const char *const verdicts[] = VERDICT_NAMES, *const reasons[] = REASON_NAMES,
				 *const actions[] = SWEEP_ACTION_NAMES;
	const struct quarantine_item *item = &row->item;
	const char *detail = row->text[0] ? row->text : item->detail;
	json_t *json = json_object();

#define TEXT(name, value) json_object_set_new(json, name, json_text(value, strlen(value)))
	TEXT("kind", "finding");
	json_object_set_new(json, "path", json_text(row->path, row->path_size));
	json_object_set_new(json, "path_hex", json_hex(row->path, row->path_size));
	TEXT("verdict", verdicts[item->verdict.kind]);
	TEXT("signature", item->verdict.signature);
	json_object_set_new(json, "heuristics", heuristics_json(&item->verdict));
	TEXT("reason", reasons[item->verdict.reason]);
	TEXT("detail", detail);
	TEXT("action", actions[row->number]);
	TEXT("watch", item->watch);
	TEXT("policy", item->policy);
	json_object_set_new(json, "size", json_integer((json_int_t)item->size));
	TEXT("queue_id", item->queue_id);
	TEXT("message_id", item->message_id);
#undef TEXT
	return json;
}

static void print_finding(struct scan *scan, const struct steward_row *row)
{
	static const char *const reasons[] = REASON_NAMES, *const actions[] = SWEEP_ACTION_NAMES;
	const struct quarantine_item *item = &row->item;
	const char *what = item->verdict.signature[0] ? item->verdict.signature : reasons[item->verdict.reason];
	const char *detail = row->text[0] ? row->text : item->detail;
	char path[QUOTED_ROOM(4096)], name[QUOTED_ROOM(SIGNATURE_SIZE)], said[QUOTED_ROOM(512)];

	bar_clear(scan);
	if (scan->options->json) {
		print_json(stdout, finding_to_json(row));
	} else {
		text_quote(path, sizeof(path), row->path, row->path_size);
		text_column(name, sizeof(name), what, strlen(what));
		text_quote(said, sizeof(said), detail, strlen(detail));
		printf("%-10s %-28s %-15s %s%s%s%s\n", verdict_word(&item->verdict), name, actions[row->number], path,
		       said[0] ? " (" : "", said, said[0] ? ")" : "");
	}
	fflush(stdout);
}

static void progress_text(const struct steward_row *row, char *out, size_t room, bool bar)
{
	const struct sweep_counts *counts = &row->sweep.counts;
	struct sweep_pace pace = {.files = counts->files + counts->vanished + counts->unreadable,
				  .files_all = row->files_all,
				  .bytes = counts->bytes,
				  .bytes_all = row->bytes_all,
				  .begun_files = row->begun_files,
				  .begun_bytes = row->begun_bytes,
				  .elapsed_ns = row->elapsed_ns};
	double seconds = (double)row->elapsed_ns / 1e9 + 1e-9;
	bool counted = !row->counting && row->files_all;
	unsigned done = counted ? sweep_done(&pace) : 0, filled = done * BAR_COLUMNS / 1000;
	uint64_t left = counted ? sweep_left_s(&pace) : UINT64_MAX;
	char bytes[16], all[16], rate[16], time[32] = "time unknown", drawn[64] = "";

	size_text(bytes, sizeof(bytes), counts->bytes);
	size_text(all, sizeof(all), row->bytes_all);
	size_text(rate, sizeof(rate), (uint64_t)((double)(counts->bytes - row->begun_bytes) / seconds));
	if (left != UINT64_MAX) {
		span_text(time, sizeof(time), left * 1000000000u);
		strncat(time, " left", sizeof(time) - strlen(time) - 1);
	}
	if (bar)
		snprintf(drawn, sizeof(drawn), "[%.*s%.*s] ", (int)filled, "####################",
			 (int)(BAR_COLUMNS - filled), "--------------------");
	snprintf(out, room,
		 "%s%3u%% %" PRIu64 "/%" PRIu64 "%s files, %s/%s%s, %.0f files/s, %s/s, %s%s, %" PRIu64 " found", drawn,
		 done / 10, counts->files, row->files_all, counted ? "" : "+", bytes, all, counted ? "" : "+",
		 (double)(counts->files - row->begun_files) / seconds, rate, time,
		 row->throttled ? ", readers first" : "", counts->infected);
}

static void print_progress(struct scan *scan, const struct steward_row *row)
{
	char text[320];
	unsigned width = terminal_width();
	uint64_t now = now_ns();

	if (!scan->bar && now - scan->line_ns < LINE_NS)
		return;
	progress_text(row, text, sizeof(text), scan->bar);
	if (scan->bar) {
		fprintf(stderr, "\r\033[K%.*s", width > 1 ? (int)width - 1 : 79, text);
		scan->bar_shown = true;
	} else {
		fprintf(stderr, "mailward: scan: %s\n", text);
		scan->line_ns = now;
	}
}

static json_t *counts_json(const struct sweep_counts *counts)
{
	json_t *json = json_object();

#define NUMBER(name) json_object_set_new(json, #name, json_integer((json_int_t)counts->name))
	NUMBER(files);
	NUMBER(bytes);
	NUMBER(known);
	NUMBER(infected);
	NUMBER(unscanned);
	NUMBER(moved);
	NUMBER(unreadable);
	NUMBER(mounts);
	NUMBER(vanished);
	NUMBER(changing);
#undef NUMBER
	return json;
}

json_t *sweep_to_json(const struct sweep_shown *sweep)
{
	static const char *const states[] = SWEEP_STATE_NAMES;
	json_t *json = counts_json(&sweep->counts);
	char time[32];

	json_object_set_new(json, "state", json_string(states[sweep->state]));
	time_text(time, (int64_t)sweep->begun_ns, false);
	json_object_set_new(json, "begun", json_string(time));
	time_text(time, (int64_t)sweep->ended_ns, false);
	json_object_set_new(json, "ended", json_string(time));
	return json;
}

static int print_summary(struct scan *scan, const struct steward_row *row)
{
	const struct sweep_counts *counts = &row->sweep.counts;
	bool found = counts->infected || counts->unscanned || counts->unreadable;
	char bytes[16], took[32];

	bar_clear(scan);
	if (scan->options->json) {
		json_t *json = sweep_to_json(&row->sweep);
		json_object_set_new(json, "kind", json_string("summary"));
		json_object_set_new(json, "elapsed_ms", json_integer((json_int_t)(row->elapsed_ns / 1000000)));
		print_json(stdout, json);
		return found ? EXIT_FOUND : EXIT_FINE;
	}
	size_text(bytes, sizeof(bytes), counts->bytes);
	span_text(took, sizeof(took), row->elapsed_ns);
	printf("%" PRIu64 " files, %s, in %s: %" PRIu64 " infected, %" PRIu64 " unscanned; %" PRIu64
	       " were known already\n",
	       counts->files, bytes, took, counts->infected, counts->unscanned, counts->known);
	if (counts->unreadable)
		printf("%" PRIu64 " files or folders could not be opened\n", counts->unreadable);
	if (counts->mounts)
		printf("%" PRIu64 " mount points below were left out (--mounts enters them)\n", counts->mounts);
	if (counts->moved)
		printf("%" PRIu64 " moved to the quarantine\n", counts->moved);
	return found ? EXIT_FOUND : EXIT_FINE;
}

/* ---- the scan ---- */

static int interrupted(struct scan *scan)
{
	bar_clear(scan);
	fflush(stdout);
	fputs("mailward: scan: stopped; mailward scan --resume goes on where it was\n", stderr);
	signal(stopped, SIG_DFL);
	raise(stopped);
	return EXIT_TROUBLE;
}

static int lost(struct scan *scan, int error)
{
	bar_clear(scan);
	if (error == -EPIPE || error == -ECONNRESET)
		return trouble("scan: the daemon ended it; mailward scan --resume goes on where it was");
	trouble("scan: can't tell: the steward does not answer (%s)", strerror(-error));
	return EXIT_CANNOT_TELL;
}

/* Rows until the last one. The wait is short, so that a signal is noticed. */
static int follow(struct scan *scan, int sock)
{
	static struct steward_row row;
	int error = 0, silent_ms = 0, fd;

	for (;;) {
		if (stopped)
			return interrupted(scan);
		fd = -1;
		error = client_receive(sock, &row, sizeof(row), &fd, 200);
		if (fd >= 0)
			close(fd);
		silent_ms = error == -ETIMEDOUT ? silent_ms + 200 : 0;
		if (error == -ETIMEDOUT && silent_ms < PATIENCE_MS)
			continue;
		if (!error && !row_is_good(&row))
			error = -EBADMSG;
		if (error)
			return stopped ? interrupted(scan) : lost(scan, error);
		if (!row.more)
			break;
		if (row.kind == STEWARD_ROW_SWEPT)
			print_finding(scan, &row);
		else if (row.kind == STEWARD_ROW_PROGRESS)
			print_progress(scan, &row);
	}
	bar_clear(scan);
	if (row.result)
		return trouble("scan: %s", row.text[0] ? row.text : strerror(-row.result));
	return print_summary(scan, &row);
}

static int run(struct scan *scan)
{
	struct steward_ask ask = {.version = WIRE_VERSION, .verb = STEWARD_SWEEP, .flags = scan->flags};
	struct sigaction action = {.sa_handler = stop};
	int sock, error, code = client_connect(scan->options, STEWARD_SOCKET, &sock);

	if (code != EXIT_FINE)
		return code;
	memcpy(ask.id, scan->id, sizeof(ask.id));
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	scan->bar = isatty(STDERR_FILENO) && !scan->options->json && terminal_width();
	scan->line_ns = now_ns();
	error = frame_send(sock, &ask, sizeof(ask), -1);
	code = error ? lost(scan, error) : follow(scan, sock);
	close(sock);
	return code;
}

static int read_flags(struct scan *scan, int argc, char **argv)
{
	static const struct option known[] = {{"all", 0, NULL, 'a'},
					      {"quarantine", 0, NULL, 'q'},
					      {"mounts", 0, NULL, 'm'},
					      {"resume", 0, NULL, 'r'},
					      {NULL, 0, NULL, 0}};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == '?')
			return usage_error("scan", "unknown option %s", argv[optind - 1]);
		scan->flags |= option == 'a'   ? STEWARD_SWEEP_ALL
			       : option == 'q' ? STEWARD_SWEEP_QUARANTINE
			       : option == 'm' ? STEWARD_SWEEP_MOUNTS
					       : STEWARD_SWEEP_RESUME;
	}
	if (scan->flags & STEWARD_SWEEP_RESUME && (scan->flags != STEWARD_SWEEP_RESUME || optind < argc))
		return usage_error("scan", "--resume goes on as it was begun: no paths and no other options");
	if (!(scan->flags & STEWARD_SWEEP_RESUME) && optind == argc)
		return usage_error("scan", "it needs a PATH, or --resume");
	return EXIT_FINE;
}

int verb_scan(const struct options *options, int argc, char **argv)
{
	struct scan scan = {.options = options};
	int code = read_flags(&scan, argc, argv);

	snprintf(scan.id, sizeof(scan.id), "%d-%" PRIx64, (int)getpid(), now_ns());
	for (int i = optind; code == EXIT_FINE && i < argc; i++)
		code = take_path(&scan, argv[i]);
	return code == EXIT_FINE ? run(&scan) : code;
}
