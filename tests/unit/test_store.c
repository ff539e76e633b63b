// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/store.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

static void only_stores_of_one_file_per_message_may_hold(void)
{
	CU_ASSERT_TRUE(store_may_hold(STORE_FILES));
	CU_ASSERT_TRUE(store_may_hold(STORE_MAILDIR));
	CU_ASSERT_TRUE(store_may_hold(STORE_SDBOX));
	CU_ASSERT_FALSE(store_may_hold(STORE_MBOX));
	CU_ASSERT_FALSE(store_may_hold(STORE_MDBOX));
	CU_ASSERT_FALSE(store_may_hold(STORE_POSTFIX_QUEUE));
	CU_ASSERT_FALSE(store_may_hold(STORES));
	CU_ASSERT_FALSE(store_may_hold((enum store)99));
}

static void stores_whose_writers_do_not_block_forbid_a_lease(void)
{
	CU_ASSERT_FALSE(store_forbids_lease(STORE_FILES));
	CU_ASSERT_FALSE(store_forbids_lease(STORE_MAILDIR));
	CU_ASSERT_FALSE(store_forbids_lease(STORE_SDBOX));
	CU_ASSERT_TRUE(store_forbids_lease(STORE_MBOX));
	CU_ASSERT_TRUE(store_forbids_lease(STORE_MDBOX));
	CU_ASSERT_TRUE(store_forbids_lease(STORE_POSTFIX_QUEUE));
	CU_ASSERT_TRUE(store_forbids_lease((enum store)99));
}

static void a_queue_gives_messages_up_and_no_other_store_does(void)
{
	CU_ASSERT_TRUE(store_may_empty(STORE_POSTFIX_QUEUE));
	for (int store = 0; store <= STORES; store++)
		if (store != STORE_POSTFIX_QUEUE)
			CU_ASSERT_FALSE(store_may_empty((enum store)store));
}

static void postfix_goes_on_with_messages_in_four_folders(void)
{
	const char *queue = "/var/spool/postfix";

	CU_ASSERT_TRUE(store_is_queued(queue, "/var/spool/postfix/incoming/9464A2746"));
	CU_ASSERT_TRUE(store_is_queued(queue, "/var/spool/postfix/active/9464A2746"));
	CU_ASSERT_TRUE(store_is_queued(queue, "/var/spool/postfix/deferred/9/9464A2746"));
	CU_ASSERT_TRUE(store_is_queued(queue, "/var/spool/postfix/hold/9464A2746"));
	CU_ASSERT_FALSE(store_is_queued(queue, "/var/spool/postfix/corrupt/9464A2746"));
	CU_ASSERT_FALSE(store_is_queued(queue, "/var/spool/postfix/maildrop/9464A2746"));
	CU_ASSERT_FALSE(store_is_queued(queue, "/var/spool/postfix/defer/9/9464A2746"));
	CU_ASSERT_FALSE(store_is_queued(queue, "/var/spool/postfix-2/active/9464A2746"));
	CU_ASSERT_FALSE(store_is_queued(queue, "/active/9464A2746"));
	CU_ASSERT_FALSE(store_is_queued(queue, ""));
}

static bool may_wait(enum store store, const char *exe)
{
	return store_may_wait(store, exe, strlen(exe));
}

static void delivery_agents_may_wait_and_qmgr_and_others_never_do(void)
{
	CU_ASSERT_TRUE(may_wait(STORE_POSTFIX_QUEUE, "/usr/lib/postfix/sbin/local"));
	CU_ASSERT_TRUE(may_wait(STORE_POSTFIX_QUEUE, "/usr/lib/postfix/sbin/smtp"));
	CU_ASSERT_TRUE(may_wait(STORE_POSTFIX_QUEUE, "/usr/libexec/postfix/bounce"));
	CU_ASSERT_FALSE(may_wait(STORE_POSTFIX_QUEUE, "/usr/lib/postfix/sbin/qmgr"));
	CU_ASSERT_FALSE(may_wait(STORE_POSTFIX_QUEUE, "/usr/lib/postfix/sbin/showq"));
	CU_ASSERT_FALSE(may_wait(STORE_POSTFIX_QUEUE, "/usr/sbin/postcat"));
	CU_ASSERT_FALSE(may_wait(STORE_POSTFIX_QUEUE, "/local/qmgr"));
	CU_ASSERT_FALSE(may_wait(STORE_POSTFIX_QUEUE, "/usr/lib/postfix/sbin/xlocal"));
	CU_ASSERT_FALSE(may_wait(STORE_POSTFIX_QUEUE, "/local"));
	CU_ASSERT_FALSE(may_wait(STORE_POSTFIX_QUEUE, ""));
	CU_ASSERT_FALSE(may_wait(STORE_MBOX, "/usr/lib/postfix/sbin/local"));
	CU_ASSERT_FALSE(may_wait(STORE_MDBOX, "/usr/lib/dovecot/imap"));
}

static void all_are(bool expected, enum store store, const char *const *paths)
{
	for (; *paths; paths++) {
		if (store_is_control(store, *paths) != expected)
			printf("\n  %s (store %d) should%s be a control file\n", *paths, store, expected ? "" : " not");
		CU_ASSERT_EQUAL(store_is_control(store, *paths), expected);
	}
}

static void maildir_control_files_lie_beside_the_messages(void)
{
	all_are(true, STORE_MAILDIR,
		(const char *[]){"dovecot.index",
				 "dovecot.index.log",
				 "u/dovecot.index.log.2",
				 "u/dovecot.index.cache",
				 "example.org/u/Maildir/dovecot-uidlist",
				 "u/dovecot-uidlist.lock",
				 "u/dovecot-uidlist.tmp",
				 "u/.Sent/dovecot-uidlist",
				 "u/.Sent/dovecot.index.log.newlock",
				 "u/.Sent/maildirfolder",
				 "u/subscriptions",
				 "u/dovecot.list.index.log",
				 "u/dovecot-uidvalidity",
				 "u/dovecot-uidvalidity.5f9c3a1b",
				 "u/dovecot-keywords",
				 "u/dovecot.mailbox.log",
				 "u/dovecot.sieve",
				 "u/.dovecot.svbin",
				 "u/.forward",
				 "u/.procmailrc",
				 "u/.mailfilter",
				 "u/maildirsize",
				 NULL});
}

static void control_files_of_courier_and_cyrus_lie_beside_the_messages_too(void)
{
	all_are(true, STORE_MAILDIR,
		(const char *[]){"u/Maildir/courierimapuiddb", "u/Maildir/.Sent/courierimapuiddb",
				 "u/courierimapsubscribed", "u/courierpop3dsizelist", "u/courierimapacl",
				 "u/maildirfilter", "shared-maildirs", "u/user/anna/cyrus.index",
				 "u/user/anna/cyrus.cache", "u/user/anna/cyrus.header.NEW", "x/cyrus.squat",
				 "x/cyrus.annotations", "x/cyrus.expunge", NULL});
	all_are(false, STORE_MAILDIR,
		(const char *[]){"u/cur/courierimapuiddb", "u/new/cyrus.index", "u/tmp/cyrus.header",
				 "u/courierimapuiddb.exe", "u/user/anna/1.", "u/user/anna/cyrus", "u/stage./1-2-3",
				 "u/user/anna/cyrus.exe", "u/user/anna/cyrus.index.NEW.sh", NULL});
	all_are(false, STORE_SDBOX, (const char *[]){"u/cyrus.index", "u/courierimapuiddb", NULL});
}

static void maildir_messages_are_never_control_files(void)
{
	all_are(false, STORE_MAILDIR,
		(const char *[]){"cur/dovecot.index.log", "u/cur/dovecot.index", "u/new/dovecot-uidlist",
				 "u/tmp/dovecot-uidlist.lock", "u/.Sent/cur/maildirfolder", "u/new/subscriptions",
				 "u/cur/1700000000.M1P2.host,S=1,W=2:2,S", "u/new/.forward", "u/tmp/x.lock", NULL});
}

static void a_name_like_a_control_file_is_a_file_like_any_other(void)
{
	all_are(false, STORE_MAILDIR,
		(const char *[]){"evil.lock",
				 "u/evil.lock",
				 "u/dovecot.index.exe",
				 "u/dovecot.index.log.sh",
				 "u/dovecot.indexx",
				 "u/xdovecot.index",
				 "u/dovecot-uidlist.exe",
				 "u/DOVECOT.INDEX",
				 "u/dovecot-uidvalidity.evil.exe",
				 "u/dovecot-uidvalidity.5f9c3a1g",
				 "u/dovecot-uidvalidity.5f9c3a1",
				 "u/dovecot-uidvalidity.5f9c3a1b0",
				 "u/maildirfolder",
				 "u/.Sent/subscriptions",
				 "u/.Sent/.forward",
				 "u/dovecot.index/evil",
				 "",
				 "/",
				 "u/",
				 "dovecot",
				 "dovecot.index.",
				 NULL});
}

static void sdbox_control_files_lie_where_dovecot_keeps_them(void)
{
	all_are(true, STORE_SDBOX,
		(const char *[]){"u/mailboxes/INBOX/dbox-Mails/dovecot.index",
				 "u/mailboxes/INBOX/dbox-Mails/dovecot.index.cache", "u/dovecot.list.index",
				 "u/subscriptions", "u/dovecot-uidvalidity.00000001", NULL});
	all_are(false, STORE_SDBOX,
		(const char *[]){"u/mailboxes/INBOX/dbox-Mails/u.1", "u/mailboxes/INBOX/dbox-Mails/.temp.1.P2.host",
				 "u/mailboxes/INBOX/dbox-Mails/subscriptions", "u/att/dovecot.index.log",
				 "u/dovecot.index", "u/storage/dovecot.map.index", "u/evil.lock", NULL});
}

static void mdbox_control_files_lie_where_dovecot_keeps_them(void)
{
	all_are(true, STORE_MDBOX,
		(const char *[]){"u/storage/dovecot.map.index.log", "u/storage/dovecot.map.index",
				 "u/mailboxes/INBOX/dbox-Mails/dovecot.index.log", "u/dovecot.mailbox.log", NULL});
	all_are(false, STORE_MDBOX,
		(const char *[]){"u/storage/m.1", "u/dovecot.map.index", "u/storage/dovecot.index",
				 "u/storage/evil.lock", NULL});
}

static void mbox_control_files_lie_where_the_store_keeps_them(void)
{
	all_are(true, STORE_MBOX,
		(const char *[]){"inbox.lock", "u/inbox.lock", ".imap/INBOX/dovecot.index.log",
				 "u/.imap/Sent/dovecot.index", "u/.subscriptions", NULL});
	all_are(false, STORE_MBOX,
		(const char *[]){"inbox", "u/inbox", ".lock", "u/dovecot.index", "u/x.imap/dovecot.index", NULL});
}

static void queue_folders_without_messages_are_control(void)
{
	all_are(true, STORE_POSTFIX_QUEUE,
		(const char *[]){"pid/inet.smtp", "private/local", "public/qmgr", "defer/A/ABC", "bounce/A/ABC",
				 "trace/A/ABC", "flush/example_org", "saved/ABC", "maildrop/ABC", NULL});
	all_are(false, STORE_POSTFIX_QUEUE,
		(const char *[]){"active/ABC", "incoming/ABC", "deferred/A/ABC", "hold/ABC", "corrupt/ABC",
				 "deferred/pid/ABC", "pid", "pidx/a", "active/x.lock", NULL});
}

static void plain_files_have_no_control_files(void)
{
	all_are(false, STORE_FILES,
		(const char *[]){"dovecot.index", "u/dovecot-uidlist", "pid/x", "inbox.lock",
				 ".imap/INBOX/dovecot.index", "subscriptions", NULL});
	all_are(false, STORES, (const char *[]){"dovecot.index", NULL});
}

static void a_name_of_a_delivery_is_told_from_a_message(void)
{
	CU_ASSERT_TRUE(store_is_transient(STORE_MAILDIR, "/v/anna/tmp/1.M1P1.host"));
	CU_ASSERT_TRUE(store_is_transient(STORE_MAILDIR, "/v/anna/.Sent/tmp/1"));
	CU_ASSERT_FALSE(store_is_transient(STORE_MAILDIR, "/v/anna/new/1"));
	CU_ASSERT_FALSE(store_is_transient(STORE_MAILDIR, "/v/anna/cur/tmp"));
	CU_ASSERT_FALSE(store_is_transient(STORE_MAILDIR, "/v/anna/xtmp/1"));
	CU_ASSERT_FALSE(store_is_transient(STORE_MAILDIR, "/v/tmp/cur/1"));
	CU_ASSERT_TRUE(store_is_transient(STORE_SDBOX, "/v/mailboxes/INBOX/dbox-Mails/.temp.1.P2Q3M4.host"));
	CU_ASSERT_FALSE(store_is_transient(STORE_SDBOX, "/v/mailboxes/INBOX/dbox-Mails/u.1"));
	CU_ASSERT_FALSE(store_is_transient(STORE_SDBOX, "/v/tmp/u.1"));
	CU_ASSERT_FALSE(store_is_transient(STORE_FILES, "/v/tmp/1"));
	CU_ASSERT_FALSE(store_is_transient(STORE_MAILDIR, "1"));
	CU_ASSERT_FALSE(store_is_transient(STORE_MAILDIR, ""));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("store", NULL, NULL);
	CU_ADD_TEST(suite, only_stores_of_one_file_per_message_may_hold);
	CU_ADD_TEST(suite, stores_whose_writers_do_not_block_forbid_a_lease);
	CU_ADD_TEST(suite, a_queue_gives_messages_up_and_no_other_store_does);
	CU_ADD_TEST(suite, postfix_goes_on_with_messages_in_four_folders);
	CU_ADD_TEST(suite, delivery_agents_may_wait_and_qmgr_and_others_never_do);
	CU_ADD_TEST(suite, maildir_control_files_lie_beside_the_messages);
	CU_ADD_TEST(suite, control_files_of_courier_and_cyrus_lie_beside_the_messages_too);
	CU_ADD_TEST(suite, maildir_messages_are_never_control_files);
	CU_ADD_TEST(suite, a_name_like_a_control_file_is_a_file_like_any_other);
	CU_ADD_TEST(suite, sdbox_control_files_lie_where_dovecot_keeps_them);
	CU_ADD_TEST(suite, mdbox_control_files_lie_where_dovecot_keeps_them);
	CU_ADD_TEST(suite, mbox_control_files_lie_where_the_store_keeps_them);
	CU_ADD_TEST(suite, queue_folders_without_messages_are_control);
	CU_ADD_TEST(suite, plain_files_have_no_control_files);
	CU_ADD_TEST(suite, a_name_of_a_delivery_is_told_from_a_message);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
