/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy's files. Used by the policy reader, a short-lived child that may wait for a disk, and by `mailward check`;
 * never by the gate or the keeper.
 */
#ifndef MAILWARD_POLICY_FILES_H
#define MAILWARD_POLICY_FILES_H

#include "policy.h"
#include "policy_text.h"

#define POLICY_FILE_BYTES (1u << 20) /* a larger file is refused */

/* The file and its drop-ins (FILE.d/NAME.conf, by name), parsed for this host. Only what root alone may write is taken.
 * false: complaints has errors. policy_settle() comes next. */
bool policy_load(struct policy *policy, const char *file, struct complaints *complaints);

#endif
