/* SPDX-License-Identifier: GPL-2.0-only */
/* glibc loads a module for each charset, as executable memory, which the box refuses: so they are loaded beforehand. */
#ifndef MAILWARD_CHARSETS_H
#define MAILWARD_CHARSETS_H

unsigned charsets_open(void); /* before the first fork; how many conversions there are now */

#endif
