/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line of `pario-bench blk`. Names and meanings are fio's where fio has them.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numbers.h"

const char *const bench_rw_name[RW_MAX_] = {
	[RW_READ] = "read",           [RW_WRITE] = "write",   [RW_RANDREAD] = "randread",
	[RW_RANDWRITE] = "randwrite", [RW_RANDRW] = "randrw", [RW_TRIM] = "trim",
	[RW_VERIFY] = "verify",
};
_Static_assert(sizeof(bench_rw_name) / sizeof(bench_rw_name[0]) == RW_MAX_, "a name for each");

#define BS_MAX_BYTES (UINT64_C(16) << 20)

enum {
	OPT_RW = 1000,
	OPT_BS,
	OPT_RWMIXREAD,
	OPT_SIZE,
	OPT_OFFSET,
	OPT_RUNTIME,
	OPT_IOS,
	OPT_WARMUP,
	OPT_RATE,
	OPT_SEED,
	OPT_IODEPTH,
	OPT_QUEUES,
	OPT_RING,
	OPT_RING_SIZE,
	OPT_NOTIFY,
	OPT_CPUS,
	OPT_NO_INDIRECT,
	OPT_NO_EVENT_IDX,
	OPT_IN_ORDER,
	OPT_SEGMENT,
	OPT_REGIONS,
	OPT_CROSS_REGIONS,
	OPT_LISTEN,
	OPT_WAIT,
	OPT_TIMEOUT,
	OPT_PROBE,
	OPT_JSON,
	OPT_SERVER_PID,
	OPT_PROGRESS,
	OPT_NO_PROGRESS,
	OPT_HELP,
};

static const struct option longopts[] = {
	{"rw", required_argument, NULL, OPT_RW},
	{"bs", required_argument, NULL, OPT_BS},
	{"rwmixread", required_argument, NULL, OPT_RWMIXREAD},
	{"size", required_argument, NULL, OPT_SIZE},
	{"offset", required_argument, NULL, OPT_OFFSET},
	{"runtime", required_argument, NULL, OPT_RUNTIME},
	{"ios", required_argument, NULL, OPT_IOS},
	{"warmup", required_argument, NULL, OPT_WARMUP},
	{"rate", required_argument, NULL, OPT_RATE},
	{"seed", required_argument, NULL, OPT_SEED},
	{"iodepth", required_argument, NULL, OPT_IODEPTH},
	{"queues", required_argument, NULL, OPT_QUEUES},
	{"ring", required_argument, NULL, OPT_RING},
	{"ring-size", required_argument, NULL, OPT_RING_SIZE},
	{"notify", required_argument, NULL, OPT_NOTIFY},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"no-indirect", no_argument, NULL, OPT_NO_INDIRECT},
	{"no-event-idx", no_argument, NULL, OPT_NO_EVENT_IDX},
	{"in-order", no_argument, NULL, OPT_IN_ORDER},
	{"segment", required_argument, NULL, OPT_SEGMENT},
	{"regions", required_argument, NULL, OPT_REGIONS},
	{"cross-regions", no_argument, NULL, OPT_CROSS_REGIONS},
	{"listen", no_argument, NULL, OPT_LISTEN},
	{"wait", required_argument, NULL, OPT_WAIT},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"probe", no_argument, NULL, OPT_PROBE},
	{"json", no_argument, NULL, OPT_JSON},
	{"server-pid", required_argument, NULL, OPT_SERVER_PID},
	{"progress", no_argument, NULL, OPT_PROGRESS},
	{"no-progress", no_argument, NULL, OPT_NO_PROGRESS},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int take_size(const char *name, const char *text, uint64_t min, uint64_t *out)
{
	if (!number_parse_size(text, out))
		return options_reject(name, "'%s' is not a size such as 4096, 64k or 1G", text);
	if (*out % 512 || *out < min)
		return options_reject(name, "%s given, multiples of 512 from %llu on allowed", text,
				      (unsigned long long)min);
	return BENCH_OK;
}

static int take_bs(struct bench_opts *o, const char *text)
{
	uint64_t min, max;

	if (!number_parse_size_range(text, &min, &max))
		return options_reject("--bs",
				      "'%s' is not a size such as 4k nor a range such as "
				      "512-1M",
				      text);
	if (min < 512 || max > BS_MAX_BYTES || min % 512 || max % 512)
		return options_reject("--bs", "%s given, multiples of 512 up to 16M allowed", text);
	o->bs_min_bytes = (uint32_t)min;
	o->bs_max_bytes = (uint32_t)max;
	return BENCH_OK;
}

static int take_what(struct bench_opts *o, int opt, const char *arg)
{
	unsigned int word = 0;
	uint64_t count = 0;
	int rc;

	switch (opt) {
	case OPT_RW:
		rc = options_take_word("--rw", arg, bench_rw_name, RW_MAX_, &word);
		o->rw = word;
		return rc;
	case OPT_BS:
		return take_bs(o, arg);
	case OPT_RWMIXREAD:
		return options_take_uint("--rwmixread", arg, 0, 100, &o->rwmixread);
	case OPT_SIZE:
		return take_size("--size", arg, 512, &o->size_bytes);
	case OPT_OFFSET:
		return take_size("--offset", arg, 0, &o->offset_bytes);
	case OPT_RUNTIME:
		return options_take_seconds("--runtime", arg, 0.01, &o->runtime_s);
	case OPT_IOS:
		return options_take_count("--ios", arg, 1, UINT64_C(1) << 48, &o->ios);
	case OPT_WARMUP:
		return options_take_seconds("--warmup", arg, 0, &o->warmup_s);
	case OPT_RATE:
		rc = options_take_count("--rate", arg, 1, 1000000000, &count);
		o->rate = (double)count;
		return rc;
	default:
		return options_take_count("--seed", arg, 0, UINT64_MAX, &o->seed);
	}
}

static int take_how(struct bench_opts *o, int opt, const char *arg)
{
	unsigned int word = 0;
	uint64_t bytes = 0;
	int rc;

	switch (opt) {
	case OPT_IODEPTH:
		return options_take_uint("--iodepth", arg, 1, BENCH_DEPTH_MAX, &o->iodepth);
	case OPT_QUEUES:
		return options_take_uint("--queues", arg, 1, BENCH_QUEUE_MAX, &o->queues);
	case OPT_RING:
		return options_take_format("--ring", arg, &o->format);
	case OPT_RING_SIZE:
		return options_take_uint("--ring-size", arg, 1, RING_SIZE_MAX, &o->ring_size);
	case OPT_NOTIFY:
		return options_take_notify("--notify", arg, &o->irq);
	case OPT_CPUS:
		return options_take_cpus(o->cpu, &o->cpu_cnt, arg);
	case OPT_SEGMENT:
		rc = take_size("--segment", arg, 512, &bytes);
		o->segment_bytes = bytes > BS_MAX_BYTES ? 0 : (uint32_t)bytes;
		return rc;
	case OPT_REGIONS:
		return options_take_uint("--regions", arg, 1, SHM_REGION_MAX, &o->regions);
	case OPT_WAIT:
		return options_take_seconds("--wait", arg, 0, &o->wait_s);
	case OPT_TIMEOUT:
		return options_take_seconds("--timeout", arg, 0.1, &o->timeout_s);
	case OPT_SERVER_PID:
		rc = options_take_uint("--server-pid", arg, 1, INT32_MAX, &word);
		o->server_pid = (pid_t)word;
		return rc;
	default:
		return BENCH_USAGE;
	}
}

static int take(struct bench_opts *o, int opt, const char *arg)
{
	switch (opt) {
	case OPT_NO_INDIRECT:
		o->no_indirect = true;
		break;
	case OPT_NO_EVENT_IDX:
		o->no_event_idx = true;
		break;
	case OPT_IN_ORDER:
		o->in_order = true;
		break;
	case OPT_CROSS_REGIONS:
		o->cross_regions = true;
		break;
	case OPT_LISTEN:
		o->listen = true;
		break;
	case OPT_PROBE:
		o->probe = true;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_PROGRESS:
		o->progress = true;
		break;
	case OPT_NO_PROGRESS:
		o->progress = false;
		break;
	default:
		return opt <= OPT_SEED ? take_what(o, opt, arg) : take_how(o, opt, arg);
	}
	return BENCH_OK;
}

static int check(struct bench_opts *o)
{
	int rc = options_check_ring_size("--ring-size", o->format, o->ring_size);

	if (o->runtime_s == 0 && o->ios == 0)
		o->runtime_s = 10;
	return rc;
}

int options_parse(struct bench_opts *o, int argc, char **argv)
{
	int opt, rc;

	*o = (struct bench_opts){
		.rw = RW_RANDREAD,
		.bs_min_bytes = 4096,
		.bs_max_bytes = 4096,
		.iodepth = 32,
		.queues = 1,
		.rwmixread = 50,
		.seed = 1,
		.regions = 1,
		.timeout_s = 30,
		.progress = isatty(STDERR_FILENO),
	};
	opterr = 0;
	optind = 1;
	while ((opt = getopt_long(argc, argv, ":", longopts, NULL)) != -1) {
		if (opt == OPT_HELP) {
			fputs(options_help, stdout);
			return -1;
		}
		if (opt == ':' || opt == '?')
			return options_reject_word(argv[0], opt, argv[optind - 1]);
		rc = take(o, opt, optarg);
		if (rc != BENCH_OK)
			return rc;
	}
	if (optind == argc)
		return options_reject("blk", "the socket of a back end is missing: pario-bench blk "
					     "SOCKET [OPTION]...");
	if (optind + 1 < argc)
		return options_reject("blk", "'%s' given after the socket '%s', one socket allowed",
				      argv[optind + 1], argv[optind]);
	o->socket = argv[optind];
	return check(o);
}
