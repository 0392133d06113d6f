/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page: one HTML file that needs nothing but itself, no network and no script.
 */
#include "figures.h"
#include "figures_page.h"

#include <math.h>
#include <string.h>

#include "svg.h"

/* Colours that differ for eyes that see red and green alike. */
static const char style[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1b1b1b;--soft:#5c5c5c;--grid:#d5d5d5;"
	"--grid2:#eee;--c0:#0060a8;--c1:#c04d00;--c2:#00795a;--c3:#a3397a;--c4:#8a6d00;"
	"--c5:#4a4a9c}\n"
	"@media (prefers-color-scheme:dark){:root{--bg:#161616;--fg:#e8e8e8;--soft:#a8a8a8;"
	"--grid:#3c3c3c;--grid2:#282828;--c0:#62b2f0;--c1:#f59a4c;--c2:#3fcfa2;--c3:#e58fc2;"
	"--c4:#e0c34a;--c5:#a6a6f5}}\n"
	"body{background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif;"
	"max-width:66rem;margin:2rem auto;padding:0 1rem}\n"
	"h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.5rem}\n"
	"table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;"
	"padding:.15rem 1rem .15rem 0}th{font-weight:600;white-space:nowrap}\n"
	".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));"
	"gap:1rem}\n"
	"svg{width:100%;height:auto;font-family:system-ui,sans-serif}\n"
	"text{fill:var(--fg)}text.t{font-size:14px;font-weight:600}text.n{font-size:11px}"
	"text.m{font-size:11px;fill:var(--soft);font-style:italic}\n"
	"line.a{stroke:var(--fg)}line.g{stroke:var(--grid)}line.g2{stroke:var(--grid2)}"
	"line.b{stroke:var(--fg)}.l{fill:none;stroke-width:2}.d{stroke-dasharray:5 4}"
	".w{stroke-width:1.5}\n"
	".s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}"
	".s4{stroke:var(--c4)}.s5{stroke:var(--c5)}\n"
	".f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}"
	".f4{fill:var(--c4)}.f5{fill:var(--c5)}\n";

void page_row(FILE *out, const char *name, const char *value)
{
	fprintf(out, "<tr><th>%s</th><td>", name);
	svg_write_text(out, value);
	fputs("</td></tr>\n", out);
}

static void cpus_row(FILE *out, const struct figures *f)
{
	char text[1024];
	size_t len = 0;

	for (unsigned int i = 0; i < f->opts.cpu_cnt && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%d",
					i == 0                   ? "load on "
					: i == f->input.load_cnt ? "; workers, and fio, on "
								 : ", ",
					f->opts.cpu[i]);
	page_row(out, "CPUs", text);
}

void page_machine(FILE *out, const struct machine *m)
{
	page_row(out, "CPU", m->cpu);
	page_row(out, "Cores", m->cores);
	page_row(out, "SMT", m->smt);
	page_row(out, "NUMA nodes", m->numa);
	page_row(out, "Memory", m->memory);
	page_row(out, "Hypervisor", m->hypervisor);
	page_row(out, "Idle cores", m->idle);
	page_row(out, "Kernel", m->kernel);
}

void page_wakeup(FILE *out, const struct wakeup *w)
{
	char text[256];

	if (!isfinite(w->eventfd_us) || !isfinite(w->polled_us))
		return;
	snprintf(
		text, sizeof(text),
		"%.3g us through an eventfd to a sleeping one, %.3g us through a cache line to one "
		"that polls",
		w->eventfd_us, w->polled_us);
	page_row(out, "From core to core", text);
}

static void machine_table(FILE *out, const struct figures *f)
{
	const struct machine *m = &f->machine;
	char text[256];

	fputs("<table>\n", out);
	page_row(out, "Date", f->date);
	page_machine(out, m);
	if (f->opts.backend[FIGURES_FILE]) {
		page_row(out, "File system", m->file_system);
		page_row(out, "Block device", m->block_device);
	}
	page_wakeup(out, &f->wakeup);
	page_row(out, "pariod", f->pariod_version);
	page_row(out, "fio", f->fio_version);
	page_row(out, "qemu-storage-daemon", f->qsd_version);
	cpus_row(out, f);
	snprintf(text, sizeof(text), "%g s after %g s of warm-up, %u of each point in turns",
		 f->opts.runtime_s, f->opts.warmup_s, f->opts.rounds);
	page_row(out, "Runs", text);
	snprintf(text, sizeof(text), "pario-bench%.240s", f->command_line);
	page_row(out, "Command", text);
	fputs("</table>\n", out);
}

static bool same_note(const struct point *a, const struct point *b)
{
	return a->figure == b->figure && a->step == b->step && a->server == b->server &&
	       strcmp(a->note, b->note) == 0;
}

/* Every reason once, with the back ends that it holds for. */
static void note_write(FILE *out, const struct figures *f, unsigned int at)
{
	const struct point *p = &f->plan.point[at];
	bool named[FIGURES_BACKEND_MAX_] = {false};
	unsigned int cnt = 0;

	for (unsigned int i = 0; i < at; i++)
		if (same_note(&f->plan.point[i], p))
			return;
	fputs("<li>", out);
	for (unsigned int i = at; i < f->plan.cnt; i++) {
		const struct point *other = &f->plan.point[i];

		if (!same_note(other, p) || named[other->backend])
			continue;
		named[other->backend] = true;
		fprintf(out, "%s%s", cnt++ ? ", " : "", figures_backend_name[other->backend]);
	}
	if (p->figure == FIGURE_LADDER)
		fprintf(out, "; %s", ladder_step_name[p->step]);
	else if (p->figure == FIGURE_SCALE)
		fprintf(out, "; %u workers", p->workers);
	if (p->server != SERVER_PARIOD)
		fprintf(out, "; %s", figures_server_name[p->server]);
	fputs(": ", out);
	svg_write_text(out, p->note);
	fputs("</li>\n", out);
}

static void notes_write(FILE *out, const struct figures *f, enum figure figure)
{
	bool any = false;

	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		if (f->plan.point[i].figure != figure || !f->plan.point[i].note[0])
			continue;
		if (!any)
			fputs("<p>Not in this figure:</p>\n<ul>\n", out);
		any = true;
		note_write(out, f, i);
	}
	if (any)
		fputs("</ul>\n", out);
}

static void body_write(FILE *out, const struct figures *f)
{
	fputs("<h1>pario: one disk served in parallel</h1>\n"
	      "<p>The evaluation of VBMq (Zhang, Xue, Huang, You; Frontiers of Computer Science "
	      "12(5), 2018) redone with pariod on the machine below. Every point is the median of "
	      "its runs, every whisker goes from the least to the greatest of them; runs that are "
	      "compared took turns. The same values are in figures-block.csv.</p>\n",
	      out);
	if (f->opts.quick)
		fputs("<p><strong>Made with --quick: these runs are too short and too few to mean "
		      "anything.</strong></p>\n",
		      out);
	fputs("<h2>The machine</h2>\n", out);
	machine_table(out, f);
	fputs("<h2>(a) Depth</h2>\n", out);
	figures_plot_depth(out, f);
	notes_write(out, f, FIGURE_DEPTH);
	fputs("<h2>(b) Queues and workers</h2>\n", out);
	figures_plot_scale(out, f);
	notes_write(out, f, FIGURE_SCALE);
	fputs("<h2>(c) The ladder</h2>\n", out);
	figures_plot_ladder(out, f);
	notes_write(out, f, FIGURE_LADDER);
	fputs("<h2>(d) CPU for each request</h2>\n", out);
	figures_plot_cpu(out, f);
}

void page_begin(FILE *out, const char *title)
{
	fprintf(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n"
		"<title>%s</title>\n<style>\n",
		title);
	fputs(style, out);
	fputs("</style>\n</head>\n<body>\n", out);
}

void page_end(FILE *out)
{
	fputs("</body>\n</html>\n", out);
}

bool figures_write_page(const char *path, const struct figures *f)
{
	FILE *out = fopen(path, "we");
	bool ok;

	if (!out)
		return false;
	page_begin(out, "pario: figures of the block evaluation");
	body_write(out, f);
	page_end(out);
	ok = !ferror(out);
	return fclose(out) == 0 && ok;
}
