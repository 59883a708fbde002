/* blocking.c: see blocking.h. */
#include "base/blocking.h"

_Thread_local const struct blocking *blocking_listener;
