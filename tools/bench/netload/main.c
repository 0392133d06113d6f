/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario-bench net`: strings the steps of a run together and says how it ended.
 */
#include "netload/main.h"

#include <stdio.h>
#include <string.h>

#include "netload/results.h"
#include "report.h"

static int finish(const struct netload_report *r, int status)
{
	if (r->opts->json)
		netload_report_json(stdout, r);
	else
		netload_report_table(stdout, r);
	return report_finish(r->error, status);
}

/* What the options forbid, of a run that went well otherwise. Writes into error. */
static bool forbidden(const struct netload_engine *e, const struct netload_result *r, char *error,
		      size_t size)
{
	const struct netload_verify *v = &e->verify;
	uint64_t lost = 0;

	for (unsigned int i = 0; i < r->from_cnt; i++)
		lost += netload_lost(e, r, i);
	if (e->opts->verify && (v->duplicate_cnt || v->late_cnt))
		snprintf(error, size, "verify: %llu frames came again and %llu out of order%s%s",
			 (unsigned long long)v->duplicate_cnt, (unsigned long long)v->late_cnt,
			 v->late[0] ? ", first " : "", v->late);
	else if (e->opts->verify && r->counted && v->frame_cnt == 0)
		snprintf(error, size, "verify: not one frame has come");
	else if (e->opts->no_loss && lost)
		snprintf(error, size, "--no-loss: %llu frames lost", (unsigned long long)lost);
	else
		return false;
	return true;
}

static int load_run(struct netload_session *s, struct netload_report *r)
{
	static struct netload_engine engine;
	static struct netload_result result;
	static char error[320];
	int status = BENCH_OK;

	if (netload_engine_init(&engine, s) < 0) {
		netload_engine_fini(&engine);
		r->error = "out of memory";
		return finish(r, BENCH_FAILED);
	}
	netload_engine_run(&engine, &result);
	r->engine = &engine;
	r->result = &result;
	if (engine.failed)
		r->error = engine.error;
	else if (netload_session_stop(s) != BENCH_OK)
		r->error = s->error;
	else if (forbidden(&engine, &result, error, sizeof(error)))
		r->error = error;
	if (r->error)
		status = BENCH_FAILED;
	status = finish(r, status);
	netload_engine_fini(&engine);
	return status;
}

static int copy_run(const struct netload_opts *o, struct netload_report *r)
{
	static struct netload_copy copy;
	int rc;

	if (o->cpu_cnt != 2)
		return options_reject("--memcpy", "given with %u CPUs, --cpus LOAD,SERVER needed",
				      o->cpu_cnt);
	rc = netload_copy_run(&copy, o);
	if (rc < 0)
		r->error = strerror(-rc);
	else
		r->copy = &copy;
	return finish(r, rc < 0 ? BENCH_FAILED : BENCH_OK);
}

int netload_main(int argc, char **argv)
{
	static struct netload_opts opts;
	static struct netload_session session;
	struct netload_report report = {.opts = &opts, .session = &session};
	int status = netload_options_parse(&opts, argc, argv);

	if (status != BENCH_OK)
		return status < 0 ? BENCH_OK : status;
	options_keep_cpus(opts.cpu, opts.cpu_cnt);
	if (opts.memcpy_only)
		return copy_run(&opts, &report);
	status = netload_session_start(&session, &opts);
	if (status == BENCH_OK) {
		status = load_run(&session, &report);
	} else if (status == BENCH_FAILED) {
		report.error = session.error;
		status = finish(&report, status);
	}
	netload_session_close(&session);
	return status;
}
