/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command `pario-bench net`; its pieces are in the other headers of this folder.
 */
#ifndef PARIO_BENCH_NETLOAD_MAIN_H
#define PARIO_BENCH_NETLOAD_MAIN_H

/* argv[0] is the word "net"; an enum bench_status. */
int netload_main(int argc, char **argv);

#endif
