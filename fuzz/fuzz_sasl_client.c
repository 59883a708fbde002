/* fuzz_sasl_client.c: an exchange with SASL's client side. Input: a byte of choices, then what the
 * server offers, then its challenges, with 0xff between. Checked: memory bounds, the arena's promise,
 * that the password is only said by mechanisms that say it and under encryption, and that SCRAM does
 * not succeed before the server has proved itself. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/sasl/client_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENCRYPTED = 1, BINDING = 2, TOKEN = 4, EXTERNAL = 8 };

/* More iterations than these would only be slow. */
static bool too_slow(str_t challenge)
{
    str_t rest = challenge, attr;
    while (str_cut(&rest, ',', &attr)) {
        if (str_starts(rest, STR("i=")) && rest.len > 6 && ascii_digit(rest.ptr[6]))
            return true;
    }
    return false;
}

static void check_response(const struct saslc *c, str_t response, unsigned choice)
{
    bool says = !sasl_is_scram(c->mech) && c->mech != SASL_EXTERNAL;
    must(response.len <= SASL_MESSAGE_MAX * 2);
    if (!says || !(choice & ENCRYPTED)) {
        must(!str_contains(response, STR("pencil")));
        must(!str_contains(response, STR("bearertoken")));
    }
}

static void challenge_exactly(struct saslc *c, str_t challenge, unsigned choice, bool *goes_on)
{
    char *exact = malloc(challenge.len + (challenge.len == 0));
    str_t response;
    must(exact != NULL);
    if (challenge.len > 0)
        memcpy(exact, challenge.ptr, challenge.len);
    *goes_on = saslc_step(c, str_of(exact, challenge.len), &response);
    free(exact);
    must(*goes_on || response.len == 0);
    check_response(c, response, choice);
}

static void converse(struct saslc *c, str_t rest, unsigned choice)
{
    str_t response, challenge;
    bool more = true, goes_on = true, verified = false;
    if (saslc_initial(c, &response))
        check_response(c, response, choice);
    while (more && goes_on) {
        more = str_cut(&rest, '\xff', &challenge);
        challenge = more ? challenge : rest;
        if (too_slow(challenge))
            break;
        challenge_exactly(c, challenge, choice, &goes_on);
        if (saslc_succeeded(c) && sasl_is_scram(c->mech))
            verified = goes_on && str_starts(challenge, STR("v="));
        must(!sasl_is_scram(c->mech) || saslc_succeeded(c) == (verified && goes_on));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned choice = data[0];
    struct sasl_credentials cred = {.name = STR("user"), .password = STR("pencil")};
    str_t rest = str_of(data + 1, size - 1), offered = STR("");
    struct err err = {.rc = RC_OK};
    struct arena arena;
    cred.allow_plain = (choice & ENCRYPTED) != 0;
    if (choice & BINDING)
        cred.binding.exporter = STR("exporterexporterexporterexporter");
    if (choice & TOKEN)
        cred.token = STR("bearertoken");
    if (choice & EXTERNAL)
        cred.only = "EXTERNAL";
    arena_init(&arena, SASL_ARENA_MAX);
    (void)str_cut(&rest, '\xff', &offered);
    struct saslc *c =
        saslc_begin(&arena, offered, &cred, (const uint8_t *)"24 bytes that are fixed.", &err);
    if (c != NULL)
        converse(c, rest, choice);
    else
        must(err.rc == RC_PERM);
    must(!arena.failed);
    saslc_end(c);
    arena_free(&arena);
    return 0;
}
