// SPDX-License-Identifier: GPL-2.0-only
#include "names.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "wire.h"

#define NAME_LOOKED_AT 1024 /* bytes at the end of a name */
#define ENDING_SIZE 24
#define BLANKS_THAT_HIDE 8

/* What starts something at a double click, or at `sh FILE`; not what merely can hold code (HTML, PDF). */
static const struct ending {
	const char *text;
	enum deny_type type;
} endings[] = {
	{"exe", TYPE_EXECUTABLE},
	{"com", TYPE_EXECUTABLE},
	{"scr", TYPE_EXECUTABLE},
	{"pif", TYPE_EXECUTABLE},
	{"dll", TYPE_EXECUTABLE},
	{"cpl", TYPE_EXECUTABLE},
	{"sys", TYPE_EXECUTABLE},
	{"ocx", TYPE_EXECUTABLE},
	{"drv", TYPE_EXECUTABLE},
	{"msi", TYPE_EXECUTABLE},
	{"msp", TYPE_EXECUTABLE},
	{"mst", TYPE_EXECUTABLE},
	{"msix", TYPE_EXECUTABLE},
	{"msixbundle", TYPE_EXECUTABLE},
	{"appx", TYPE_EXECUTABLE},
	{"appxbundle", TYPE_EXECUTABLE},
	{"gadget", TYPE_EXECUTABLE},
	{"application", TYPE_EXECUTABLE},
	{"xll", TYPE_EXECUTABLE},
	{"wll", TYPE_EXECUTABLE},
	{"jar", TYPE_EXECUTABLE},
	{"class", TYPE_EXECUTABLE},
	{"jnlp", TYPE_EXECUTABLE},
	{"apk", TYPE_EXECUTABLE},
	{"elf", TYPE_EXECUTABLE},
	{"run", TYPE_EXECUTABLE},
	{"appimage", TYPE_EXECUTABLE},
	{"deb", TYPE_EXECUTABLE},
	{"rpm", TYPE_EXECUTABLE},
	{"pkg", TYPE_EXECUTABLE},
	{"msu", TYPE_EXECUTABLE},
	{"diagcab", TYPE_EXECUTABLE},
	{"xbap", TYPE_EXECUTABLE},
	{"osd", TYPE_EXECUTABLE},
	{"app", TYPE_EXECUTABLE},
	{"shs", TYPE_EXECUTABLE},
	{"shb", TYPE_EXECUTABLE},
	{"vbs", TYPE_SCRIPT},
	{"vbe", TYPE_SCRIPT},
	{"vb", TYPE_SCRIPT},
	{"js", TYPE_SCRIPT},
	{"jse", TYPE_SCRIPT},
	{"wsf", TYPE_SCRIPT},
	{"wsh", TYPE_SCRIPT},
	{"wsc", TYPE_SCRIPT},
	{"ws", TYPE_SCRIPT},
	{"sct", TYPE_SCRIPT},
	{"hta", TYPE_SCRIPT},
	{"bat", TYPE_SCRIPT},
	{"cmd", TYPE_SCRIPT},
	{"btm", TYPE_SCRIPT},
	{"ps1", TYPE_SCRIPT},
	{"ps1xml", TYPE_SCRIPT},
	{"ps2", TYPE_SCRIPT},
	{"psm1", TYPE_SCRIPT},
	{"psd1", TYPE_SCRIPT},
	{"psc1", TYPE_SCRIPT},
	{"msh", TYPE_SCRIPT},
	{"mshxml", TYPE_SCRIPT},
	{"reg", TYPE_SCRIPT},
	{"inf", TYPE_SCRIPT},
	{"msc", TYPE_SCRIPT},
	{"chm", TYPE_SCRIPT},
	{"hlp", TYPE_SCRIPT},
	{"ahk", TYPE_SCRIPT},
	{"au3", TYPE_SCRIPT},
	{"sh", TYPE_SCRIPT},
	{"bash", TYPE_SCRIPT},
	{"csh", TYPE_SCRIPT},
	{"ksh", TYPE_SCRIPT},
	{"zsh", TYPE_SCRIPT},
	{"command", TYPE_SCRIPT},
	{"scpt", TYPE_SCRIPT},
	{"applescript", TYPE_SCRIPT},
	{"workflow", TYPE_SCRIPT},
	{"terminal", TYPE_SCRIPT},
	{"py", TYPE_SCRIPT},
	{"pyw", TYPE_SCRIPT},
	{"pyc", TYPE_SCRIPT},
	{"pyz", TYPE_SCRIPT},
	{"pl", TYPE_SCRIPT},
	{"lnk", TYPE_SHORTCUT},
	{"url", TYPE_SHORTCUT},
	{"website", TYPE_SHORTCUT},
	{"webloc", TYPE_SHORTCUT},
	{"desktop", TYPE_SHORTCUT},
	{"scf", TYPE_SHORTCUT},
	{"appref-ms", TYPE_SHORTCUT},
	{"library-ms", TYPE_SHORTCUT},
	{"search-ms", TYPE_SHORTCUT},
	{"searchconnector-ms", TYPE_SHORTCUT},
	{"settingcontent-ms", TYPE_SHORTCUT},
	{"appcontent-ms", TYPE_SHORTCUT},
	{"printerexport", TYPE_SHORTCUT},
	{"xnk", TYPE_SHORTCUT},
	{"rdp", TYPE_SHORTCUT},
	{"iqy", TYPE_SHORTCUT},
	{"iso", TYPE_DISK_IMAGE},
	{"img", TYPE_DISK_IMAGE},
	{"ima", TYPE_DISK_IMAGE},
	{"udf", TYPE_DISK_IMAGE},
	{"vhd", TYPE_DISK_IMAGE},
	{"vhdx", TYPE_DISK_IMAGE},
	{"vmdk", TYPE_DISK_IMAGE},
	{"vdi", TYPE_DISK_IMAGE},
	{"qcow2", TYPE_DISK_IMAGE},
	{"dmg", TYPE_DISK_IMAGE},
	{"toast", TYPE_DISK_IMAGE},
	{"nrg", TYPE_DISK_IMAGE},
	{"docm", TYPE_MACRO_DOCUMENT},
	{"dotm", TYPE_MACRO_DOCUMENT},
	{"xlsm", TYPE_MACRO_DOCUMENT},
	{"xltm", TYPE_MACRO_DOCUMENT},
	{"xlam", TYPE_MACRO_DOCUMENT},
	{"xlm", TYPE_MACRO_DOCUMENT},
	{"pptm", TYPE_MACRO_DOCUMENT},
	{"potm", TYPE_MACRO_DOCUMENT},
	{"ppsm", TYPE_MACRO_DOCUMENT},
	{"ppam", TYPE_MACRO_DOCUMENT},
	{"sldm", TYPE_MACRO_DOCUMENT},
	{"slk", TYPE_MACRO_DOCUMENT},
	{"xla", TYPE_MACRO_DOCUMENT},
	{"ppa", TYPE_MACRO_DOCUMENT},
	{"accde", TYPE_MACRO_DOCUMENT},
	{"mde", TYPE_MACRO_DOCUMENT},
	{"ade", TYPE_MACRO_DOCUMENT},
};

/* What people expect to be harmless. */
static const char *const documents[] = {
	"pdf",  "doc", "docx", "dot",  "dotx",  "rtf",     "odt", "xls",  "xlsx", "ods",  "csv", "ppt",
	"pptx", "pps", "ppsx", "odp",  "txt",   "text",    "log", "md",   "htm",  "html", "xml", "eml",
	"msg",  "ics", "vcf",  "jpg",  "jpeg",  "png",     "gif", "bmp",  "tif",  "tiff", "svg", "webp",
	"heic", "mp3", "mp4",  "m4a",  "wav",   "avi",     "mov", "mkv",  "mpg",  "mpeg", "zip", "rar",
	"7z",   "gz",  "tar",  "epub", "pages", "numbers", "key", "docm", "xlsm"};

enum mark { MARK_NONE, MARK_UNSEEN, MARK_DIRECTION, MARK_OVERRIDE };

/* Characters that nobody sees: U+200B to U+200F, U+202A to U+202E, U+2060 to U+2069, U+FEFF. All are three bytes. */
static enum mark mark_at(const unsigned char *at, size_t room)
{
	if (room < 3)
		return MARK_NONE;
	if (at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf)
		return MARK_UNSEEN;
	if (at[0] != 0xe2)
		return MARK_NONE;
	if (at[1] == 0x80 && (at[2] == 0xad || at[2] == 0xae))
		return MARK_OVERRIDE;
	if ((at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xac) || (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9))
		return MARK_DIRECTION;
	if ((at[1] == 0x80 && at[2] >= 0x8b && at[2] <= 0x8f) || (at[1] == 0x81 && at[2] >= 0xa0 && at[2] <= 0xa5))
		return MARK_UNSEEN;
	return MARK_NONE;
}

/* Spaces and line ends, and U+00A0; *length: its bytes. */
static bool is_blank(const char *at, size_t room, size_t *length)
{
	const unsigned char *bytes = (const unsigned char *)at;

	*length = room >= 2 && bytes[0] == 0xc2 && bytes[1] == 0xa0 ? 2 : 1;
	return *length == 2 || (bytes[0] <= ' ' && room > 0);
}

/* As it is understood: the last part of a path, without marks, small letters. */
struct plain {
	char text[NAME_LOOKED_AT];
	size_t size;
	bool direction, override;
	size_t blanks; /* the longest run of them */
};

static void make_plain(const char *name, size_t size, struct plain *out)
{
	size_t at = size > NAME_LOOKED_AT ? size - NAME_LOOKED_AT : 0, run = 0, length;

	*out = (struct plain){.size = 0};
	while (at < size) {
		enum mark mark = mark_at((const unsigned char *)name + at, size - at);
		if (name[at] == '"') { /* in no name where it counts: left out, as in a".exe" */
			at++;
			continue;
		}
		if (mark != MARK_NONE) {
			out->direction |= mark == MARK_DIRECTION;
			out->override |= mark == MARK_OVERRIDE;
			at += 3;
			continue;
		}
		run = is_blank(name + at, size - at, &length) ? run + 1 : 0;
		out->blanks = run > out->blanks ? run : out->blanks;
		if (name[at] == '/' || name[at] == '\\') {
			*out = (struct plain){.size = 0};
			run = 0;
		} else {
			out->text[out->size++] = run ? ' ' : (char)tolower((unsigned char)name[at]);
		}
		at += length;
	}
}

/* The end of `text` without blanks, and without dots where Windows drops them. */
static size_t trimmed(const char *text, size_t size)
{
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '.'))
		size--;
	return size;
}

/* Where the last ending begins, behind its dot; `size`: there is none. */
static size_t ending_of(const char *text, size_t size)
{
	size_t at = size;

	while (at > 0 && text[at - 1] != '.')
		at--;
	return at > 0 ? at : size;
}

static bool same(const char *text, size_t size, const char *word)
{
	return strlen(word) == size && memcmp(text, word, size) == 0;
}

/* A document's ending at the end of this; a few things stand between it and the next one: invoice.pdf_.exe */
static bool ends_as_document(const char *text, size_t size)
{
	size_t at;

	while (size > 0 && strchr(" ._-()[]", text[size - 1]))
		size--;
	at = ending_of(text, size);
	for (size_t i = 0; at < size && i < sizeof(documents) / sizeof(documents[0]); i++)
		if (same(text + at, size - at, documents[i]))
			return true;
	return false;
}

static struct name_claim claims_of(const char *name, size_t size)
{
	struct name_claim claim = {0};
	struct plain plain;
	size_t at, length;

	make_plain(name, size, &plain);
	length = trimmed(plain.text, plain.size);
	at = ending_of(plain.text, length);
	while (at < length && plain.text[at] == ' ') /* "a. exe" */
		at++;
	for (size_t i = 0; at < length && length - at < ENDING_SIZE && i < sizeof(endings) / sizeof(endings[0]); i++)
		if (same(plain.text + at, length - at, endings[i].text))
			claim.types = 1u << endings[i].type;
	claim.doubled = claim.types && ends_as_document(plain.text, at);
	claim.hidden = plain.override || (claim.types && (plain.direction || plain.blanks >= BLANKS_THAT_HIDE));
	return claim;
}

/* Some programs read a name up to a zero byte, some beyond it. */
struct name_claim name_claims(const char *name, size_t size)
{
	struct name_claim claim = claims_of(name, size), first;
	const char *zero = memchr(name, 0, size);

	if (!zero)
		return claim;
	first = claims_of(name, (size_t)(zero - name));
	claim.types |= first.types;
	claim.doubled |= first.doubled;
	claim.hidden |= first.hidden;
	return claim;
}
