/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of a sector that say where and when they were written.
 * What a sector should hold at a given moment is verify.c's knowledge, not this file's.
 *
 * A sector's 64 words: its number, its generation with a magic, the seed of the run, then an
 * arithmetic sequence that depends on all three, so that data of another place, time or run, and
 * data moved by any number of bytes, is seen as such.
 */
#ifndef PARIO_BENCH_PATTERN_H
#define PARIO_BENCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_SECTOR_BYTES 512u
#define PATTERN_WORD_CNT (PATTERN_SECTOR_BYTES / 8)

void pattern_fill(uint64_t *words, uint64_t seed, uint64_t sector, uint32_t generation);
bool pattern_matches(const uint64_t *words, uint64_t seed, uint64_t sector, uint32_t generation);
bool pattern_is_zero(const uint64_t *words);
/* Says in text what the sector does hold. */
void pattern_describe(const uint64_t *words, uint64_t seed, char *text, size_t size);

#endif
