/* missing.h: how a change says that what it was to change or to remove is not there: RC_PERM with this
 * status. The command line exits with 3 then. */
#ifndef POST_MISSING_H
#define POST_MISSING_H

#define MISSING_STATUS "5.1.1" /* RFC 3463 */

#endif
