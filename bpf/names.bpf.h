/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of control files: what daemon/think/store.c says of the two stores in which the kernel side may refuse
 * (maildir and sdbox), by the file's name and that of its folder. Whoever changes one of the two changes the other.
 */
#ifndef MAILWARD_NAMES_H
#define MAILWARD_NAMES_H

#include "kernel.h"

#include "store.h"

enum {
	CONTROL_MAILDIR = 1,   /* maildir: beside cur, new and tmp, whichever folder it is */
	CONTROL_SUBFOLDER = 2, /* maildir: the same, but only in a folder whose name begins with a dot */
	CONTROL_ROOT = 4,      /* in the root of a user's mail, of any store */
	CONTROL_DBOX = 8,      /* sdbox: in dbox-Mails */
};

#define NAME_SIZE 32 /* longer names are no control files */
union name {
	char text[NAME_SIZE];
	uint64_t words[NAME_SIZE / 8];
};

struct control {
	union name name;
	uint64_t where;
};

/* clang-format off */
#define CONTROL(text_, where_) {.name = {.text = text_}, .where = (where_)}
#define CONTROL_INDEX(stem, where_)                                                                                    \
	CONTROL(stem, where_), CONTROL(stem ".log", where_), CONTROL(stem ".log.2", where_),                           \
	CONTROL(stem ".log.newlock", where_), CONTROL(stem ".log.lock", where_), CONTROL(stem ".cache", where_),       \
	CONTROL(stem ".cache.lock", where_), CONTROL(stem ".cache.tmp", where_), CONTROL(stem ".tmp", where_),         \
	CONTROL(stem ".lock", where_), CONTROL(stem ".backup", where_), CONTROL(stem ".thread", where_),               \
	CONTROL(stem ".search", where_), CONTROL(stem ".search.uids", where_)

static const struct control controls[] = {
	CONTROL_INDEX("dovecot.index", CONTROL_MAILDIR | CONTROL_DBOX),
	CONTROL_INDEX("dovecot.list.index", CONTROL_ROOT),
	CONTROL("dovecot-uidlist", CONTROL_MAILDIR), CONTROL("dovecot-uidlist.lock", CONTROL_MAILDIR),
	CONTROL("dovecot-uidlist.tmp", CONTROL_MAILDIR), CONTROL("dovecot-keywords", CONTROL_MAILDIR),
	CONTROL("dovecot-keywords.lock", CONTROL_MAILDIR), CONTROL("dovecot-acl", CONTROL_MAILDIR),
	CONTROL("dovecot-acl-list", CONTROL_MAILDIR), CONTROL("maildirsize", CONTROL_MAILDIR),
	CONTROL("courierimapuiddb", CONTROL_MAILDIR), CONTROL("courierimapsubscribed", CONTROL_MAILDIR),
	CONTROL("courierpop3dsizelist", CONTROL_MAILDIR), CONTROL("courierimapacl", CONTROL_MAILDIR),
	CONTROL("maildirfilter", CONTROL_MAILDIR), CONTROL("maildirfilterconfig", CONTROL_MAILDIR),
	CONTROL("shared-maildirs", CONTROL_MAILDIR),
	CONTROL("cyrus.header", CONTROL_MAILDIR), CONTROL("cyrus.header.NEW", CONTROL_MAILDIR),
	CONTROL("cyrus.index", CONTROL_MAILDIR), CONTROL("cyrus.index.NEW", CONTROL_MAILDIR),
	CONTROL("cyrus.cache", CONTROL_MAILDIR), CONTROL("cyrus.cache.NEW", CONTROL_MAILDIR),
	CONTROL("cyrus.annotations", CONTROL_MAILDIR), CONTROL("cyrus.annotations.NEW", CONTROL_MAILDIR),
	CONTROL("cyrus.squat", CONTROL_MAILDIR), CONTROL("cyrus.squat.NEW", CONTROL_MAILDIR),
	CONTROL("cyrus.expunge", CONTROL_MAILDIR),
	CONTROL("maildirfolder", CONTROL_SUBFOLDER),
	CONTROL("subscriptions", CONTROL_ROOT), CONTROL("subscriptions.lock", CONTROL_ROOT),
	CONTROL("dovecot.mailbox.log", CONTROL_ROOT), CONTROL("dovecot.mailbox.log.2", CONTROL_ROOT),
	CONTROL("dovecot-uidvalidity", CONTROL_ROOT),
	CONTROL(".forward", CONTROL_ROOT), CONTROL(".procmailrc", CONTROL_ROOT), CONTROL(".mailfilter", CONTROL_ROOT),
	CONTROL("dovecot.sieve", CONTROL_ROOT), CONTROL(".dovecot.sieve", CONTROL_ROOT),
	CONTROL("dovecot.sieve.log", CONTROL_ROOT), CONTROL("dovecot.svbin", CONTROL_ROOT),
	CONTROL(".dovecot.svbin", CONTROL_ROOT),
};
static const union name folder_cur = {.text = "cur"}, folder_new = {.text = "new"}, folder_tmp = {.text = "tmp"},
			folder_dbox = {.text = "dbox-Mails"}, folder_storage = {.text = "storage"},
			name_uidvalidity = {.text = "dovecot-uidvalidity."};
/* clang-format on */
#define UIDVALIDITY_LENGTH 20 /* of the name above, the dot included; eight hexadecimal digits follow */

static __always_inline bool name_is(const union name *name, const union name *other)
{
	return !((name->words[0] ^ other->words[0]) | (name->words[1] ^ other->words[1]) |
		 (name->words[2] ^ other->words[2]) | (name->words[3] ^ other->words[3]));
}

/* The name of a dentry, with zeros behind it; all zero where it is too long. */
static __always_inline void name_read(union name *name, struct dentry *dentry)
{
	uint64_t hash_len = BPF_CORE_READ(dentry, d_name.hash_len);
	const unsigned char *text = BPF_CORE_READ(dentry, d_name.name);

	__builtin_memset(name, 0, sizeof(*name));
	if (hash_len >> 32 >= NAME_SIZE)
		return;
	if (bpf_probe_read_kernel_str(name->text, NAME_SIZE, text) < 0)
		name->words[0] = 0;
}

/* dovecot-uidvalidity.xxxxxxxx becomes dovecot-uidvalidity. */
static __always_inline void name_without_digits(union name *name)
{
	union name stem = *name;
	int others = 0;

	if (name->text[0] != 'd' || name->text[UIDVALIDITY_LENGTH + 8])
		return;
#pragma clang loop unroll(full)
	for (uint32_t i = UIDVALIDITY_LENGTH; i < UIDVALIDITY_LENGTH + 8; i++) {
		int c = (unsigned char)name->text[i];

		/* Negative where it is out of both ranges. No branches: the verifier would follow all of them. */
		others |= ((c - '0') | ('9' - c)) & ((c - 'a') | ('f' - c));
		stem.text[i] = 0;
	}
	if (others < 0)
		return;
	if (!name_is(&stem, &name_uidvalidity))
		return;
	stem.text[UIDVALIDITY_LENGTH - 1] = 0;
	*name = stem;
}

static __always_inline uint64_t control_where(const union name *name)
{
#pragma clang loop unroll(disable)
	for (uint32_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		if (name_is(name, &controls[i].name))
			return controls[i].where;
	return 0;
}

/* store_is_control() of the file at `at`, a dentry. in_watch: its folder is the watch's own. A function by itself, so
 * that the verifier looks at it once: what it takes and returns are plain numbers. */
__noinline int name_is_control(uint32_t store, uint64_t at, uint32_t in_watch)
{
	struct dentry *dentry = (struct dentry *)at;
	union name name, folder;
	uint64_t where;

	if (store != STORE_MAILDIR && store != STORE_SDBOX)
		return 0;
	name_read(&name, dentry);
	if (name.text[0] != 'd' && name.text[0] != '.' && name.text[0] != 's' && name.text[0] != 'm' &&
	    name.text[0] != 'c')
		return 0;
	name_without_digits(&name);
	where = control_where(&name);
	if (!where)
		return 0;
	if (in_watch)
		__builtin_memset(&folder, 0, sizeof(folder));
	else
		name_read(&folder, BPF_CORE_READ(dentry, d_parent));
	if (store == STORE_SDBOX) {
		if (name_is(&folder, &folder_dbox))
			return (where & CONTROL_DBOX) != 0;
		return !name_is(&folder, &folder_storage) && where & CONTROL_ROOT;
	}
	if (name_is(&folder, &folder_cur) || name_is(&folder, &folder_new) || name_is(&folder, &folder_tmp))
		return 0;
	if (where & CONTROL_MAILDIR)
		return 1;
	return (where & (folder.text[0] == '.' ? CONTROL_SUBFOLDER : CONTROL_ROOT)) != 0;
}

#endif
