/* story.h: the whole story of a message, as text or JSON. For `trace` and `queue show`. */
#ifndef CLI_STORY_H
#define CLI_STORY_H

#include "cli/cli.h"
#include "post/queue.h"

int cli_show_story(struct cli *c, queue_id_t id);

#endif
