/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML files as trees, with the line of every key.
 * Not a general YAML reader: aliases, tags and several documents are refused, since no key needs
 * them and what they do to an error's line is hard to say.
 */
#include "control/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "control/tree_priv.h"

/* Objects nest three deep; the bound keeps a hostile or broken file off our stack. */
#define DEPTH_MAX 16

struct loader {
	struct tree *tree;
	struct config_errors *errors;
	yaml_parser_t parser;
	char path[CONFIG_PATH_BYTES]; /* of the node being read */
};

static int complain(struct loader *loader, const yaml_event_t *event, const char *what)
{
	struct config_origin origin = {loader->tree->source, (unsigned)event->start_mark.line + 1};

	config_errors_add(loader->errors, &origin, loader->path, "%s", what);
	return -EINVAL;
}

static int out_of_memory(struct loader *loader)
{
	struct config_origin origin = {loader->tree->source, 0};

	config_errors_add(loader->errors, &origin, NULL, "no memory");
	return -ENOMEM;
}

/* 0, or -EINVAL after saying what libyaml said. The event is the caller's to delete. */
static int next_event(struct loader *loader, yaml_event_t *event)
{
	const yaml_parser_t *parser = &loader->parser;
	struct config_origin origin = {loader->tree->source, 0};

	if (yaml_parser_parse(&loader->parser, event))
		return 0;
	if (parser->error == YAML_MEMORY_ERROR)
		return out_of_memory(loader);
	if (parser->error != YAML_READER_ERROR)
		origin.line = (unsigned)parser->problem_mark.line + 1;
	config_errors_add(loader->errors, &origin, NULL, "not valid YAML: %s%s%s",
			  parser->problem ? parser->problem : "unknown problem",
			  parser->context ? " " : "", parser->context ? parser->context : "");
	return -EINVAL;
}

static int read_node(struct loader *loader, const yaml_event_t *event, unsigned depth,
		     json_t **out);

static int read_scalar(struct loader *loader, const yaml_event_t *event, json_t **out)
{
	const char *text = (const char *)event->data.scalar.value;

	if (strlen(text) != event->data.scalar.length)
		return complain(loader, event, "the value has a NUL byte");
	*out = json_string_nocheck(text);
	return *out ? 0 : out_of_memory(loader);
}

static int read_item(struct loader *loader, const yaml_event_t *event, unsigned depth,
		     json_t *array)
{
	json_t *item = NULL;
	int rc = read_node(loader, event, depth + 1, &item);

	if (rc)
		return rc;
	if (tree_note_line(loader->tree, item, (unsigned)event->start_mark.line + 1) ||
	    json_array_append(array, item) < 0)
		rc = out_of_memory(loader);
	json_decref(item);
	return rc;
}

static int read_sequence(struct loader *loader, unsigned depth, json_t *array)
{
	size_t len = strlen(loader->path);
	yaml_event_t event;
	bool end;
	int rc;

	do {
		snprintf(loader->path + len, sizeof(loader->path) - len, "[%zu]",
			 json_array_size(array));
		rc = next_event(loader, &event);
		if (rc)
			return rc;
		end = event.type == YAML_SEQUENCE_END_EVENT;
		if (!end)
			rc = read_item(loader, &event, depth, array);
		yaml_event_delete(&event);
		loader->path[len] = '\0';
	} while (!end && rc == 0);
	return rc;
}

/* One key and its value; key_event is a scalar. */
static int read_pair(struct loader *loader, const yaml_event_t *key_event, unsigned depth,
		     json_t *object)
{
	const char *key = (const char *)key_event->data.scalar.value;
	json_t *value = NULL;
	yaml_event_t event;
	int rc;

	if (json_object_get(object, key))
		return complain(loader, key_event, "given twice");
	rc = next_event(loader, &event);
	if (rc)
		return rc;
	rc = read_node(loader, &event, depth + 1, &value);
	yaml_event_delete(&event);
	if (rc)
		return rc;
	if (tree_note_line(loader->tree, value, (unsigned)key_event->start_mark.line + 1) ||
	    json_object_set_nocheck(object, key, value) < 0)
		rc = out_of_memory(loader);
	json_decref(value);
	return rc;
}

static int read_mapping(struct loader *loader, unsigned depth, json_t *object)
{
	size_t len = strlen(loader->path);
	yaml_event_t event;
	bool end;
	int rc;

	do {
		rc = next_event(loader, &event);
		if (rc)
			return rc;
		end = event.type == YAML_MAPPING_END_EVENT;
		if (!end && event.type != YAML_SCALAR_EVENT) {
			rc = complain(loader, &event, "a key must be a single word");
		} else if (!end) {
			snprintf(loader->path + len, sizeof(loader->path) - len, "%s%s",
				 len ? "." : "", (const char *)event.data.scalar.value);
			rc = read_pair(loader, &event, depth, object);
			loader->path[len] = '\0';
		}
		yaml_event_delete(&event);
	} while (!end && rc == 0);
	return rc;
}

static bool is_decorated(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor || event->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor || event->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor || event->data.mapping_start.tag;
	default: /* an alias */
		return true;
	}
}

static int read_node(struct loader *loader, const yaml_event_t *event, unsigned depth, json_t **out)
{
	int rc;

	if (is_decorated(event))
		return complain(loader, event,
				"anchors, aliases and tags of YAML are not supported");

	if (depth > DEPTH_MAX)
		return complain(loader, event, "nested too deeply");
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(loader, event, out);
	case YAML_SEQUENCE_START_EVENT:
		*out = json_array();
		rc = *out ? read_sequence(loader, depth, *out) : out_of_memory(loader);
		break;
	case YAML_MAPPING_START_EVENT:
		*out = json_object();
		rc = *out ? read_mapping(loader, depth, *out) : out_of_memory(loader);
		break;
	default:
		return complain(loader, event, "not a value");
	}
	if (rc) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

/* Stream start, then nothing (an empty file) or a document, then the stream's end. */
static int read_stream(struct loader *loader)
{
	bool in_document = false;
	yaml_event_t event;
	bool end;
	int rc;

	do {
		rc = next_event(loader, &event);
		if (rc)
			return rc;
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT)
			in_document = true;
		if (event.type == YAML_DOCUMENT_START_EVENT && loader->tree->root)
			rc = complain(loader, &event, "a second document: only one is read");
		else if (in_document && event.type != YAML_DOCUMENT_START_EVENT &&
			 event.type != YAML_DOCUMENT_END_EVENT && !end)
			rc = read_node(loader, &event, 0, &loader->tree->root);
		yaml_event_delete(&event);
	} while (!end && rc == 0);
	return rc;
}

int tree_load_yaml(struct tree *tree, const char *path, const char *source,
		   struct config_errors *errors)
{
	struct loader loader = {.tree = tree, .errors = errors};
	struct config_origin origin = {source, 0};
	struct stat st;
	FILE *file;
	int rc;

	*tree = (struct tree){.source = source};
	file = fopen(path, "re");
	if (!file || fstat(fileno(file), &st) < 0) {
		rc = -errno;
		config_errors_add(errors, &origin, NULL, "cannot be read: %s", strerror(-rc));
		if (file)
			fclose(file);
		return rc;
	}
	if (S_ISDIR(st.st_mode)) {
		config_errors_add(errors, &origin, NULL, "is a directory; a file is needed");
		fclose(file);
		return -EISDIR;
	}
	if (!yaml_parser_initialize(&loader.parser)) {
		fclose(file);
		return out_of_memory(&loader);
	}
	yaml_parser_set_input_file(&loader.parser, file);
	rc = read_stream(&loader);
	yaml_parser_delete(&loader.parser);
	fclose(file);
	return rc;
}
