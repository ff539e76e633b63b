// SPDX-License-Identifier: GPL-2.0-only
#include "oddities.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define HEAD_LOOKED_AT 65536 /* bytes, in which a head without a known beginning shows that it is one */
#define BOUNDARIES_MAX 256   /* of one message */
#define CR_LOOKED_AT 1000

struct span {
	const char *at, *end;
};

enum coding { CODING_OTHER, CODING_BASE64, CODING_QUOTED };

struct boundary {
	struct span text;
	bool is_signed; /* of a multipart/signed */
	unsigned parts; /* that have begun */
};

struct walk {
	struct span rest;
	enum coding coding;       /* by the head that was read last, as the rest here */
	bool multipart, message;  /* what its part is */
	bool signature, misnamed; /* it says that it is one; what its name says */
	bool fields;              /* there were any */
	bool begun;               /* a line of its body has come that is not empty */
	bool ended;               /* base64 has come to its padding */
	struct span last_begin;   /* a line that begins an encoding, if it was the last one */
	struct boundary boundaries[BOUNDARIES_MAX];
	unsigned boundary_count;
	const char *found;
};

static void odd(struct walk *walk, const char *what)
{
	walk->found = walk->found ? walk->found : what;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without its line end. false: no more. */
static bool take_line(struct span *rest, struct span *line)
{
	const char *end;

	if (rest->at >= rest->end)
		return false;
	end = memchr(rest->at, '\n', (size_t)(rest->end - rest->at));
	*line = (struct span){rest->at, end ? end : rest->end};
	rest->at = end ? end + 1 : rest->end;
	while (line->end > line->at && line->end[-1] == '\r')
		line->end--;
	return true;
}

static bool begins(struct span span, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(span.end - span.at) >= length && !strncasecmp(span.at, text, length);
}

static struct span behind_blanks(struct span span)
{
	while (span.at < span.end && (is_blank(*span.at) || *span.at == '\n'))
		span.at++;
	return span;
}

/* "Name:", or "Name :" */
static bool is_header(struct span line)
{
	const char *at = line.at;

	while (at<line.end && * at> ' ' && *at < 0x7f && *at != ':')
		at++;
	if (at == line.at)
		return false;
	while (at < line.end && (*at == ' ' || *at == '\t'))
		at++;
	return at < line.end && *at == ':';
}

/* Moves `field` to what stands behind "name:". */
static bool field_is(struct span *field, const char *name)
{
	struct span value = *field;

	if (!begins(value, name))
		return false;
	value.at += strlen(name);
	value = behind_blanks(value);
	if (value.at == value.end || *value.at != ':')
		return false;
	value.at++;
	*field = behind_blanks(value);
	return true;
}

static bool field_has(struct span field, const char *word)
{
	size_t length = strlen(word);

	for (; (size_t)(field.end - field.at) >= length; field.at++)
		if (!strncasecmp(field.at, word, length))
			return true;
	return false;
}

/* Behind the word and its equals sign, where there is one; false: it is written in a way of which there are many. */
static bool parameter_value(struct span from, struct span *value)
{
	bool quoted;

	from = behind_blanks(from);
	if (from.at == from.end || *from.at != '=')
		return from.at == from.end || *from.at != '*';
	from.at++;
	from = behind_blanks(from);
	quoted = from.at < from.end && *from.at == '"';
	from.at += quoted;
	*value = (struct span){from.at, from.at};
	while (value->end < from.end &&
	       (quoted ? *value->end != '"' : *value->end != ';' && *value->end != '\n' && !is_blank(*value->end)))
		value->end++;
	return !memchr(value->at, '\\', (size_t)(value->end - value->at));
}

/* Every one that the type of a multipart names. */
static void add_boundaries(struct walk *walk, struct span field)
{
	static const char word[] = "boundary";
	bool is_signed = begins(field, "multipart/signed");

	for (; field.at < field.end; field.at++) {
		struct span from = field, value = {NULL, NULL};
		if (!begins(field, word))
			continue;
		from.at += sizeof(word) - 1;
		if (!parameter_value(from, &value) || walk->boundary_count == BOUNDARIES_MAX)
			odd(walk, "boundaries of an odd form");
		else if (value.at < value.end)
			walk->boundaries[walk->boundary_count++] =
				(struct boundary){.text = value, .is_signed = is_signed};
		if (walk->boundary_count == BOUNDARIES_MAX)
			return;
		field.at = value.at < value.end ? value.end - 1 : from.at - 1;
	}
}

/* Nothing else is started by the name of a signature. */
static bool is_named_as_signature(struct span field)
{
	static const char *const ends[] = {".asc", ".sig", ".pgp", ".p7s"};
	static const char word[] = "name";
	bool fits;

	for (; field.at < field.end; field.at++) {
		struct span from = field, value = {NULL, NULL};
		if (!begins(field, word))
			continue;
		from.at += sizeof(word) - 1;
		if (!parameter_value(from, &value))
			return false;
		fits = !value.at;
		for (size_t i = 0; value.at && i < sizeof(ends) / sizeof(ends[0]); i++)
			fits = fits ||
			       (value.end - value.at >= 4 && begins((struct span){value.end - 4, value.end}, ends[i]));
		if (!fits)
			return false;
		field.at = value.at < value.end ? value.end - 1 : from.at - 1;
	}
	return true;
}

static void read_field(struct walk *walk, struct span field)
{
	if (field_is(&field, "Content-Type")) {
		walk->multipart = begins(field, "multipart/");
		walk->signature =
			(begins(field, "application/pgp-signature") || begins(field, "application/pkcs7-signature") ||
			 begins(field, "application/x-pkcs7-signature")) &&
			is_named_as_signature(field);
		walk->message = begins(field, "message/");
		if (walk->multipart)
			add_boundaries(walk, field);
		if (begins(field, "multipart/parallel"))
			odd(walk, "multipart/parallel");
	} else if (field_is(&field, "Content-Disposition")) {
		walk->misnamed = !is_named_as_signature(field);
	} else if (field_is(&field, "Content-Transfer-Encoding")) {
		if (field_has(field, "base64"))
			walk->coding = CODING_BASE64;
		else if (field_has(field, "quoted"))
			walk->coding = CODING_QUOTED;
	}
}

/* The boundary that a line is, or its last one; the longest, where one begins another. *last: what is behind it says
 * so. */
static struct boundary *boundary_at(struct walk *walk, struct span line, bool *last)
{
	struct span text = {line.at + 2, line.end};
	struct boundary *longest = NULL;

	if (!begins(line, "--"))
		return NULL;
	for (unsigned i = 0; i < walk->boundary_count; i++) {
		struct boundary *one = &walk->boundaries[i];
		size_t length = (size_t)(one->text.end - one->text.at);
		if ((size_t)(text.end - text.at) >= length && !memcmp(text.at, one->text.at, length) &&
		    (!longest || length > (size_t)(longest->text.end - longest->text.at)))
			longest = one;
	}
	if (longest)
		text.at += longest->text.end - longest->text.at;
	*last = longest && begins(text, "--");
	return longest;
}

/* A head, to the empty line behind it, or to the boundary of the next. */
static void read_head(struct walk *walk)
{
	struct span line, field;
	bool last;

	walk->coding = CODING_OTHER;
	walk->multipart = walk->message = walk->signature = walk->misnamed = walk->fields = walk->begun = walk->ended =
		false;
	while (take_line(&walk->rest, &line)) {
		if (line.at == line.end)
			return;
		if (boundary_at(walk, line, &last)) {
			walk->rest.at = line.at;
			return;
		}
		field = line;
		while (walk->rest.at < walk->rest.end && (*walk->rest.at == ' ' || *walk->rest.at == '\t')) {
			take_line(&walk->rest, &line);
			field.end = line.end;
		}
		walk->fields = true;
		read_field(walk, field);
	}
}

/* ---- lines of a body ---- */

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '/';
}

static bool is_base64_line(struct span line)
{
	const char *at = line.at;

	while (at < line.end && (is_base64(*at) || *at == '='))
		at++;
	return at == line.end && line.end - line.at >= 4;
}

/* libclamav reads up to the padding. */
static void base64_line(struct walk *walk, struct span line)
{
	const char *padding = walk->ended ? line.at : memchr(line.at, '=', (size_t)(line.end - line.at));

	if (!padding)
		return;
	for (const char *at = padding; at < line.end; at++)
		if (is_base64(*at))
			odd(walk, "base64 that goes on behind its end");
	walk->ended = walk->ended || walk->begun || padding > line.at;
}

/* A soft line end with blanks behind it is one (RFC 2045 6.7), which libclamav does not know. */
static void quoted_line(struct walk *walk, struct span line)
{
	const char *end = line.end;

	while (end > line.at && is_blank(end[-1]))
		end--;
	if (end < line.end && end > line.at && end[-1] == '=')
		odd(walk, "quoted-printable with blanks behind a line's end");
}

/* The length that stands at the beginning of a line of uuencode is that of the line. */
static bool is_uu_line(struct span line)
{
	size_t size = (size_t)(line.end - line.at), length;

	if (size < 2 || line.at[0] <= ' ' || line.at[0] > '`')
		return false;
	length = ((size_t)line.at[0] - ' ') & 63;
	return length > 0 && size >= 1 + (length * 4 + 2) / 3 && size <= 2 + (length + 2) / 3 * 4;
}

/* libclamav knows "begin " with three digits alone. */
static bool begins_oddly(struct span line)
{
	static const char *const words[] = {"begin-base64 ", "begin "};
	size_t digits = 0;

	for (size_t i = 0; i < 2; i++) {
		const char *at = line.at + strlen(words[i]);
		if (!begins(line, words[i]))
			continue;
		while (at < line.end && *at >= '0' && *at <= '7')
			at++, digits++;
		return at < line.end && *at == ' ' && (i == 0 ? digits >= 3 : digits == 4 || digits == 5);
	}
	return false;
}

static void text_line(struct walk *walk, struct span line)
{
	if (walk->last_begin.at && is_uu_line(line))
		odd(walk, "uuencode of an odd form");
	if (walk->last_begin.at && begins(walk->last_begin, "begin-") && is_base64_line(line))
		odd(walk, "begin-base64");
	walk->last_begin = begins_oddly(line) ? line : (struct span){NULL, NULL};
}

static void body_line(struct walk *walk, struct span line)
{
	if (walk->multipart && walk->coding == CODING_BASE64 && !walk->begun && is_base64_line(line))
		odd(walk, "a multipart in base64");
	else if (walk->coding == CODING_BASE64 && !walk->multipart)
		base64_line(walk, line);
	else if (walk->coding == CODING_QUOTED)
		quoted_line(walk, line);
	text_line(walk, line);
	walk->begun = true;
}

/* libclamav looks at the text of a multipart/signed alone; of two parts the second is the signature. */
static void part_begins(struct walk *walk, struct boundary *boundary, bool last)
{
	if (last) {
		walk->coding = CODING_OTHER;
		walk->multipart = false;
		walk->begun = true;
		return;
	}
	read_head(walk);
	if (!boundary->is_signed)
		return;
	boundary->parts++;
	if (boundary->parts > 2 || (boundary->parts == 2 && (!walk->signature || walk->misnamed)))
		odd(walk, "multipart/signed with more than a signature");
}

/* Does a head stand where a body should? Of a message in a message, in a digest without a type for it. */
static bool message_follows(const struct walk *walk, struct span line)
{
	return !walk->begun && (walk->message || !walk->fields) && is_header(line);
}

/* libclamav hands the body of a message over by itself where its head is too much for it: the boundary is known then by
 * the first line. */
static void body_alone(struct walk *walk)
{
	struct span rest = walk->rest, line = {rest.at, rest.at};

	while (take_line(&rest, &line) && line.at == line.end)
		;
	if (!begins(line, "--"))
		return;
	while (line.end > line.at && is_blank(line.end[-1]))
		line.end--;
	if (line.end - line.at > 2)
		walk->boundaries[walk->boundary_count++] = (struct boundary){.text = {line.at + 2, line.end}};
}

const char *message_left_out(const char *text, size_t size, unsigned *parts)
{
	static struct walk walk; /* one at a time */
	bool several =
		begins((struct span){text, text + size}, "From ") || begins((struct span){text, text + size}, "2 M");
	bool empty = false, is_last;
	unsigned count = 0;
	struct boundary *boundary;
	struct span line;

	walk.rest = (struct span){text, text + size};
	walk.boundary_count = 0;
	walk.last_begin = (struct span){NULL, NULL};
	walk.found = NULL;
	*parts = 0;
	body_alone(&walk);
	read_head(&walk);
	while (take_line(&walk.rest, &line)) {
		if (line.at == line.end) {
			empty = true;
			continue;
		}
		boundary = boundary_at(&walk, line, &is_last);
		count += boundary || (walk.found && begins(line, "--"));
		*parts = count > *parts ? count : *parts;
		if (boundary) {
			part_begins(&walk, boundary, is_last);
		} else if ((empty && begins(line, "From ")) ||
			   *line.at == '\1') { /* the next of an mbox, a dbox file */
			walk.boundary_count = 0;
			count = several ? 0 : count;
			read_head(&walk);
		} else if (message_follows(&walk, line)) {
			walk.rest.at = line.at;
			read_head(&walk);
		} else {
			body_line(&walk, line);
		}
		empty = false;
	}
	return walk.found;
}

/* Is there a body to such a head, and not the head alone, as in a delivery report? */
static bool body_follows(struct span rest, bool multipart)
{
	struct span line;

	while (take_line(&rest, &line))
		if (multipart ? begins(line, "--") : line.at < line.end)
			return true;
	return false;
}

bool message_begins(const char *text, size_t size, size_t *start)
{
	struct span rest = {text, text + (size < HEAD_LOOKED_AT ? size : HEAD_LOOKED_AT)}, line, field;
	bool multipart = false, coded = false;

	if (begins(rest, "\xef\xbb\xbf"))
		rest.at += 3;
	rest = behind_blanks(rest);
	*start = (size_t)(rest.at - text);
	for (bool first = true; take_line(&rest, &line) && line.at < line.end; first = false) {
		if (first && !is_header(line))
			return false;
		field = line;
		if (field_is(&field, "Content-Type"))
			multipart = multipart || begins(field, "multipart/");
		else if (field_is(&field, "Content-Transfer-Encoding"))
			coded = coded || field_has(field, "base64") || field_has(field, "quoted") ||
				field_has(field, "uu");
	}
	rest.end = text + size;
	return (multipart || coded) && body_follows(rest, multipart);
}

bool message_has_cr_alone(const char *text, size_t size)
{
	struct span first = {text, text + (size < CR_LOOKED_AT ? size : CR_LOOKED_AT)}, head = first;
	const char *cr = memchr(text, '\r', (size_t)(first.end - text));

	if (!cr || memchr(text, '\n', (size_t)(first.end - text)))
		return false;
	first.end = cr;
	head.end = text + (size < HEAD_LOOKED_AT ? size : HEAD_LOOKED_AT);
	return (is_header(first) || begins(first, "From ")) && field_has(head, "\rContent-T");
}
