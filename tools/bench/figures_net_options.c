/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line of `pario-bench figures net`.
 */
#include "figures_net.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "figures_start.h"

static const char netfig_help[] =
	"Usage: pario-bench figures net --out DIR [OPTION]...\n"
	"Measures two ports of pariod on this machine: calls and latency against rate without\n"
	"coalescing, with a static one and with the adaptive one; throughput against queues and\n"
	"workers; both remedies one on top of the other. Writes DIR/figures-net.csv and\n"
	"DIR/figures-net.html. It starts every daemon itself.\n"
	"\n"
	"  --out DIR        where to write; made when it is not there\n"
	"  --runtime TIME   of each run, 1s\n"
	"  --rounds N       runs of each point, in turns, 7; medians are shown\n"
	"  --quick          few points, two rounds of 100ms: to look at the pages, not at figures\n"
	"  --sizes LIST     bytes of frames: 60,1514\n"
	"  --cpus LIST      CPUs to use, at least two: the load gets the first of two or three, "
	"the\n"
	"                   first half of more, and workers the rest; all that are allowed\n"
	"  --daemon PATH    pariod; beside this program, or in PATH\n"
	"  --help\n";

enum {
	OPT_OUT = 3000,
	OPT_RUNTIME,
	OPT_ROUNDS,
	OPT_QUICK,
	OPT_SIZES,
	OPT_CPUS,
	OPT_DAEMON,
	OPT_HELP,
};

static const struct option longopts[] = {
	{"out", required_argument, NULL, OPT_OUT},
	{"runtime", required_argument, NULL, OPT_RUNTIME},
	{"rounds", required_argument, NULL, OPT_ROUNDS},
	{"quick", no_argument, NULL, OPT_QUICK},
	{"sizes", required_argument, NULL, OPT_SIZES},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"daemon", required_argument, NULL, OPT_DAEMON},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int take_sizes(struct netfig_opts *o, const char *text)
{
	static const char *const list[] = {"60", "1514", "60,1514"};

	for (unsigned int i = 0; i < 3; i++)
		if (strcmp(text, list[i]) == 0) {
			o->size_cnt = 0;
			if (i != 1)
				o->size[o->size_cnt++] = NETFIG_SIZE_SMALL;
			if (i != 0)
				o->size[o->size_cnt++] = NETFIG_SIZE_FULL;
			return BENCH_OK;
		}
	return options_reject("--sizes", "'%s' given, one of 60, 1514 and 60,1514 allowed", text);
}

static int take(struct netfig_opts *o, int opt, const char *arg)
{
	switch (opt) {
	case OPT_OUT:
		o->out = arg;
		return BENCH_OK;
	case OPT_RUNTIME:
		return figures_take_runtime(arg, &o->runtime_s);
	case OPT_ROUNDS:
		return figures_take_rounds(arg, &o->rounds);
	case OPT_QUICK:
		o->quick = true;
		return BENCH_OK;
	case OPT_SIZES:
		return take_sizes(o, arg);
	case OPT_CPUS:
		return figures_take_cpus(arg, o->cpu, &o->cpu_cnt);
	default:
		o->daemon = arg;
		return BENCH_OK;
	}
}

static int check(struct netfig_opts *o)
{
	if (!o->out)
		return options_reject("figures net", "--out DIR is missing");
	if (figures_path_check("--out", o->out) || figures_path_check("--daemon", o->daemon) ||
	    figures_cpus_check(o->cpu, &o->cpu_cnt) != BENCH_OK)
		return BENCH_USAGE;
	if (o->rounds == 0)
		o->rounds = o->quick ? 2 : 7;
	if (o->runtime_s == 0)
		o->runtime_s = o->quick ? 0.1 : 1;
	/* An adaptive coalescer takes time to find its place. */
	o->warmup_s = o->runtime_s / 2;
	return BENCH_OK;
}

int netfig_options_parse(struct netfig_opts *o, int argc, char **argv)
{
	int opt, rc;

	*o = (struct netfig_opts){.size = {NETFIG_SIZE_SMALL, NETFIG_SIZE_FULL}, .size_cnt = 2};
	opterr = 0;
	optind = 1;
	while ((opt = getopt_long(argc, argv, ":", longopts, NULL)) != -1) {
		if (opt == OPT_HELP) {
			fputs(netfig_help, stdout);
			return -1;
		}
		if (opt == ':' || opt == '?')
			return options_reject(
				argv[optind - 1],
				opt == ':' ? "needs a value (see pario-bench figures net --help)"
					   : "no such option, or it takes no value (see "
					     "pario-bench figures net --help)");
		rc = take(o, opt, optarg);
		if (rc != BENCH_OK)
			return rc;
	}
	if (optind != argc)
		return options_reject("figures net", "'%s' given, options allowed", argv[optind]);
	return check(o);
}
