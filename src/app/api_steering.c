/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How frames to a port are steered, as part of its document: what is in force, what each queue of
 * it carries, what was moved. Not the keys (control/schema.h) and not the counters (api_objects.c).
 */
#include <stdlib.h>
#include <string.h>

#include "app/api_priv.h"
#include "app/port.h"
#include "control/rss_text.h"
#include "device/net/net.h"

static void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *key_json(const struct net_steering_view *view)
{
	struct rss_key key = {.bytes = view->key_bytes};
	char text[RSS_TEXT_KEY_TEXT_BYTES];

	if (view->key_bytes == 0)
		return json_null();
	memcpy(key.key, view->key, sizeof(key.key));
	rss_format_key(&key, text);
	return json_string(text);
}

static const char *type_name(unsigned idx)
{
	return hash_type_name((enum hash_type)idx);
}

static json_t *types_json(uint32_t types)
{
	json_t *names = json_array();

	for (unsigned i = 0; type_name(i); i++) {
		if (types & 1u << i)
			json_array_append_new(names, json_string(type_name(i)));
	}
	return names;
}

/* As the key steering.table takes it, so that it can be given back. */
static json_t *table_json(const struct net_steering_view *view)
{
	struct rss_table table = {.cnt = view->table_cnt};
	char text[RSS_TEXT_TABLE_TEXT_BYTES];

	if (view->table_cnt == 0)
		return json_null();
	memcpy(table.entries, view->table, sizeof(table.entries));
	rss_format_table(&table, text);
	return json_string(text);
}

static json_t *loads_json(const struct net_steering_view *view)
{
	json_t *loads = json_array();

	for (unsigned i = 0; i < view->table_cnt; i++)
		json_array_append_new(loads, json_integer((json_int_t)view->load[i]));
	return loads;
}

/* Pairs that the table names: how much of it, and what that carried. */
static json_t *queues_json(const struct net_steering_view *view)
{
	json_t *queues = json_array();

	for (unsigned pair = 0; pair < NET_PAIRS_MAX; pair++) {
		uint64_t load = 0;
		unsigned cnt = 0;

		for (unsigned i = 0; i < view->table_cnt; i++) {
			if (view->table[i] != pair)
				continue;
			load += view->load[i];
			cnt++;
		}
		if (cnt)
			json_array_append_new(queues, json_pack("{s:i, s:i, s:I}", "pair",
								(int)pair, "buckets", (int)cnt,
								"load", (json_int_t)load));
	}
	return queues;
}

static void put_moves(json_t *object, const struct netport_stats *stats)
{
	put(object, "moves", json_integer((json_int_t)stats->moves));
	put(object, "moves_given_up", json_integer((json_int_t)stats->moves_given_up));
	put(object, "flows_learnt", json_integer((json_int_t)stats->flows_learnt));
	put(object, "flows_returned", json_integer((json_int_t)stats->flows_returned));
}

json_t *api_steering_json(const struct port *port)
{
	struct net_steering_view *view = calloc(1, sizeof(*view));
	struct netport_stats stats;
	json_t *object;

	if (!view)
		return json_null();
	net_device_steering_view(port->front.device, view);
	netport_stats(port->netport, &stats);
	object = json_pack("{s:s, s:s, s:b, s:o, s:o}", "mode", net_steering_mode_name(view->mode),
			   "by", view->by_guest ? "guest" : "host", "hash_report",
			   view->hash_report, "types", types_json(view->types), "key",
			   key_json(view));
	put(object, "unclassified",
	    view->table_cnt ? json_integer(view->unclassified) : json_null());
	put(object, "table", table_json(view));
	put(object, "load", loads_json(view));
	put(object, "queues", queues_json(view));
	put(object, "balanced", json_integer((json_int_t)view->balanced));
	put(object, "flows", json_integer(view->flows));
	put_moves(object, &stats);
	free(view);
	return object;
}
