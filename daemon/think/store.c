// SPDX-License-Identifier: GPL-2.0-only
/*
 * The names below are those that Dovecot and Postfix gave their files where they were watched at work. They are exact,
 * not prefixes: `dovecot.index.exe` is a file like any other. Whoever may write into a mailbox folder can still call a
 * file `dovecot.index.log`; that name is then not guarded at an open (it is at an exec), which mailward.conf(5) says.
 */
#include "store.h"

#include <stddef.h>
#include <string.h>

bool store_may_hold(enum store store)
{
	switch (store) {
	case STORE_FILES:
	case STORE_MAILDIR:
	case STORE_SDBOX:
		return true;
	case STORE_MBOX:
	case STORE_MDBOX:
	case STORE_POSTFIX_QUEUE:
	case STORES:
		return false;
	}
	return false;
}

bool store_may_empty(enum store store)
{
	return store == STORE_POSTFIX_QUEUE;
}

bool store_is_queued(const char *queue, const char *path)
{
	static const char *const folders[] = {"/incoming/", "/active/", "/deferred/", "/hold/"};
	size_t length = strlen(queue);

	if (strncmp(path, queue, length) != 0)
		return false;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (strncmp(path + length, folders[i], strlen(folders[i])) == 0)
			return true;
	return false;
}

static bool is_one_of(const char *const programs[], const char *exe, size_t size)
{
	for (size_t i = 0; programs[i]; i++) {
		size_t length = strlen(programs[i]);
		if (size > length && memcmp(exe + size - length, programs[i], length) == 0)
			return true;
	}
	return false;
}

bool store_may_wait(enum store store, const char *exe, size_t size)
{
	static const char *const agents[] = {"/local", "/virtual", "/lmtp", "/smtp", "/pipe", "/bounce", NULL};

	return store_may_empty(store) && is_one_of(agents, exe, size);
}

bool store_is_delivery(enum store store, const char *exe, size_t size)
{
	static const char *const agents[] = {"/dovecot/lmtp", "/dovecot-lda", "/dovecot/deliver", NULL};

	return (store == STORE_MAILDIR || store == STORE_SDBOX) && is_one_of(agents, exe, size);
}

bool store_forbids_lease(enum store store)
{
	switch (store) {
	case STORE_FILES:
	case STORE_MAILDIR:
	case STORE_SDBOX:
		return false;
	case STORE_MBOX:
	case STORE_MDBOX:
	case STORE_POSTFIX_QUEUE:
	case STORES:
		return true;
	}
	return true;
}

bool store_is_transient(enum store store, const char *path)
{
	const char *base = strrchr(path, '/');
	size_t folder = base ? (size_t)(base - path) : 0;

	if (!base)
		return false;
	switch (store) {
	case STORE_MAILDIR:
		return folder >= 4 && memcmp(path + folder - 4, "/tmp", 4) == 0;
	case STORE_SDBOX:
		return strncmp(base + 1, ".temp.", 6) == 0;
	case STORE_FILES:
	case STORE_MBOX:
	case STORE_MDBOX:
	case STORE_POSTFIX_QUEUE:
	case STORES:
		break;
	}
	return false;
}

/* ---- names ---- */

struct name {
	const char *text;
	size_t length;
};

static bool name_is(struct name name, const char *text)
{
	return strlen(text) == name.length && memcmp(name.text, text, name.length) == 0;
}

static bool name_is_any(struct name name, const char *const texts[])
{
	for (size_t i = 0; texts[i]; i++)
		if (name_is(name, texts[i]))
			return true;
	return false;
}

/* "dovecot.index" with each of the endings that Dovecot's index code makes. */
static bool name_is_index(struct name name, const char *stem)
{
	static const char *const endings[] = {"",        ".log",        ".log.2",     ".log.newlock", ".log.lock",
					      ".cache",  ".cache.lock", ".cache.tmp", ".tmp",         ".lock",
					      ".backup", ".thread",     ".search",    ".search.uids", NULL};
	size_t length = strlen(stem);

	if (name.length < length || memcmp(name.text, stem, length) != 0)
		return false;
	return name_is_any((struct name){name.text + length, name.length - length}, endings);
}

/* dovecot-uidvalidity, and with .xxxxxxxx (eight hexadecimal digits) behind it */
static bool name_is_uidvalidity(struct name name)
{
	static const char stem[] = "dovecot-uidvalidity";
	size_t length = sizeof(stem) - 1;

	if (name_is(name, stem))
		return true;
	if (name.length != length + 9 || memcmp(name.text, stem, length) != 0 || name.text[length] != '.')
		return false;
	return strspn(name.text + length + 1, "0123456789abcdef") == 8;
}

/* The path without its last component; the last component of that. */
static struct name folder_of(const char *path, const char *base)
{
	const char *end = base > path ? base - 1 : path, *start = end;

	while (start > path && start[-1] != '/')
		start--;
	return (struct name){start, (size_t)(end - start)};
}

/* Files that lie in the root of a user's mail, whichever of Dovecot's stores it is. */
static bool name_is_of_mail_root(struct name name)
{
	static const char *const names[] = {"subscriptions", "subscriptions.lock", "dovecot.mailbox.log",
					    "dovecot.mailbox.log.2", NULL};

	return name_is_any(name, names) || name_is_index(name, "dovecot.list.index") || name_is_uidvalidity(name);
}

/* Files of a user that a delivery agent or Dovecot's Sieve reads; they lie beside or above the mail. */
static bool name_is_of_user(struct name name)
{
	static const char *const names[] = {".forward",      ".procmailrc",    ".mailfilter",
					    "dovecot.sieve", ".dovecot.sieve", "dovecot.sieve.log",
					    "dovecot.svbin", ".dovecot.svbin", NULL};

	return name_is_any(name, names);
}

/* ---- stores ---- */

/* Files that Courier keeps in a Maildir and Cyrus in a folder of mail (maildir(7), cyrus.* of its file layout); written
 * down from their manuals, not seen at work. Cyrus has its messages, `N.`, beside them. */
static bool name_is_of_other_servers(struct name name)
{
	static const char *const names[] = {"courierimapuiddb",
					    "courierimapsubscribed",
					    "courierpop3dsizelist",
					    "courierimapacl",
					    "maildirfilter",
					    "maildirfilterconfig",
					    "shared-maildirs",
					    "cyrus.header",
					    "cyrus.header.NEW",
					    "cyrus.index",
					    "cyrus.index.NEW",
					    "cyrus.cache",
					    "cyrus.cache.NEW",
					    "cyrus.annotations",
					    "cyrus.annotations.NEW",
					    "cyrus.squat",
					    "cyrus.squat.NEW",
					    "cyrus.expunge",
					    NULL};

	return name_is_any(name, names);
}

/* Maildir++: messages lie in cur, new and tmp of a folder; everything else beside these three. A folder other than the
 * inbox has a name that begins with a dot. */
static bool maildir_is_control(struct name name, struct name folder)
{
	static const char *const message_folders[] = {"cur", "new", "tmp", NULL};
	static const char *const names[] = {"dovecot-uidlist",  "dovecot-uidlist.lock",  "dovecot-uidlist.tmp",
					    "dovecot-keywords", "dovecot-keywords.lock", "dovecot-acl",
					    "dovecot-acl-list", "maildirsize",           NULL};
	bool in_subfolder = folder.length > 0 && folder.text[0] == '.';

	if (name_is_any(folder, message_folders))
		return false;
	if (name_is_index(name, "dovecot.index") || name_is_any(name, names) || name_is_of_other_servers(name))
		return true;
	if (in_subfolder)
		return name_is(name, "maildirfolder");
	return name_is_of_mail_root(name) || name_is_of_user(name);
}

/* sdbox and mdbox: MAILBOX/dbox-Mails holds the index of a mailbox (and sdbox's messages, u.N); storage holds mdbox's
 * map (and its messages, m.N); the root holds the rest. */
static bool dbox_is_control(struct name name, struct name folder, bool many)
{
	if (name_is(folder, "dbox-Mails"))
		return name_is_index(name, "dovecot.index");
	if (name_is(folder, "storage"))
		return many && name_is_index(name, "dovecot.map.index");
	return name_is_of_mail_root(name) || name_is_of_user(name);
}

/* mbox: NAME.lock beside each mailbox, and the indexes in .imap/MAILBOX. */
static bool mbox_is_control(struct name name, const char *path)
{
	if (name.length > 5 && memcmp(name.text + name.length - 5, ".lock", 5) == 0)
		return true;
	if (name_is(name, ".subscriptions") || name_is_of_mail_root(name) || name_is_of_user(name))
		return true;
	return (strncmp(path, ".imap/", 6) == 0 || strstr(path, "/.imap/")) && name_is_index(name, "dovecot.index");
}

/* Folders of the queue that hold no messages: sockets, locks, logs of deliveries; and maildrop, which pickup alone
 * reads and where it hands each message to cleanup, whose new file is looked at. Relative to queue_directory. */
static bool queue_is_control(const char *path)
{
	static const char *const folders[] = {"pid",   "private", "public", "defer",    "bounce",
					      "trace", "flush",   "saved",  "maildrop", NULL};
	const char *slash = strchr(path, '/');

	return slash && name_is_any((struct name){path, (size_t)(slash - path)}, folders);
}

bool store_is_control(enum store store, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	struct name name = {base, strlen(base)}, folder = folder_of(path, base);

	switch (store) {
	case STORE_MAILDIR:
		return maildir_is_control(name, folder);
	case STORE_SDBOX:
		return dbox_is_control(name, folder, false);
	case STORE_MDBOX:
		return dbox_is_control(name, folder, true);
	case STORE_MBOX:
		return mbox_is_control(name, path);
	case STORE_POSTFIX_QUEUE:
		return queue_is_control(path);
	case STORE_FILES:
	case STORES:
		return false;
	}
	return false;
}
