/* What comes in at one socket. */
#ifndef INBOX_H
#define INBOX_H

#include "crypto.h"

#pragma GCC visibility push(hidden)

PyObject *make_inbox_type(void);

#pragma GCC visibility pop

#ifdef TEXTS
TEXT_OF(inbox_h)
#endif
#endif
