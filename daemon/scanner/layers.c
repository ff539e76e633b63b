// SPDX-License-Identifier: GPL-2.0-only
#include "layers.h"

#include <stdio.h>
#include <string.h>

#include "mime.h"
#include "oddities.h"
#include "wire.h"

void layers_open(struct layers *layers, struct findings *findings, bool rar, uint32_t deny_types, unsigned max_parts)
{
	layers->max_parts = max_parts;
	claims_open(&layers->claims, deny_types);
	layers->findings = findings;
	layers->rar = rar;
	layers->depth = 0;
}

static void unopened(struct layers *layers, const struct level *level)
{
	const char *type = strncmp(level->type, "CL_TYPE_", 8) ? level->type : level->type + 8;
	char text[FINDING_SIZE];

	snprintf(text, sizeof(text), "%s that does not open", type);
	findings_unsupported(layers->findings, text);
}

/* Did everything come out of it that it promised? */
static void promises_check(struct layers *layers, const struct level *level)
{
	if (level->zip_behind)
		findings_unsupported(layers->findings, "a zip behind something else");
	if (level->encrypted)
		return;
	switch (level->members) {
	case MEMBERS_NONE:
		break;
	case MEMBERS_SOME:
		if (!level->below && !level->tiny)
			unopened(layers, level);
		break;
	case MEMBERS_ANNOUNCED:
		if (level->pending || (!level->announced && !level->below && !level->tiny))
			unopened(layers, level);
		break;
	case MEMBERS_LISTED:
		if (!level->below && (level->expected || !level->announced))
			unopened(layers, level);
		break;
	}
}

/* A gzip stream says at its end how long it was; a 7z archive at its start how long its list is. */
static bool is_tiny(const char *type, const unsigned char *bytes, size_t size)
{
	if (!strcmp(type, "CL_TYPE_GZ") && size >= 18)
		return bytes[size - 4] <= 5 && !bytes[size - 3] && !bytes[size - 2] && !bytes[size - 1];
	if (!strcmp(type, "CL_TYPE_7Z") && size >= 32)
		return !memcmp(bytes + 20, "\0\0\0\0\0\0\0", 8);
	return false;
}

static bool is_mail(const char *type)
{
	return !strcmp(type, "CL_TYPE_MAIL") || !strcmp(type, "CL_TYPE_MHTML");
}

/* The content rule looks at the bytes of a layer, and at its name: what the engine calls it, else the member of which
 * it last told. The whole file is read as a mail where it looks like one, whatever the engine takes it for. */
static void claims_take(struct layers *layers, const char *type, const unsigned char *bytes, size_t size,
			const char *name)
{
	const char *member = layers->depth > 1 ? layers->levels[layers->depth - 2].member : "";

	if (name && name[0])
		claims_name(&layers->claims, name, strlen(name), false);
	else
		name = member[0] ? member : NULL;
	claims_content(&layers->claims, bytes, size, name);
	if (is_mail(type) || (layers->depth == 1 && mime_looks_so((const char *)bytes, size)))
		claims_message(&layers->claims, bytes, size);
}

/* What libclamav does with a message, and does not. false: it is not to be taken apart. */
static bool message_check(struct layers *layers, const char *type, const unsigned char *bytes, size_t size)
{
	const char *text = (const char *)bytes;
	struct findings *findings = layers->findings;
	const char *left_out = NULL;
	unsigned parts = 0;
	size_t start;

	if (is_mail(type))
		findings->mail = findings->mail || layers->depth == 1;
	if (message_has_cr_alone(text, size)) {
		left_out = "a message with lines that end in CR alone";
	} else if (is_mail(type)) {
		left_out = message_left_out(text, size, &parts);
	} else if (message_begins(text, size, &start)) {
		if ((layers->depth == 1 && findings->copy) || !findings->again ||
		    !findings->again(findings->owner, bytes + start, size - start))
			left_out = "a message that does not begin as one";
	}
	if (left_out)
		findings_unsupported(findings, left_out);
	if (parts > layers->max_parts)
		findings_name(findings, "Heuristics.Limits.Exceeded.MaxFiles");
	return parts <= layers->max_parts;
}

bool layers_begin(struct layers *layers, const char *type, const unsigned char *bytes, size_t size, const char *name)
{
	const char *kind = NULL, *encrypted = NULL;
	struct level *level;
	bool go_on;

	layers->findings->layers++;
	if (layers->depth > 0) {
		layers->levels[layers->depth - 1].below++;
		layers->levels[layers->depth - 1].pending = false;
		layers->levels[layers->depth - 1].zip_behind &= !type || !format_is_zip(type);
	}
	if (layers->depth == LEVELS_MAX) {
		findings_error(layers->findings, REASON_ENGINE_ERROR, "too many nested layers");
		return false;
	}
	level = &layers->levels[layers->depth++];
	*level = (struct level){0};
	if (!type || !bytes) {
		findings_error(layers->findings, REASON_IO_ERROR, "a layer could not be read");
		return true;
	}
	kind = format_unsupported(type, bytes, size, layers->rar);
	if (kind)
		findings_unsupported(layers->findings, kind);
	encrypted = format_encrypted(type, bytes, size);
	if (encrypted)
		findings_encrypted(layers->findings, encrypted);
	go_on = message_check(layers, type, bytes, size);
	level->zip_behind = format_zip_behind(type, bytes, size);
	level->members = format_members(type);
	level->encrypted = encrypted != NULL;
	level->tiny = is_tiny(type, bytes, size);
	text_printable(level->type, sizeof(level->type), type);
	if (layers->claims.denied)
		claims_take(layers, type, bytes, size, name);
	return go_on;
}

void layers_member(struct layers *layers, const char *container, const char *name, size_t size, bool encrypted)
{
	struct level *level;

	claims_name(&layers->claims, name, strlen(name), true);
	if (layers->depth == 0)
		return;
	if (encrypted && !strcmp(container, "CL_TYPE_ARJ")) /* of the others the engine says so itself */
		findings_encrypted(layers->findings, "ARJ");
	level = &layers->levels[layers->depth - 1];
	level->zip_behind = level->zip_behind && strcmp(container, "CL_TYPE_ZIP") != 0;
	text_printable(level->member, sizeof(level->member), name);
	if (level->pending)
		unopened(layers, level);
	level->announced = true;
	level->pending = level->members == MEMBERS_ANNOUNCED && size > 5 && !encrypted;
	level->expected = level->expected || (size > 5 && !encrypted);
}

void layers_name(struct layers *layers, const char *name)
{
	findings_name(layers->findings, name);
	if (!strncmp(name, "Heuristics.OLE2.ContainsMacros", 30))
		claims_macro(&layers->claims, layers->depth > 1 ? layers->levels[layers->depth - 2].member : NULL);
	if (layers->depth > 0 && name_is_encrypted(name))
		layers->levels[layers->depth - 1].encrypted = true;
}

void layers_end(struct layers *layers)
{
	if (layers->depth > 0)
		promises_check(layers, &layers->levels[--layers->depth]);
}

void layers_close(struct layers *layers)
{
	char name[SIGNATURE_SIZE], detail[FINDING_SIZE];

	while (layers->depth > 0)
		layers_end(layers);
	if (claims_tell(&layers->claims, name, sizeof(name), detail, sizeof(detail)))
		findings_type(layers->findings, name, detail);
}
