// SPDX-License-Identifier: GPL-2.0-only
#include "mime.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define BOUNDARIES_MAX 64
#define BOUNDARY_SIZE 80 /* RFC 2046 has 70 */
#define PIECES_MAX 100   /* of one parameter, RFC 2231 */

struct span {
	const char *at, *end;
};

struct boundary {
	char text[BOUNDARY_SIZE];
	size_t size;
};

struct reader {
	struct span rest;
	void (*each)(void *owner, const char *name, size_t length);
	void *owner;
	struct boundary boundaries[BOUNDARIES_MAX];
	unsigned boundary_count;
	bool every_boundary; /* there were more of them: each line that begins like one counts */
	bool message;        /* the part that is being read holds a message: a head follows its own */
};

/* ---- bytes ---- */

/* Collects a value; what does not fit pushes the beginning out, since the end of a name is what counts. */
struct text {
	char bytes[2 * MIME_NAME_SIZE];
	size_t size;
};

static void put(struct text *text, char c)
{
	if (text->size == sizeof(text->bytes)) {
		memmove(text->bytes, text->bytes + MIME_NAME_SIZE, MIME_NAME_SIZE);
		text->size = MIME_NAME_SIZE;
	}
	text->bytes[text->size++] = c;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte behind `%` or `=`; false: it is none. */
static bool take_hex(struct span *from, char *out)
{
	int high = from->end - from->at >= 3 ? hex_digit(from->at[1]) : -1;
	int low = high >= 0 ? hex_digit(from->at[2]) : -1;

	if (low < 0)
		return false;
	*out = (char)(high << 4 | low);
	from->at += 3;
	return true;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

static void put_base64(struct text *out, struct span from)
{
	unsigned bits = 0, count = 0;

	for (; from.at < from.end; from.at++) {
		int digit = base64_digit(*from.at);
		if (digit < 0)
			continue;
		bits = (bits << 6 | (unsigned)digit) & 0xffffff;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		if ((char)(bits >> count)) /* none of UTF-16's zero bytes */
			put(out, (char)(bits >> count));
	}
}

static void put_quoted(struct text *out, struct span from)
{
	char c;

	while (from.at < from.end) {
		if (*from.at == '=' && take_hex(&from, &c)) {
			if (c)
				put(out, c);
			continue;
		}
		put(out, *from.at == '_' ? ' ' : *from.at);
		from.at++;
	}
}

/* =?charset?B?...?= at the beginning of `from`; false: it is none. */
static bool take_encoded_word(struct span *from, struct text *out)
{
	const char *question, *coded, *end;

	if (from->end - from->at < 8 || memcmp(from->at, "=?", 2) != 0)
		return false;
	question = memchr(from->at + 2, '?', (size_t)(from->end - from->at) - 2);
	if (!question || from->end - question < 5 || question[2] != '?')
		return false;
	coded = question + 3;
	end = memmem(coded, (size_t)(from->end - coded), "?=", 2);
	if (!end)
		return false;
	if (tolower((unsigned char)question[1]) == 'b')
		put_base64(out, (struct span){coded, end});
	else if (tolower((unsigned char)question[1]) == 'q')
		put_quoted(out, (struct span){coded, end});
	else
		return false;
	from->at = end + 2;
	return true;
}

/* Encoded words are decoded wherever they stand; blanks between two of them are none. */
static void put_words(struct text *out, struct span from)
{
	while (from.at < from.end) {
		struct span next;
		if (!take_encoded_word(&from, out)) {
			put(out, *from.at++);
			continue;
		}
		next = from;
		while (next.at < next.end && (*next.at == ' ' || *next.at == '\t'))
			next.at++;
		if (next.end - next.at >= 2 && !memcmp(next.at, "=?", 2))
			from = next;
	}
}

/* ---- parameters ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct span *span)
{
	while (span->at < span->end && is_blank(*span->at))
		span->at++;
}

/* The value at the beginning of `from`, without quotes, backslashes and folds; *from stands behind it. out may be NULL.
 */
static void take_value(struct span *from, struct text *out)
{
	bool quoted;

	skip_blanks(from);
	quoted = from->at < from->end && *from->at == '"';
	from->at += quoted;
	while (from->at < from->end && (quoted ? *from->at != '"' : *from->at != ';')) {
		if (quoted && *from->at == '\\' && from->end - from->at > 1)
			from->at++;
		if (out && *from->at != '\r' && *from->at != '\n')
			put(out, *from->at);
		from->at++;
	}
	from->at += quoted && from->at < from->end;
	for (; from->at < from->end && *from->at != ';'; from->at++) /* behind the quote */
		if (out && *from->at > ' ')
			put(out, *from->at);
	while (out && !quoted && out->size > 0 && is_blank(out->bytes[out->size - 1]))
		out->size--;
}

struct parameter {
	struct span name;  /* before any asterisk */
	int piece;         /* -1: it is whole */
	bool percent;      /* charset'language'%41 */
	struct span value; /* as it stands, from its quote on */
};

/* ";name*0*=value": false: no more. */
static bool take_parameter(struct span *from, struct parameter *out)
{
	const char *star, *comma;

	out->value = (struct span){from->at, from->at};
	out->piece = -1;
	out->percent = false;
	while (from->at < from->end && (*from->at == ';' || is_blank(*from->at)))
		from->at++;
	out->name.at = from->at;
	while (from->at < from->end && *from->at != '=' && *from->at != ';')
		from->at++;
	out->name.end = from->at;
	if (from->at == from->end)
		return false;
	if (*from->at == ';')
		return true;
	from->at++;
	while (out->name.end > out->name.at && is_blank(out->name.end[-1]))
		out->name.end--;
	comma = memrchr(out->name.at, ',', (size_t)(out->name.end - out->name.at));
	if (comma) { /* instead of a semicolon */
		out->name.at = comma + 1;
		skip_blanks(&out->name);
	}
	star = memchr(out->name.at, '*', (size_t)(out->name.end - out->name.at));
	if (star) {
		out->percent = out->name.end[-1] == '*';
		if (out->name.end - star > 1 && isdigit((unsigned char)star[1]))
			out->piece = star[1] - '0';
		if (out->piece >= 0 && out->name.end - star > 2 && isdigit((unsigned char)star[2]))
			out->piece = 10 * out->piece + star[2] - '0';
		out->name.end = star;
	}
	out->value.at = from->at;
	take_value(from, NULL);
	out->value.end = from->at;
	return true;
}

static bool name_is(const struct span *name, const char *wanted)
{
	return (size_t)(name->end - name->at) == strlen(wanted) &&
	       !strncasecmp(name->at, wanted, (size_t)(name->end - name->at));
}

/* Behind charset'language', where it has that. */
static void put_percent(struct text *out, struct span from, bool first)
{
	const char *quote = first ? memchr(from.at, '\'', (size_t)(from.end - from.at)) : NULL;
	char c;

	quote = quote ? memchr(quote + 1, '\'', (size_t)(from.end - quote) - 1) : NULL;
	if (quote)
		from.at = quote + 1;
	while (from.at < from.end) {
		if (*from.at != '%' || !take_hex(&from, &c))
			c = *from.at++;
		if (c) /* none of UTF-16's zero bytes */
			put(out, c);
	}
}

static void put_value(struct text *out, const struct parameter *parameter)
{
	static struct text plain;
	struct span value = parameter->value;

	plain.size = 0;
	take_value(&value, &plain);
	value = (struct span){plain.bytes, plain.bytes + plain.size};
	if (parameter->percent)
		put_percent(out, value, parameter->piece <= 0);
	else
		put_words(out, value);
}

static void tell(struct reader *reader, const struct text *name)
{
	size_t most = name->size < MIME_NAME_SIZE ? name->size : MIME_NAME_SIZE;

	if (name->size)
		reader->each(reader->owner, name->bytes + name->size - most, most);
}

static void add_boundary(struct reader *reader, const struct text *value)
{
	struct boundary *boundary = &reader->boundaries[reader->boundary_count];

	if (value->size == 0)
		return;
	if (reader->boundary_count == BOUNDARIES_MAX || value->size > BOUNDARY_SIZE) {
		reader->every_boundary = true;
		return;
	}
	memcpy(boundary->text, value->bytes, value->size);
	boundary->size = value->size;
	reader->boundary_count++;
}

/* The pieces of one parameter, in their order, wherever they stood, and where some are not there. */
static void tell_pieces(struct reader *reader, const struct parameter pieces[PIECES_MAX])
{
	static struct text joined;

	joined.size = 0;
	for (int i = 0; i < PIECES_MAX; i++)
		if (pieces[i].value.at)
			put_value(&joined, &pieces[i]);
	tell(reader, &joined);
}

static void read_parameters(struct reader *reader, struct span field)
{
	static struct text value;
	struct parameter pieces[2][PIECES_MAX] = {0}, parameter;

	while (take_parameter(&field, &parameter)) {
		bool filename = name_is(&parameter.name, "filename"),
		     named = filename || name_is(&parameter.name, "name");
		bool boundary = name_is(&parameter.name, "boundary");
		value.size = 0;
		if (parameter.piece >= 0) {
			reader->every_boundary |= boundary;
			if (named && parameter.piece < PIECES_MAX && !pieces[filename][parameter.piece].value.at)
				pieces[filename][parameter.piece] = parameter;
		} else if (named) {
			put_value(&value, &parameter);
			tell(reader, &value);
		} else if (boundary) {
			put_value(&value, &parameter);
			add_boundary(reader, &value);
		}
	}
	tell_pieces(reader, pieces[0]);
	tell_pieces(reader, pieces[1]);
}

/* ---- lines ---- */

/* Without its line end. false: no more. */
static bool take_line(struct span *rest, struct span *line)
{
	const char *end;

	if (rest->at >= rest->end)
		return false;
	end = memchr(rest->at, '\n', (size_t)(rest->end - rest->at));
	*line = (struct span){rest->at, end ? end : rest->end};
	rest->at = end ? end + 1 : rest->end;
	if (line->end > line->at && line->end[-1] == '\r')
		line->end--;
	return true;
}

static bool begins(const struct span *line, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(line->end - line->at) >= length && !memcmp(line->at, text, length);
}

/* Moves `field` behind "Name:". */
static bool field_is(struct span *field, const char *name)
{
	size_t length = strlen(name);
	const char *at = field->at + length;

	if ((size_t)(field->end - field->at) <= length || strncasecmp(field->at, name, length) != 0)
		return false;
	while (at < field->end && (*at == ' ' || *at == '\t'))
		at++;
	if (at == field->end || *at != ':')
		return false;
	field->at = at + 1;
	return true;
}

static void read_field(struct reader *reader, struct span field)
{
	struct span kind = field;

	if (field_is(&kind, "Content-Type")) {
		skip_blanks(&kind);
		reader->message = kind.end - kind.at >= 8 && !strncasecmp(kind.at, "message/", 8);
		field = kind;
	} else if (!field_is(&field, "Content-Disposition")) {
		return;
	}
	read_parameters(reader, field); /* the type itself is one without a value, where it is there at all */
}

/* A head, to the empty line behind it. */
static void read_head(struct reader *reader)
{
	struct span line, field;

	reader->message = false;
	while (take_line(&reader->rest, &line)) {
		if (line.at == line.end)
			return;
		field = line;
		while (reader->rest.at < reader->rest.end && (*reader->rest.at == ' ' || *reader->rest.at == '\t')) {
			take_line(&reader->rest, &line);
			field.end = line.end;
		}
		read_field(reader, field);
	}
}

/* A line before the head of a part. The last one of its kind, with two more hyphens, has none behind it. */
static bool is_boundary(const struct reader *reader, const struct span *line)
{
	size_t room;

	if (!begins(line, "--"))
		return false;
	room = (size_t)(line->end - line->at) - 2;
	for (unsigned i = 0; i < reader->boundary_count; i++) {
		const struct boundary *boundary = &reader->boundaries[i];
		if (room < boundary->size || memcmp(line->at + 2, boundary->text, boundary->size) != 0)
			continue;
		if (room - boundary->size < 2 || memcmp(line->at + 2 + boundary->size, "--", 2) != 0)
			return true;
	}
	return reader->every_boundary;
}

static void tell_span(struct reader *reader, struct span name)
{
	size_t size = (size_t)(name.end - name.at);

	if (size > MIME_NAME_SIZE)
		name.at += size - MIME_NAME_SIZE;
	if (name.at < name.end)
		reader->each(reader->owner, name.at, (size_t)(name.end - name.at));
}

/* "begin 644 name", "begin-base64 644 name", "=ybegin line=128 size=9 name=name" */
static void read_encoding(struct reader *reader, struct span line)
{
	static const char *const starts[] = {"begin ", "begin-base64 "};

	if (begins(&line, "=ybegin ")) {
		const char *name = memmem(line.at, (size_t)(line.end - line.at), " name=", 6);
		if (name)
			tell_span(reader, (struct span){name + 6, line.end});
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		struct span rest = line;
		size_t digits = 0;
		if (!begins(&line, starts[i]))
			continue;
		rest.at += strlen(starts[i]);
		while (rest.at < rest.end && *rest.at >= '0' && *rest.at <= '7')
			rest.at++, digits++;
		if (digits >= 3 && digits <= 5 && rest.at < rest.end && *rest.at == ' ')
			tell_span(reader, (struct span){rest.at + 1, rest.end});
	}
}

bool mime_looks_so(const char *text, size_t size)
{
	struct span rest = {text, text + (size < 1000 ? size : 1000)}, line;
	const char *at;

	if (!take_line(&rest, &line))
		return false;
	if (begins(&line, "From ") || begins(&line, "2 M")) /* an mbox; a file of Dovecot's dbox */
		return true;
	for (at = line.at; at<line.end && * at> ' ' && *at < 0x7f && *at != ':'; at++)
		;
	return at > line.at && at < line.end && *at == ':';
}

void mime_names(const char *text, size_t size, void (*each)(void *owner, const char *name, size_t length), void *owner)
{
	static struct reader reader;
	struct span line;
	bool empty = false;

	reader = (struct reader){.rest = {text, text + size}, .each = each, .owner = owner};
	read_head(&reader);
	while (true) {
		if (reader.message) { /* what stands in its part is one more message */
			read_head(&reader);
			continue;
		}
		if (!take_line(&reader.rest, &line))
			return;
		/* the next message of an mbox, of a dbox file */
		if (is_boundary(&reader, &line) || (empty && begins(&line, "From ")) || begins(&line, "\1\2"))
			read_head(&reader);
		else if (line.at < line.end && (*line.at == 'b' || *line.at == '='))
			read_encoding(&reader, line);
		empty = line.at == line.end;
	}
}
