/* story.h: plays a scenario: a text that tells, step by step, what is sent, what the world is like,
 * and what comes of it. In tests/scenarios/mail.
 *
 * A line is a step; lines below it that begin with a blank belong to it; # begins a comment line.
 * After each step all that is due at that moment is done, on all servers. A time is written as 90s,
 * 5m, 4h, 5d; in a pattern * stands for anything.
 *
 *     seeds N                          it is played so often, each time with other random numbers;
 *                                      else 4 times
 *     server NAME ADDRESS              a postrider server. What follows is about it;
 *     server NAME                      … or about this one again:
 *     set LINE                             a line of its postrider.conf; before the first mail
 *     domain DOMAIN [catch-all ADDRESS]
 *     account ADDRESS
 *     alias ADDRESS TARGET…
 *     no alias ADDRESS
 *     list ADDRESS [owner ADDRESS] [verp]
 *         | MEMBER
 *     table NAME KEY VALUE…            a row of an operator's table (post/table.h)
 *     table NAME KEY                   … is taken away
 *     mask ACCOUNT                     a masked address for it: <MASK> from here on
 *     no mask                          … is dropped
 *
 *     dns NAME TYPE DATA               a record: A, AAAA, MX or CNAME
 *     dns NAME TYPE STATUS             in place of all of that name and type: NODATA, NXDOMAIN,
 *                                      SERVFAIL, TIMEOUT, BOGUS
 *     host ADDRESS accepts             somebody else's server: takes all mail, offers all we use
 *     host ADDRESS refuses             … refuses connections
 *     host ADDRESS silent              … does not answer them
 *     host ADDRESS unreachable         … there is no way to it
 *     host ADDRESS                     … does as rules say, the first that fits; else accepts:
 *         S: 554 5.7.1 not you             before any C:, what it says when connected
 *         C: RCPT TO:<bad@*                to such a command …
 *         S: 550 5.1.1 no such user        … it says this, in one or more lines; without, nothing
 *         S: [close]                       and closes the connection
 *         C: .                             to the end of a message …
 *         S: [power cut]                   … it says 250, but just before that arrives the power of
 *                                          all our servers fails
 *
 *     mail from <A> to <B> <C>… [by ADDRESS] [as ACCOUNT] [8bitmime] [smtputf8] [with PARAM]
 *             [each PARAM]
 *                                      sent to the server by a client, else by 127.0.0.1; or handed
 *                                      in by who has logged in at its submission port; with
 *                                      parameters of MAIL, and of each RCPT. <SENDER> is the sender
 *                                      of what was last told of as taken
 *         | Subject: hello                 its content, a line; without any, a short one. <MASK> at
 *                                          its end is that address
 *         |*N text                         N lines
 *     answered PATTERN                 with the first refusal, else the reply to its end. Without
 *                                      this step it must be 250
 *     retry after TIME                 time goes on to when the next thing is due, which must be
 *                                      after TIME ± 20 %
 *     pass TIME                        time goes on by so much, and what falls due is done
 *     operator hold|release|retry|remove|bounce DOMAIN
 *     operator route DOMAIN ROUTE…     it goes that way (post/route.h)
 *     operator unsuppress ADDRESS      it may be tried again (post/queue_suppress.h)
 *     etrn DOMAIN                      somebody asks for that domain's mail (RFC 1985)
 *     restart                          of all servers; or the power is back
 *
 *     tried ADDRESS… [or ADDRESS…]     all connections since the last such step, in this order, or
 *                                      in that: then each must come, with one seed or another
 *     tried nothing
 *     sources ADDRESS…                 from which of our addresses all connections since the last such
 *                                      step were made, in this order; any: the system's choice
 *     sources nothing                  there were none
 *     taken ADDRESS from <A> to <B>…   the next message that this host took; <A> is a pattern
 *     inbox ACCOUNT                    the next message in this mailbox
 *         | PATTERN                        one of its lines, below the one before; a folded field
 *                                          is one line
 *         ! PATTERN                        none of its lines
 *     inbox ACCOUNT empty              no further message
 *     queue <B> waiting TIME           still to be delivered, so long until then ± 20 %
 *     queue <B> held                   … not before it is released
 *         | PATTERN                        why
 *     queue empty
 *
 * At the end the queue must be empty, each message in a mailbox or taken by a host must have been
 * told of, and nothing may be left behind: no connection, no content. */
#ifndef TESTS_SCENARIO_STORY_H
#define TESTS_SCENARIO_STORY_H

#include "base/str.h"

/* Plays it with all its seeds. True, or false and what is wrong, where. */
bool story_play(const char *name, str_t text, char *wrong, size_t cap);

#endif
