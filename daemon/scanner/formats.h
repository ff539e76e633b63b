/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of archive and compression that libclamav cannot open, known by their content. It reports a file of such a
 * kind as clean without a word: only its packed bytes were compared. One table; measured with libclamav 1.4.6 by
 * tests/suite_scanner.py, which fails when an entry is opened after all or another stays shut.
 */
#ifndef MAILWARD_FORMATS_H
#define MAILWARD_FORMATS_H

#include <stdbool.h>
#include <stddef.h>

/* `type` is libclamav's name of a layer ("CL_TYPE_ZIP"), bytes its whole content. Returns the name of the kind that
 * cannot be opened ("zstd", "RAR", "zip method 93"), or NULL. `rar` says whether libclamav has its RAR library. */
const char *format_unsupported(const char *type, const unsigned char *bytes, size_t size, bool rar);

/* The same for encryption that libclamav passes over without a word: a 7z archive with its list encrypted, and
 * documents (Office, OpenDocument) under a password, and what Dovecot's mail-crypt plugin has encrypted. PGP and S/MIME
 * are not here: they are mail to a person, not to a reader. */
const char *format_encrypted(const char *type, const unsigned char *bytes, size_t size);

/* Is it a zip, or is its content one by another name? */
bool format_is_zip(const char *type);
/* Does something that is no zip end as one? Programs open it by its end. */
bool format_zip_behind(const char *type, const unsigned char *bytes, size_t size);

/* What libclamav does with the members of a layer of this type. */
enum format_members {
	MEMBERS_NONE,      /* no archive, or one whose members may rightly be none */
	MEMBERS_SOME,      /* a layer below it must come, or it could not be opened */
	MEMBERS_ANNOUNCED, /* each member is announced by name and size, and its layer follows at once */
	MEMBERS_LISTED,    /* members are announced, then layers come in another order */
};
enum format_members format_members(const char *type);

#endif
