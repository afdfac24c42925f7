/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_parse.h"

#include "server/worker.h"

static void on_work(uv_work_t *work)
{
    struct warm_parse *parse = (struct warm_parse *)(void *)work;
    parse->status = warm_job_parse(parse->json, &parse->job, parse->error);
}

static void on_worked(uv_work_t *work, int status)
{
    struct warm_parse *parse = (struct warm_parse *)(void *)work;
    (void)status; /* nobody cancels it */
    parse->on_parsed(parse);
}

enum status warm_parse(struct worker *worker, struct warm_parse *parse)
{
    if (parse->json.size > WARM_PARSE_HERE &&
        uv_queue_work(&worker->loop, &parse->work, on_work, on_worked) == 0) {
        return PENDING;
    }
    on_work(&parse->work);
    return OK;
}
