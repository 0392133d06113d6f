/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pario-bench: a vhost-user front end that loads and measures a back end, pario's or another's.
 * This file chooses the command and strings the steps of `blk` together.
 */
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "figures.h"
#include "netload/main.h"
#include "options.h"
#include "report.h"
#include "session.h"
#include "watch.h"

static const char main_help[] =
	"Usage: pario-bench blk SOCKET [OPTION]...   load a vhost-user-blk back end\n"
	"       pario-bench blk --help               its options\n"
	"       pario-bench net SOCKET_A [SOCKET_B] [OPTION]...   load vhost-user-net ports\n"
	"       pario-bench net --help               its options\n"
	"       pario-bench figures block --out DIR [OPTION]...   redo the paper's evaluation\n"
	"       pario-bench figures net --out DIR [OPTION]...     the same for ports\n"
	"       pario-bench figures --help           its options\n"
	"       pario-bench --version\n";

static int finish(const struct report *r, int status)
{
	if (r->opts->json)
		report_json(stdout, r);
	else
		report_table(stdout, r);
	return report_finish(r->error, status);
}

static int load_run(struct session *s, struct report *r)
{
	static struct engine engine;
	static struct engine_result result;
	static struct watch watch;
	int status = BENCH_OK;

	if (engine_init(&engine, s) < 0) {
		engine_fini(&engine);
		r->error = "out of memory";
		return BENCH_FAILED;
	}
	engine_start(&engine);
	watch_run(&watch, &engine);
	engine_join(&engine);
	engine_sum(&engine, &result);
	r->engine = &engine;
	r->result = &result;
	r->watch = &watch;
	if (engine.failed) {
		r->error = engine.error;
		status = BENCH_FAILED;
	} else if (session_stop(s) != BENCH_OK) {
		r->error = s->error;
		status = BENCH_FAILED;
	}
	status = finish(r, status);
	engine_fini(&engine);
	return status;
}

static int blk_main(int argc, char **argv)
{
	static struct bench_opts opts;
	static struct session session;
	struct report report = {.opts = &opts, .session = &session};
	int status = options_parse(&opts, argc, argv);

	if (status != BENCH_OK)
		return status < 0 ? BENCH_OK : status;
	options_keep_cpus(opts.cpu, opts.cpu_cnt);
	status = session_connect(&session, &opts);
	if (status == BENCH_OK && opts.probe) {
		if (opts.json)
			report_probe_json(stdout, &session);
		else
			report_probe_table(stdout, &session);
	} else if (status == BENCH_OK) {
		status = session_start(&session);
		if (status == BENCH_OK)
			status = load_run(&session, &report);
		else if (status == BENCH_FAILED)
			report.error = session.error;
	} else if (status == BENCH_FAILED) {
		report.error = session.error;
	}
	if (report.error && !report.result)
		status = finish(&report, status);
	session_close(&session);
	return status;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "blk") == 0)
		return blk_main(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "net") == 0)
		return netload_main(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "figures") == 0)
		return figures_main(argc - 1, argv + 1);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("pario-bench " PARIO_VERSION);
		return BENCH_OK;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(main_help, stdout);
		return BENCH_OK;
	}
	if (argc >= 2)
		fprintf(stderr,
			"pario-bench: '%s' given, one of blk, net, figures, --help, --version "
			"allowed\n",
			argv[1]);
	else
		fputs(main_help, stderr);
	return BENCH_USAGE;
}
