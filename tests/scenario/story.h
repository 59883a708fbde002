/* story.h: plays a scenario: a text that tells, step by step, what is sent, what the world is like, and what comes of it.
 *
 * A line is a step; lines below it that begin with a blank belong to it. # begins a comment line. After each step everything that is due at
 * that moment is done, on all servers. Times are given as 90s, 5m, 4h, 5d.
 *
 *     seeds N                              played so often, each time with other random numbers (else 4 times)
 *     server NAME ADDRESS                  a postrider server. What follows is about it:
 *     server NAME                          … or about this one again
 *     set LINE                             a line of its postrider.conf; before its first mail
 *     domain DOMAIN [catch-all ADDRESS]
 *     account ADDRESS
 *     alias ADDRESS TARGET…
 *     dns NAME TYPE DATA                   a record: A, AAAA, MX, CNAME
 *     dns NAME TYPE STATUS                 in place of all records of that name and type: NODATA NXDOMAIN SERVFAIL TIMEOUT BOGUS
 *     host ADDRESS accepts                 somebody else's server: takes all mail, offers all extensions we use
 *     host ADDRESS refuses                 … refuses connections; or `unreachable`: there is no way to it; or `silent`: no answer to a connection
 *     host ADDRESS                         … does as rules say, and else accepts:
 *         S: 554 5.7.1 not you                 what it says when connected (before the first C:)
 *         C: RCPT TO:<bad@*                    to such a command …
 *         S: 550 5.1.1 no such user            … it says this, one or more lines. C: . is the end of a message
 *         S: [close]                           it closes the connection
 *         S: [power cut]                       it says 250, but the power of all our servers failed just before that arrived
 *     mail from <A> to <B> <C>… [by ADDRESS] [8bitmime] [smtputf8]
 *         | Subject: hello                 content; \(N:text) is text N times. `by` is the client's address, else 127.0.0.1
 *     answered PATTERN                     what that mail was answered: the first refusal, else the reply to its end. Without this line it must be 250
 *     retry after TIME                     time goes on to when the next thing is due: now + TIME ± 20 %
 *     pass TIME                            time goes on by so much, and what falls due is done
 *     tried ADDRESS… [or ADDRESS…]         connections since the last `tried`, all of them, in this order, or that one: then each must happen
 *     tried nothing                        with one of the seeds
 *     taken ADDRESS from <A> to <B> <C>…   the next message that this host took
 *     inbox ADDRESS                        the next message in this mailbox
 *         | PATTERN                        one of its lines, after the one above; folded fields are one line
 *         ! PATTERN                        none of its lines
 *     inbox ADDRESS empty                  no further message
 *     queue <B> waiting TIME | held        it is still to be delivered: so long until the next attempt, ± 20 %
 *         | PATTERN                        why
 *     queue empty
 *     operator hold|release|retry|remove|bounce DOMAIN
 *     restart                              the power is back, or the machine was restarted
 *
 * At the end of a scenario the queue must be empty, each message in each mailbox or taken by a host must have been told of, and
 * nothing may be left behind: no connection, no content. Patterns: * stands for anything. */
#ifndef TESTS_SCENARIO_STORY_H
#define TESTS_SCENARIO_STORY_H

#include "base/str.h"

/* Plays it with all its seeds. True, or false and what is wrong, where. */
bool story_play(const char *name, str_t text, char *wrong, size_t cap);

#endif
