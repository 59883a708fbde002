/* blocking.c: see blocking.h. */
#include "sys/blocking.h"

_Thread_local const struct blocking *blocking_listener;
