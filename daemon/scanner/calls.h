/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libclamav's own calls to the C library, so that one that fails does not stay a secret. It decodes the parts of a mail
 * through buffered streams and ignores what fflush and fclose return: in a full file system each part is an empty file,
 * which it skips, and the mail is "clean" without a single message (seen with 1.4.6). The functions here take the place
 * of the C library's for the whole program (a program's own functions come first in dynamic linking).
 */
#ifndef MAILWARD_CALLS_H
#define MAILWARD_CALLS_H

/* From now on failed() hears of each opening, reading and writing that fails for want of room, rights, descriptors or
 * a working device, of each lack of memory (ENOMEM), and of a signature's regular expression that gave up (ETIME:
 * libclamav tells of it while it is debugged alone); NULL: no longer. A file that does not exist is no failure.
 * failed() must not allocate. */
void calls_watch(void (*failed)(const char *call, int error));

#endif
