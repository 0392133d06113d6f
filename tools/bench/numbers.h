/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as people write them: sizes with suffixes, ranges, seconds, CPU lists.
 * Nothing is printed here: a function says no and its caller says why.
 */
#ifndef PARIO_BENCH_NUMBERS_H
#define PARIO_BENCH_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits only, the whole text. */
bool number_parse_u64(const char *text, uint64_t *value);
/* 4096, 4k, 1M, 2G, 1T: powers of 1024, either case, an optional "iB" or "B" behind. */
bool number_parse_size(const char *text, uint64_t *bytes);
/* "4k" or "512-1M". */
bool number_parse_size_range(const char *text, uint64_t *min_bytes, uint64_t *max_bytes);
/* 10, 0.5, 10s, 500ms, 2m */
bool number_parse_seconds(const char *text, double *seconds);
/* "0", "0,2", "1-3,5"; false when malformed or longer than max. */
bool number_parse_cpus(const char *text, int *cpu, unsigned int max, unsigned int *cnt);

#endif
