// SPDX-License-Identifier: GPL-2.0-only
/* Asks the keeper for a run of mailward-selftest, waits, and shows what it has found in each watch. */
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "findings.h"
#include "frame.h"
#include "log.h"
#include "output.h"

#define SELFTEST_PATIENCE_MS 120000 /* some watches on slow disks, each five attempts */

static const char *const canary_names[CANARIES] = CANARY_NAMES;

static int run(const struct options *options)
{
	struct keeper_request request = {.version = WIRE_VERSION, .verb = KEEPER_SELFTEST};
	struct keeper_reply reply;
	int sock, fd = -1, error, code = client_connect(options, KEEPER_SOCKET, &sock);

	if (code != EXIT_FINE)
		return code;
	error = frame_send(sock, &request, sizeof(request), -1);
	if (error == 0)
		error = client_receive(sock, &reply, sizeof(reply), &fd, SELFTEST_PATIENCE_MS);
	if (fd >= 0)
		close(fd);
	close(sock);
	if (error == 0 && reply.result == 0)
		return EXIT_FINE;
	reply.text[sizeof(reply.text) - 1] = 0;
	trouble("can't tell: %s", error ? strerror(-error) : reply.text);
	return EXIT_CANNOT_TELL;
}

static void print_watch(const struct status_page *page, uint32_t index, bool json)
{
	const struct watch_entry *watch = &page->gate.watches[index];
	const struct keeper_part *keeper = &page->keeper;
	const char *why = keeper->canary_text[index];
	char path[QUOTED_ROOM(1024)], quoted[QUOTED_ROOM(160)];

	if (json) {
		print_json(stdout,
			   json_pack("{s:o, s:s, s:s, s:s, s:o}", "path", json_text(watch->path, strlen(watch->path)),
				     "canary", canary_names[keeper->canary[index]], "open",
				     canary_names[keeper->canary_open[index]], "exec",
				     canary_names[keeper->canary_exec[index]], "why", json_text(why, strlen(why))));
		return;
	}
	text_quote(path, sizeof(path), watch->path, strlen(watch->path));
	text_quote(quoted, sizeof(quoted), why, strlen(why));
	printf("%-14s %-14s %s%s%s%s\n", canary_names[keeper->canary_open[index]],
	       canary_names[keeper->canary_exec[index]], path, quoted[0] ? " (" : "", quoted, quoted[0] ? ")" : "");
}

int verb_selftest(const struct options *options, int argc, char **argv)
{
	static struct status_page page;
	const struct status_page *shared;
	int code;

	if (argc > 1)
		return usage_error("selftest", "unexpected argument %s", argv[1]);
	code = run(options);
	if (code == EXIT_FINE)
		code = client_status_page(options, &shared);
	if (code != EXIT_FINE)
		return code;
	status_copy(shared, &page);
	if (options->header && !options->json && page.gate.watch_count)
		printf("%-14s %-14s %s\n", "OPEN", "EXEC", "WATCH");
	for (uint32_t i = 0; i < page.gate.watch_count; i++) {
		enum canary canary = (enum canary)page.keeper.canary[i];
		print_watch(&page, i, options->json);
		if (canary != CANARY_BLOCKED && canary != CANARY_NOT_APPLICABLE)
			code = EXIT_FOUND;
	}
	return code;
}
