/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What memory copies alone reach between the buffers of two ports: the ceiling of any back end.
 * There is no ring, no back end and no frame in it.
 */
#ifndef PARIO_BENCH_NETLOAD_COPY_H
#define PARIO_BENCH_NETLOAD_COPY_H

#include "netload/opts.h"

struct netload_copy {
	uint64_t buffer_cnt; /* copied while measuring */
	double seconds;
};

/*
 * The load, on the first CPU of the options, hands full buffers to a copier on the second, which
 * copies each into a receive buffer and hands it back, for warmup and runtime. With dirty the load
 * writes to every cache line of a buffer first. 0 or -errno.
 */
int netload_copy_run(struct netload_copy *c, const struct netload_opts *o);

#endif
