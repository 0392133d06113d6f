/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_hostile PARIOD WORKERS [CASE]: guests that do on a port of a switch what they must not, each
 * case with a name, in both ring formats. After every case the daemon lives, two honest guests talk
 * as before and lose nothing, and the attacked port takes an honest guest again.
 */
#include <stdio.h>
#include <string.h>

#include "net_lab.h"

void lab_passes(struct lab *lab, struct card *from, struct card *to, uint32_t bytes,
		const char *what)
{
	uint32_t number = ++lab->number;
	uint32_t got;

	frame_fill(lab->frame, bytes, to->mac, from->mac, number);
	card_send(from, NULL, lab->frame, bytes);
	got = card_receive(to, lab->got, what);
	if (got != bytes || frame_check(lab->got, got, what) != number)
		die("%s: sent frame %u of %u bytes, another of %u came", what, number, bytes, got);
}

uint64_t lab_prepare(struct lab *lab, uint32_t bytes, uint16_t *token)
{
	uint8_t *to;

	*token = card_tx_token(&lab->a);
	to = card_tx_buffer(&lab->a, *token);
	memset(to, 0, CARD_HEADER_BYTES);
	frame_fill(to + CARD_HEADER_BYTES, bytes, lab->h1.mac, lab->a.mac, ++lab->number);
	return shm_gpa(lab->a.shm, to);
}

void lab_arrives(struct lab *lab, uint32_t bytes, const char *what)
{
	uint32_t got = card_receive(&lab->h1, lab->got, what);

	if (got != bytes || frame_check(lab->got, got, what) != lab->number)
		die("%s: frame %u of %u bytes was sent, another of %u came", what, lab->number,
		    bytes, got);
}

void lab_nothing_arrives(struct lab *lab, const char *what)
{
	card_wait_sent(&lab->a, what);
	lab_passes(lab, &lab->a, &lab->h1, 60, what);
}

uint64_t lab_counter(struct lab *lab, const char *name)
{
	return api_counter(lab->api, "ports/a", name);
}

void lab_counted(struct lab *lab, const char *name, uint64_t before, uint64_t want)
{
	uint64_t now;

	api_wait_counter(lab->api, "ports/a", name, before + want);
	now = lab_counter(lab, name);
	if (now != before + want)
		die("%s went from %llu to %llu, %llu were expected", name,
		    (unsigned long long)before, (unsigned long long)now, (unsigned long long)want);
}

void lab_wait_broken(struct front_queue *queue, const char *what)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (!front_queue_failed(queue))
		deadline_check(&deadline, what);
}

static void honest_talk(struct lab *lab, const char *what)
{
	for (unsigned i = 0; i < 8; i++) {
		lab_passes(lab, &lab->h1, &lab->h2, 60 + 180 * i, what);
		lab_passes(lab, &lab->h2, &lab->h1, 1514 - 180 * i, what);
	}
}

static void run_case(struct lab *lab, const struct hostile_case *c, enum ring_format format)
{
	struct card_opts opts = c->opts;
	struct card_opts honest = {.format = !format, .rx_posted = 128};

	opts.format = format;
	printf("%s, %s: ", c->name, format == RING_PACKED ? "packed" : "split");
	fflush(stdout);
	card_up(&lab->a, &opts);
	c->run(lab);
	honest_talk(lab, c->name);
	card_die(&lab->a);
	honest_talk(lab, c->name);
	card_up(&lab->a, &honest);
	lab_passes(lab, &lab->a, &lab->h1, 60, c->name);
	lab_passes(lab, &lab->h2, &lab->a, 1514, c->name);
	card_down(&lab->a);
	printf("ok\n");
	fflush(stdout);
}

static void run_cases(struct lab *lab, const struct hostile_case *cases, unsigned cnt,
		      const char *only)
{
	for (unsigned i = 0; i < cnt; i++) {
		if (only && strcmp(only, cases[i].name) != 0)
			continue;
		run_case(lab, &cases[i], RING_SPLIT);
		if (!cases[i].split_only)
			run_case(lab, &cases[i], RING_PACKED);
	}
}

static void start(struct lab *lab, const char *pariod, const char *workers)
{
	char spec[3][256];

	daemon_prepare(&lab->daemon);
	snprintf(lab->api, sizeof(lab->api), "%s/api", lab->daemon.dir);
	card_init(&lab->a, lab->daemon.dir, "a", 1);
	card_init(&lab->h1, lab->daemon.dir, "h1", 2);
	card_init(&lab->h2, lab->daemon.dir, "h2", 3);
	card_spec(&lab->a, "a", ",mac-lock=true", spec[0], sizeof(spec[0]));
	card_spec(&lab->h1, "h1", "", spec[1], sizeof(spec[1]));
	card_spec(&lab->h2, "h2", "", spec[2], sizeof(spec[2]));
	daemon_start(&lab->daemon,
		     (const char *[]){pariod, "--switch", "lan,flood-limit=0", "--port", spec[0],
				      "--port", spec[1], "--port", spec[2], "--workers", workers,
				      "--api", lab->api, "--log-level", "error", NULL},
		     lab->h2.path);
}

int main(int argc, char **argv)
{
	static struct lab lab;
	struct daemon_usage before, after;
	struct deadline deadline;

	if (argc != 3 && argc != 4)
		die("usage: net_hostile PARIOD WORKERS [CASE]");
	start(&lab, argv[1], argv[2]);
	card_up(&lab.h1, &(struct card_opts){.format = RING_SPLIT, .rx_posted = 128});
	card_up(&lab.h2, &(struct card_opts){.format = RING_PACKED, .rx_posted = 128});
	honest_talk(&lab, "before all");
	daemon_usage(&lab.daemon, &before);
	run_cases(&lab, tx_cases, tx_case_cnt, argv[3]);
	run_cases(&lab, offload_cases, offload_case_cnt, argv[3]);
	run_cases(&lab, rx_cases, rx_case_cnt, argv[3]);
	deadline = deadline_in(CARD_DEADLINE_S);
	for (;;) {
		daemon_usage(&lab.daemon, &after);
		if (after.fds <= before.fds && after.threads == before.threads)
			break;
		deadline_check(&deadline, "descriptors and threads are as before");
	}
	card_down(&lab.h1);
	card_down(&lab.h2);
	daemon_stop(&lab.daemon);
	return 0;
}
