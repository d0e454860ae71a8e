import { ScriptCluster } from './script-cluster.js';
import { commands } from './script-commands.js';

/**
 * Golden scripts. A script is a text file whose name is the behaviour that it shows. Lines that begin with `#` are
 * comments, lines that begin with `> ` are commands, and what stands below a command is what it printed; scripts/README.md
 * says how to read that. {@link runScript} gives the text with the output of this run in place.
 */
export function runScript(text: string): string {
  const cluster = new ScriptCluster();
  const lines: string[] = [];
  for (const line of text.trimEnd().split('\n')) {
    if (line.startsWith('> ')) lines.push(line, ...perform(cluster, line.slice(2)));
    else if (line === '' || line.startsWith('#')) lines.push(line);
    // Anything else is the output of an earlier run.
  }
  return `${lines.join('\n')}\n`;
}

function perform(cluster: ScriptCluster, command: string): readonly string[] {
  const [name = '', ...words] = command.trim().split(/\s+/);
  const run = commands[name];
  if (!run) throw new Error(`"${name}" is not a command of these scripts.`);
  try {
    run(cluster, words);
  } catch (error) {
    // A node that stops is an outcome that a script can show.
    if (!(error instanceof Error)) throw error;
    return [...cluster.takeOutput(), `stopped: ${error.message}`];
  }
  return cluster.takeOutput();
}
