// SPDX-License-Identifier: GPL-2.0-only
#include "notices.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "log.h"

#define SECOND_NS 1000000000ull
#define LINE_BYTES 72 /* of quoted-printable, which allows 76 with its "=" */

static bool terminated(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

bool notice_is_sound(const struct notice *notice)
{
	return notice->action > 0 && notice->action < NOTICE_ACTIONS && notice->postmaster <= 1 &&
	       notice->has_digest <= 1 && notice->verdict.kind < VERDICT_KINDS && notice->verdict.reason < REASONS &&
	       terminated(notice->verdict.signature, sizeof(notice->verdict.signature)) &&
	       notice->path_size <= sizeof(notice->path) && terminated(notice->watch, sizeof(notice->watch)) &&
	       terminated(notice->id, sizeof(notice->id)) && terminated(notice->queue_id, sizeof(notice->queue_id)) &&
	       terminated(notice->message_id, sizeof(notice->message_id));
}

/* ---- writing ---- */

struct writing {
	char *out;
	size_t size, used; /* used > size: it did not fit */
	unsigned column;   /* of the body, in quoted-printable */
};

static void put_byte(struct writing *writing, char byte)
{
	if (writing->used < writing->size)
		writing->out[writing->used] = byte;
	writing->used++;
}

static void put_text(struct writing *writing, const char *text)
{
	while (*text)
		put_byte(writing, *text++);
}

__attribute__((format(printf, 2, 3))) static void header(struct writing *writing, const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	put_text(writing, line);
	put_byte(writing, '\n');
}

/* One line of the body, in quoted-printable (RFC 2045, 6.7). */
static void body_line(struct writing *writing, const char *text)
{
	char code[4];

	writing->column = 0;
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;
		bool plain = byte > ' ' && byte <= '~' && byte != '=';
		plain = plain || (byte == ' ' && text[1]);
		/* "From " and a single dot mean something to those who carry it. */
		if (writing->column == 0 && (byte == 'F' || byte == '.'))
			plain = false;
		if (writing->column + (plain ? 1 : 3) > LINE_BYTES) {
			put_text(writing, "=\n");
			writing->column = 0;
		}
		snprintf(code, sizeof(code), plain ? "%c" : "=%02X", byte);
		put_text(writing, code);
		writing->column += plain ? 1 : 3;
	}
	put_byte(writing, '\n');
}

__attribute__((format(printf, 2, 3))) static void say(struct writing *writing, const char *format, ...)
{
	char line[8192];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	body_line(writing, line);
}

/* "   name        value", where there is one; the value is hostile. */
static void field(struct writing *writing, const char *name, const char *value, size_t size)
{
	char quoted[4 * 1024 + 16];

	if (size == 0)
		return;
	text_quote(quoted, sizeof(quoted), value, size);
	say(writing, "   %-12s %s", name, quoted);
}

static void time_text(uint64_t ns, const char *format, char *out, size_t size)
{
	time_t seconds = (time_t)(ns / SECOND_NS);
	struct tm parts;

	if (!gmtime_r(&seconds, &parts) || strftime(out, size, format, &parts) == 0)
		out[0] = 0;
}

/* RFC 5322, 3.3: names of days and months are English, whatever the locale. */
static void date_text(uint64_t ns, char *out, size_t size)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(ns / SECOND_NS);
	struct tm parts = {0};

	gmtime_r(&seconds, &parts);
	snprintf(out, size, "%s, %d %s %d %02d:%02d:%02d +0000", days[parts.tm_wday % 7], parts.tm_mday,
		 months[parts.tm_mon % 12], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/* Letters, digits, hyphens and dots of it; never empty. */
static void host_text(const char *host, char *out, size_t size)
{
	size_t length = 0;

	for (; *host && length + 1 < size; host++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", *host))
			out[length++] = *host;
	out[length] = 0;
	if (length == 0)
		snprintf(out, size, "localhost");
}

/* ---- the digest ---- */

static const char *what(const struct notice *notice)
{
	static const char *const reasons[] = REASON_NAMES;

	return notice->verdict.signature[0] ? notice->verdict.signature : reasons[notice->verdict.reason];
}

static bool same_content(const struct notice *a, const struct notice *b)
{
	return a->has_digest && b->has_digest && a->action == b->action && memcmp(a->digest, b->digest, 32) == 0;
}

static void tell_file(struct writing *writing, const struct notice_head *head, const struct notice *notice)
{
	field(writing, "file", notice->path, notice->path_size);
	if (notice->id[0] && head->to_owner)
		say(writing, "   %-12s %s (ask the postmaster)", "quarantine", notice->id);
	else if (notice->id[0])
		say(writing, "   %-12s mailward release %s   (if it was found by mistake)", "give back", notice->id);
}

static void tell_one(struct writing *writing, const struct notice_head *head, const struct notice *const *notices,
		     uint32_t count, uint32_t at, uint32_t number)
{
	static const char *const actions[NOTICE_ACTIONS] = {"", "moved to the quarantine", "denied", "reported only"};
	const struct notice *first = notices[at];
	char line[256], name[SIGNATURE_SIZE * 4 + 8], time[64];

	time_text(first->time_ns, "%Y-%m-%dT%H:%M:%SZ", time, sizeof(time));
	text_quote(name, sizeof(name), what(first), strlen(what(first)));
	say(writing, "%s", "");
	snprintf(line, sizeof(line), "%u. %s: %.180s", number, actions[first->action], name);
	body_line(writing, line);
	field(writing, "time", time, strlen(time));
	field(writing, "queue id", first->queue_id, strlen(first->queue_id));
	field(writing, "message id", first->message_id, strlen(first->message_id));
	field(writing, "watch", first->watch, strlen(first->watch));
	tell_file(writing, head, first);
	for (uint32_t i = at + 1; i < count; i++)
		if (same_content(first, notices[i]))
			tell_file(writing, head, notices[i]);
}

static bool was_told(const struct notice *const *notices, uint32_t at)
{
	for (uint32_t i = 0; i < at; i++)
		if (same_content(notices[i], notices[at]))
			return true;
	return false;
}

static uint32_t messages(const struct notice *const *notices, uint32_t count)
{
	uint32_t different = 0;

	for (uint32_t i = 0; i < count; i++)
		different += !was_told(notices, i);
	return different;
}

size_t notices_compose(const struct notice_head *head, const struct notice *const *notices, uint32_t count, char *out,
		       size_t size)
{
	struct writing writing = {.out = out, .size = size};
	uint32_t different = messages(notices, count), number = 0;
	char host[128], date[64];

	host_text(head->host, host, sizeof(host));
	date_text(head->now_ns, date, sizeof(date));
	header(&writing, "From: Mailward <%s@%s>", head->from, host);
	header(&writing, "Subject: Mailward on %.64s: %u message%s or file%s", host, different + head->more,
	       different + head->more == 1 ? "" : "s", different + head->more == 1 ? "" : "s");
	header(&writing, "Date: %s", date);
	header(&writing, "Message-ID: <mailward.%016" PRIx64 ".%016" PRIx64 "@%s>", head->serial, head->random, host);
	header(&writing, "Auto-Submitted: auto-generated");
	header(&writing, "MIME-Version: 1.0");
	header(&writing, "Content-Type: text/plain; charset=utf-8");
	header(&writing, "Content-Transfer-Encoding: quoted-printable");
	put_byte(&writing, '\n');
	say(&writing, "Mailward on %s found something in what follows. Bytes of names that cannot be shown are \\xNN.",
	    host);
	for (uint32_t i = 0; i < count; i++)
		if (!was_told(notices, i))
			tell_one(&writing, head, notices, count, i, ++number);
	say(&writing, "%s", "");
	if (head->more)
		say(&writing, "And %u more, for which there is no room here.", head->more);
	if (!head->to_owner)
		say(&writing, "All of it: mailward quarantine list, mailward blocked --since 1d");
	return writing.used < writing.size ? writing.used : 0;
}

/* ---- when ---- */

uint64_t notices_due(uint64_t first_ns, uint64_t last_sent_ns, uint64_t every_ns)
{
	uint64_t collected = first_ns + (every_ns < 60 * SECOND_NS ? every_ns : 60 * SECOND_NS);
	uint64_t next = last_sent_ns ? last_sent_ns + every_ns : 0;

	return next > collected ? next : collected;
}

uint64_t notices_pause_ns(uint32_t failures)
{
	uint64_t seconds = failures == 0 ? 0 : failures > 8 ? 3600 : 15ull << (failures - 1);

	return (seconds > 3600 ? 3600 : seconds) * SECOND_NS;
}

bool notices_overdue(uint64_t failing_since_ns, uint64_t now_ns)
{
	return failing_since_ns && now_ns > failing_since_ns + 86400 * SECOND_NS;
}
