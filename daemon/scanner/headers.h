/* SPDX-License-Identifier: GPL-2.0-only */
/* Two words from the head of a message, for `mailward blocked`. The text is hostile: nothing but the characters named
 * here ever comes out, and never anything from the body. */
#ifndef MAILWARD_HEADERS_H
#define MAILWARD_HEADERS_H

#include <stddef.h>

#define HEADERS_LOOKED_AT 65536 /* bytes of a message's head that are read */
#define QUEUE_ID_SIZE 32
#define MESSAGE_ID_SIZE 256

/* queue_id: [A-Za-z0-9]+, the word behind "id" in the topmost Received line that has one and does not come from LMTP
 * (there it is the mailbox server's session, known to no mail queue); comments and <...> are skipped. message_id: the
 * first word of the first Message-ID line, bytes 0x21-0x7e. Either is empty where there is none, where it holds
 * another character or does not fit. `text` is the beginning of a message, with or without an mbox "From " line. */
void headers_read(const char *text, size_t size, char queue_id[QUEUE_ID_SIZE], char message_id[MESSAGE_ID_SIZE]);

#endif
