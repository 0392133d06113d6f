/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line of `pario-bench figures block`.
 */
#include "figures.h"

#include <getopt.h>
#include <string.h>

#include "figures_start.h"

static const char figures_help[] =
	"Usage: pario-bench figures block --out DIR [OPTION]...\n"
	"Measures pariod on this machine over depth, queues, workers and polling modes, beside\n"
	"qemu-storage-daemon and bare fio, and writes DIR/figures-block.csv and\n"
	"DIR/figures-block.html. It starts every back end itself, and it only reads.\n"
	"For ports: pario-bench figures net --help\n"
	"\n"
	"  --out DIR        where to write; made when it is not there\n"
	"  --runtime TIME   of each run, 1s\n"
	"  --rounds N       runs of each point, in turns, 5; medians are shown\n"
	"  --quick          few points, two rounds of 100ms: to look at the pages, not at figures\n"
	"  --backends LIST  null,flash,file\n"
	"  --cpus LIST      CPUs to use, at least two: the load gets the first of two or three, "
	"the\n"
	"                   first half of more, and workers the rest; all that are allowed\n"
	"  --file PATH      file or block device to read; one of 1 GiB is made in DIR and removed\n"
	"  --daemon PATH    pariod; beside this program, or in PATH\n"
	"  --fio PATH       fio, or none; in PATH\n"
	"  --qsd PATH       qemu-storage-daemon, or none; in PATH\n"
	"  --help\n";

enum {
	OPT_OUT = 2000,
	OPT_RUNTIME,
	OPT_ROUNDS,
	OPT_QUICK,
	OPT_BACKENDS,
	OPT_CPUS,
	OPT_FILE,
	OPT_DAEMON,
	OPT_FIO,
	OPT_QSD,
	OPT_HELP,
};

static const struct option longopts[] = {
	{"out", required_argument, NULL, OPT_OUT},
	{"runtime", required_argument, NULL, OPT_RUNTIME},
	{"rounds", required_argument, NULL, OPT_ROUNDS},
	{"quick", no_argument, NULL, OPT_QUICK},
	{"backends", required_argument, NULL, OPT_BACKENDS},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"file", required_argument, NULL, OPT_FILE},
	{"daemon", required_argument, NULL, OPT_DAEMON},
	{"fio", required_argument, NULL, OPT_FIO},
	{"qsd", required_argument, NULL, OPT_QSD},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int take_backends(struct figures_opts *o, const char *text)
{
	memset(o->backend, 0, sizeof(o->backend));
	for (;;) {
		size_t len = strcspn(text, ",");
		unsigned int b;

		for (b = 0; b < FIGURES_BACKEND_MAX_; b++)
			if (strlen(figures_backend_name[b]) == len &&
			    strncmp(text, figures_backend_name[b], len) == 0)
				break;
		if (b == FIGURES_BACKEND_MAX_)
			return options_reject("--backends",
					      "'%.*s' given, a list of null, flash, file allowed",
					      (int)len, text);
		o->backend[b] = true;
		if (text[len] == '\0')
			return BENCH_OK;
		text += len + 1;
	}
}

static int take(struct figures_opts *o, int opt, const char *arg)
{
	switch (opt) {
	case OPT_OUT:
		o->out = arg;
		break;
	case OPT_RUNTIME:
		return figures_take_runtime(arg, &o->runtime_s);
	case OPT_ROUNDS:
		return figures_take_rounds(arg, &o->rounds);
	case OPT_QUICK:
		o->quick = true;
		break;
	case OPT_BACKENDS:
		return take_backends(o, arg);
	case OPT_CPUS:
		return figures_take_cpus(arg, o->cpu, &o->cpu_cnt);
	case OPT_FILE:
		o->file = arg;
		break;
	case OPT_DAEMON:
		o->daemon = arg;
		break;
	case OPT_FIO:
		o->fio = arg;
		break;
	default:
		o->qsd = arg;
		break;
	}
	return BENCH_OK;
}

static int check(struct figures_opts *o)
{
	if (!o->out)
		return options_reject("figures", "--out DIR is missing");
	if (figures_path_check("--out", o->out) || figures_path_check("--file", o->file) ||
	    figures_path_check("--daemon", o->daemon))
		return BENCH_USAGE;
	if (figures_cpus_check(o->cpu, &o->cpu_cnt) != BENCH_OK)
		return BENCH_USAGE;
	if (o->rounds == 0)
		o->rounds = o->quick ? 2 : 5;
	if (o->runtime_s == 0)
		o->runtime_s = o->quick ? 0.1 : 1;
	o->warmup_s = o->runtime_s / 5;
	return BENCH_OK;
}

int figures_options_parse(struct figures_opts *o, int argc, char **argv)
{
	int opt, rc;

	*o = (struct figures_opts){.backend = {true, true, true}};
	opterr = 0;
	optind = 1;
	while ((opt = getopt_long(argc, argv, ":", longopts, NULL)) != -1) {
		if (opt == OPT_HELP) {
			fputs(figures_help, stdout);
			return -1;
		}
		if (opt == ':' || opt == '?')
			return options_reject(argv[optind - 1],
					      opt == ':' ? "needs a value (see pario-bench figures "
							   "--help)"
							 : "no such option, or it takes no value "
							   "(see pario-bench figures --help)");
		rc = take(o, opt, optarg);
		if (rc != BENCH_OK)
			return rc;
	}
	if (optind != argc - 1 || strcmp(argv[optind], "block") != 0)
		return options_reject("figures",
				      "'%s' given, block or net allowed: pario-bench figures "
				      "block --out DIR [OPTION]...",
				      optind < argc ? argv[optind] : "");
	return check(o);
}
