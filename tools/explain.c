// SPDX-License-Identifier: GPL-2.0-only
/* Asks the gate, by way of the recorder, about a file. The file is opened with O_PATH: no byte of it is read, and no
 * access waits for it. Symbolic links are followed, as an open would. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "log.h"
#include "output.h"

static const char *const state_names[EXPLAIN_STATES] = {
	[EXPLAIN_OUTSIDE] = "outside", [EXPLAIN_KNOWN] = "known",     [EXPLAIN_UNKNOWN] = "unknown",
	[EXPLAIN_JUDGING] = "judging", [EXPLAIN_UNHELD] = "not-held",
};

static const char *answer_word(const struct explain_reply *reply, uint32_t answer)
{
	switch ((enum explain_state)reply->state) {
	case EXPLAIN_OUTSIDE:
	case EXPLAIN_UNHELD:
		return answer == ANSWER_DENY ? "deny" : "allow";
	case EXPLAIN_KNOWN:
	case EXPLAIN_UNKNOWN:
	case EXPLAIN_JUDGING:
	case EXPLAIN_STATES:
		break;
	}
	return answer == ANSWER_ALLOW ? "allow" : answer == ANSWER_DENY ? "deny" : "wait";
}

/* Where the gate says nothing of it, an exec gets what an open gets. */
static uint32_t exec_answer(const struct explain_reply *reply)
{
	return reply->exec_policy[0] ? reply->exec_answer : reply->answer;
}

static const char *exec_policy(const struct explain_reply *reply)
{
	return reply->exec_policy[0] ? reply->exec_policy : reply->policy;
}

static const char *const origin_names[EXPLAIN_ORIGINS] = {
	[EXPLAIN_ORIGIN_ANY] = "any",
	[EXPLAIN_ORIGIN_MAIL] = "mail",
	[EXPLAIN_ORIGIN_OTHER] = "other",
	[EXPLAIN_ORIGIN_UNKNOWN] = "unknown",
};
static const char *const origin_sentences[EXPLAIN_ORIGINS] = {
	[EXPLAIN_ORIGIN_ANY] = "",
	[EXPLAIN_ORIGIN_MAIL] = "mail software wrote it: an attachment",
	[EXPLAIN_ORIGIN_OTHER] = "mail software did not write it: no attachment (origin = mail)",
	[EXPLAIN_ORIGIN_UNKNOWN] = "nobody can say whether mail software wrote it",
};

static const char *answer_sentence(const struct explain_reply *reply, uint32_t answer)
{
	if (answer == ANSWER_DENY)
		return "would be denied";
	switch ((enum explain_state)reply->state) {
	case EXPLAIN_OUTSIDE:
		return "would go on at once: no watch is answerable for it";
	case EXPLAIN_UNHELD:
		return reply->origin == EXPLAIN_ORIGIN_OTHER ? "would go on at once: it is no attachment"
							     : "would go on at once: this file is never held";
	case EXPLAIN_JUDGING:
		return "would wait for the scan that is under way";
	case EXPLAIN_UNKNOWN:
		return "would wait for a scan";
	case EXPLAIN_KNOWN:
	case EXPLAIN_STATES:
		break;
	}
	return answer == ANSWER_ALLOW ? "would go on" : "would wait for a scan";
}

static const char *const level_names[LEVELS] = {"libclamav", "heuristics", "content", "clamd"};

static bool level_found(const struct verdict *verdict, uint32_t level)
{
	const uint8_t type = 1 << HEURISTIC_TYPE;

	switch ((enum judgement)level) {
	case LEVEL_SIGNATURES: /* one of these two is asked */
	case LEVEL_CLAMD:
		return verdict->heuristics == 0;
	case LEVEL_HEURISTICS:
		return verdict->heuristics & ~type;
	case LEVEL_CONTENT:
		return verdict->heuristics & type;
	}
	return false;
}

/* What is known of each: beside a finding the others may have been cut short, and what an entry of the allow list took
 * out had been found by somebody. */
static const char *level_word(const struct explain_reply *reply, uint32_t level)
{
	if (!reply->levels)
		return "not known";
	if (!(reply->levels & level))
		return "not asked";
	if (reply->verdict.kind == VERDICT_CLEAN && !reply->allowed)
		return "nothing found";
	return reply->verdict.kind == VERDICT_INFECTED && level_found(&reply->verdict, level) ? "found" : "asked";
}

static void levels_text(const struct explain_reply *reply, char *out, size_t size)
{
	size_t used = 0;

	out[0] = 0;
	for (uint32_t i = 0; i < LEVELS && reply->verdict.kind != VERDICT_NONE && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s: %s", i ? "; " : "", level_names[i],
					 level_word(reply, 1u << i));
}

static json_t *levels_json(const struct explain_reply *reply)
{
	json_t *json = json_object();

	for (uint32_t i = 0; i < LEVELS && reply->verdict.kind != VERDICT_NONE; i++)
		json_object_set_new(json, level_names[i], json_string(level_word(reply, 1u << i)));
	return json;
}

static void print_line(const char *title, const char *text, size_t size)
{
	char quoted[QUOTED_ROOM(8192)];

	if (size == 0)
		return;
	text_quote(quoted, sizeof(quoted), text, size);
	printf("%-8s %s\n", title, quoted);
}

static void print_text(const struct explain_reply *reply, const char *path, size_t path_size)
{
	static const char *const reasons[REASONS] = REASON_NAMES;
	char when[32], line[SIGNATURE_SIZE + 128], exec[128 + sizeof(reply->exec_policy)];
	const char *name =
		reply->verdict.kind == VERDICT_INFECTED ? reply->verdict.signature : reasons[reply->verdict.reason];

	time_text(when, (int64_t)reply->judged_ns, false);
	print_line("path", path, path_size);
	print_line("watch", reply->watch_path, strlen(reply->watch_path));
	snprintf(line, sizeof(line), "%s%s%s%s%s",
		 reply->verdict.kind == VERDICT_NONE ? "none yet" : verdict_word(&reply->verdict), name[0] ? ", " : "",
		 name, when[0] ? ", judged " : "", when);
	print_line("verdict", line, strlen(line));
	levels_text(reply, line, sizeof(line));
	print_line("levels", line, strlen(line));
	print_line("detail", reply->detail, strlen(reply->detail));
	print_line("policy", reply->policy, strlen(reply->policy));
	print_line("origin", origin_sentences[reply->origin], strlen(origin_sentences[reply->origin]));
	print_line("open", answer_sentence(reply, reply->answer), strlen(answer_sentence(reply, reply->answer)));
	snprintf(exec, sizeof(exec), "%s%s%s%s", answer_sentence(reply, exec_answer(reply)),
		 strcmp(exec_policy(reply), reply->policy) == 0 ? "" : " (",
		 strcmp(exec_policy(reply), reply->policy) == 0 ? "" : exec_policy(reply),
		 strcmp(exec_policy(reply), reply->policy) == 0 ? "" : ")");
	print_line("exec", exec, strlen(exec));
}

static json_t *explain_to_json(const struct explain_reply *reply, const char *path, size_t size)
{
	static const char *const verdicts[VERDICT_KINDS] = VERDICT_NAMES, *const reasons[REASONS] = REASON_NAMES;
	json_t *json = json_object();
	char when[32];

	time_text(when, (int64_t)reply->judged_ns, true);
	json_object_set_new(json, "path", json_text(path, size));
	json_object_set_new(json, "path_hex", text_is_plain(path, size) ? json_string("") : json_hex(path, size));
	json_object_set_new(json, "state", json_string(state_names[reply->state]));
	json_object_set_new(json, "answer", json_string(answer_word(reply, reply->answer)));
	json_object_set_new(json, "exec_answer", json_string(answer_word(reply, exec_answer(reply))));
	json_object_set_new(json, "origin", json_string(origin_names[reply->origin]));
	json_object_set_new(json, "verdict", json_string(verdicts[reply->verdict.kind]));
	json_object_set_new(json, "signature", json_text(reply->verdict.signature, strlen(reply->verdict.signature)));
	json_object_set_new(json, "heuristics", heuristics_json(&reply->verdict));
	json_object_set_new(json, "levels", levels_json(reply));
	json_object_set_new(json, "reason", json_string(reasons[reply->verdict.reason]));
	json_object_set_new(json, "allowed", reply->allowed ? json_integer(reply->allowed) : json_null());
	json_object_set_new(json, "detail", json_text(reply->detail, strlen(reply->detail)));
	json_object_set_new(json, "watch", json_text(reply->watch_path, strlen(reply->watch_path)));
	json_object_set_new(json, "policy", json_text(reply->policy, strlen(reply->policy)));
	json_object_set_new(json, "exec_policy", json_text(exec_policy(reply), strlen(exec_policy(reply))));
	json_object_set_new(json, "judged", json_string(when));
	return json;
}

/* The path that the kernel has for this descriptor, links resolved. */
static size_t path_of(int fd, char *out, size_t room)
{
	char link[32];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, out, room);
	return size < 0 ? 0 : (size_t)size;
}

int verb_explain(const struct options *options, int argc, char **argv)
{
	static struct row_frame row;
	struct recorder_request request = {.version = WIRE_VERSION, .verb = RECORDER_EXPLAIN, .uid = UINT32_MAX};
	int fd, sock, code, error, first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
	char path[8192];
	size_t size;

	if (argc != first + 1 || (first == 1 && argv[1][0] == '-'))
		return usage_error("explain", "it wants one path");
	fd = open(argv[first], O_PATH | O_CLOEXEC);
	if (fd < 0)
		return trouble("%s: %s", argv[first], strerror(errno));
	size = path_of(fd, path, sizeof(path));
	code = client_ask_recorder(options, &request, fd, &sock);
	close(fd);
	if (code != EXIT_FINE)
		return code;
	error = client_next_row(sock, &row, 2 * CLIENT_PATIENCE_MS);
	close(sock);
	if (error < 0 || row.kind != ROW_EXPLAIN) {
		trouble("can't tell: the gate does not answer");
		return EXIT_CANNOT_TELL;
	}
	if (options->json)
		print_json(stdout, explain_to_json(&row.explain, path, size));
	else
		print_text(&row.explain, path, size);
	return row.explain.answer == ANSWER_DENY ? EXIT_FOUND : EXIT_FINE;
}
