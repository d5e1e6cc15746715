/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/version.h"
#include "cmd/cmd.h"
#include "cmd/screen.h"
#include "worker/worker.h"

static int cmd_help(int argc, char **argv);

static int run_parser(int argc, char **argv)
{
	(void)argc, (void)argv;
	return worker_parser_main();
}

static int run_opener(int argc, char **argv)
{
	(void)argc, (void)argv;
	return worker_opener_main();
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help; /* NULL = hidden: kymo starts itself by it */
} commands[] = {
	{ "record", cmd_record, "record a host, processes or a command into a profile" },
	{ "dump", cmd_dump, "the stacks of all threads of a process, now, without stopping it" },
	{ "report", cmd_report, "how the host was, and which functions ran" },
	{ "ticks", cmd_ticks, "a line per tick as vmstat prints it, with the hottest function" },
	{ "export", cmd_export, "write a profile as a flame graph (SVG), or for other tools" },
	{ "sql", cmd_sql, "a SELECT over a profile: samples, ticks, processes as tables" },
	{ "info", cmd_info, "what a profile is, and where its bytes go" },
	{ "help", cmd_help, "this text, or that of a command" },
	{ "version", cmd_version, "kymo's version" },
	{ "worker-parser", run_parser, NULL },
	{ "worker-opener", run_opener, NULL },
};
#define COMMANDS_N (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS_N; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int print_help(void)
{
	struct screen s;

	screen_init(&s, stdout, 80);
	puts("kymo: which code was running when the host got sick, and what did it do to it?\n"
	     "\n"
	     "Usage: kymo COMMAND [OPTION...]\n");
	for (size_t i = 0; i < COMMANDS_N; i++)
		if (commands[i].help)
			printf("  %-8s  %s\n", commands[i].name, commands[i].help);
	puts("\n"
	     "  sudo kymo record -d 10       ten seconds of the whole host into profile.kymo\n"
	     "  kymo report                  what happened in them\n"
	     "  kymo export -o flame.svg     as a flame graph for any browser\n"
	     "\n"
	     "'kymo COMMAND --help' tells a command's options.");
	return screen_finish(&s);
}

static int unexpected(const char *command, const char *word)
{
	log_error("%s: unexpected '%s'", command, word);
	return 1;
}

static int cmd_help(int argc, char **argv)
{
	const struct command *c = argc > 1 ? find_command(argv[1]) : NULL;
	char *help[] = { argv[0], "--help", NULL };

	if (argc < 2)
		return print_help();
	if (!c || !c->help) {
		log_error("no command '%s'; 'kymo help' lists them", argv[1]);
		return 1;
	}
	if (argc > 2)
		return unexpected("help", argv[2]);
	return c->run == cmd_help ? print_help() : c->run(2, help);
}

int cmd_version(int argc, char **argv)
{
	struct screen s;

	if (argc > 1)
		return unexpected("version", argv[1]);
	screen_init(&s, stdout, 80);
	printf("kymo %s\n", KYMO_VERSION);
	return screen_finish(&s);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";
	const struct command *c;

	/* `kymo report | head` ends quietly, whatever our parent set. */
	signal(SIGPIPE, SIG_DFL);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	c = find_command(name);
	if (!c || !c->run) {
		log_error("no %s '%s'; 'kymo help' lists the commands",
			  *name == '-' ? "option" : "command", name);
		return 1;
	}
	return c->run(argc > 1 ? argc - 1 : 1, argc > 1 ? argv + 1 : argv);
}
