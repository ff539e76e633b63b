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

/* Longest first where one begins another. Of libclamav's own names alone: those of a database end in .UNOFFICIAL, or
 * begin otherwise. A zip whose members overlap, and an xz that wants too much memory, are not opened. */
static const struct kind {
	const char *prefix;
	enum { AS_LIMIT, AS_HEURISTIC, AS_SIGNATURE } as;
	enum heuristic heuristic;
} kinds[] = {
	{"Heuristics.OLE2.ContainsMacros", AS_HEURISTIC, HEURISTIC_MACRO},
	{"Heuristics.Broken", AS_HEURISTIC, HEURISTIC_BROKEN},
	{"Heuristics.Phishing", AS_HEURISTIC, HEURISTIC_PHISHING},
	{"Heuristics.Safebrowsing", AS_HEURISTIC, HEURISTIC_PHISHING},
	{"Heuristics.Zip.OverlappingFiles", AS_LIMIT, HEURISTICS},
	{"Heuristics.XZ.DicSizeLimit", AS_LIMIT, HEURISTICS},
	{"Heuristics.Exploit.", AS_SIGNATURE, HEURISTICS},
	{"Heuristics.Trojan.", AS_SIGNATURE, HEURISTICS},
	{"Heuristics.Worm.", AS_SIGNATURE, HEURISTICS},
	{"Heuristics.W32.", AS_SIGNATURE, HEURISTICS},
	{"Heuristics.", AS_HEURISTIC, HEURISTIC_OTHER},
};

static bool begins(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

static void note_heuristic(struct findings *findings, enum heuristic heuristic, const char *name)
{
	note(findings->heuristics[heuristic], FINDING_SIZE, name);
	keep_name(findings, name, (uint8_t)(1 << heuristic));
}

static void note_kind(struct findings *findings, const char *name)
{
	static const char unofficial[] = ".UNOFFICIAL";
	size_t length = strlen(name), end = sizeof(unofficial) - 1;
	bool own = length < end || strcmp(name + length - end, unofficial) != 0;

	if (begins(name, "PUA.")) {
		note_heuristic(findings, HEURISTIC_UNWANTED, name);
		return;
	}
	for (size_t i = 0; own && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!begins(name, kinds[i].prefix))
			continue;
		if (kinds[i].as == AS_LIMIT)
			note(findings->limit, sizeof(findings->limit), name);
		if (kinds[i].as == AS_HEURISTIC)
			note_heuristic(findings, kinds[i].heuristic, name);
		if (kinds[i].as != AS_SIGNATURE)
			return;
		break;
	}
	note(findings->infected, sizeof(findings->infected), name);
	keep_name(findings, name, 0);
}

void findings_type(struct findings *findings, const char *name, const char *detail)
{
	note_heuristic(findings, HEURISTIC_TYPE, name);
	note(findings->content, sizeof(findings->content), detail);
}

void findings_unsupported(struct findings *findings, const char *what)
{
	note(findings->unsupported, sizeof(findings->unsupported), what);
}

void findings_encrypted(struct findings *findings, const char *what)
{
	note(findings->encrypted, sizeof(findings->encrypted), what);
}

void findings_name(struct findings *findings, const char *name)
{
	findings->named = true;
	if (!strncmp(name, LIMITS, strlen(LIMITS)))
		note(findings->limit, sizeof(findings->limit), rest(name, LIMITS));
	else if (name_is_encrypted(name))
		findings_encrypted(findings, rest(name, ENCRYPTED));
	else
		note_kind(findings, name);
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

/* Why something was not looked at; none: everything was. */
static enum verdict_reason reason_of(const struct findings *findings)
{
	if (findings->limit[0])
		return limit_reason(findings->limit);
	if (findings->error[0])
		return findings->error_reason;
	if (findings->unsupported[0])
		return REASON_UNSUPPORTED;
	if (findings->encrypted[0])
		return REASON_ENCRYPTED;
	return findings->layers == 0 ? REASON_ENGINE_ERROR : REASON_NONE;
}

/* The strictest, as most policies have it, gives its name. */
static void take_heuristics(const struct findings *findings, struct verdict *verdict)
{
	static const enum heuristic order[HEURISTICS] = {HEURISTIC_TYPE,   HEURISTIC_PHISHING, HEURISTIC_UNWANTED,
							 HEURISTIC_BROKEN, HEURISTIC_MACRO,    HEURISTIC_OTHER};

	for (int i = 0; i < HEURISTICS; i++) {
		const char *name = findings->heuristics[order[i]];
		if (!name[0])
			continue;
		if (!verdict->heuristics)
			memcpy(verdict->signature, name, FINDING_SIZE);
		verdict->heuristics |= (uint8_t)(1 << order[i]);
	}
}

/* "libclamav: Heuristics.OLE2.ContainsMacros.VBA, encrypted: Zip; content: ..." */
static void tell(const struct findings *findings, char *out, size_t size)
{
	const struct {
		const char *word, *text;
	} parts[] = {{"", findings->infected},
		     {"", findings->heuristics[HEURISTIC_MACRO]},
		     {"", findings->heuristics[HEURISTIC_BROKEN]},
		     {"", findings->heuristics[HEURISTIC_PHISHING]},
		     {"", findings->heuristics[HEURISTIC_UNWANTED]},
		     {"", findings->heuristics[HEURISTIC_OTHER]},
		     {"limit: ", findings->limit},
		     {"", findings->error},
		     {"cannot open: ", findings->unsupported},
		     {"encrypted: ", findings->encrypted},
		     {"", findings->layers ? "" : "it looked at nothing"}};
	size_t used = (size_t)snprintf(out, size, "%s: ", findings->engine ? findings->engine : "libclamav"),
	       before = used;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && used < size; i++)
		if (parts[i].text[0])
			used += (size_t)snprintf(out + used, size - used, "%s%s%s", used == before ? "" : ", ",
						 parts[i].word, parts[i].text);
	if (used == before)
		used += (size_t)snprintf(out + used, size - used, "clean");
	if (findings->content[0] && used < size)
		snprintf(out + used, size - used, "; content: %s", findings->content);
}

void judge(const struct findings *findings, struct verdict *verdict, char *detail, size_t detail_size)
{
	enum verdict_reason reason = reason_of(findings);

	memset(verdict, 0, sizeof(*verdict));
	detail[0] = 0;
	if (findings->infected[0]) {
		verdict->kind = VERDICT_INFECTED;
		memcpy(verdict->signature, findings->infected, sizeof(verdict->signature));
	} else {
		take_heuristics(findings, verdict);
		verdict->kind = verdict->heuristics ? VERDICT_INFECTED : reason ? VERDICT_UNSCANNED : VERDICT_CLEAN;
		verdict->reason = (uint8_t)reason;
	}
	if (verdict->kind != VERDICT_CLEAN)
		tell(findings, detail, detail_size);
}

void judge_names(const struct findings *findings, struct scan_reply *reply)
{
	if (reply->verdict.kind != VERDICT_INFECTED || findings->name_count == 0)
		return;
	reply->rest = (uint8_t)reason_of(findings);
	reply->name_count = findings->name_count;
	reply->names_more = findings->names_more;
	memcpy(reply->name_heuristics, findings->name_heuristics, sizeof(reply->name_heuristics));
	memcpy(reply->names, findings->names, sizeof(reply->names));
}
