// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "frame.h"
#include "log.h"
#include "output.h"

#define RELOAD_PATIENCE_MS 30000 /* the policy is read, resolved and taken by the gate */
#define COMPLAINTS_SHOWN 100

/* Prints what the keeper says until its last reply; the result in it, or -errno. complaints: NULL, or to fill. */
static int take_replies(int sock, json_t *complaints)
{
	char quoted[QUOTED_ROOM(LEASH_TEXT)];
	struct keeper_reply reply;

	for (int i = 0; i < COMPLAINTS_SHOWN; i++) {
		int fd = -1, error = client_receive(sock, &reply, sizeof(reply), &fd, RELOAD_PATIENCE_MS);
		if (error < 0)
			return error;
		if (fd >= 0)
			close(fd);
		reply.text[sizeof(reply.text) - 1] = 0;
		if (reply.text[0] && complaints) {
			json_array_append_new(complaints, json_text(reply.text, strlen(reply.text)));
		} else if (reply.text[0]) {
			text_quote(quoted, sizeof(quoted), reply.text, strlen(reply.text));
			fprintf(stderr, "%s\n", quoted);
		}
		if (!reply.more)
			return reply.result == 0 ? EXIT_FINE : EXIT_TROUBLE;
	}
	return EXIT_TROUBLE;
}

int verb_reload(const struct options *options, int argc, char **argv)
{
	struct keeper_request request = {.version = WIRE_VERSION, .verb = KEEPER_RELOAD};
	json_t *complaints = options->json ? json_array() : NULL;
	int sock, code;

	if (argc > 1)
		return usage_error("reload", "unexpected argument %s", argv[1]);
	code = client_connect(options, KEEPER_SOCKET, &sock);
	if (code != EXIT_FINE)
		return code;
	code = frame_send(sock, &request, sizeof(request), -1);
	if (code == 0)
		code = take_replies(sock, complaints);
	close(sock);
	if (code < 0) {
		trouble("can't tell whether the policy was taken: %s", strerror(-code));
		code = EXIT_CANNOT_TELL;
	} else if (code == EXIT_TROUBLE && !options->json) {
		trouble("the policy was not taken; the old one stays in force");
	}
	if (options->json)
		print_json(stdout, json_pack("{s:s, s:o}", "result",
					     code == EXIT_FINE      ? "in-force"
					     : code == EXIT_TROUBLE ? "refused"
								    : "unknown",
					     "complaints", complaints));
	else if (code == EXIT_FINE)
		puts("the policy is in force");
	return code;
}
