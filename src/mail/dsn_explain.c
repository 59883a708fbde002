/* dsn_explain.c: the words for the human part of a report: what a status code means, and what the
 * sender can do. RFC 3463 3, RFC 7505 4 (x.1.10, x.7.27), RFC 6531 3.7.4.2 and 3.5 (x.6.7,
 * x.6.9). */
#include "mail/dsn.h"

static const struct row {
    const char *detail; /* subject and detail of the code, or the subject alone */
    str_t text;
} rows[] = {
    {"1.0", STR("There is a problem with this address.")},
    {"1.1", STR("There is no such address at that domain. Please check it for typing errors.")},
    {"1.2",
     STR("The part after the @ is no domain that takes mail. Please check it for typing errors.")},
    {"1.3", STR("This address is not well formed. Please check it for typing errors.")},
    {"1.4", STR("This address stands for more than one mailbox there.")},
    {"1.6", STR("The mailbox has moved and left no new address.")},
    {"1.7", STR("The receiving system does not take your sender address: it is not well formed.")},
    {"1.8",
     STR("The receiving system does not take your sender address: it cannot find its domain.")},
    {"1.10", STR("The domain of this address takes no mail at all.")},
    {"2.1", STR("The mailbox is disabled and takes no mail.")},
    {"2.2", STR("The mailbox is full. Its owner must make room before it can take mail.")},
    {"2.3", STR("The message is larger than this mailbox takes.")},
    {"2.4", STR("The mailing list behind this address could not be reached.")},
    {"3.1", STR("The receiving system is out of room.")},
    {"3.2", STR("The receiving system takes no mail at the moment.")},
    {"3.4", STR("The message is larger than the receiving system takes.")},
    {"3.5", STR("The receiving system is not set up for this mail.")},
    {"4.1", STR("The mail server of this domain does not answer.")},
    {"4.2", STR("The connection to the mail server of this domain broke.")},
    {"4.3", STR("The name service (DNS) could not say where mail for this domain goes.")},
    {"4.4", STR("No mail server was found for this domain.")},
    {"4.5", STR("The mail server of this domain is too busy.")},
    {"4.6", STR("The message was going round in circles: this address forwards to itself.")},
    {"4.7", STR("The time for delivering the message has run out.")},
    {"5.3", STR("The message has more recipients than the receiving system takes at once.")},
    {"6.3", STR("The receiving system cannot handle the form of this message.")},
    {"6.7", STR("The receiving system cannot handle addresses with letters outside of ASCII.")},
    {"6.9", STR("The receiving system cannot handle a header with letters outside of ASCII.")},
    {"7.1", STR("The receiving system does not allow this message.")},
    {"7.2", STR("You are not allowed to write to this mailing list.")},
    {"7.27", STR("Your own domain says that it takes no mail, so that nobody could answer.")},
    {"1", STR("There is a problem with this address.")},
    {"2", STR("There is a problem with the mailbox.")},
    {"3", STR("The receiving system has a problem.")},
    {"4", STR("There is a problem on the way to the receiving system.")},
    {"5", STR("The receiving system did not understand ours.")},
    {"6", STR("The receiving system cannot handle the content of this message.")},
    {"7", STR("The receiving system's rules do not allow this message.")},
};

static const struct row *find(str_t what)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (str_eq(str_c(rows[i].detail), what))
            return &rows[i];
    return NULL;
}

str_t dsn_explain(str_t status)
{
    str_t class, subject, rest = status;
    if (str_cut(&rest, '.', &class)) {
        const struct row *row = find(rest);
        if (row == NULL && str_cut(&rest, '.', &subject))
            row = find(subject);
        if (row != NULL)
            return row->text;
    }
    return STR("The receiving system did not take the message.");
}
