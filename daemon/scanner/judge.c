// SPDX-License-Identifier: GPL-2.0-only
#include "judge.h"

#include <stdio.h>
#include <string.h>

#define LIMITS "Heuristics.Limits.Exceeded"
#define ENCRYPTED "Heuristics.Encrypted"

void text_printable(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text, size - 1);

	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	for (size_t i = 0; i < length; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[length] = 0;
}

static void note(char *out, size_t size, const char *text)
{
	if (out[0])
		return;
	text_printable(out, size, text);
	if (!out[0])
		text_printable(out, size, "?");
}

/* Behind a prefix and its dot. */
static const char *rest(const char *name, const char *prefix)
{
	name += strlen(prefix);
	return *name == '.' ? name + 1 : name;
}

bool name_is_encrypted(const char *name)
{
	return !strncmp(name, ENCRYPTED, strlen(ENCRYPTED));
}

void findings_unsupported(struct findings *findings, const char *what)
{
	note(findings->unsupported, sizeof(findings->unsupported), what);
}

void findings_encrypted(struct findings *findings, const char *what)
{
	note(findings->encrypted, sizeof(findings->encrypted), what);
}

/* heuristic: 1 << enum heuristic, or 0: a signature. */
static void keep_name(struct findings *findings, const char *name, uint8_t heuristic)
{
	char text[SIGNATURE_SIZE];

	text_printable(text, sizeof(text), name);
	for (uint8_t i = 0; i < findings->name_count; i++)
		if (!strcmp(findings->names[i], text))
			return;
	if (findings->name_count == SCAN_NAMES || !text[0]) {
		findings->names_more = true;
		return;
	}
	findings->name_heuristics[findings->name_count] = heuristic;
	memcpy(findings->names[findings->name_count++], text, sizeof(text));
}

void findings_name(struct findings *findings, const char *name)
{
	if (!strncmp(name, LIMITS, strlen(LIMITS)))
		note(findings->limit, sizeof(findings->limit), rest(name, LIMITS));
	else if (name_is_encrypted(name))
		findings_encrypted(findings, rest(name, ENCRYPTED));
	else {
		note(findings->infected, sizeof(findings->infected), name);
		keep_name(findings, name, 0);
	}
}

void findings_error(struct findings *findings, enum verdict_reason reason, const char *text)
{
	if (!findings->error[0])
		findings->error_reason = (uint8_t)reason;
	note(findings->error, sizeof(findings->error), text);
}

void findings_message(struct findings *findings, const char *message)
{
	static const struct {
		const char *part, *kind;
	} left_out[] = {{"Partial message received", "message/partial"},
			{"message/external-body trapped", "message/external-body"},
			{"Unsupported message format", "message of an unknown format"}};
	static const char *const of_files[] = {"temporary", "temp file", "write", "No space",    "create",
					       "open",      "read",      "mkdir", "descriptors", "unlink"};
	enum verdict_reason reason = REASON_ENGINE_ERROR;

	findings->spoke = true;
	for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
		if (strstr(message, left_out[i].part)) {
			findings_unsupported(findings, left_out[i].kind);
			return;
		}
	}
	for (size_t i = 0; i < sizeof(of_files) / sizeof(of_files[0]); i++)
		if (strstr(message, of_files[i]))
			reason = REASON_IO_ERROR;
	findings_error(findings, reason, message);
}

/* Breadth and bytes are "too large", depth is "too deep": MaxFiles counts members, so it is the former. */
static enum verdict_reason limit_reason(const char *limit)
{
	if (!strcmp(limit, "MaxRecursion"))
		return REASON_TOO_DEEP;
	if (!strcmp(limit, "MaxScanTime"))
		return REASON_TIMEOUT;
	return REASON_TOO_LARGE;
}

static void unscanned(struct verdict *verdict, enum verdict_reason reason)
{
	verdict->kind = VERDICT_UNSCANNED;
	verdict->reason = (uint8_t)reason;
}

void judge(const struct findings *findings, struct verdict *verdict, char *detail, size_t detail_size)
{
	memset(verdict, 0, sizeof(*verdict));
	detail[0] = 0;
	if (findings->infected[0]) {
		verdict->kind = VERDICT_INFECTED;
		memcpy(verdict->signature, findings->infected, sizeof(verdict->signature));
	} else if (findings->limit[0]) {
		unscanned(verdict, limit_reason(findings->limit));
		snprintf(detail, detail_size, "limit: %s", findings->limit);
	} else if (findings->error[0]) {
		unscanned(verdict, findings->error_reason);
		snprintf(detail, detail_size, "engine: %s", findings->error);
	} else if (findings->unsupported[0]) {
		unscanned(verdict, REASON_UNSUPPORTED);
		snprintf(detail, detail_size, "cannot open: %s", findings->unsupported);
	} else if (findings->encrypted[0]) {
		unscanned(verdict, REASON_ENCRYPTED);
		snprintf(detail, detail_size, "encrypted: %s", findings->encrypted);
	} else if (findings->layers == 0) {
		unscanned(verdict, REASON_ENGINE_ERROR);
		snprintf(detail, detail_size, "engine: it looked at nothing");
	} else {
		verdict->kind = VERDICT_CLEAN;
	}
}

void judge_names(const struct findings *findings, struct scan_reply *reply)
{
	struct findings rest = *findings;
	struct verdict without;
	char detail[sizeof(reply->detail)];

	if (reply->verdict.kind != VERDICT_INFECTED || findings->name_count == 0)
		return;
	rest.infected[0] = 0;
	judge(&rest, &without, detail, sizeof(detail));
	reply->rest = without.reason;
	reply->name_count = findings->name_count;
	reply->names_more = findings->names_more;
	memcpy(reply->name_heuristics, findings->name_heuristics, sizeof(reply->name_heuristics));
	memcpy(reply->names, findings->names, sizeof(reply->names));
}
