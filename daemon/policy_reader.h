/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mailward-policy, the short-lived child of the keeper that reads the policy and opens the folders of its watches, so
 * that a slow disk or a dead server holds up nobody else.
 *
 *   argv[1]            the policy file. Sends LEASH_COMPLAINT for each mistake and ends with 2; or LEASH_POLICY (a
 *                      sealed memfd), the roots in the order of the watches, LEASH_WATCH_WITHOUT where there is none
 *                      or a part is missing, LEASH_COMPLAINT for each warning, LEASH_POLICY_END, and ends with 0.
 *   no argv[1]         FD_POLICY is a policy that was taken before: the same without LEASH_POLICY and complaints.
 *   FD_HOOKS + HOOK_LABELS open: nothing but the labels of the processes that run already (policy_labels.h); one line
 *                      for the log.
 *
 * It ends itself after 12 s.
 */
#ifndef MAILWARD_POLICY_READER_H
#define MAILWARD_POLICY_READER_H

int policy_reader_run(int argc, char **argv);

#endif
