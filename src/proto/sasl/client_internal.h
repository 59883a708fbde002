/* client_internal.h: what client.c and client_scram.c share; tests look in here too. */
#ifndef PROTO_SASL_CLIENT_INTERNAL_H
#define PROTO_SASL_CLIENT_INTERNAL_H

#include "proto/sasl/client.h"
#include "proto/sasl/sasl_internal.h"

struct saslc {
    struct sasl_vault vault;
    enum sasl_mech mech;
    bool prompted;  /* the server has asked for the initial response: once */
    unsigned steps; /* other challenges so far */
    str_t name, password, token, initial;
    char nonce[SASL_NONCE_CHARS + 1];
    struct { /* SCRAM */
        str_t gs2_header, cbind_data, first_bare;
        uint8_t signature[DIGEST_MAX]; /* what the server must say */
        bool verified;
    } scram;
};

/* What is said of channel binding, from what the server offers and which mechanism was chosen. */
void saslc_scram_bind(struct saslc *c, const struct sasl_binding *binding, bool plus_offered);
bool saslc_scram_initial(struct saslc *c); /* false: no memory */
bool saslc_scram_step(struct saslc *c, str_t challenge, str_t *response);

#endif
